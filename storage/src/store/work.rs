//! Work on the logs' directories: opened at the first need, one change at a time, a few logs at
//! once.
//!
//! A start with ten thousand logs opens none of them; a log is made on disk when its first batches
//! are flushed.
use crate::{
    disk_log::{DiskLog, FlushedState},
    error::Error,
    files::{self, Disk, DiskOptions, remove_dir},
    ids::{LogId, LogSlot},
    log::{Busy, Dir, dir_name},
    producer_state::{ProducerStates, parse_producers},
    retention,
    segment::tail::AHEAD_BYTES_MAX,
    store::{Event, Store, turn::Outcome},
    watermarks::Offsets,
};
use bytes::Bytes;
use netio::{Class, Io};
use record::Offset;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

/// Logs looked at for wanted changes in one turn.
const LOOKS_MAX: usize = 32;
/// Logs whose files are changed at once, when that is urgent.
const CHANGES_MAX: usize = 4;
/// At a stop, when no ack is waited for any more.
const CHANGES_MAX_AT_STOP: usize = 32;
/// How often, and how long each time, a new log waits for its name.
const WAITS_MAX: u32 = 1_000;
const WAIT_MS: u64 = 20;
const EEXIST: i32 = 17;
const ENOTEMPTY: i32 = 39;
/// What a flush takes beside batches.
const SMALL_FILES: u64 = 64 << 10;
/// Most bytes of one flush.
const FLUSH_BYTES: usize = 8 << 20;

/// State of the work.
#[derive(Debug)]
pub(crate) struct Dirs {
    pub disk: Disk,
    /// Logs to flush, in order.
    queue: VecDeque<LogSlot>,
    queued: BTreeSet<LogSlot>,
    /// Logs with something in `Log::wanted`.
    wanting: BTreeSet<LogSlot>,
    /// Where the next look at them begins.
    next_wanting: LogSlot,
    /// Some of them were not looked at, and nothing that runs would call for it.
    unlooked: bool,
    opening: usize,
    closing: VecDeque<LogSlot>,
    running: usize,
    /// Directories of deleted logs that may still be there, by name.
    leaving: BTreeMap<String, LogId>,
}

impl Dirs {
    pub(crate) fn new(io: &Io, open_files_max: usize, producer_ids_max: usize) -> Dirs {
        Dirs {
            disk: Disk::new(io, DiskOptions { open_files_max, producer_ids_max }),
            queue: VecDeque::new(),
            queued: BTreeSet::new(),
            wanting: BTreeSet::new(),
            next_wanting: LogSlot(0),
            unlooked: false,
            opening: 0,
            closing: VecDeque::new(),
            running: 0,
            leaving: BTreeMap::new(),
        }
    }
    pub(crate) fn flush(&mut self, slot: LogSlot) {
        if self.queued.insert(slot) {
            self.queue.push_back(slot);
        }
    }
    pub(crate) fn close(&mut self, slot: LogSlot) {
        self.closing.push_back(slot);
    }
    pub(crate) fn wants(&mut self, slot: LogSlot) {
        self.wanting.insert(slot);
    }
    pub(crate) fn leaving(&mut self, id: LogId, name: String) {
        self.leaving.insert(dir_name(&name, id.partition), id);
    }
    pub(crate) fn leaving_list(&self) -> Vec<(LogId, String)> {
        let name = |dir: &str| dir.rsplit_once('-').map_or(dir, |(name, _)| name).to_owned();
        self.leaving.iter().map(|(dir, id)| (*id, name(dir))).collect()
    }
    /// They are planned anew at the next look.
    fn forget_flushes(&mut self) {
        self.queue.clear();
        self.queued.clear();
    }
    /// Work that runs will end by itself; work that was not looked at keeps the core awake.
    pub(crate) fn is_working(&self) -> bool {
        self.running > 0 || self.opening > 0 || self.unlooked
    }
    /// Of the wanted changes only those of these logs are kept.
    pub(crate) fn keep_wanting(&mut self, keep: impl Fn(&LogSlot) -> bool) {
        self.wanting.retain(keep);
    }
    /// Forgets what was not begun. Flushes are in the chain, removals and log starts in
    /// checkpoints: the next start does it.
    pub(crate) fn drop_planned(&mut self) {
        self.queue.clear();
        self.queued.clear();
        self.wanting.clear();
        self.closing.clear();
        self.unlooked = false;
    }
    pub(crate) fn is_flushing(&self) -> bool {
        !self.queue.is_empty()
    }
    pub(crate) fn is_idle(&self) -> bool {
        self.running == 0
            && self.queue.is_empty()
            && self.wanting.is_empty()
            && self.closing.is_empty()
    }
}

impl Store {
    fn dir_path(&self, name: &str, partition: i32) -> PathBuf {
        self.options.data.join("kafka").join(dir_name(name, partition))
    }

    /// The log's files; `None` while they are being opened, or cannot be now.
    pub(crate) fn open_dir(&mut self, slot: LogSlot, class: Class) -> Option<DiskLog> {
        let short = self.turn.short.is_some();
        let log = self.any_log(slot)?;
        let known = match &log.dir {
            Dir::Open(disk) => return Some(disk.clone()),
            Dir::Opening(_) => return None,
            Dir::Closed(known) => *known,
        };
        if log.failed.is_some() || short {
            return None;
        }
        let (id, name, config) = (log.id, log.name.clone(), log.config.clone());
        // The log start may be ahead of what is not flushed yet, even inside a batch of it.
        let first = log
            .index
            .get(log.first_unflushed())
            .map_or(log.offsets.log_start, |cached| cached.base);
        let (producers, epochs) = (log.producers_flushed.clone(), log.epochs.clone());
        let gone = log.gone.clone();
        if class == Class::Maintenance && self.dirs.opening >= CHANGES_MAX {
            return None;
        }
        self.dirs.opening += 1;
        self.log_slot_dir(slot, Dir::Opening(known));
        let (disk, dir, max) = (
            self.dirs.disk.clone(),
            self.dir_path(&name, id.partition),
            self.options.producer_ids_max,
        );
        self.tasks.spawn(class, async move {
            let result = async {
                let log = match known {
                    Some(known) => DiskLog::open(&disk, dir, id, config, Some(known)).await?.0,
                    None => {
                        take_name(&disk, &dir, id, &gone).await?;
                        DiskLog::create(&disk, dir, id, config, first).await?
                    }
                };
                if !producers.is_empty() {
                    log.set_producers(parse_producers(&producers, id, max)?);
                }
                log.set_epochs(epochs);
                Ok(log)
            };
            Outcome::Opened { slot, result: Box::pin(result).await }
        });
        None
    }

    fn log_slot_dir(&mut self, slot: LogSlot, dir: Dir) {
        if let Some(log) = self.any_log(slot) {
            log.dir = dir;
        }
    }

    pub(crate) fn on_opened(&mut self, slot: LogSlot, result: Result<DiskLog, Error>) {
        self.dirs.opening -= 1;
        let Some(log) = self.any_log(slot) else {
            return;
        };
        let Dir::Opening(known) = log.dir else {
            panic!("{slot:?} was not being opened: {:?}", log.dir)
        };
        match result {
            Ok(disk) => {
                let state = disk.state();
                assert!(
                    log.index.is_empty()
                        || state.flushed <= log.offsets.flushed.max(log.offsets.log_start),
                    "{:?}: {state:?} on disk, {:?} in memory",
                    log.id,
                    log.offsets
                );
                disk.set_config(log.config.clone());
                if state.log_start < log.durable_start {
                    log.wanted.trim = true;
                    self.dirs.wants(slot);
                }
                let log = self.any_log(slot);
                if let Some(log) = log {
                    log.producers_flushed = Vec::new();
                    log.dir = Dir::Open(disk);
                }
            }
            Err(error) if error.is_full() => {
                log.dir = Dir::Closed(known);
                self.on_full(slot, error);
            }
            Err(error) if error.is_transient() => {
                self.log_slot_dir(slot, Dir::Closed(known));
                self.fall_short(slot, error);
            }
            Err(error) => {
                self.log_slot_dir(slot, Dir::Closed(known));
                self.fail_log(slot, error.to_string());
            }
        }
    }

    /// A log found no space. At a stop, others may still find some: each is tried once.
    fn on_full(&mut self, slot: LogSlot, error: Error) {
        self.turn.full = Some(error.to_string());
        if self.is_stopping() {
            self.ending.passed.insert(slot);
        } else {
            self.dirs.forget_flushes();
        }
    }

    /// The first reason is kept.
    pub(crate) fn fail_log(&mut self, slot: LogSlot, reason: String) {
        let Some(log) = self.any_log(slot) else {
            return;
        };
        if log.failed.is_none() {
            log.failed = Some(reason.clone());
            if !log.deleted {
                self.events.push_back(Event::LogFailed { slot, reason });
            }
        }
    }

    /// How many logs may be changed at once. One after the other as long as nobody waits for it:
    /// several flushes together keep the device busy for milliseconds, and every ack behind them.
    fn changes_max(&self) -> usize {
        if self.is_stopping() {
            CHANGES_MAX_AT_STOP
        } else if self.unflushed_bytes > 2 * self.options.flush_bytes {
            CHANGES_MAX
        } else {
            1
        }
    }

    fn closes_max(&self) -> usize {
        if self.is_stopping() { CHANGES_MAX_AT_STOP } else { CHANGES_MAX }
    }

    /// Starts what may start now.
    pub(crate) fn pump_dirs(&mut self) {
        if self.turn.short.is_some() {
            return;
        }
        if self.ending.leaving {
            self.dirs.drop_planned();
            return;
        }
        // A few at a time, around and around: with ten thousand logs a look at all of them is too
        // long for a turn.
        let next = self.dirs.next_wanting;
        let around = self.dirs.wanting.range(next..).chain(self.dirs.wanting.range(..next));
        let mut done = 0;
        for slot in around.copied().take(LOOKS_MAX).collect::<Vec<_>>() {
            self.dirs.next_wanting = LogSlot(slot.0 + 1);
            if self.start_wanted(slot) {
                self.dirs.wanting.remove(&slot);
                done += 1;
            }
        }
        // Where nothing could be begun, something runs whose end calls for the next look. Else
        // nobody does: an idle core would look again when a connection or a timer wakes it.
        let idle = self.dirs.running == 0 && self.dirs.opening == 0;
        self.dirs.unlooked = !self.dirs.wanting.is_empty() && (done > 0 || idle);
        if self.dirs.unlooked {
            self.io.want_turn();
        }
        self.pump_flushes();
        let max = self.closes_max();
        for _ in 0..self.dirs.closing.len() {
            if self.dirs.running + self.dirs.opening >= max {
                return;
            }
            let Some(slot) = self.dirs.closing.pop_front() else {
                break;
            };
            if !self.start_close(slot) {
                self.dirs.closing.push_back(slot);
            }
        }
    }

    /// Starts flushes in their order; one that can't start yet keeps its place, and those behind it
    /// may pass.
    fn pump_flushes(&mut self) {
        let max = self.changes_max();
        // One that waits for its name does not keep the others from theirs.
        let opening_max = max.max(2);
        let mut waiting = Vec::new();
        while self.dirs.running < max
            && self.dirs.opening < opening_max
            && waiting.len() < LOOKS_MAX
        {
            let Some(slot) = self.dirs.queue.pop_front() else {
                break;
            };
            if self.start_flush(slot) {
                self.dirs.queued.remove(&slot);
            } else {
                waiting.push(slot);
            }
        }
        for slot in waiting.into_iter().rev() {
            self.dirs.queue.push_front(slot);
        }
    }

    /// True when done or started; false to try again later.
    fn start_flush(&mut self, slot: LogSlot) -> bool {
        let through = self.wal.durable_through();
        let broken = self.wal.failed.is_some();
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        if log.deleted || log.failed.is_some() || log.unflushed_bytes == 0 {
            return true;
        }
        if self.ending.passed.contains(&slot) {
            return true;
        }
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        if log.busy.is_some() || log.wanted.truncate.is_some() {
            return false;
        }
        let first = log.first_unflushed();
        if log.index.get(first).is_some_and(|cached| cached.sequence > through) {
            // Segments never get ahead of what the chain holds durably, whatever the class. Crash
            // shown: a batch of class `written` is flushed, its frame is lost with the power, the
            // checkpoint knows an older position: what the flush wrote is cut off, and offsets that
            // were called durable are gone.
            if !broken {
                self.wal.want_durable();
            }
            return broken;
        }
        let Some(disk) = self.open_dir(slot, Class::Flush) else {
            return self.any_log(slot).is_none_or(|log| log.failed.is_some());
        };
        let (batches, bytes) = self.gather(slot, first, through);
        let ahead = match self.is_refusing() {
            true => 0,
            false => AHEAD_BYTES_MAX,
        };
        // Indexes, a snapshot and the like, if a segment ends.
        let space = bytes + ahead + SMALL_FILES;
        let stopping = self.is_stopping();
        let ledger = &mut self.turn.ledger;
        // A stop takes whatever space there is.
        if !stopping && !ledger.is_above(ledger.floor(), space) {
            let available = ledger.available().unwrap_or(0);
            self.turn.full = Some(format!("{available} bytes available, too few to flush"));
            self.dirs.forget_flushes();
            self.look_at_space();
            return true;
        }
        ledger.begin(space);
        if let Some(log) = self.any_log(slot) {
            log.busy = Some(Busy::Flush);
            log.closed = false;
            log.encoded = None;
        }
        self.dirs.running += 1;
        self.tasks.spawn(Class::Flush, async move {
            let result = Box::pin(disk.flush(batches)).await;
            Outcome::Flushed { slot, bytes, space, result }
        });
        true
    }

    /// The next batches of a log to flush, from the buffers of the write-ahead log.
    fn gather(&mut self, slot: LogSlot, first: usize, through: u64) -> (Vec<Bytes>, u64) {
        let Store { wal, logs, .. } = self;
        let Some(log) = logs[slot.0 as usize].as_ref() else {
            return (Vec::new(), 0);
        };
        let mut batches = Vec::new();
        let mut bytes = 0;
        for cached in log.index.range(first..) {
            if cached.sequence > through || (bytes > 0 && bytes + cached.len as usize > FLUSH_BYTES)
            {
                break;
            }
            let Some(batch) = wal.slice(cached.sequence, cached.at, cached.len) else {
                panic!("{:?}: unflushed batch {cached:?} is not in memory", log.id);
            };
            bytes += batch.len();
            batches.push(batch);
        }
        (batches, bytes as u64)
    }

    pub(crate) fn on_flushed(
        &mut self,
        slot: LogSlot,
        bytes: u64,
        result: Result<FlushedState, Error>,
    ) {
        self.dirs.running -= 1;
        let now = self.io.now();
        let Some(log) = self.logs.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        log.busy = None;
        log.encoded = None;
        match result {
            Ok(state) => {
                self.stats.flushes += 1;
                self.stats.flushed_bytes += bytes;
                let first = log.first_unflushed();
                for cached in
                    log.index.range(first..).take_while(|cached| cached.end <= state.flushed)
                {
                    self.wal.unpin(cached.sequence);
                    log.unflushed_bytes -= u64::from(cached.len);
                    self.unflushed_bytes -= u64::from(cached.len);
                }
                if state.flushed > log.offsets.log_end {
                    // It was truncated while this flush was under way.
                    log.wanted.truncate = Some(log.offsets.log_end);
                    self.dirs.wanting.insert(slot);
                }
                log.offsets.flushed =
                    log.offsets.flushed.max(state.flushed.min(log.offsets.log_end));
                log.dirty_since = now;
                if !log.deleted {
                    log.check();
                }
                let again = log.unflushed_bytes >= FLUSH_BYTES as u64 || self.is_stopping();
                if self.any_log(slot).is_some_and(|log| log.unflushed_bytes == 0) {
                    self.dirty.remove(&slot);
                } else if again {
                    self.dirs.flush(slot);
                }
                self.follow_producers(slot);
                self.advance(slot);
            }
            Err(error) if error.is_full() => {
                // Nothing was written; the data is safe in the write-ahead log. Flushing goes on
                // when space is back.
                self.on_full(slot, error);
            }
            Err(error) if error.is_transient() => self.fall_short(slot, error),
            Err(error) => self.fail_log(slot, error.to_string()),
        }
        self.wants_again(slot);
    }

    /// What could not be done now is looked at again by the care timer. A stop, which must end,
    /// passes it over: then there is no clean mark, and the next start replays.
    fn fall_short(&mut self, slot: LogSlot, error: Error) {
        if self.is_stopping() {
            self.ending.because(error.to_string());
            self.ending.passed.insert(slot);
        } else {
            self.turn.short = Some(error);
            self.dirs.forget_flushes();
        }
    }

    fn wants_again(&mut self, slot: LogSlot) {
        if self.any_log(slot).is_some_and(|log| log.wanted.any()) {
            self.dirs.wants(slot);
        }
    }

    /// Trimming, retention, truncation, removal. True when started, or nothing is left to do.
    fn start_wanted(&mut self, slot: LogSlot) -> bool {
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        if log.busy.is_some() || matches!(log.dir, Dir::Opening(_)) {
            return false;
        }
        if log.deleted {
            return !log.wanted.remove || self.start_remove(slot);
        }
        if self.dirs.running >= CHANGES_MAX {
            return false;
        }
        let stopping = self.is_stopping();
        if self.ending.passed.contains(&slot) {
            return true;
        }
        if let Some(log) = self.any_log(slot).filter(|_| stopping) {
            log.wanted.retain = false;
        }
        let Some(log) = self.any_log(slot).filter(|log| log.wanted.any() && log.failed.is_none())
        else {
            return true;
        };
        let (wanted, on_disk) = (log.wanted, log.flushed_state().is_some());
        if !on_disk {
            // Nothing on disk: a later first flush begins at the log start.
            log.wanted = Default::default();
            return true;
        }
        let Some(disk) = self.open_dir(slot, Class::Maintenance) else {
            return false;
        };
        let now = self.io.wall();
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        // Files go only below a start that is on the device; a later one may not be yet.
        let log_start = log.durable_start;
        let Offsets { high_watermark, log_end, .. } = log.offsets;
        let config = log.config.clone();
        let what = if let Some(to) = wanted.truncate {
            self.tasks.spawn(Class::Flush, async move {
                let result = Box::pin(disk.truncate(to)).await;
                Outcome::Changed { slot, what: Busy::Truncate, result: result.map(drop) }
            });
            Busy::Truncate
        } else if wanted.trim {
            log.wanted.trim = false;
            self.tasks.spawn(Class::Maintenance, async move {
                let trim = async {
                    // First what needs no space.
                    disk.remove_below(log_start).await?;
                    // The active segment goes as well when all of it is below the start.
                    if log_start >= disk.flushed() {
                        disk.roll().await?;
                        disk.remove_below(log_start).await?;
                    }
                    Ok(())
                };
                let result = Box::pin(trim).await;
                Outcome::Changed { slot, what: Busy::Trim, result: result.map(drop) }
            });
            Busy::Trim
        } else {
            log.wanted.retain = false;
            self.tasks.spawn(Class::Maintenance, async move {
                let view = Box::pin(disk.view(high_watermark, log_end)).await;
                let result = view.map(|view| retention::plan(&view, now, &config).delete_below);
                Outcome::Retain { slot, result }
            });
            Busy::Retain
        };
        self.dirs.running += 1;
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        log.busy = Some(what);
        log.encoded = None;
        !log.wanted.any()
    }

    pub(crate) fn on_changed(&mut self, slot: LogSlot, what: Busy, result: Result<(), Error>) {
        self.dirs.running -= 1;
        let stopping = self.is_stopping();
        let Some(log) = self.any_log(slot) else {
            return;
        };
        log.busy = None;
        log.encoded = None;
        match (what, &result) {
            (Busy::Trim, Err(error)) if error.is_transient() || error.is_full() => {
                log.wanted.trim = true;
            }
            (Busy::Remove, Err(error))
                if (error.is_transient() || error.is_full()) && !stopping =>
            {
                log.wanted.remove = true;
            }
            (Busy::Remove, _) => {
                // What could not be removed is recorded as deleted: the next recovery removes it.
                if result.is_ok() {
                    let dir = log.dir_name();
                    self.dirs.leaving.remove(&dir);
                }
                self.logs[slot.0 as usize] = None;
                self.free.push(slot.0);
                return;
            }
            (Busy::Truncate, Ok(())) => log.wanted.truncate = None,
            (Busy::Close, Ok(())) => {
                log.closed = true;
                let state = log.flushed_state();
                log.producers_flushed = match &log.dir {
                    Dir::Open(disk) => disk.with_producers(ProducerStates::to_bytes),
                    Dir::Closed(_) | Dir::Opening(_) => Vec::new(),
                };
                log.dir = Dir::Closed(state);
            }
            _ => {}
        }
        match result {
            Err(error) if error.is_full() => {
                // Not at once: it would meet the same.
                self.turn.short = (!stopping).then(|| error.clone());
                self.on_full(slot, error);
            }
            Err(error) if error.is_transient() => self.fall_short(slot, error),
            Err(error) => self.fail_log(slot, error.to_string()),
            Ok(()) => {}
        }
        self.wants_again(slot);
    }

    fn start_close(&mut self, slot: LogSlot) -> bool {
        let Some(log) = self.any_log(slot).filter(|log| !log.deleted && log.failed.is_none())
        else {
            return true;
        };
        if log.busy.is_some() {
            return false;
        }
        if self.ending.passed.contains(&slot) {
            return true;
        }
        let Some(disk) = self.open_dir(slot, Class::Flush) else {
            return false;
        };
        if let Some(log) = self.any_log(slot) {
            log.busy = Some(Busy::Close);
        }
        self.dirs.running += 1;
        self.tasks.spawn(Class::Flush, async move {
            let result = Box::pin(disk.close()).await;
            Outcome::Changed { slot, what: Busy::Close, result: result.map(drop) }
        });
        true
    }

    fn start_remove(&mut self, slot: LogSlot) -> bool {
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        log.busy = Some(Busy::Remove);
        log.index.clear();
        let path = log.dir_name();
        let path = self.options.data.join("kafka").join(path);
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        // If it cannot be removed now, it is there as a closed one.
        let known = log.flushed_state();
        let (dir, topic) = (std::mem::replace(&mut log.dir, Dir::Closed(known)), log.id.topic);
        let disk = self.dirs.disk.clone();
        self.dirs.running += 1;
        self.tasks.spawn(Class::Maintenance, async move {
            let result = match dir {
                Dir::Open(log) => Box::pin(log.remove()).await,
                // One that was being made when space or descriptors ran out is there although
                // nobody has opened it; and when this is tried again, another topic may have the
                // name.
                Dir::Closed(known) | Dir::Opening(known) => match disk.topic_of(&path).await {
                    Ok(owner) if owner.map_or_else(|| known.is_some(), |owner| owner == topic) => {
                        remove_dir(&disk, &path).await
                    }
                    other => other.map(drop),
                },
            };
            Outcome::Changed { slot, what: Busy::Remove, result }
        });
        true
    }

    pub(crate) fn is_truncating(&self) -> bool {
        self.logs.iter().flatten().any(|log| log.wanted.truncate.is_some())
    }

    // ---- retention ------------------------------------------------------------------------------

    /// Asks every log with retention for what is too old or too much, and forgets producers that
    /// have been quiet for long.
    pub(crate) fn retain(&mut self) {
        let now = self.io.wall();
        let expiration = self.options.producer_id_expiration_ms;
        for at in 0..self.logs.len() {
            let slot = LogSlot(at as u32);
            let Some(log) = self.logs[at].as_mut().filter(|log| !log.deleted) else {
                continue;
            };
            if log.config.delete
                && (log.config.retention_ms >= 0 || log.config.retention_bytes >= 0)
            {
                log.wanted.retain = true;
                self.dirs.wanting.insert(slot);
            }
            self.change_producers(slot, |producers| {
                producers.expire(now, expiration);
            });
        }
    }

    pub(crate) fn on_retain(&mut self, slot: LogSlot, result: Result<Option<Offset>, Error>) {
        self.dirs.running -= 1;
        let Some(log) = self.any_log(slot) else {
            return;
        };
        log.busy = None;
        if !log.deleted
            && let Ok(Some(to)) = result
        {
            let to = to.min(log.offsets.high_watermark);
            if to > log.offsets.log_start && self.wal.failed.is_none() && !self.is_stopping() {
                self.move_log_start(slot, to);
            }
        }
        // An error of a look at segments changes nothing: it is seen again by whoever reads or
        // flushes.
        self.wants_again(slot);
    }
}

impl crate::log::Wanted {
    pub(crate) fn any(&self) -> bool {
        self.trim || self.retain || self.truncate.is_some() || self.remove
    }
}

/// Takes the directory's name for a new log, in one step with the file that says whose it is; waits
/// while a deleted topic of the same name, perhaps of another core, is still on its way out. Crash
/// shown: the name is taken by creating the directory first, a deleted log that was just being made
/// does the same, and each removes the other's files.
async fn take_name(disk: &Disk, dir: &Path, id: LogId, gone: &Cell<bool>) -> Result<(), Error> {
    let io = disk.io();
    // Until it has its name it is one to be deleted, for us and for Kafka.
    let new = files::aside(dir, u128::from_be_bytes(id.topic.0), files::DELETE_DIR);
    let mut made = false;
    for _ in 0..WAITS_MAX {
        let owner = disk.topic_of(dir).await?;
        if owner == Some(id.topic) {
            break;
        }
        if owner.is_none() {
            if !made {
                io.create_dir(&new).await?;
                let text = files::partition_metadata(id.topic);
                disk.replace(&new, files::PARTITION_METADATA, text.into_bytes()).await?;
                made = true;
            }
            match io.rename(&new, dir).await {
                Ok(()) => {
                    if let Some(parent) = dir.parent().filter(|_| !disk.defers()) {
                        io.sync_dir(parent).await?;
                    }
                    return Ok(());
                }
                Err(error) if error.errno == EEXIST || error.errno == ENOTEMPTY => {}
                Err(error) => return Err(error.into()),
            }
        }
        if gone.get() {
            break;
        }
        io.sleep_until(io.now().after_ms(WAIT_MS)).await;
    }
    if made {
        disk.purge(new).await?;
    }
    if gone.get() {
        // The name may be that of a new log for as long as that lives.
        return Err(Error::Failed("the log was deleted".into()));
    }
    // If another one stays in the way, making the log says so.
    Ok(())
}
