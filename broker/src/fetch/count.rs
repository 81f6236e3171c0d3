//! What a fetch's answer counts for its topics.
use super::session::{TopicKey, Wanted};
use crate::{
    partition::traffic::{TopicTraffic, records_in},
    shard::{Shard, message::FetchedPart},
};
use record::TopicId;

impl Shard {
    /// Counts what the partitions of an answer have; their bytes.
    pub(super) fn count_fetched(&self, wanted: &[Wanted], found: &[Option<FetchedPart>]) -> u64 {
        let mut all = 0;
        // Partitions of a topic stand together: it is looked up once.
        let mut last: Option<(&TopicKey, &TopicTraffic)> = None;
        for (part, found) in wanted.iter().zip(found) {
            let bytes = found.as_ref().map_or(0, FetchedPart::bytes);
            let Some(found) = found.as_ref().filter(|_| bytes > 0) else {
                continue;
            };
            let traffic = match last {
                Some((topic, traffic)) if *topic == part.topic => traffic,
                _ => {
                    let id = match &part.topic {
                        TopicKey::Id(id) => Some(*id),
                        TopicKey::Name(name) => self.image.topic(name).map(|t| t.id),
                    };
                    self.traffic.of(id.unwrap_or(TopicId::ZERO))
                }
            };
            last = Some((&part.topic, traffic));
            traffic.fetched(bytes, records_in(&found.records));
            all += bytes as u64;
        }
        all
    }
}
