//! ListOffsets (key 2): the first and last offsets, and offsets by time.
//!
//! Times may need a look at the disk: the answer then waits for it (`crate::time_lookup`).
use super::{
    partitions::{Asked, Keep, all_asked, keep_each_once},
    split::{merged, must_split, scatter_topics},
};
use crate::{
    answer::{concat::Skip, distinct::numbered},
    core::request::{Request, Stage},
    shard::{Shard, forward::Split},
    time_lookup::Lookup,
};
use record::Offset;
use wire::{
    Decode, ErrorCode, Reader,
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    },
};

/// `ListOffsetsRequest.LATEST_TIMESTAMP` and its like.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ListOffsetsRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        let (replica_id, isolation_level, timeout_ms) =
            (body.replica_id, body.isolation_level, body.timeout_ms);
        let bare =
            ListOffsetsRequest { replica_id, isolation_level, topics: Vec::new(), timeout_ms };
        return scatter_topics(shard, request, body.topics, &bare);
    }
    // Each topic and each partition is answered once (Kafka: `ReplicaManager.fetchOffset`, whose
    // answers are a map); a partition that is named twice is refused.
    let topics = &body.topics;
    let topic_of = |a: &Asked| &topics[a.topic as usize];
    let of = |a: &Asked| &topic_of(a).partitions[a.partition as usize];
    let first = numbered(shard.secret, topics, |t| &t.name);
    let mut all = all_asked(topics.iter().map(|t| t.partitions.len()));
    keep_each_once(&mut all, Keep::First, |a| (first[a.topic as usize], of(a).partition_index));
    all.sort_unstable_by_key(|a| (first[a.topic as usize], a.topic, a.partition));
    let committed = body.isolation_level == 1;
    let mut lookup = Lookup::new(request.pending, all.len());
    for same in all.chunk_by(|a, b| first[a.topic as usize] == first[b.topic as usize]) {
        let name = &topic_of(&same[0]).name;
        for a in same {
            let asked = of(a);
            let mut answer = ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                timestamp: -1,
                offset: -1,
                leader_epoch: -1,
                error_code: 0,
            };
            let looked = if a.times > 1 {
                Err(ErrorCode::InvalidRequest)
            } else {
                look(shard, name, asked, committed, request.version())
            };
            match looked {
                Ok(Found::Now { offset, leader_epoch }) => {
                    answer.offset = offset;
                    // The schema has it from version 4 on.
                    answer.leader_epoch = if request.version() >= 4 { leader_epoch } else { -1 };
                }
                Ok(Found::Nothing) => {}
                Ok(Found::Later { token }) => lookup.wait_for(token),
                Err(error) => {
                    answer.error_code = error.code();
                }
            }
            lookup.named.push_row(answer);
        }
        lookup.named.end(name);
    }
    shard.begin_lookup(lookup)
}

enum Found {
    Now { offset: i64, leader_epoch: i32 },
    Nothing,
    Later { token: u64 },
}

fn look(
    shard: &mut Shard,
    topic: &str,
    asked: &ListOffsetsPartition,
    committed: bool,
    version: i16,
) -> Result<Found, ErrorCode> {
    // The version that each was made with (`ReplicaManager.isListOffsetsTimestampUnsupported`).
    let since = match asked.timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        LATEST | EARLIEST | 0.. => 1,
        _ => i16::MAX,
    };
    if version < since {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let (slot, epoch) = shard.led(topic, asked.partition_index, asked.current_leader_epoch)?;
    let offsets = shard.store.offsets(slot);
    let at = |shard: &Shard, offset: Offset| Found::Now {
        offset: offset.0,
        // Where nothing is yet, the leader's epoch begins.
        leader_epoch: match shard.store.epoch_at(slot, offset) {
            Some(e) if offset < offsets.log_end => e.0,
            _ => epoch,
        },
    };
    Ok(match asked.timestamp {
        LATEST => Found::Now {
            offset: if committed { offsets.last_stable.0 } else { offsets.high_watermark.0 },
            leader_epoch: epoch,
        },
        EARLIEST | EARLIEST_LOCAL => at(shard, offsets.log_start),
        MAX_TIMESTAMP => Found::Later { token: shard.store.offset_of_max_timestamp(slot) },
        // Nothing is tiered.
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Found::Nothing,
        timestamp => Found::Later { token: shard.store.offset_for_time(slot, timestamp) },
    })
}

impl Split for ListOffsetsRequest<'_> {
    const SKIP: Option<Skip> =
        Some(|r, version| ListOffsetsPartitionResponse::decode(r, version).map(drop));

    fn merge<'r: 'r>(answers: Vec<ListOffsetsResponse<'r>>) -> ListOffsetsResponse<'r> {
        ListOffsetsResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
