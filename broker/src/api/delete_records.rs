//! DeleteRecords (key 21): raises the log start. The answer goes when that is durable.
use super::{
    metadata::is_internal,
    partitions::{Asked, Keep, Named, Partitions, all_asked, keep_each_once, told},
    split::{merged, must_split, scatter_topics},
};
use crate::{
    answer::{concat::Skip, distinct::numbered},
    config::topic::TopicConfig,
    core::request::{Pending, Request, Stage},
    shard::{Shard, forward::Split},
};
use netio::Instant;
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
    named: Named<DeleteRecordsPartitionResult>,
    waiting: Vec<Waiting>,
    deadline: Instant,
}

/// A row waits for its log's start to be durable at `start`.
#[derive(Debug)]
struct Waiting {
    slot: LogSlot,
    start: Offset,
    row: u32,
}

told!(Told: DeleteRecordsTopicResult { name, partitions }, DeleteRecordsPartitionResult);

impl DeleteRecordsOp {
    /// Answers `error` where `which` says so. What was done stays.
    fn fail(&mut self, error: ErrorCode, which: impl Fn(&Waiting) -> bool) {
        for waiting in self.waiting.extract_if(.., |w| which(w)) {
            let answer = &mut self.named.rows_mut()[waiting.row as usize];
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
        let bare = DeleteRecordsRequest { topics: Vec::new(), ..body };
        return scatter_topics(shard, request, body.topics, &bare);
    }
    // Each topic and partition once, with the offset that was named last (Kafka:
    // `KafkaApis.handleDeleteRecordsRequest`).
    let topics = &body.topics;
    let numbers = numbered(shard.secret, topics, |t| &t.name);
    let number = |a: &Asked| numbers[a.topic as usize];
    let of = |a: &Asked| &topics[a.topic as usize].partitions[a.partition as usize];
    let mut all = all_asked(topics.iter().map(|t| t.partitions.len()));
    keep_each_once(&mut all, Keep::Last, |a| (number(a), of(a).partition_index));
    let mut op = DeleteRecordsOp {
        pending: request.pending,
        named: Named::with_rows(all.len()),
        waiting: Vec::new(),
        deadline: shard.now.after_ms(u64::try_from(body.timeout_ms).unwrap_or(0).max(1)),
    };
    for same in all.chunk_by(|a, b| number(a) == number(b)) {
        let name = &*topics[same[0].topic as usize].name;
        for asked in same.iter().map(of) {
            let partition_index = asked.partition_index;
            let mut answer =
                DeleteRecordsPartitionResult { partition_index, low_watermark: -1, error_code: 0 };
            match delete(shard, name, partition_index, asked.offset) {
                Ok((slot, start)) => {
                    answer.low_watermark = start.0;
                    let row = u32::try_from(op.named.rows().len()).unwrap_or(u32::MAX);
                    op.waiting.push(Waiting { slot, start, row });
                }
                Err(error) => {
                    answer.error_code = error.code();
                }
            }
            op.named.push_row(answer);
        }
        op.named.end(name);
    }
    shard.delete_records.push(op);
    shard.release_delete_records();
    Ok(Stage::Later)
}

/// In Kafka's order: a partition that is not there, a topic of Kafka's own, another leader, the
/// topic's policy, the offset.
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
        shard.store.delete_records(slot, to).map_err(|e| crate::core::error_map::read_error(&e))?;
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
            let partitions = Partitions::new(op.named, Told);
            self.finish_in_portions(op.pending, DeleteRecordsResponse::default, partitions);
        }
    }
}

impl Split for DeleteRecordsRequest<'_> {
    const SKIP: Option<Skip> =
        Some(|r, version| DeleteRecordsPartitionResult::decode(r, version).map(drop));

    fn merge<'r: 'r>(answers: Vec<DeleteRecordsResponse<'r>>) -> DeleteRecordsResponse<'r> {
        DeleteRecordsResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
