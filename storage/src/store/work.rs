//! Work on the logs' directories: opened at the first need, one change at a time, a few logs at
//! once.
//!
//! A start with ten thousand logs opens none of them; a log is made on disk when its first batches
//! are flushed.
use crate::{
    disk_log::DiskLog,
    error::Error,
    files::{Disk, DiskOptions, remove_dir},
    ids::{LogId, LogSlot},
    log::{Busy, Dir, Wanted, dir_name},
    producer_state::{ProducerStates, parse_producers},
    retention,
    store::{
        Event, Store,
        next_work::{Circumstances, Next, View, next_work},
        take_name::take_name,
        turn::Outcome,
    },
    watermarks::Offsets,
};
use netio::{Class, Io};
use record::Offset;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
};

/// Logs looked at for wanted changes in one turn.
pub(super) const LOOKS_MAX: usize = 32;
/// Logs whose files are changed at once, when that is urgent.
const CHANGES_MAX: usize = 4;
/// At a stop, when no ack is waited for any more.
const CHANGES_MAX_AT_STOP: usize = 32;

/// State of the work.
#[derive(Debug)]
pub(crate) struct Dirs {
    pub disk: Disk,
    /// Logs to flush, in order.
    pub(super) queue: VecDeque<LogSlot>,
    pub(super) queued: BTreeSet<LogSlot>,
    /// Logs with something in `Log::wanted`.
    pub(super) wanting: BTreeSet<LogSlot>,
    /// Where the next look at them begins.
    next_wanting: LogSlot,
    /// Some of them were not looked at, and nothing that runs would call for it.
    unlooked: bool,
    pub(super) opening: usize,
    closing: VecDeque<LogSlot>,
    pub(super) running: usize,
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
    pub(super) fn forget_flushes(&mut self) {
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
        let short = self.room.short.is_some();
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
    pub(super) fn on_full(&mut self, slot: LogSlot, error: Error) {
        self.room.full = Some(error.to_string());
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
    pub(super) fn changes_max(&self) -> usize {
        if self.is_stopping() {
            CHANGES_MAX_AT_STOP
        } else if self.unflushed_bytes > 2 * self.options.flush_bytes {
            CHANGES_MAX
        } else {
            1
        }
    }

    pub(super) fn closes_max(&self) -> usize {
        if self.is_stopping() { CHANGES_MAX_AT_STOP } else { CHANGES_MAX }
    }

    /// Starts what may start now.
    pub(crate) fn pump_dirs(&mut self) {
        if self.room.short.is_some() {
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

    /// What could not be done now is looked at again by the care timer. A stop, which must end,
    /// passes it over: then there is no clean mark, and the next start replays.
    pub(super) fn fall_short(&mut self, slot: LogSlot, error: Error) {
        if self.is_stopping() {
            self.ending.because(error.to_string());
            self.ending.passed.insert(slot);
        } else {
            self.room.short = Some(error);
            self.dirs.forget_flushes();
        }
    }

    pub(super) fn wants_again(&mut self, slot: LogSlot) {
        if self.any_log(slot).is_some_and(|log| log.wanted.any()) {
            self.dirs.wants(slot);
        }
    }

    /// Trimming, retention, truncation, removal. True when started, or nothing is left to do.
    fn start_wanted(&mut self, slot: LogSlot) -> bool {
        let circumstances = Circumstances {
            stopping: self.is_stopping(),
            passed: self.ending.passed.contains(&slot),
            crowded: self.dirs.running >= CHANGES_MAX,
        };
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        let next = next_work(View::of(log), circumstances);
        match next {
            Next::Nothing => return true,
            Next::Later => return false,
            Next::Forget => {
                log.wanted = Wanted::default();
                return true;
            }
            Next::Remove => {
                self.start_remove(slot);
                return true;
            }
            Next::Truncate(_) | Next::Trim | Next::Retain => {
                let Some(disk) = self.open_dir(slot, Class::Maintenance) else {
                    return false;
                };
                self.start_change(slot, disk, next);
            }
        }
        self.any_log(slot).is_none_or(|log| !log.wanted.any())
    }

    /// Starts what changes the files of a log that stays.
    fn start_change(&mut self, slot: LogSlot, disk: DiskLog, next: Next) {
        let now = self.io.wall();
        let Some(log) = self.logs[slot.0 as usize].as_mut() else {
            return;
        };
        // Files go only below a start that is on the device; a later one may not be yet.
        let log_start = log.durable_start;
        let Offsets { high_watermark, log_end, .. } = log.offsets;
        self.dirs.running += 1;
        log.encoded = None;
        log.busy = Some(match next {
            Next::Truncate(to) => {
                self.tasks.spawn(Class::Flush, async move {
                    let result = Box::pin(disk.truncate(to)).await;
                    Outcome::Changed { slot, what: Busy::Truncate, result: result.map(drop) }
                });
                Busy::Truncate
            }
            Next::Trim => {
                log.wanted.trim = false;
                self.tasks.spawn(Class::Maintenance, async move {
                    let result = Box::pin(disk.trim(log_start)).await;
                    Outcome::Changed { slot, what: Busy::Trim, result: result.map(drop) }
                });
                Busy::Trim
            }
            Next::Retain => {
                log.wanted.retain = false;
                let config = log.config.clone();
                self.tasks.spawn(Class::Maintenance, async move {
                    let view = Box::pin(disk.view(high_watermark, log_end)).await;
                    let result = view.map(|view| retention::plan(&view, now, &config).delete_below);
                    Outcome::Retain { slot, result }
                });
                Busy::Retain
            }
            other => unreachable!("{other:?} changes no files"),
        });
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
                self.room.short = (!stopping).then(|| error.clone());
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

    fn start_remove(&mut self, slot: LogSlot) {
        let kafka = self.options.data.join("kafka");
        let Some(log) = self.any_log(slot) else {
            return;
        };
        log.busy = Some(Busy::Remove);
        log.index.clear();
        let path = kafka.join(log.dir_name());
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
    }

    pub(crate) fn is_truncating(&self) -> bool {
        self.logs.iter().flatten().any(|log| log.wanted.truncate.is_some())
    }

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
