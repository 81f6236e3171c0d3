//! ListOffsets (key 2): the first and last offsets, and offsets by time.
//!
//! Times may need a look at the disk: the answer then waits for it (`crate::time_lookup`).
use super::split::{merged, must_split, scatter_topics};
use crate::{
    shard::{
        Shard,
        forward::Split,
        reply::{Request, Stage},
    },
    time_lookup::Lookup,
};
use record::Offset;
use std::collections::BTreeMap;
use wire::{
    Decode, ErrorCode, Reader,
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest,
        ListOffsetsResponse, ListOffsetsTopicResponse,
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
        let part =
            move |topics| ListOffsetsRequest { replica_id, isolation_level, topics, timeout_ms };
        return scatter_topics(shard, request, body.topics, part);
    }
    let mut lookup = Lookup::new(request.pending);
    // Each topic and each partition is answered once (Kafka: `ReplicaManager.fetchOffset`, whose answers are a map); a partition
    // that is named twice is refused.
    let mut times_named: BTreeMap<(&str, i32), usize> = BTreeMap::new();
    for topic in &body.topics {
        for p in &topic.partitions {
            *times_named.entry((&*topic.name, p.partition_index)).or_default() += 1;
        }
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in body.topics.iter().filter(|t| !t.partitions.is_empty()) {
        let t = *places.entry(&*topic.name).or_insert_with(|| {
            lookup.topics.push(ListOffsetsTopicResponse {
                name: topic.name.clone().into_owned().into(),
                partitions: Vec::with_capacity(topic.partitions.len()),
            });
            lookup.topics.len() - 1
        });
        for asked in &topic.partitions {
            // Taken out when it is answered.
            let Some(times) = times_named.remove(&(&*topic.name, asked.partition_index)) else {
                continue;
            };
            let mut answer = ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                timestamp: -1,
                offset: -1,
                leader_epoch: -1,
                error_code: 0,
            };
            let committed = body.isolation_level == 1;
            let looked = if times > 1 {
                Err(ErrorCode::InvalidRequest)
            } else {
                look(shard, &topic.name, asked, committed, request.version())
            };
            match looked {
                Ok(Found::Now { offset, leader_epoch }) => {
                    answer.offset = offset;
                    // The schema has it from version 4 on.
                    answer.leader_epoch = if request.version() >= 4 { leader_epoch } else { -1 };
                }
                Ok(Found::Nothing) => {}
                Ok(Found::Later { token }) => {
                    lookup.wait_for(token, t, lookup.topics[t].partitions.len());
                }
                Err(error) => {
                    answer.error_code = error.code();
                }
            }
            lookup.topics[t].partitions.push(answer);
        }
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
    fn merge<'r: 'r>(answers: Vec<ListOffsetsResponse<'r>>) -> ListOffsetsResponse<'r> {
        ListOffsetsResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
