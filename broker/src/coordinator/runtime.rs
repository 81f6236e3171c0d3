//! One partition's coordinator: keeps answers until what they promise is committed.
//!
//! ```text
//! load(batches)*, activate        the state from the log
//! submit or tick -> records       the state has changed already
//!   appended(end offset)          answers wait for it; the next operation sees the state
//!   failed(why)                   or: the state was never so; load again
//! committed(high watermark)       answers go
//! ```
//! Every answer waits for all that was appended before its operation, also where that operation
//! wrote nothing: so nobody is told of a state that a crash could take back (Kafka's
//! `CoordinatorRuntime` does the same for operations that may write; here reads are no exception).
//!
//! It knows no storage: whoever owns the log appends the records and calls back.

use super::{Context, Now, Record, ReplyTo};
use crate::group::snapshot::Snapshot;
use crate::group::{Coordinator, Options, Request, Response};
use record::{Batches, ControlRecord, EndTxnMarker, Offset, ProducerId, Tail};
use std::collections::{BTreeMap, VecDeque};
use wire::ErrorCode;

/// What a coordinator can do at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Reading its log; operations are answered COORDINATOR_LOAD_IN_PROGRESS.
    Loading,
    /// Leads.
    Active,
    /// Its log could not be read or written, or another core leads; operations are answered
    /// NOT_COORDINATOR.
    Failed,
}

/// Why a log could not be replayed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Bytes that are no batches, or end within one.
    #[error("after offset {after}: not a record batch ({tail})")]
    Batch { after: Offset, tail: String },
    /// A batch that cannot be opened.
    #[error("batch at offset {offset}: {problem}")]
    Records { offset: Offset, problem: String },
    /// A record that cannot be understood.
    #[error("record at offset {offset}: {problem}")]
    Record { offset: Offset, problem: wire::Error },
    /// A transaction that does not end.
    #[error("more than {0} bytes of open transactions")]
    Transactions(usize),
}

/// Records of transactions whose end has not been seen, while loading.
const TRANSACTION_BYTES_MAX: usize = 64 << 20;
/// A compressed batch may grow to this.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// The coordinator of one partition of `__consumer_offsets`.
///
/// Lives on the core that leads the partition.
#[derive(Debug)]
pub struct Runtime {
    state: Coordinator,
    status: Status,
    /// Answers by the end offset that must be committed first.
    pending: BTreeMap<Offset, Vec<(ReplyTo, Response)>>,
    /// Answers to an operation whose records are not appended yet.
    staged: Vec<(ReplyTo, Response)>,
    /// The records of the last operation are out to be appended.
    is_appending: bool,
    ready: VecDeque<(ReplyTo, Response)>,
    /// End of the last records of ours.
    end_offset: Offset,
    high_watermark: Offset,
    /// Records passed over in loading, since their kinds are not served.
    skipped: u64,
    /// Transactional commits that were read and not decided yet.
    transactions: BTreeMap<ProducerId, Vec<Record>>,
    transaction_bytes: usize,
}

impl Runtime {
    /// A coordinator with an empty state, in [`Status::Loading`].
    pub fn new(options: Options) -> Self {
        Self {
            state: Coordinator::new(options),
            status: Status::Loading,
            pending: BTreeMap::new(),
            staged: Vec::new(),
            is_appending: false,
            ready: VecDeque::new(),
            end_offset: Offset::ZERO,
            high_watermark: Offset::ZERO,
            skipped: 0,
            transactions: BTreeMap::new(),
            transaction_bytes: 0,
        }
    }

    pub fn status(&self) -> Status {
        self.status
    }

    /// The state machine, to look at.
    pub fn state(&self) -> &Coordinator {
        &self.state
    }

    /// Settings that take effect from the next operation on.
    pub fn set_options(&mut self, options: Options) {
        self.state.set_options(options);
    }

    /// As [`Coordinator::set_bytes_max`].
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.state.set_bytes_max(bytes_max);
    }

    /// As [`Coordinator::take_refused`].
    pub fn take_refused(&mut self) -> u64 {
        self.state.take_refused()
    }

    // ---- loading

    /// Replays whole batches, as they follow each other in the log. The caller has verified them.
    /// `now_ms` is the wall clock.
    ///
    /// # Errors
    /// [`LoadError`]; the coordinator has failed then.
    pub fn load(&mut self, batches: &[u8], now_ms: i64) -> Result<(), LoadError> {
        assert_eq!(self.status, Status::Loading, "load");
        let loaded = self.replay_batches(batches, now_ms);
        if loaded.is_err() {
            self.status = Status::Failed;
        }
        loaded
    }

    fn replay_batches(&mut self, bytes: &[u8], now_ms: i64) -> Result<(), LoadError> {
        let mut batches = Batches::new(bytes);
        for batch in batches.by_ref() {
            let header = *batch.header();
            let offset = header.base_offset;
            let payload = batch
                .decompressed(BATCH_BYTES_MAX)
                .map_err(|error| LoadError::Records { offset, problem: error.to_string() })?;
            for record in record::Records::new(&payload, &header) {
                let record = record
                    .map_err(|error| LoadError::Records { offset, problem: error.to_string() })?;
                self.replay_record(&header, &record, now_ms)?;
            }
            self.end_offset = header.next_offset();
        }
        match batches.tail() {
            Tail::Clean => Ok(()),
            tail => Err(LoadError::Batch { after: self.end_offset, tail: format!("{tail:?}") }),
        }
    }

    fn replay_record(
        &mut self,
        header: &record::BatchHeader,
        record: &record::Record<'_>,
        now_ms: i64,
    ) -> Result<(), LoadError> {
        let at = |problem| LoadError::Record { offset: record.offset(header), problem };
        if header.attributes.is_control() {
            return match ControlRecord::parse(record) {
                Some(ControlRecord::EndTxn { marker, .. }) => {
                    self.end_transaction(header.producer_id, marker, now_ms).map_err(at)
                }
                _ => Ok(()),
            };
        }
        let Some(key) = record.key else {
            self.skipped += 1;
            return Ok(());
        };
        if header.attributes.is_transactional() {
            // A broker that serves transactions wrote this: it counts once they are committed.
            let record = Record { key: key.to_vec(), value: record.value.map(<[u8]>::to_vec) };
            self.transaction_bytes += record.size();
            if self.transaction_bytes > TRANSACTION_BYTES_MAX {
                return Err(LoadError::Transactions(TRANSACTION_BYTES_MAX));
            }
            self.transactions.entry(header.producer_id).or_default().push(record);
            return Ok(());
        }
        let is_known = self.state.replay(key, record.value, now_ms).map_err(at)?;
        self.skipped += u64::from(!is_known);
        Ok(())
    }

    fn end_transaction(
        &mut self,
        producer: ProducerId,
        marker: EndTxnMarker,
        now_ms: i64,
    ) -> Result<(), wire::Error> {
        for record in self.transactions.remove(&producer).unwrap_or_default() {
            self.transaction_bytes -= record.size();
            if marker == EndTxnMarker::Commit {
                self.state.replay(&record.key, record.value.as_deref(), now_ms)?;
            }
        }
        Ok(())
    }

    /// All of the log up to `end_offset` has been loaded: from now on operations are carried out.
    /// Returns records to be appended, as [`Runtime::submit`] does.
    pub fn activate(
        &mut self,
        end_offset: Offset,
        high_watermark: Offset,
        now: Now,
    ) -> Vec<Record> {
        assert_eq!(self.status, Status::Loading, "activate");
        self.status = Status::Active;
        self.end_offset = end_offset;
        self.high_watermark = high_watermark;
        self.transactions.clear();
        self.transaction_bytes = 0;
        let outcome = self.state.activate(now);
        self.stage(outcome.records, outcome.replies)
    }

    /// Records that loading passed over.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    // ---- operations

    /// Carries out `request`. If records are returned, they must be appended, and
    /// [`Runtime::appended`] or [`Runtime::failed`] called, before the next operation. The answer
    /// comes out of [`Runtime::next_reply`], now or later.
    #[must_use = "the records are to be appended"]
    pub fn submit(
        &mut self,
        request: Request<'_>,
        context: &Context<'_>,
        reply_to: ReplyTo,
        now: Now,
    ) -> Vec<Record> {
        assert!(
            !self.is_appending,
            "an operation before the records of the last one were appended"
        );
        let refusal = match (self.status, request) {
            (Status::Active, _) => {
                let outcome = self.state.handle(request, context, reply_to, now);
                return self.stage(outcome.records, outcome.replies);
            }
            // Nobody's session ends while the coordinator loads, so no member need be alarmed.
            (Status::Loading, Request::Heartbeat(_)) => ErrorCode::None,
            (Status::Loading, _) => ErrorCode::CoordinatorLoadInProgress,
            (Status::Failed, _) => ErrorCode::NotCoordinator,
        };
        self.ready.push_back((reply_to, request.refuse(context, refusal)));
        Vec::new()
    }

    /// Answers (with no groups) when all that was appended up to now is committed: what was read of
    /// the state is true then.
    pub fn when_committed(&mut self, reply_to: ReplyTo) {
        match self.status {
            Status::Active => self.hold(vec![(reply_to, Response::ListGroups(Ok(Vec::new())))]),
            _ => {
                let refused = Response::ListGroups(Err(ErrorCode::NotCoordinator));
                self.ready.push_back((reply_to, refused));
            }
        }
    }

    /// The state machine, if it serves.
    ///
    /// # Errors
    /// What a request is refused with otherwise.
    pub fn serving(&self) -> Result<&Coordinator, ErrorCode> {
        match self.status {
            Status::Active => Ok(&self.state),
            Status::Loading => Err(ErrorCode::CoordinatorLoadInProgress),
            Status::Failed => Err(ErrorCode::NotCoordinator),
        }
    }

    /// When [`Runtime::tick`] is due (monotonic ms); it may find nothing to do then.
    pub fn next_deadline(&self) -> Option<u64> {
        (self.status == Status::Active).then(|| self.state.next_deadline()).flatten()
    }

    /// Does what is due; as [`Runtime::submit`].
    #[must_use = "the records are to be appended"]
    pub fn tick(&mut self, now: Now) -> Vec<Record> {
        assert!(
            !self.is_appending,
            "a tick before the records of the last operation were appended"
        );
        if self.next_deadline().is_none_or(|deadline| deadline > now.monotonic_ms) {
            return Vec::new();
        }
        let outcome = self.state.tick(now);
        self.stage(outcome.records, outcome.replies)
    }

    /// Topics, by name and id, were deleted: what groups committed for them goes. As
    /// [`Runtime::submit`]. A topic that is deleted while the coordinator loads is to be told again
    /// once it is active.
    #[must_use = "the records are to be appended"]
    pub fn topics_deleted(&mut self, topics: &[(&str, wire::Uuid)], now: Now) -> Vec<Record> {
        assert!(
            !self.is_appending,
            "topics deleted before the records of the last operation were appended"
        );
        if self.status != Status::Active {
            return Vec::new();
        }
        let outcome = self.state.topics_deleted(topics, now);
        self.stage(outcome.records, outcome.replies)
    }

    fn stage(&mut self, records: Vec<Record>, replies: Vec<(ReplyTo, Response)>) -> Vec<Record> {
        if records.is_empty() {
            self.hold(replies);
        } else {
            self.staged = replies;
            self.is_appending = true;
        }
        records
    }

    /// Keeps answers until all that is appended is committed.
    fn hold(&mut self, replies: Vec<(ReplyTo, Response)>) {
        if replies.is_empty() {
        } else if self.high_watermark >= self.end_offset {
            self.ready.extend(replies);
        } else {
            self.pending.entry(self.end_offset).or_default().extend(replies);
        }
    }

    // ---- the log

    /// The records last returned are in the log, which ends at `end_offset` now.
    pub fn appended(&mut self, end_offset: Offset) {
        assert!(self.is_appending, "appended {end_offset} without records");
        assert!(end_offset > self.end_offset, "end offset {end_offset} after {}", self.end_offset);
        self.is_appending = false;
        self.end_offset = end_offset;
        let replies = std::mem::take(&mut self.staged);
        self.hold(replies);
    }

    /// The log is committed up to `high_watermark`.
    pub fn committed(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(high_watermark);
        while let Some(first) = self.pending.first_entry() {
            if *first.key() > self.high_watermark {
                break;
            }
            self.ready.extend(first.remove());
        }
    }

    /// Something could not be appended or committed, or another core leads: the state is dropped,
    /// all that waits is refused. `error` is the log's, and is told as Kafka tells it. Start over
    /// with a new [`Runtime`] to load again.
    pub fn failed(&mut self, error: ErrorCode) {
        let told = told_error(error);
        self.status = Status::Failed;
        self.is_appending = false;
        let staged = std::mem::take(&mut self.staged);
        let pending = std::mem::take(&mut self.pending).into_values().flatten();
        for (reply_to, mut response) in pending.chain(staged) {
            let told = match response {
                // Older consumers do not try again on any other.
                Response::OffsetFetch(_) if told == ErrorCode::CoordinatorNotAvailable => {
                    ErrorCode::NotCoordinator
                }
                _ => told,
            };
            response.fail(told);
            self.ready.push_back((reply_to, response));
        }
        self.ready.extend(self.state.abandon(told).replies);
    }

    /// The next answer that may be given.
    pub fn next_reply(&mut self) -> Option<(ReplyTo, Response)> {
        self.ready.pop_front()
    }

    // ---- bounding the log

    /// Begins a snapshot of the live state ([`crate::group::snapshot`]). When its first records are
    /// appended, the offset of the first is the log start to be; it becomes so once the last
    /// records are committed.
    pub fn snapshot(&self) -> Snapshot {
        self.state.snapshot()
    }

    /// The snapshot's next records, about `bytes_max`, to be appended as those of
    /// [`Runtime::submit`]; none when it is complete, *or when the coordinator is not active*: then
    /// the snapshot is void and nothing may be cut off.
    #[must_use = "the records are to be appended"]
    pub fn snapshot_next(&mut self, snapshot: &mut Snapshot, bytes_max: usize) -> Vec<Record> {
        assert!(
            !self.is_appending,
            "a snapshot before the records of the last operation were appended"
        );
        if self.status != Status::Active {
            return Vec::new();
        }
        let records = self.state.snapshot_next(snapshot, bytes_max);
        self.stage(records, Vec::new())
    }
}

/// What a group's client is told of an error of the log (Kafka's
/// `CoordinatorOperationExceptionHelper`).
fn told_error(error: ErrorCode) -> ErrorCode {
    match error {
        // It may be well again in a moment.
        ErrorCode::UnknownTopicOrPartition
        | ErrorCode::NotEnoughReplicas
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        // Another broker may lead by now.
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        // The client cannot help it.
        ErrorCode::MessageTooLarge
        | ErrorCode::RecordListTooLarge
        | ErrorCode::InvalidFetchSize => ErrorCode::UnknownServerError,
        other => other,
    }
}
