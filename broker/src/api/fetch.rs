//! Fetch (key 1): what is asked, by request and session; the work is in `crate::fetch`.
use super::once::is_each_once;
use crate::{
    core::request::{Request, Stage},
    fetch::{
        op::{FetchOp, Round},
        session::{Refused, TopicKey, Wanted},
    },
    shard::Shard,
};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map::Entry};
use wire::{
    Decode, ErrorCode, Reader, Str, Uuid,
    fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = FetchRequest::decode(reader, request.version())?;
    let by_id = request.version() >= 13;
    let key = |name: &Str<'_>, id: Uuid| {
        if by_id { TopicKey::Id(id) } else { TopicKey::Name(name.as_ref().into()) }
    };
    let once = is_each_once(&body.topics, same_topic, indexes);
    let several = if once { Vec::new() } else { distinct(shard.secret.seed(), &body.topics) };
    let named = if once { count(&body.topics) } else { several.len() };
    let mut wanted: Vec<Wanted> = Vec::with_capacity(named);
    let mut last: Option<&FetchTopic<'_>> = None;
    let asked = if once { &body.topics[..] } else { &[] };
    for (topic, p) in each(asked).chain(several) {
        // A topic's name is there once, however many of its partitions are asked for.
        let same = wanted.last().filter(|_| last.is_some_and(|last| std::ptr::eq(last, topic)));
        let topic_key =
            same.map_or_else(|| key(&topic.topic, topic.topic_id), |same| same.topic.clone());
        last = Some(topic);
        wanted.push(Wanted {
            topic: topic_key,
            partition: p.partition,
            current_leader_epoch: p.current_leader_epoch,
            fetch_offset: p.fetch_offset,
            last_fetched_epoch: p.last_fetched_epoch,
            log_start_offset: p.log_start_offset,
            max_bytes: p.partition_max_bytes,
        });
    }
    let mut forgotten = Vec::new();
    for topic in &body.forgotten_topics_data {
        forgotten.extend(topic.partitions.iter().map(|&p| (key(&topic.topic, topic.topic_id), p)));
    }
    let (now, random) = (shard.now, shard.io.random());
    // Before version 7 there are no sessions: the schema's defaults say so (id 0, final epoch).
    let session = (body.session_id, body.session_epoch);
    let opened = match shard.fetch_sessions.open(session, by_id, wanted, forgotten, now, random) {
        Ok(opened) => opened,
        Err(refused) => {
            let error = match refused {
                Refused::SessionIdNotFound => ErrorCode::FetchSessionIdNotFound,
                Refused::InvalidSessionEpoch => ErrorCode::InvalidFetchSessionEpoch,
                Refused::TopicIdError => ErrorCode::FetchSessionTopicIdError,
            };
            return request
                .answer(&FetchResponse { error_code: error.code(), ..Default::default() });
        }
    };
    let (max_wait_ms, read_committed) = (body.max_wait_ms, body.isolation_level == 1);
    let min_bytes = usize::try_from(body.min_bytes).unwrap_or(0);
    let max_bytes =
        usize::try_from(body.max_bytes).unwrap_or(0).min(shard.settings.limits.fetch_bytes_max);
    // It may be answered before this returns.
    drop(body);
    let wait_ms = u64::try_from(max_wait_ms).unwrap_or(0);
    shard.begin_fetch(FetchOp {
        pending: request.pending,
        session_id: opened.session_id,
        next_epoch: opened.next_epoch,
        read_committed,
        min_bytes,
        max_bytes,
        deadline: shard.now.after_ms(wait_ms),
        wanted: opened.wanted.into(),
        round: Round::default(),
        waiting: false,
        waits_since: shard.now,
        waited_ns: 0,
        timer: None,
        watched_at: Vec::new(),
    });
    Ok(Stage::Later)
}

fn same_topic(a: &FetchTopic<'_>, b: &FetchTopic<'_>) -> bool {
    a.topic_id == b.topic_id && a.topic == b.topic
}

fn indexes(topic: &FetchTopic<'_>) -> impl Iterator<Item = i32> {
    topic.partitions.iter().map(|p| p.partition)
}

fn count(topics: &[FetchTopic<'_>]) -> usize {
    topics.iter().map(|topic| topic.partitions.len()).sum()
}

fn each<'b, 'a>(
    topics: &'b [FetchTopic<'a>],
) -> impl Iterator<Item = (&'b FetchTopic<'a>, &'b FetchPartition)> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)))
}

/// Each partition once, where it was named first and as it was named last
/// (`FetchRequest.fetchData`).
fn distinct<'b, 'a>(
    seed: u64,
    topics: &'b [FetchTopic<'a>],
) -> Vec<(&'b FetchTopic<'a>, &'b FetchPartition)> {
    let named = count(topics);
    let mut places = HashMap::with_capacity_and_hasher(named, FixedState::with_seed(seed));
    let mut all = Vec::with_capacity(named);
    for (topic, partition) in each(topics) {
        match places.entry((&*topic.topic, topic.topic_id, partition.partition)) {
            Entry::Occupied(known) => all[*known.get()] = (topic, partition),
            Entry::Vacant(new) => {
                new.insert(all.len());
                all.push((topic, partition));
            }
        }
    }
    all
}
