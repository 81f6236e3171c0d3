//! Group coordinators of a core: their partitions of `__consumer_offsets` are read at start, their
//! records appended, their answers released when these are committed. The state machine is
//! `crate::coordinator` and `crate::group`.
use super::Shard;
use crate::{
    coordinator::{Context, Now, Record, ReplyTo, Runtime, Status, outcome::to_batches, placement},
    core::{
        request::{Pending, Request, Stage},
        timer::{Timer, token},
    },
    group::{self, Response, numbers::ByState, snapshot::Snapshot},
    shard::metadata::OFFSETS_TOPIC,
};
use bytes::Bytes;
use hashbrown::HashMap;
use record::{Offset, Timestamp, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use storage::{AppendError, LogSlot, Read, ReadError};
use wire::ErrorCode;

/// One read of a coordinator's log while loading.
const LOAD_BYTES: usize = 1 << 20;
/// Records appended by all coordinators of a core between two snapshots of each: bounds what a
/// start reads.
const SNAPSHOT_BYTES: u64 = 64 << 20;
/// A coordinator is not worth a snapshot below this.
const SNAPSHOT_BYTES_MIN: u64 = 1 << 20;
const BATCH_BYTES: usize = 512 << 10;
/// A request waits this long for room in the log, as Kafka's (`offsets.commit.timeout.ms`).
const WRITE_MS: u64 = 5_000;
/// What is due waits this long when the log has no room.
const NO_ROOM_MS: u64 = 20;

/// What is done with the answers to all parts.
type Then = Box<dyn FnOnce(&mut Shard, Vec<Response>)>;

/// A request whose parts wait for their coordinators.
struct GroupOp {
    parts: Vec<Option<Response>>,
    missing: usize,
    then: Then,
}

/// A snapshot on its way into the log.
#[derive(Debug)]
struct Snapshotting {
    cursor: Snapshot,
    start: Offset,
    /// Set when its last record is appended.
    end: Option<Offset>,
}

/// A partition of `__consumer_offsets` that this core leads.
#[derive(Debug)]
struct Home {
    slot: LogSlot,
    runtime: Runtime,
    /// Next offset to read, while loading.
    load_from: Offset,
    since_snapshot: u64,
    /// Its share of [`Coordinators::bytes`].
    counted: usize,
    snapshotting: Option<Snapshotting>,
    /// Topics deleted while loading: their offsets go once the log is read.
    deleted: Vec<(String, TopicId)>,
    /// An append was refused, so its state is ahead of its log: it is read again when appends are
    /// taken.
    reload: bool,
}

/// The coordinators of a core.
#[derive(Default)]
pub struct Coordinators {
    homes: BTreeMap<i32, Home>,
    /// Memory held by all of them, bounded by `millrace.group.memory.bytes`.
    bytes: usize,
    by_slot: BTreeMap<LogSlot, i32>,
    /// Reads from disk while loading, by the store's token.
    reads: BTreeMap<u64, i32>,
    next: u64,
    ops: HashMap<u64, GroupOp, foldhash::fast::FixedState>,
    /// Which part of which operation an answer is.
    replies: HashMap<u64, (u64, usize), foldhash::fast::FixedState>,
    /// The earliest deadline that is known, and its timer.
    armed: Option<(u64, u64)>,
    /// A coordinator changed: its deadline may have, and a snapshot may be due. Turns in which none
    /// did pay nothing.
    changed: bool,
}

impl std::fmt::Debug for Coordinators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinators")
            .field("partitions", &self.homes.len())
            .field("waiting", &self.ops.len())
            .finish()
    }
}

impl Coordinators {
    /// Groups of this core, by state.
    pub fn groups(&self) -> ByState {
        let mut all = ByState::default();
        for home in self.homes.values() {
            let by_state = home.runtime.state().by_state();
            for (sum, more) in all.iter_mut().zip(by_state) {
                *sum += more;
            }
        }
        all
    }

    /// The coordinator of a partition, or of the next one that is led here.
    pub(crate) fn from(&self, partition: i32) -> Option<(i32, &Runtime)> {
        let (&partition, home) = self.homes.range(partition..).next()?;
        Some((partition, &home.runtime))
    }

    /// Memory of groups and offsets of this core, estimated.
    pub fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a coordinator out for good.
    fn remove(&mut self, partition: i32) -> Option<Home> {
        let home = self.homes.remove(&partition)?;
        self.bytes -= home.counted;
        Some(home)
    }

    /// The groups of a partition, if this core coordinates them.
    ///
    /// # Errors
    /// What a request for them is refused with otherwise.
    pub(crate) fn serving(&self, partition: i32) -> Result<&group::Coordinator, ErrorCode> {
        let home = self.homes.get(&partition);
        home.ok_or(ErrorCode::NotCoordinator)?.runtime.serving()
    }

    /// Partitions led.
    pub fn partitions(&self) -> Vec<i32> {
        self.homes.keys().copied().collect()
    }
}

/// A coordinator's state has changed: the core's sum follows.
fn count_memory(bytes: &mut usize, home: &mut Home) {
    let now = home.runtime.state().size().1;
    *bytes = *bytes - home.counted + now;
    home.counted = now;
}

impl Shard {
    fn coordinator_now(&self) -> Now {
        Now { monotonic_ms: self.now.0 / 1_000_000, wall_ms: self.io.wall() }
    }

    fn coordinator_options(&self) -> group::Options {
        let s = &self.settings.group;
        group::Options {
            session_timeout_ms_min: s.min_session_timeout_ms,
            session_timeout_ms_max: s.max_session_timeout_ms,
            initial_rebalance_delay_ms: i32::try_from(s.initial_rebalance_delay_ms)
                .unwrap_or(i32::MAX),
            group_size_max: s.max_size,
            offset_metadata_max: s.offset_metadata_max_bytes,
            offsets_retention_ms: s.offsets_retention_ms,
            offsets_retention_check_ms: u64::try_from(s.offsets_retention_check_ms)
                .unwrap_or(u64::MAX),
            ..Default::default()
        }
    }

    // ---- life -----------------------------------------------------------------------------------

    /// This core leads a partition of `__consumer_offsets` now: its log is read.
    pub(crate) fn open_coordinator(&mut self, partition: i32, slot: LogSlot) {
        self.coordinators.changed = true;
        // One that failed, and is read again.
        self.coordinators.remove(partition);
        let runtime = Runtime::new(self.coordinator_options());
        let load_from = self.store.offsets(slot).log_start;
        self.coordinators.by_slot.insert(slot, partition);
        self.coordinators.homes.insert(
            partition,
            Home {
                slot,
                runtime,
                load_from,
                since_snapshot: 0,
                counted: 0,
                snapshotting: None,
                deleted: Vec::new(),
                reload: false,
            },
        );
        self.load_coordinator(partition);
    }

    pub(crate) fn close_coordinator(&mut self, partition: i32) {
        self.coordinators.changed = true;
        let Some(mut home) = self.coordinators.remove(partition) else {
            return;
        };
        self.coordinators.by_slot.remove(&home.slot);
        home.runtime.failed(ErrorCode::NotCoordinator);
        self.release_replies(&mut home.runtime);
    }

    /// Reads on until the end of the log, or until a read has to wait for the disk.
    fn load_coordinator(&mut self, partition: i32) {
        loop {
            let Some(home) = self.coordinators.homes.get_mut(&partition) else {
                return;
            };
            let offsets = self.store.offsets(home.slot);
            if home.load_from >= offsets.log_end {
                self.activate_coordinator(partition);
                return;
            }
            match self.store.read(home.slot, home.load_from, offsets.log_end, LOAD_BYTES, true) {
                Ok(Read::Ready(batches)) if !batches.is_empty() => {
                    if !self.load_batches(partition, &batches) {
                        return;
                    }
                }
                // Recovered, and not yet said to be committed: the watermark's event comes back
                // here.
                Ok(Read::Ready(_)) => return,
                Ok(Read::Pending(token)) => {
                    self.coordinators.reads.insert(token, partition);
                    return;
                }
                Err(error) => {
                    return self.fail_coordinator(
                        partition,
                        &error.to_string(),
                        ErrorCode::KafkaStorageError,
                    );
                }
            }
        }
    }

    fn load_batches(&mut self, partition: i32, batches: &[Bytes]) -> bool {
        let wall = self.io.wall();
        let Some(home) = self.coordinators.homes.get_mut(&partition) else {
            return false;
        };
        for bytes in batches {
            if let Err(error) = home.runtime.load(bytes, wall) {
                self.fail_coordinator(partition, &error.to_string(), ErrorCode::KafkaStorageError);
                return false;
            }
            count_memory(&mut self.coordinators.bytes, home);
            home.since_snapshot += bytes.len() as u64;
            let last = record::Batches::new(bytes).last();
            if let Some(last) = last {
                home.load_from = last.next_offset();
            }
        }
        true
    }

    /// A read for a coordinator's log has ended. False when it was not for one.
    pub(crate) fn on_coordinator_read(
        &mut self,
        read: u64,
        result: &Result<Vec<Bytes>, ReadError>,
    ) -> bool {
        let Some(partition) = self.coordinators.reads.remove(&read) else {
            return false;
        };
        match result {
            Ok(batches) => {
                if self.load_batches(partition, batches) {
                    self.load_coordinator(partition);
                }
            }
            // A damaged batch is passed over: what it held is lost and reported, the rest of the
            // groups is served.
            Err(ReadError::Damaged { offset, next }) => {
                tracing::error!(
                    partition,
                    offset = offset.0,
                    next = next.0,
                    "damaged batch in __consumer_offsets; its commits are lost"
                );
                if let Some(home) = self.coordinators.homes.get_mut(&partition) {
                    home.load_from = *next;
                }
                self.load_coordinator(partition);
            }
            Err(error) => {
                let transient = matches!(error, ReadError::Storage(e) if e.is_transient());
                self.fail_coordinator(partition, &error.to_string(), ErrorCode::KafkaStorageError);
                if let Some(home) = self.coordinators.homes.get_mut(&partition) {
                    home.reload |= transient;
                }
            }
        }
        true
    }

    fn activate_coordinator(&mut self, partition: i32) {
        let now = self.coordinator_now();
        let Some(home) = self.coordinators.homes.get_mut(&partition) else {
            return;
        };
        if home.runtime.status() != Status::Loading {
            return;
        }
        let offsets = self.store.offsets(home.slot);
        let records = home.runtime.activate(offsets.log_end, offsets.high_watermark, now);
        let deleted = std::mem::take(&mut home.deleted);
        self.append_records(partition, &records);
        self.forget_offsets(partition, &deleted);
    }

    /// Topics were deleted: offsets committed for them go, in every group.
    pub(crate) fn forget_offsets_of(&mut self, topics: Vec<(String, TopicId)>) {
        if topics.is_empty() {
            return;
        }
        for partition in self.coordinators.partitions() {
            let Some(home) = self.coordinators.homes.get_mut(&partition) else {
                continue;
            };
            if home.runtime.status() == Status::Loading {
                home.deleted.extend_from_slice(&topics);
            } else {
                self.forget_offsets(partition, &topics);
            }
        }
    }

    fn forget_offsets(&mut self, partition: i32, topics: &[(String, TopicId)]) {
        let now = self.coordinator_now();
        let Some(home) = self.coordinators.homes.get_mut(&partition) else {
            return;
        };
        if home.runtime.status() == Status::Active && !topics.is_empty() {
            let topics: Vec<(&str, TopicId)> =
                topics.iter().map(|(name, id)| (name.as_str(), *id)).collect();
            let records = home.runtime.topics_deleted(&topics, now);
            self.append_records(partition, &records);
        }
    }

    fn fail_coordinator(&mut self, partition: i32, reason: &str, error: ErrorCode) {
        self.coordinators.changed = true;
        tracing::error!(partition, reason, "group coordinator has failed");
        let Some(mut home) = self.coordinators.homes.remove(&partition) else {
            return;
        };
        home.runtime.failed(error);
        count_memory(&mut self.coordinators.bytes, &mut home);
        self.release_replies(&mut home.runtime);
        self.coordinators.homes.insert(partition, home);
    }

    // ---- operations -----------------------------------------------------------------------------

    /// Hands parts of a request to the coordinators of their groups on this core; `assemble` makes
    /// the answer. Parts of groups that this core does not coordinate are refused in their own
    /// answer.
    pub(crate) fn coordinate(
        &mut self,
        request: &Request<'_>,
        parts: &[(i32, group::Request<'_>)],
        assemble: impl FnOnce(&mut Self, Pending, Vec<Response>) -> Result<Stage, wire::Error> + 'static,
    ) -> Result<Stage, wire::Error> {
        if parts.is_empty() {
            return assemble(self, request.pending, Vec::new());
        }
        let refusal = match parts.iter().any(|(_, part)| part.may_write()) {
            true => self.store.can_append_own().err(),
            false => None,
        };
        // What a coordinator decides must be appended: before it decides, there must be room.
        let deadline = self.now.after_ms(WRITE_MS);
        if matches!(refusal, Some(AppendError::Busy)) && self.defer(request, deadline) {
            return Ok(Stage::Later);
        }
        let pending = request.pending;
        let op = self.begin_op(parts.len(), move |shard, answers| {
            let done = assemble(shard, pending, answers);
            shard.finish_stage(pending, done);
        });
        let host = format!("/{}", request.host);
        let client = (request.client_id.unwrap_or(""), &*host);
        self.submit_parts(op, parts, (request.version(), client), refusal);
        Ok(Stage::Later)
    }

    /// As [`Self::coordinate`], of parts of a request that is answered some at a time: there is
    /// room for what they lead to, and `then` goes on with the answers.
    pub(crate) fn coordinate_some(
        &mut self,
        version: i16,
        parts: &[(i32, group::Request<'_>)],
        then: impl FnOnce(&mut Self, Vec<Response>) + 'static,
    ) {
        let refusal = self.store.can_append_own().err();
        let op = self.begin_op(parts.len(), then);
        self.submit_parts(op, parts, (version, ("", "")), refusal);
    }

    fn submit_parts(
        &mut self,
        op: u64,
        parts: &[(i32, group::Request<'_>)],
        (api_version, (client_id, client_host)): (i16, (&str, &str)),
        refusal: Option<AppendError>,
    ) {
        let refusal = match refusal {
            // After a fault the append fails, and with it the coordinator.
            Some(AppendError::Storage(storage::Error::Failed(_))) | None => None,
            Some(_) => Some(ErrorCode::CoordinatorNotAvailable),
        };
        let now = self.coordinator_now();
        for (at, (partition, part)) in parts.iter().enumerate() {
            let context = Context {
                api_version,
                client_id,
                client_host,
                random: u128::from(self.io.random()) << 64 | u128::from(self.io.random()),
            };
            let reply = self.begin_part(op, at);
            match self.coordinators.homes.get_mut(partition) {
                Some(_) if let Some(refusal) = refusal => {
                    let refusal = part.refuse(&context, refusal);
                    self.on_group_reply(ReplyTo(reply), refusal);
                }
                Some(home) => {
                    let others = self.coordinators.bytes - home.counted;
                    let max = self.settings.group.memory_bytes;
                    home.runtime.set_bytes_max(max.saturating_sub(others));
                    let records = home.runtime.submit(*part, &context, ReplyTo(reply), now);
                    self.append_records(*partition, &records);
                }
                None => {
                    let refusal = part.refuse(&context, ErrorCode::NotCoordinator);
                    self.on_group_reply(ReplyTo(reply), refusal);
                }
            }
        }
    }

    fn begin_op(
        &mut self,
        parts: usize,
        then: impl FnOnce(&mut Self, Vec<Response>) + 'static,
    ) -> u64 {
        let op = self.coordinators.next;
        self.coordinators.next += 1;
        let waiting = GroupOp {
            parts: (0..parts).map(|_| None).collect(),
            missing: parts,
            then: Box::new(then),
        };
        self.coordinators.ops.insert(op, waiting);
        op
    }

    fn begin_part(&mut self, op: u64, at: usize) -> u64 {
        let reply = self.coordinators.next;
        self.coordinators.next += 1;
        self.coordinators.replies.insert(reply, (op, at));
        reply
    }

    /// Goes on with `then` when all that the coordinators of these partitions have appended up to
    /// now is committed: what was read of their groups may be told then. False when one of them has
    /// failed.
    pub(crate) fn when_committed(
        &mut self,
        partitions: &BTreeSet<i32>,
        then: impl FnOnce(&mut Self, bool) + 'static,
    ) {
        if partitions.is_empty() {
            return then(self, true);
        }
        let is_fine = |answer: &Response| matches!(answer, Response::ListGroups(Ok(_)));
        let op = self.begin_op(partitions.len(), move |shard, answers| {
            let fine = answers.iter().all(is_fine);
            then(shard, fine);
        });
        for (at, &partition) in partitions.iter().enumerate() {
            let reply = ReplyTo(self.begin_part(op, at));
            match self.coordinators.homes.get_mut(&partition) {
                Some(home) => {
                    home.runtime.when_committed(reply);
                    self.append_records(partition, &[]);
                }
                None => {
                    let refused = Response::ListGroups(Err(ErrorCode::NotCoordinator));
                    self.on_group_reply(reply, refused);
                }
            }
        }
    }

    /// The partition of `__consumer_offsets` that a group lives in; `None` while the topic does not
    /// exist.
    pub(crate) fn partition_of_group(&self, group: &str) -> Option<i32> {
        let topic = self.image.topic(OFFSETS_TOPIC)?;
        Some(placement::partition_for(group, i32::try_from(topic.partitions.len()).ok()?))
    }

    /// Appends a coordinator's records and releases what may be answered.
    fn append_records(&mut self, partition: i32, records: &[Record]) {
        self.coordinators.changed = true;
        let Some(mut home) = self.coordinators.homes.remove(&partition) else {
            return;
        };
        if !records.is_empty() {
            match self.append_batches(&mut home, records) {
                Ok(end) => home.runtime.appended(end),
                Err(reason) => {
                    tracing::error!(partition, reason, "group coordinator cannot append");
                    home.reload = true;
                    home.runtime.failed(ErrorCode::KafkaStorageError);
                }
            }
        }
        count_memory(&mut self.coordinators.bytes, &mut home);
        self.stats.group_memory_refusals += home.runtime.take_refused();
        self.release_replies(&mut home.runtime);
        self.coordinators.homes.insert(partition, home);
    }

    fn append_batches(&mut self, home: &mut Home, records: &[Record]) -> Result<Offset, String> {
        let mut end = None;
        for batch in to_batches(records, BATCH_BYTES, Timestamp(self.io.wall()))
            .map_err(|e| e.to_string())?
        {
            let appended = self.store.append_own(home.slot, &batch).map_err(|e| e.to_string())?;
            home.since_snapshot += batch.len() as u64;
            end = Some(appended.end_offset);
        }
        end.ok_or_else(|| "no batch".to_owned())
    }

    fn release_replies(&mut self, runtime: &mut Runtime) {
        while let Some((to, response)) = runtime.next_reply() {
            self.on_group_reply(to, response);
        }
    }

    fn on_group_reply(&mut self, to: ReplyTo, response: Response) {
        let Some((id, at)) = self.coordinators.replies.remove(&to.0) else {
            return;
        };
        let Some(op) = self.coordinators.ops.get_mut(&id) else {
            return;
        };
        op.parts[at] = Some(response);
        op.missing -= 1;
        if op.missing > 0 {
            return;
        }
        let Some(op) = self.coordinators.ops.remove(&id) else {
            return;
        };
        (op.then)(self, op.parts.into_iter().flatten().collect());
    }

    // ---- the log --------------------------------------------------------------------------------

    /// The high watermark of a coordinator's log moved.
    pub(crate) fn on_offsets_committed(&mut self, slot: LogSlot, high_watermark: i64) {
        let Some(&partition) = self.coordinators.by_slot.get(&slot) else {
            return;
        };
        let Some(mut home) = self.coordinators.homes.remove(&partition) else {
            return;
        };
        self.coordinators.changed = true;
        if home.runtime.status() == Status::Loading {
            self.coordinators.homes.insert(partition, home);
            self.load_coordinator(partition);
            return;
        }
        home.runtime.committed(Offset(high_watermark));
        self.release_replies(&mut home.runtime);
        let done = home
            .snapshotting
            .as_ref()
            .and_then(|s| s.end.filter(|end| end.0 <= high_watermark).map(|_| s.start));
        if let Some(start) = done {
            home.snapshotting = None;
            if let Err(error) = self.store.delete_records(slot, start) {
                tracing::error!(partition, %error, "__consumer_offsets cannot be cut to its snapshot");
            }
        }
        self.coordinators.homes.insert(partition, home);
    }

    pub(crate) fn on_offsets_failed(&mut self, slot: LogSlot) {
        if let Some(&partition) = self.coordinators.by_slot.get(&slot) {
            self.fail_coordinator(partition, "its log is read-only", ErrorCode::KafkaStorageError);
        }
    }

    /// A coordinator has something to expire.
    pub(crate) fn on_coordinators_due(&mut self) {
        self.coordinators.changed = true;
        let due = self.coordinators.armed.take().map_or(0, |(due, _)| due);
        let failed = |e: &AppendError| matches!(e, AppendError::Storage(storage::Error::Failed(_)));
        if self.store.can_append_own().is_err_and(|e| !failed(&e)) {
            let at = self.now.after_ms(NO_ROOM_MS);
            self.coordinators.armed = Some((due, self.io.timer(at, token(Timer::Coordinators, 0))));
            return;
        }
        let now = self.coordinator_now();
        for partition in self.coordinators.partitions() {
            let Some(home) = self.coordinators.homes.get_mut(&partition) else {
                continue;
            };
            let records = home.runtime.tick(now);
            self.append_records(partition, &records);
        }
    }

    /// Coordinators whose append was refused read their logs again, once appends are taken.
    pub(crate) fn reload_coordinators(&mut self) {
        let again: Vec<(i32, LogSlot)> = self
            .coordinators
            .homes
            .iter()
            .filter(|(_, home)| home.reload)
            .map(|(&p, home)| (p, home.slot))
            .collect();
        for (partition, slot) in again {
            if self.store.failure(slot).is_some() || self.store.can_append_own().is_err() {
                continue;
            }
            tracing::info!(partition, "group coordinator reads its log again");
            self.coordinators.reads.retain(|_, reader| *reader != partition);
            self.open_coordinator(partition, slot);
        }
    }

    /// One timer for the earliest deadline of all coordinators; a step of a snapshot, where one is
    /// under way or due.
    pub(crate) fn arm_coordinators(&mut self) {
        if !std::mem::take(&mut self.coordinators.changed) {
            return;
        }
        let due = self.coordinators.homes.values().filter_map(|h| h.runtime.next_deadline()).min();
        match (due, self.coordinators.armed) {
            (Some(due), Some((armed, _))) if armed == due => {}
            (Some(due), armed) => {
                if let Some((_, timer)) = armed {
                    self.io.cancel_timer(timer);
                }
                let at = netio::Instant(due.saturating_mul(1_000_000)).max(self.now);
                self.coordinators.armed =
                    Some((due, self.io.timer(at, token(Timer::Coordinators, 0))));
            }
            (None, _) => {}
        }
        self.step_snapshots();
    }

    fn step_snapshots(&mut self) {
        let homes = self.coordinators.homes.len().max(1) as u64;
        let threshold = (SNAPSHOT_BYTES / homes).max(SNAPSHOT_BYTES_MIN);
        let next = self.coordinators.homes.iter().find(|(_, home)| match &home.snapshotting {
            // A snapshot that a failure cut short never ends, so nothing is cut off for it.
            Some(s) => home.runtime.status() == Status::Active && s.end.is_none(),
            None => home.runtime.status() == Status::Active && home.since_snapshot >= threshold,
        });
        let Some((&partition, _)) = next else { return };
        let Some(mut home) = self.coordinators.homes.remove(&partition) else {
            return;
        };
        let log_end = self.store.offsets(home.slot).log_end;
        let mut snapshotting = home.snapshotting.take().unwrap_or_else(|| {
            home.since_snapshot = 0;
            Snapshotting { cursor: home.runtime.snapshot(), start: log_end, end: None }
        });
        let records = home.runtime.snapshot_next(&mut snapshotting.cursor, BATCH_BYTES);
        if records.is_empty() {
            snapshotting.end = Some(log_end);
        }
        home.snapshotting = Some(snapshotting);
        self.coordinators.homes.insert(partition, home);
        self.append_records(partition, &records);
        self.io.want_turn();
    }
}
