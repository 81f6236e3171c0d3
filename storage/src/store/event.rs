//! What a store says to its owner.
use crate::{
    error::{Error, ReadError},
    ids::{LogId, LogSlot, TimeOffset},
    wal::writer::GroupSizes,
};
use bytes::Bytes;
use record::Offset;

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
    ReadDone {
        token: u64,
        result: Result<Vec<Bytes>, ReadError>,
    },
    /// Outcome of [`crate::Store::offset_for_time`]: the first batch record with timestamp >= the
    /// asked one.
    TimeFound {
        token: u64,
        result: Result<Option<TimeOffset>, Error>,
    },
    /// `Busy` appends may try again.
    Room,
    /// The log start moved (retention, DeleteRecords): durable now.
    LogStartMoved(LogSlot),
    /// A log became read-only.
    LogFailed {
        slot: LogSlot,
        reason: String,
    },
    /// The core's chain became read-only: every log of the core.
    ChainFailed {
        reason: String,
    },
    /// Clients' appends are refused for want of space since now, and why; `None`: they are taken
    /// again. Reads, deletions and the server's own appends go on meanwhile.
    Space {
        refusing: Option<String>,
    },
    /// [`crate::Store::delete`] is durable.
    Deleted(LogId),
    /// [`crate::Store::stop`] has ended: everything is flushed, trimmed and marked clean, or
    /// [`crate::Store::left`] says what is not.
    Stopped,
}

/// Gauges and totals of a store.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub wal_writes: u64,
    pub wal_bytes: u64,
    pub wal_entries: u64,
    /// Groups written, by size.
    pub wal_group_sizes: GroupSizes,
    /// Files of the write-ahead log made anew, and used again.
    pub wal_files_made: u64,
    pub wal_files_recycled: u64,
    pub unflushed_bytes: u64,
    pub flushed_bytes: u64,
    pub flushes: u64,
    pub carried_bytes: u64,
    pub checkpoints: u64,
    pub cache_bytes: u64,
    /// Memory of groups: unflushed, cached, held by slow readers, and free chunks.
    pub group_memory_bytes: u64,
    pub cache_hits: u64,
    pub cold_reads: u64,
    pub cold_bytes: u64,
    /// Cold reads that were read ahead, in whole or in part; and bytes read ahead that are held
    /// now.
    pub ahead_hits: u64,
    pub ahead_bytes: u64,
    pub damaged_batches: u64,
    /// Idempotent producers remembered, over all logs; and how many were forgotten because there
    /// were too many.
    pub producer_ids: u64,
    pub producer_ids_evicted: u64,
    pub failed: Option<String>,
    /// Of the data directory's device, as last looked at.
    pub space: Option<netio::Space>,
    pub reserve_bytes: u64,
    /// Clients' appends are refused for want of space.
    pub refusing: bool,
}
