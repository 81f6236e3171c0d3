//! One partition's log: its offsets, producers, epochs, where its batches lie in memory, and its
//! segments.
//!
//! ```text
//! log_start        flushed         durable   log_end
//! |  segments      |  unflushed: pinned in memory     |
//!         |  index: batches in the tail cache         |
//! ```
//! Plain state with small moves; what waits or touches the disk is in `store`.
use crate::{
    checkpoint::LogState,
    disk_log::{DiskLog, FlushedState},
    ids::LogId,
    leader_epoch::EpochHistory,
    options::{Durability, LogConfig},
    producer_state::ProducerStates,
    watermarks::Offsets,
};
use bytes::Bytes;
use netio::Instant;
use record::{LeaderEpoch, Offset};
use std::{cell::Cell, collections::VecDeque, rc::Rc};

/// A batch in the tail cache: which frame, where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    pub base: Offset,
    /// Last offset + 1.
    pub end: Offset,
    pub sequence: u64,
    pub at: u32,
    pub len: u32,
}

/// The log's directory.
#[derive(Debug)]
pub(crate) enum Dir {
    /// Not open; what its checkpoint says (`None`: there is no directory yet).
    Closed(Option<FlushedState>),
    /// A task opens or makes it.
    Opening(Option<FlushedState>),
    Open(DiskLog),
}

/// The one operation that changes a log's files now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    Flush,
    Trim,
    Retain,
    Truncate,
    Close,
    Remove,
}

/// What is to be done to a log's files as soon as nothing else is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    pub trim: bool,
    pub retain: bool,
    pub truncate: Option<Offset>,
    pub remove: bool,
}

impl Wanted {
    pub(crate) fn any(&self) -> bool {
        self.trim || self.retain || self.truncate.is_some() || self.remove
    }
}

/// A log of a store.
#[derive(Debug)]
pub(crate) struct Log {
    pub id: LogId,
    pub name: String,
    pub config: LogConfig,
    pub offsets: Offsets,
    /// What was acked below this was acked under a weaker class.
    pub weak_below: Offset,
    /// Written, if not durable: acks of class `written`.
    pub written: Offset,
    pub epoch: LeaderEpoch,
    pub epochs: EpochHistory,
    pub producers: ProducerStates,
    /// The producers as of the flushed end, as bytes, until the directory is open and knows them
    /// itself.
    pub producers_flushed: Vec<u8>,
    pub fenced: Vec<(Offset, Offset)>,
    /// The same, as long as their segments are not there.
    pub missing: Vec<(Offset, Offset)>,
    /// By offset; the front may be evicted from memory.
    pub index: VecDeque<Cached>,
    pub unflushed_bytes: u64,
    /// Since when something is unflushed.
    pub dirty_since: Instant,
    pub dir: Dir,
    pub busy: Option<Busy>,
    pub wanted: Wanted,
    /// Files are as Kafka wants them: nothing was written since they were closed.
    pub closed: bool,
    /// Deleted: no read, no append; the slot lives until its files are gone.
    pub deleted: bool,
    /// As `deleted`, for the task that makes its directory.
    pub gone: Rc<Cell<bool>>,
    /// The log start that is on the device; `offsets.log_start` may be ahead of it.
    pub durable_start: Offset,
    /// Read-only since.
    pub failed: Option<String>,
    /// An [`crate::Event::Advanced`] is queued.
    pub announced: bool,
    /// Of the last checkpoint, while nothing has changed.
    pub encoded: Option<Bytes>,
}

impl Log {
    pub(crate) fn new(state: LogState, config: LogConfig, producers: ProducerStates) -> Log {
        let end = state.flushed().max(state.log_start);
        Log {
            durable_start: state.log_start,
            id: state.id,
            name: state.name,
            config,
            offsets: Offsets::settled(state.log_start, end),
            weak_below: state.log_start,
            written: end,
            epoch: state.epoch,
            epochs: state.epochs,
            producers,
            producers_flushed: state.producers,
            fenced: state.fenced,
            missing: state.missing,
            index: VecDeque::new(),
            unflushed_bytes: 0,
            dirty_since: Instant::default(),
            dir: Dir::Closed(state.disk),
            busy: None,
            wanted: Wanted::default(),
            closed: state.closed,
            deleted: false,
            gone: Rc::default(),
            failed: None,
            announced: false,
            encoded: None,
        }
    }

    /// Name of its directory, as Kafka makes it.
    pub(crate) fn dir_name(&self) -> String {
        dir_name(&self.name, self.id.partition)
    }

    pub(crate) fn flushed_state(&self) -> Option<FlushedState> {
        match &self.dir {
            Dir::Closed(state) | Dir::Opening(state) => *state,
            Dir::Open(disk) => Some(disk.state()),
        }
    }

    pub(crate) fn open_disk(&self) -> Option<DiskLog> {
        match &self.dir {
            Dir::Open(disk) => Some(disk.clone()),
            Dir::Closed(_) | Dir::Opening(_) => None,
        }
    }

    // ---- offsets --------------------------------------------------------------------------------

    /// Moves the high watermark as far as the class allows; it never goes back. True if it moved.
    pub(crate) fn raise(&mut self) -> bool {
        let target = match self.config.durability {
            Durability::Device => self.offsets.durable,
            Durability::Written => self.written.max(self.offsets.durable),
            Durability::Memory => self.offsets.log_end,
        };
        if target <= self.offsets.high_watermark {
            return false;
        }
        self.offsets.high_watermark = target;
        // Without transactions every committed record is stable.
        self.offsets.last_stable = target;
        self.check();
        true
    }

    pub(crate) fn check(&self) {
        // A class made stronger promises nothing of what was acked before.
        let device = self.config.durability == Durability::Device
            && self.offsets.high_watermark > self.weak_below;
        self.offsets.check(device);
        assert!(
            self.written <= self.offsets.log_end,
            "{:?}: written {} beyond {:?}",
            self.id,
            self.written,
            self.offsets
        );
    }

    pub(crate) fn on_written(&mut self, end: Offset) {
        // A truncation may have come in between.
        self.written = self.written.max(end.min(self.offsets.log_end));
    }

    pub(crate) fn on_durable(&mut self, end: Offset) {
        self.offsets.durable = self.offsets.durable.max(end.min(self.offsets.log_end));
        self.written = self.written.max(self.offsets.durable);
    }

    // ---- the index ------------------------------------------------------------------------------

    pub(crate) fn on_appended(&mut self, cached: Cached, now: Instant) {
        assert!(
            cached.base >= self.offsets.log_end && cached.end > cached.base,
            "{:?}: batch {}..{} after {:?}",
            self.id,
            cached.base,
            cached.end,
            self.offsets
        );
        if self.unflushed_bytes == 0 {
            self.dirty_since = now;
        }
        self.unflushed_bytes += u64::from(cached.len);
        self.offsets.log_end = cached.end;
        self.index.push_back(cached);
    }

    /// Drops what is no longer in memory from the front of the index.
    pub(crate) fn prune(&mut self, first_cached: u64) {
        while let Some(front) = self.index.front()
            && front.sequence < first_cached
            && front.end <= self.offsets.flushed
        {
            self.index.pop_front();
        }
    }

    /// Position in the index of the batch holding `offset`, or the next one.
    pub(crate) fn position(&self, offset: Offset) -> usize {
        self.index.partition_point(|cached| cached.end <= offset)
    }

    /// Position of the first batch that is in no segment.
    pub(crate) fn first_unflushed(&self) -> usize {
        self.position(self.offsets.flushed)
    }

    fn fences(&self) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        self.fenced.iter().chain(&self.missing).copied()
    }

    /// The fenced range that holds `offset`, if any.
    pub(crate) fn fence_at(&self, offset: Offset) -> Option<(Offset, Offset)> {
        self.fences().find(|(from, to)| *from <= offset && offset < *to)
    }

    /// Where reading from `offset` must stop: the first fence after it.
    pub(crate) fn next_fence(&self, offset: Offset) -> Offset {
        self.fences()
            .map(|(from, _)| from)
            .filter(|from| *from > offset)
            .min()
            .unwrap_or(Offset::MAX)
    }

    /// The log's state for a checkpoint: segments and producers as they are on the device now.
    pub(crate) fn encode(&mut self) -> Bytes {
        if let Some(encoded) = &self.encoded {
            return encoded.clone();
        }
        let producers = match &self.dir {
            Dir::Closed(_) | Dir::Opening(_) => self.producers_flushed.clone(),
            Dir::Open(disk) => disk.with_producers(|producers| match producers.is_empty() {
                true => Vec::new(),
                false => producers.to_bytes(),
            }),
        };
        let state = LogState {
            id: self.id,
            name: self.name.clone(),
            log_start: self.offsets.log_start,
            disk: self.flushed_state(),
            closed: self.closed,
            epoch: self.epoch,
            epochs: self.epochs.clone(),
            producers,
            fenced: self.fenced.clone(),
            missing: Vec::new(),
        };
        let encoded = state.encode();
        self.encoded = Some(encoded.clone());
        encoded
    }
}

/// `<topic>-<partition>`
pub(crate) fn dir_name(name: &str, partition: i32) -> String {
    format!("{name}-{partition}")
}
