//! One look at partitions of this core, for a fetch of this core or of another.
use crate::{
    core::placement::core_of,
    fetch::session::{TopicKey, Wanted},
    metadata::{PartitionImage, TopicImage},
    partition::{Leader, leader::Role, waiters::Watcher},
    shard::{
        Shard,
        message::{FetchedPart, Message},
    },
};
use bytes::Bytes;
use netio::CoreId;
use record::{Batches, LeaderEpoch, Offset, TopicId};
use storage::{LogId, LogSlot, Read, ReadError};
use wire::ErrorCode;

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    Local { op: u64 },
    Core { core: CoreId, id: u64 },
}

/// A look that waits for reads from disk.
#[derive(Debug)]
pub struct Serving {
    origin: Origin,
    found: Vec<FetchedPart>,
    reads: usize,
}

impl FetchedPart {
    /// The answer for a partition that cannot be read: no offsets are told.
    pub fn failed(error: ErrorCode) -> Self {
        Self {
            error: error.code(),
            high_watermark: -1,
            last_stable: -1,
            log_start: -1,
            leader_epoch: -1,
            ..Default::default()
        }
    }

    /// Of the records.
    pub fn bytes(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }

    /// The offset behind the records, if there are any.
    pub fn end(&self) -> Option<Offset> {
        let last = Batches::new(self.records.last()?).last()?;
        Some(last.header().next_offset())
    }

    /// There are records for `part`, whether they fitted or not.
    pub fn has_anything(&self, part: &Wanted) -> bool {
        let error = self.error != 0 || self.diverging.is_some();
        !self.records.is_empty() || (!error && part.fetch_offset < self.high_watermark)
    }
}

impl Shard {
    /// Looks at what is at `places` of `wanted` now; what comes from disk comes later. The origin
    /// gets all of it at once.
    pub(crate) fn serve_fetch(
        &mut self,
        origin: Origin,
        wanted: &[Wanted],
        places: &[u32],
        max_bytes: usize,
        at_least_one: bool,
    ) {
        let id = self.fetches.next_serving;
        self.fetches.next_serving += 1;
        let (mut left, mut first, mut reads) = (max_bytes, at_least_one, 0);
        let mut found = Vec::with_capacity(places.len());
        for (at, &place) in places.iter().enumerate() {
            let part = &wanted[place as usize];
            let (mut fetched, pending) = self.look(part, left, first);
            let mut bytes = fetched.bytes();
            let part_max = usize::try_from(part.max_bytes).unwrap_or(0);
            fetched.cut = part_max > left;
            if let Some(token) = pending {
                self.fetches.reads.insert(token, (id, at));
                reads += 1;
                bytes = part_max;
            }
            first &= bytes == 0 && pending.is_none();
            left = left.saturating_sub(bytes);
            fetched.index = place;
            found.push(fetched);
        }
        if reads == 0 {
            self.served(origin, found);
        } else {
            self.fetches.serving.insert(id, Serving { origin, found, reads });
        }
    }

    fn served(&mut self, origin: Origin, found: Vec<FetchedPart>) {
        match origin {
            Origin::Local { op } => self.on_fetched(op, found),
            Origin::Core { core, id } => self.tell(core, Message::FetchedPart { id, parts: found }),
        }
    }

    /// One partition: what its log has now, or the token of a read from disk.
    fn look(
        &mut self,
        part: &Wanted,
        left: usize,
        at_least_one: bool,
    ) -> (FetchedPart, Option<u64>) {
        let (slot, epoch) = match self.readable(part) {
            Ok(found) => found,
            Err(fetched) => return (fetched, None),
        };
        let offsets = self.store.offsets(slot);
        let mut fetched = FetchedPart {
            high_watermark: offsets.high_watermark.0,
            last_stable: offsets.last_stable.0,
            log_start: offsets.log_start.0,
            leader_epoch: epoch,
            ..Default::default()
        };
        if part.last_fetched_epoch >= 0 {
            let end = self.store.end_of_epoch(slot, LeaderEpoch(part.last_fetched_epoch));
            match end {
                Some((e, end)) if e.0 < part.last_fetched_epoch || end.0 < part.fetch_offset => {
                    fetched.diverging = Some((e.0, end.0));
                    return (fetched, None);
                }
                Some(_) => {}
                None => return (FetchedPart::failed(ErrorCode::OffsetOutOfRange), None),
            }
        }
        if part.fetch_offset < offsets.log_start.0 || part.fetch_offset > offsets.log_end.0 {
            return (FetchedPart::failed(ErrorCode::OffsetOutOfRange), None);
        }
        if part.fetch_offset >= offsets.high_watermark.0 || (left == 0 && !at_least_one) {
            return (fetched, None);
        }
        let max = usize::try_from(part.max_bytes).unwrap_or(0).min(left);
        match self.store.read(
            slot,
            Offset(part.fetch_offset),
            offsets.high_watermark,
            max,
            at_least_one,
        ) {
            Ok(Read::Ready(records)) => {
                fetched.records = records;
                (fetched, None)
            }
            Ok(Read::Pending(token)) => (fetched, Some(token)),
            Err(error) => (FetchedPart::failed(self.read_failed(&error)), None),
        }
    }

    fn read_failed(&mut self, error: &ReadError) -> ErrorCode {
        let code = crate::core::error_map::read_error(error);
        if code != ErrorCode::OffsetOutOfRange {
            self.refusals.log(self.now, "read", || error.to_string());
        }
        code
    }

    /// The topic's id and the partition's leader epoch, by this core's image; for what it does not
    /// know, what Kafka answers without a look at any log (`KafkaApis.handleFetchRequest`).
    fn known(&self, part: &Wanted) -> Result<(TopicId, i32), ErrorCode> {
        let topic = self.known_topic(&part.topic)?;
        Self::known_partition(topic, part.partition).map(|p| (topic.id, p.leader_epoch))
    }

    fn known_topic(&self, topic: &TopicKey) -> Result<&TopicImage, ErrorCode> {
        match topic {
            TopicKey::Id(id) => self.image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId),
            TopicKey::Name(name) => {
                self.image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)
            }
        }
    }

    fn known_partition(topic: &TopicImage, partition: i32) -> Result<&PartitionImage, ErrorCode> {
        let partition = usize::try_from(partition).ok().and_then(|p| topic.partitions.get(p));
        partition.ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// As [`Self::known`], of all that a fetch wants: the error for each that has one.
    pub(crate) fn unknown(&self, wanted: &[Wanted]) -> Vec<Option<ErrorCode>> {
        // Partitions of a topic stand together: it is looked up once.
        let mut last: Option<(&TopicKey, Result<&TopicImage, ErrorCode>)> = None;
        let errors = wanted.iter().map(|part| {
            let topic = match last {
                Some((key, topic)) if *key == part.topic => topic,
                _ => self.known_topic(&part.topic),
            };
            last = Some((&part.topic, topic));
            topic.and_then(|topic| Self::known_partition(topic, part.partition)).err()
        });
        errors.collect()
    }

    fn readable(&self, part: &Wanted) -> Result<(LogSlot, i32), FetchedPart> {
        // A topic whose log is here is known, too.
        let here = match part.topic {
            TopicKey::Id(id) => {
                self.partitions.get(id, part.partition).filter(|l| l.role != Role::Metadata)
            }
            TopicKey::Name(_) => None,
        };
        let leader = match here {
            Some(leader) => leader,
            None => self.leader_by_image(part)?,
        };
        if part.current_leader_epoch >= 0 && part.current_leader_epoch != leader.epoch {
            let error = if part.current_leader_epoch < leader.epoch {
                ErrorCode::FencedLeaderEpoch
            } else {
                ErrorCode::UnknownLeaderEpoch
            };
            let mut fetched = FetchedPart::failed(error);
            fetched.leader_epoch = leader.epoch;
            return Err(fetched);
        }
        Ok((leader.slot, leader.epoch))
    }

    fn leader_by_image(&self, part: &Wanted) -> Result<&Leader, FetchedPart> {
        // It was known when the fetch began: Kafka asks for its log then, by name.
        let unknown = |_| FetchedPart::failed(ErrorCode::UnknownTopicOrPartition);
        let (topic, leader_epoch) = self.known(part).map_err(unknown)?;
        self.partitions.get(topic, part.partition).ok_or_else(|| {
            let mut fetched = FetchedPart::failed(ErrorCode::NotLeaderOrFollower);
            fetched.leader_epoch = leader_epoch;
            fetched
        })
    }

    /// A read from disk has ended. False when it was not for a fetch.
    pub(crate) fn on_read_done(
        &mut self,
        token: u64,
        result: Result<Vec<Bytes>, ReadError>,
    ) -> bool {
        let Some((id, at)) = self.fetches.reads.remove(&token) else {
            return false;
        };
        let error = result.as_ref().err().map(|e| self.read_failed(e));
        let Some(serving) = self.fetches.serving.get_mut(&id) else {
            return true;
        };
        match (result, error) {
            (Ok(records), _) => serving.found[at].records = records,
            (Err(_), error) => {
                serving.found[at] = FetchedPart {
                    index: serving.found[at].index,
                    ..FetchedPart::failed(error.unwrap_or(ErrorCode::UnknownServerError))
                };
            }
        }
        serving.reads -= 1;
        if serving.reads == 0
            && let Some(done) = self.fetches.serving.remove(&id)
        {
            self.served(done.origin, done.found);
        }
        true
    }

    /// Another core's fetch waits for these partitions.
    pub(crate) fn on_watch(&mut self, core: CoreId, id: u64, watched: &[(LogId, i64)]) {
        let watcher = Watcher::Remote { core, id };
        for &(log, past) in watched {
            let slot = self.partitions.slot(log.topic, log.partition);
            let advanced = slot.is_none_or(|slot| self.store.offsets(slot).high_watermark.0 > past);
            if advanced {
                self.on_unwatch(core, id);
                self.tell(core, Message::Woken { id });
                return;
            }
            if let Some(leader) = slot.and_then(|slot| self.partitions.at_mut(slot)) {
                leader.watchers.push(past, watcher);
            }
        }
    }

    pub(crate) fn on_unwatch(&mut self, core: CoreId, id: u64) {
        let watcher = Watcher::Remote { core, id };
        for leader in self.partitions.iter_mut() {
            leader.watchers.remove(watcher);
        }
    }

    /// As [`Self::home_of`], where the topic's id does not matter.
    pub(crate) fn core_of(&self, part: &Wanted) -> CoreId {
        match self.settings.single_port {
            true => self.home_of(&part.topic, part.partition).0,
            false => self.me,
        }
    }

    /// The core that has a partition of a fetch; this one for what nobody knows.
    pub(crate) fn home_of(&self, topic: &TopicKey, partition: i32) -> (CoreId, Option<TopicId>) {
        let id = match topic {
            TopicKey::Id(id) => Some(*id),
            TopicKey::Name(name) => self.image.topic(name).map(|t| t.id),
        };
        match id {
            Some(id) if self.settings.single_port => {
                (core_of(id, partition, self.settings.cores), Some(id))
            }
            id => (self.me, id),
        }
    }
}
