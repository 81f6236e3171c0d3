//! DeleteRecords (key 21): raises the log start. The answer goes when that is durable.
use super::{
    metadata::is_internal,
    split::{merged, must_split, scatter_topics},
};
use crate::{
    config::topic::TopicConfig,
    shard::{
        Shard,
        forward::Split,
        reply::{Pending, Request, Stage},
    },
};
use netio::Instant;
use record::Offset;
use std::collections::BTreeMap;
use storage::LogSlot;
use wire::{
    Decode, ErrorCode, Reader,
    delete_records::{
        DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopic, DeleteRecordsTopicResult,
    },
};

/// `DeleteRecordsRequest.HIGH_WATERMARK`
const HIGH_WATERMARK: i64 = -1;

/// An answer that waits for log starts to be durable.
#[derive(Debug)]
pub struct DeleteRecordsOp {
    pending: Pending,
    topics: Vec<DeleteRecordsTopicResult<'static>>,
    waiting: Vec<Waiting>,
    deadline: Instant,
}

/// The `p`-th partition of the `t`-th topic waits for its log's start to be durable at `start`.
#[derive(Debug)]
struct Waiting {
    slot: LogSlot,
    start: Offset,
    t: usize,
    p: usize,
}

impl DeleteRecordsOp {
    /// Answers `error` where `which` says so. What was done stays.
    fn fail(&mut self, error: ErrorCode, which: impl Fn(&Waiting) -> bool) {
        for waiting in self.waiting.extract_if(.., |w| which(w)) {
            let answer = &mut self.topics[waiting.t].partitions[waiting.p];
            answer.low_watermark = -1;
            answer.error_code = error.code();
        }
    }
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
        deadline: shard.now.after_ms(u64::try_from(body.timeout_ms).unwrap_or(0).max(1)),
    };
    for (t, (name, asked)) in distinct(&body.topics).into_iter().enumerate() {
        let mut partitions = Vec::with_capacity(asked.len());
        for (index, (partition_index, offset)) in asked.into_iter().enumerate() {
            let mut answer =
                DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code: 0 };
            match delete(shard, name, partition_index, offset) {
                Ok((slot, start)) => {
                    answer.low_watermark = start.0;
                    op.waiting.push(Waiting { slot, start, t, p: index });
                }
                Err(error) => {
                    answer.error_code = error.code();
                }
            }
            partitions.push(answer);
        }
        op.topics.push(DeleteRecordsTopicResult { name: name.to_owned().into(), partitions });
    }
    shard.delete_records.push(op);
    shard.release_delete_records();
    Ok(Stage::Later)
}

/// Each topic and partition once, with the offset that was named last (Kafka: `KafkaApis.handleDeleteRecordsRequest`).
fn distinct<'a>(topics: &'a [DeleteRecordsTopic<'_>]) -> BTreeMap<&'a str, BTreeMap<i32, i64>> {
    let mut all: BTreeMap<&str, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in topics.iter().filter(|t| !t.partitions.is_empty()) {
        let offsets = topic.partitions.iter().map(|p| (p.partition_index, p.offset));
        all.entry(&*topic.name).or_default().extend(offsets);
    }
    all
}

/// In Kafka's order: a partition that is not there, a topic of Kafka's own, another leader, the topic's policy, the offset.
fn delete(
    shard: &mut Shard,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<(LogSlot, Offset), ErrorCode> {
    let led = shard.led(topic, partition, -1);
    if led != Err(ErrorCode::UnknownTopicOrPartition) && is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let (slot, _) = led?;
    let is_only_compacted = |config: &TopicConfig| config.validate.compacted && !config.log.delete;
    if shard.partitions.at(slot).is_some_and(|p| is_only_compacted(&p.config)) {
        return Err(ErrorCode::PolicyViolation);
    }
    let offsets = shard.store.offsets(slot);
    let to = if offset == HIGH_WATERMARK { offsets.high_watermark } else { Offset(offset) };
    if to.0 < 0 || to > offsets.high_watermark {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let start =
        shard.store.delete_records(slot, to).map_err(|e| super::error_map::read_error(&e))?;
    Ok((slot, start))
}

impl Shard {
    /// A log start is durable.
    pub(crate) fn on_log_start_moved(&mut self, slot: LogSlot) {
        // As in `on_advanced`.
        if self.partitions.at(slot).is_none() {
            return;
        }
        let start = self.store.durable_log_start(slot);
        for op in &mut self.delete_records {
            op.waiting.retain(|w| w.slot != slot || start < w.start);
        }
        self.release_delete_records();
    }

    /// A log has failed, or is being deleted: what waits for its start is answered.
    pub(crate) fn fail_delete_records(&mut self, slot: LogSlot, error: ErrorCode) {
        for op in &mut self.delete_records {
            op.fail(error, |w| w.slot == slot);
        }
        self.release_delete_records();
    }

    /// Answers those whose time is over.
    pub(crate) fn expire_delete_records(&mut self) {
        let now = self.now;
        for op in self.delete_records.iter_mut().filter(|op| op.deadline <= now) {
            op.fail(ErrorCode::RequestTimedOut, |_| true);
        }
        self.release_delete_records();
    }

    fn release_delete_records(&mut self) {
        for op in &mut self.delete_records {
            let store = &self.store;
            op.waiting.retain(|w| store.durable_log_start(w.slot) < w.start);
        }
        let (done, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.delete_records)
            .into_iter()
            .partition(|op| op.waiting.is_empty());
        self.delete_records = waiting;
        for op in done {
            self.finish(
                &op.pending,
                &DeleteRecordsResponse { throttle_time_ms: 0, topics: op.topics },
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
