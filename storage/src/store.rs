//! [`Store`]: all logs of a core, behind one write-ahead log. Called by the shard, on its core only.
//!
//! Boot: [`recover::Recovery`](crate) reads the data directory once (on core 0), then every core opens its store with the logs
//! it owns. Each turn of the core: feed `netio` events ([`Store::on_written`], [`Store::on_timer`]), call operations, then
//! [`Store::settle`] once, then drain [`Store::take_event`].
use crate::{AppendError, Error, LogConfig, Offsets, Options, ReadError};
use bytes::Bytes;
use netio::Io;
use record::{LeaderEpoch, Offset, TopicId};

/// A log's identity: never the topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    pub topic: TopicId,
    pub partition: i32,
}

/// A log of this store, for fast access; valid until the log is deleted or leaves the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogSlot(pub u32);

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    /// Last offset + 1. The ack may go when `Offsets::high_watermark >= end_offset`.
    pub end_offset: Offset,
    /// LogAppendTime topics: the stamp given; else -1.
    pub log_append_time: i64,
    pub log_start: Offset,
    /// The batch had been appended before (idempotent producer): offsets are the first append's.
    pub duplicate: bool,
}

/// What a read found.
#[derive(Debug)]
pub enum Read {
    /// Whole batches, back to back, in order; empty when there is nothing below the bound.
    Ready(Vec<Bytes>),
    /// From disk: [`Event::ReadDone`] with this token follows.
    Pending(u64),
}

/// What happened to a store since the last turn.
#[derive(Debug)]
pub enum Event {
    /// The log's high watermark (and what goes with it) moved: acks and waiting fetches may go.
    Advanced(LogSlot),
    ReadDone { token: u64, result: Result<Vec<Bytes>, ReadError> },
    /// Outcome of [`Store::offset_for_time`]: the first batch record with timestamp >= the asked one.
    TimeFound { token: u64, result: Result<Option<TimeOffset>, Error> },
    /// `Busy` appends may try again.
    Room,
    /// The log start moved (retention, DeleteRecords): durable now.
    LogStartMoved(LogSlot),
    /// A log became read-only.
    LogFailed { slot: LogSlot, reason: String },
    /// The core's chain became read-only: every log of the core.
    ChainFailed { reason: String },
    /// [`Store::delete`] is durable.
    Deleted(LogId),
    /// [`Store::stop`] has ended: everything is flushed, trimmed and marked clean.
    Stopped,
}

/// An offset found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    pub offset: Offset,
    pub timestamp: i64,
    pub leader_epoch: LeaderEpoch,
}

/// All logs of a core.
#[derive(Debug)]
pub struct Store;

impl Store {
    /// Opens the store of this core with the logs that recovery found and the broker gives to this core.
    pub async fn open(_io: Io, _options: Options, _logs: Vec<RecoveredLog>) -> Result<Store, Error> {
        todo!()
    }

    // ---- logs ------------------------------------------------------------------------------------------------------------
    /// Makes a new, empty log in `kafka/<name>-<partition>`; usable at once, its creation is an entry of the WAL.
    pub fn create(&mut self, _id: LogId, _name: &str, _config: LogConfig, _epoch: LeaderEpoch) -> Result<LogSlot, Error> {
        todo!()
    }
    pub fn find(&self, _id: LogId) -> Option<LogSlot> {
        todo!()
    }
    /// Removes the log: no read or append after this; files go in the background; [`Event::Deleted`] when it cannot come back.
    pub fn delete(&mut self, _slot: LogSlot) {
        todo!()
    }
    pub fn set_config(&mut self, _slot: LogSlot, _config: LogConfig) {
        todo!()
    }
    /// Raises the leader epoch (an entry of the WAL, and of the log's epoch history at the first append in it).
    pub fn set_epoch(&mut self, _slot: LogSlot, _epoch: LeaderEpoch) {
        todo!()
    }

    // ---- append ----------------------------------------------------------------------------------------------------------
    /// Appends one validated batch: checks idempotence, gives offsets, copies it once into the open group. With
    /// `log_append_time` the batch is restamped. `origin_client` false for batches of coordinators and the controller
    /// (no idempotence check).
    pub fn append(&mut self, _slot: LogSlot, _batch: &[u8], _log_append_time: Option<i64>) -> Result<Appended, AppendError> {
        todo!()
    }
    /// Submits what the turn has gathered, when the device is idle enough. Call once a turn, after all appends.
    pub fn settle(&mut self) {
        todo!()
    }

    // ---- read ------------------------------------------------------------------------------------------------------------
    pub fn offsets(&self, _slot: LogSlot) -> Offsets {
        todo!()
    }
    pub fn epoch(&self, _slot: LogSlot) -> LeaderEpoch {
        todo!()
    }
    /// Whole batches from the one holding `from`, below `upto` (exclusive), at most `max_bytes` in all but at least one batch
    /// when `at_least_one`. From the tail cache when possible, else from disk in the background.
    pub fn read(&mut self, _slot: LogSlot, _from: Offset, _upto: Offset, _max_bytes: usize, _at_least_one: bool) -> Result<Read, ReadError> {
        todo!()
    }
    /// Drops interest in a pending read.
    pub fn forget_read(&mut self, _token: u64) {
        todo!()
    }
    /// First record with a timestamp >= `timestamp` below the high watermark: [`Event::TimeFound`] with the token returned.
    pub fn offset_for_time(&mut self, _slot: LogSlot, _timestamp: i64) -> u64 {
        todo!()
    }
    /// Offset and timestamp of the record with the largest timestamp: [`Event::TimeFound`] (ListOffsets -3).
    pub fn offset_of_max_timestamp(&mut self, _slot: LogSlot) -> u64 {
        todo!()
    }
    /// Largest epoch <= `epoch` and its end offset (OffsetForLeaderEpoch); `None` when unknown.
    pub fn end_of_epoch(&self, _slot: LogSlot, _epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        todo!()
    }
    /// Epoch of the record at `offset` (for commits and fetch answers).
    pub fn epoch_at(&self, _slot: LogSlot, _offset: Offset) -> Option<LeaderEpoch> {
        todo!()
    }
    /// Bytes of the log on disk and not yet flushed (DescribeLogDirs).
    pub fn size_bytes(&self, _slot: LogSlot) -> u64 {
        todo!()
    }
    /// Active producers (DescribeProducers): id, epoch, last sequence, last timestamp, current transaction start.
    pub fn producers(&self, _slot: LogSlot) -> Vec<ProducerView> {
        todo!()
    }

    // ---- change ----------------------------------------------------------------------------------------------------------
    /// Raises the log start (DeleteRecords, snapshots of internal logs); returns the new one. [`Event::LogStartMoved`] follows.
    pub fn delete_records(&mut self, _slot: LogSlot, _to: Offset) -> Result<Offset, ReadError> {
        todo!()
    }
    /// Cuts the log to end at `to` (followers, later).
    pub fn truncate(&mut self, _slot: LogSlot, _to: Offset) -> Result<(), Error> {
        todo!()
    }

    // ---- the turn --------------------------------------------------------------------------------------------------------
    /// A `netio::Event::Written`; false when the token is not the store's (tokens of the store have the top bit set).
    pub fn on_written(&mut self, _token: u64, _result: netio::Result<()>) -> bool {
        todo!()
    }
    /// A `netio::Event::Timer`; false when the token is not the store's.
    pub fn on_timer(&mut self, _token: u64) -> bool {
        todo!()
    }
    pub fn take_event(&mut self) -> Option<Event> {
        todo!()
    }
    /// Flushes everything, trims files, writes the clean marker; [`Event::Stopped`] at the end. No append after this.
    pub fn stop(&mut self) {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
}

/// A producer's state, as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerView {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    pub current_txn_start: Option<Offset>,
}

/// Gauges and totals of a store.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub wal_writes: u64,
    pub wal_bytes: u64,
    pub wal_entries: u64,
    pub unflushed_bytes: u64,
    pub flushed_bytes: u64,
    pub flushes: u64,
    pub cache_bytes: u64,
    pub cache_hits: u64,
    pub cold_reads: u64,
    pub cold_bytes: u64,
    /// Acknowledged in class `written` or `memory` and not on the device.
    pub acked_not_durable_bytes: u64,
    pub damaged_batches: u64,
    pub failed: Option<String>,
}

/// A log found by recovery, ready to be opened on any core.
#[derive(Debug)]
pub struct RecoveredLog {
    pub id: LogId,
    pub name: String,
    pub config: LogConfig,
}
