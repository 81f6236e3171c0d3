//! DeleteRecords (key 21): raises the log start. The answer goes when that is durable.
use super::split::{merged, must_split, scatter_topics};
use crate::{
    partition::leader::Role,
    shard::{
        Shard,
        forward::Split,
        reply::{Pending, Request, Stage},
    },
};
use record::Offset;
use storage::LogSlot;
use wire::{
    Decode, ErrorCode, Reader,
    delete_records::{
        DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopicResult,
    },
};

/// `DeleteRecordsRequest.HIGH_WATERMARK`
const HIGH_WATERMARK: i64 = -1;

/// An answer that waits for log starts to be durable.
#[derive(Debug)]
pub struct DeleteRecordsOp {
    pending: Pending,
    topics: Vec<DeleteRecordsTopicResult<'static>>,
    /// Log and the start it must reach.
    waiting: Vec<(LogSlot, Offset)>,
}

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DeleteRecordsRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        let timeout_ms = body.timeout_ms;
        let part = move |topics| DeleteRecordsRequest { topics, timeout_ms };
        return scatter_topics(shard, request, body.topics, part);
    }
    let mut op = DeleteRecordsOp {
        pending: request.pending,
        topics: Vec::new(),
        waiting: Vec::new(),
    };
    for topic in &body.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for p in &topic.partitions {
            let mut answer = DeleteRecordsPartitionResult {
                partition_index: p.partition_index,
                low_watermark: -1,
                error_code: 0,
            };
            match delete(shard, &topic.name, p.partition_index, p.offset) {
                Ok((slot, start)) => {
                    answer.low_watermark = start.0;
                    op.waiting.push((slot, start));
                }
                Err(error) => {
                    shard.stats.error(error);
                    answer.error_code = error.code();
                }
            }
            partitions.push(answer);
        }
        op.topics.push(DeleteRecordsTopicResult {
            name: topic.name.clone().into_owned().into(),
            partitions,
        });
    }
    shard.delete_records.push(op);
    shard.release_delete_records();
    Ok(Stage::Later)
}

fn delete(
    shard: &mut Shard,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<(LogSlot, Offset), ErrorCode> {
    let (slot, _) = shard.led(topic, partition, -1)?;
    if shard
        .partitions
        .at(slot)
        .is_some_and(|p| p.role != Role::User)
    {
        return Err(ErrorCode::InvalidTopicException);
    }
    let offsets = shard.store.offsets(slot);
    let to = if offset == HIGH_WATERMARK {
        offsets.high_watermark
    } else {
        Offset(offset)
    };
    if to.0 < 0 || to > offsets.high_watermark {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let start = shard
        .store
        .delete_records(slot, to)
        .map_err(|e| super::error_map::read_error(&e))?;
    Ok((slot, start))
}

impl Shard {
    /// A log start is durable.
    pub(crate) fn on_log_start_moved(&mut self, slot: LogSlot) {
        let start = self.store.durable_log_start(slot);
        for op in &mut self.delete_records {
            op.waiting.retain(|&(s, to)| s != slot || start < to);
        }
        self.release_delete_records();
    }

    fn release_delete_records(&mut self) {
        for op in &mut self.delete_records {
            let store = &self.store;
            op.waiting
                .retain(|&(slot, to)| store.durable_log_start(slot) < to);
        }
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.delete_records)
            .into_iter()
            .partition(|op| op.waiting.is_empty());
        self.delete_records = waiting;
        for op in done {
            self.finish(
                &op.pending,
                &DeleteRecordsResponse {
                    throttle_time_ms: 0,
                    topics: op.topics,
                },
            );
        }
    }
}

impl Split for DeleteRecordsRequest<'_> {
    fn merge<'r: 'r>(answers: Vec<DeleteRecordsResponse<'r>>) -> DeleteRecordsResponse<'r> {
        DeleteRecordsResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
