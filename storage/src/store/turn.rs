//! What carries a store forward: outcomes of the disk become progress, progress becomes events, and
//! work is started.
//!
//! The order that recovery relies on is here: segment data and index entries synced (a flush has
//! ended) -> the checkpoint durable -> a WAL file used again.
use crate::{
    checkpoint::{self, Head},
    disk_log::{DiskLog, FlushedState},
    error::{AppendError, Error, ReadError},
    ids::{LogId, LogSlot, TimeOffset},
    log::Busy,
    options::Durability,
    store::{
        Event, Store,
        ahead::IDLE_MS,
        batch_entry,
        flush::{self, Move},
        space::{Ledger, Whose},
    },
    wal::{
        Kind,
        group::{Group, Reach},
        recycle::{self, NotMade, WalFile},
    },
};
use bytes::Bytes;
use netio::{Class, Space};
use record::{BatchHeader, Offset};
use std::collections::VecDeque;

/// Tokens of the store's timers.
const TIMER: u64 = 1 << 63;
const TIMER_LINGER: u64 = TIMER | 1;
const TIMER_CARE: u64 = TIMER | 2;
const TIMER_RETENTION: u64 = TIMER | 3;
const TIMER_AHEAD: u64 = TIMER | 4;

/// WAL files that are ready for use, once more than the first is needed.
const SPARES: usize = 2;

/// A background task's end.
#[derive(Debug)]
pub(crate) enum Outcome {
    Opened {
        slot: LogSlot,
        result: Result<DiskLog, Error>,
    },
    Flushed {
        slot: LogSlot,
        bytes: u64,
        /// Most that it took of the device.
        space: u64,
        result: Result<FlushedState, Error>,
    },
    Changed {
        slot: LogSlot,
        what: Busy,
        result: Result<(), Error>,
    },
    Retain {
        slot: LogSlot,
        result: Result<Option<Offset>, Error>,
    },
    Read {
        token: u64,
        reserved: usize,
        result: Result<(Vec<Bytes>, Offset), ReadError>,
    },
    Ahead {
        stream: u64,
        reserved: usize,
        result: Result<(Vec<Bytes>, Offset), ReadError>,
    },
    Time {
        token: u64,
        result: Result<Option<TimeOffset>, Error>,
    },
    FileMade {
        recycled: bool,
        result: Result<WalFile, NotMade>,
    },
    FilesRemoved(Result<(), netio::Error>),
    Checkpointed {
        first_live: u64,
        /// Everything entered up to this frame is in it.
        through: u64,
        result: Result<(), netio::Error>,
    },
    Space(Result<Space, netio::Error>),
}

/// An entry whose effect outside begins when it is durable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Control {
    LogStart(LogSlot, Offset),
    Truncated(LogSlot),
    Deleted(LogSlot),
}

/// A checkpoint that waits for what it says to be durable.
#[derive(Debug)]
struct Captured {
    durable: u64,
    head: Head,
    logs: Vec<Bytes>,
    deleted: Vec<(LogId, String)>,
}

/// State of the turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    controls: VecDeque<(u64, Control)>,
    reaches: Vec<Reach>,
    captured: Option<Captured>,
    writing_checkpoint: bool,
    /// WAL files that will serve again, all of the full size.
    done_files: Vec<WalFile>,
    /// WAL files that are to be removed.
    excess_files: Vec<WalFile>,
    removing_files: bool,
    /// The device was full when space was last asked for, or nearly: nothing takes any.
    pub full: Option<String>,
    /// Clients' appends are refused, so that the reserve is kept.
    pub refusing: Option<String>,
    pub ledger: Ledger,
    pub told_refusing: bool,
    pub quiet_since: Option<netio::Instant>,
    /// Something else was short for a moment ([`Error::is_transient`]): until the care timer,
    /// nothing is begun that would only fail again.
    pub short: Option<Error>,
    /// The last attempt to make a file of the write-ahead log failed for want of something.
    no_file: bool,
    pub appended_since_space: u64,
    /// Somebody was told that there is no room, and waits for [`Event::Room`].
    pub refused: bool,
    told_failure: bool,
    linger_armed: bool,
    care_armed: bool,
    /// There was memory of a burst to give back at the last look.
    trimming: bool,
    retention_armed: bool,
    ahead_armed: bool,
    /// The care timer asked for a look at all unflushed logs.
    pub look: bool,
    /// Unflushed bytes below which a look for large logs found none.
    looked_at: u64,
}

impl Turn {
    pub(crate) fn control(&mut self, sequence: u64, control: Control) {
        assert!(
            self.controls.back().is_none_or(|(last, _)| *last <= sequence),
            "entries come in order"
        );
        self.controls.push_back((sequence, control));
    }
}

impl Store {
    // ---- refusals -------------------------------------------------------------------------------

    pub(crate) fn check_chain(&self) -> Result<(), Error> {
        match &self.wal.failed {
            Some(reason) => Err(Error::Failed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Is there room for a batch of `bytes`?
    pub(crate) fn check_room(&mut self, whose: Whose, bytes: usize) -> Result<(), AppendError> {
        self.check_space(whose, bytes)?;
        // A frame lies in one file: this batch fits none that will ever be made.
        if Group::bytes_for(bytes) as u64 > self.options.wal_file_bytes {
            return Err(AppendError::TooLarge { bytes, file_bytes: self.options.wal_file_bytes });
        }
        if self.is_stopping() {
            return Err(Error::Failed("the store stops".into()).into());
        }
        if !self.has_room() {
            return Err(AppendError::Busy);
        }
        self.turn.appended_since_space += bytes as u64;
        Ok(())
    }

    /// Why [`Self::append_own`] would be refused now, for those who must know before they decide
    /// what to append.
    pub fn can_append_own(&mut self) -> Result<(), AppendError> {
        self.check_chain()?;
        self.check_room(Whose::Server, 0)
    }

    /// Whether appends are taken now; [`Event::Room`] follows when not.
    pub fn has_room(&mut self) -> bool {
        let room = self.room();
        self.turn.refused |= !room;
        room
    }

    fn room(&self) -> bool {
        // After a fault there is nothing to wait for: the append is refused.
        self.wal.failed.is_some()
            || self.wal.has_room()
                && !(self.turn.no_file && self.wal.is_starved())
                && self.wal.files.live_bytes() <= self.options.unflushed_bytes_max
                && self.unflushed_bytes <= self.options.unflushed_bytes_max
    }

    // ---- events of netio ------------------------------------------------------------------------

    /// A `netio::Event::Written`; false when the token is not the store's (tokens of the store have
    /// the top bit set).
    pub fn on_written(&mut self, token: u64, result: netio::Result<()>) -> bool {
        if !self.wal.on_written(token, result) {
            return false;
        }
        self.progress();
        true
    }

    /// A `netio::Event::Timer`; false when the token is not the store's.
    pub fn on_timer(&mut self, token: u64) -> bool {
        match token {
            TIMER_LINGER => self.turn.linger_armed = false,
            TIMER_CARE => {
                self.turn.care_armed = false;
                self.turn.look = true;
                self.care();
            }
            TIMER_RETENTION => {
                self.turn.retention_armed = false;
                self.retain();
                self.start_timers();
            }
            TIMER_AHEAD => {
                self.turn.ahead_armed = false;
                self.drop_idle_ahead();
            }
            _ => return false,
        }
        true
    }

    pub fn take_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Advanced(slot) = event
            && let Some(log) = self.any_log(slot)
        {
            log.announced = false;
        }
        Some(event)
    }

    // ---- the turn -------------------------------------------------------------------------------

    /// Everything that can go on, goes on. Cheap when there is nothing.
    pub(crate) fn pump(&mut self) {
        while let Some(outcome) = self.tasks.take() {
            self.on_outcome(outcome);
        }
        if self.turn.ledger.has_taken_much() {
            self.look_at_space();
        }
        self.dirs.disk.set_tight(self.is_refusing());
        self.pump_reads();
        self.plan_flush();
        self.pump_dirs();
        self.pump_checkpoint();
        self.pump_files();
        self.wal.submit(self.is_stopping());
        self.progress();
        self.pump_stop();
        self.wal.submit(self.is_stopping());
        self.arm_timers();
    }

    fn on_outcome(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Opened { slot, result } => self.on_opened(slot, result),
            Outcome::Flushed { slot, bytes, space, result } => {
                self.turn.ledger.end(space);
                self.on_flushed(slot, bytes, result);
            }
            Outcome::Changed { slot, what, result } => self.on_changed(slot, what, result),
            Outcome::Retain { slot, result } => self.on_retain(slot, result),
            Outcome::Read { token, reserved, result } => self.on_read(token, reserved, result),
            Outcome::Ahead { stream, reserved, result } => self.on_ahead(stream, reserved, result),
            Outcome::Time { token, result } => self.on_time(token, result),
            Outcome::FileMade { recycled, result } => self.on_file_made(recycled, result),
            Outcome::FilesRemoved(result) => {
                self.turn.removing_files = false;
                // A file that stays is not read again: its frames are of a former generation. The
                // next recovery removes it.
                let _ = result;
            }
            Outcome::Checkpointed { first_live, through, result } => {
                self.on_checkpointed(first_live, through, result)
            }
            Outcome::Space(result) => self.on_space(result),
        }
    }

    /// What the chain has written and made durable becomes offsets and events.
    pub(crate) fn progress(&mut self) {
        let mut reaches = std::mem::take(&mut self.turn.reaches);
        self.wal.take_written(&mut reaches);
        for reach in reaches.drain(..) {
            if let Some(log) = self.any_log(reach.slot) {
                log.on_written(reach.end);
                if log.config.durability != Durability::Device {
                    self.advance(reach.slot);
                }
            }
        }
        self.wal.take_durable(&mut reaches);
        for reach in reaches.drain(..) {
            if let Some(log) = self.any_log(reach.slot) {
                log.on_durable(reach.end);
                self.advance(reach.slot);
            }
        }
        self.turn.reaches = reaches;
        while let Some((sequence, control)) = self.turn.controls.front().copied()
            && sequence <= self.wal.durable_through()
        {
            self.turn.controls.pop_front();
            self.on_control(control);
        }
        self.wal.evict(self.unflushed_bytes + self.options.cache_bytes as u64);
        if self.wal.failed.is_some() && !self.turn.told_failure {
            self.turn.told_failure = true;
            let reason = self.wal.failed.clone().unwrap_or_default();
            self.events.push_back(Event::ChainFailed { reason });
        }
        if self.turn.refused && self.room() {
            self.turn.refused = false;
            self.events.push_back(Event::Room);
        }
        self.tell_space();
    }

    fn on_control(&mut self, control: Control) {
        match control {
            Control::LogStart(slot, to) => {
                let Some(log) = self.any_log(slot).filter(|log| !log.deleted) else {
                    return;
                };
                log.durable_start = log.durable_start.max(to);
                log.wanted.trim = true;
                self.dirs.wants(slot);
                self.events.push_back(Event::LogStartMoved(slot));
            }
            Control::Truncated(slot) => self.dirs.wants(slot),
            Control::Deleted(slot) => {
                let Some(log) = self.any_log(slot) else {
                    return;
                };
                log.wanted.remove = true;
                let (id, name) = (log.id, log.name.clone());
                self.dirs.leaving(id, name);
                self.dirs.wants(slot);
                self.events.push_back(Event::Deleted(id));
            }
        }
    }

    /// Raises the high watermark of a log and tells about it.
    pub(crate) fn advance(&mut self, slot: LogSlot) {
        let Some(log) = self.any_log(slot) else {
            return;
        };
        if log.raise() && !log.deleted && !log.announced {
            log.announced = true;
            self.events.push_back(Event::Advanced(slot));
        }
    }

    // ---- flush ----------------------------------------------------------------------------------

    pub(crate) fn plan_flush(&mut self) {
        if self.dirty.is_empty()
            || self.ending.leaving
            || self.dirs.is_flushing()
            || self.turn.short.is_some()
            || self.turn.full.is_some() && !self.turn.look && !self.is_stopping()
        {
            return;
        }
        let all = self.is_stopping();
        let full = self.unflushed_bytes >= self.options.flush_bytes;
        let oldest = self.wal.files.oldest_full_last();
        let tight = self.wal.files.live_bytes() >= self.options.unflushed_bytes_max / 2;
        let pending = self.wal.first_pending();
        let free_through = oldest.filter(|last| tight && pending <= *last);
        let large = full && self.unflushed_bytes >= self.turn.looked_at;
        if !(all || large || free_through.is_some() || self.turn.look) {
            return;
        }
        self.turn.look = false;
        let now = self.io.now();
        let views: Vec<flush::View> = self
            .dirty
            .iter()
            .filter(|slot| !self.ending.passed.contains(slot))
            .filter_map(|slot| self.flush_view(*slot, now))
            .collect();
        let aim = flush::Aim { full, free_through, age_ms: self.options.flush_age_ms, all };
        let moves = flush::plan(&views, aim);
        // Nothing large among them: look again when that may have changed.
        self.turn.looked_at =
            if moves.is_empty() { self.unflushed_bytes + self.options.flush_bytes / 4 } else { 0 };
        for (slot, what) in moves {
            match what {
                Move::Flush => self.dirs.flush(slot),
                Move::Carry => self.carry(slot),
            }
        }
    }

    fn flush_view(&self, slot: LogSlot, now: netio::Instant) -> Option<flush::View> {
        let log = self.logs.get(slot.0 as usize)?.as_ref()?;
        let first = log.index.get(log.first_unflushed())?;
        Some(flush::View {
            slot,
            bytes: log.unflushed_bytes,
            first: first.sequence,
            age_ms: now.since(log.dirty_since) / 1_000_000,
            failed: log.failed.is_some(),
        })
    }

    /// Logs the unflushed batches of a log once more, so that their first places can be freed.
    fn carry(&mut self, slot: LogSlot) {
        let Some(log) = self.logs.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let (id, first) = (log.id, log.first_unflushed());
        for at in first..log.index.len() {
            let cached = log.index[at];
            let Some(bytes) = self.wal.slice(cached.sequence, cached.at, cached.len) else {
                panic!("{id:?}: unflushed batch {cached:?} is not in memory");
            };
            let header = match BatchHeader::parse(&bytes) {
                Ok(header)
                    if header.base_offset == cached.base && header.next_offset() == cached.end =>
                {
                    header
                }
                other => panic!("{id:?}: {cached:?} holds {other:?}"),
            };
            let dsync = log.config.durability == Durability::Device;
            let (sequence, place) =
                self.wal.put_batch(slot, &bytes, dsync, |_| batch_entry(Kind::Carry, id, &header));
            self.wal.unpin(cached.sequence);
            log.index[at].sequence = sequence;
            log.index[at].at = place;
            self.stats.carried_bytes += bytes.len() as u64;
        }
    }

    // ---- checkpoint -----------------------------------------------------------------------------

    pub(crate) fn pump_checkpoint(&mut self) {
        if self.wal.failed.is_some() {
            self.turn.captured = None;
            return;
        }
        if !self.turn.writing_checkpoint
            && self.turn.captured.is_none()
            && self.turn.short.is_none()
            && !self.ending.no_checkpoint
        {
            let pending = self.wal.first_pending();
            let useful = self.wal.files.oldest_full_last().is_some_and(|last| last < pending);
            if useful && !self.is_truncating() {
                self.capture(false);
            }
        }
        let durable = self.wal.durable_through();
        if let Some(captured) = self.turn.captured.take_if(|captured| captured.durable <= durable) {
            self.write_checkpoint(captured);
        }
    }

    /// Takes the state of every log as it is now; segments, producers and live frames are of the
    /// same moment. The file may be written only when everything entered until now is durable.
    /// Crash shown: a batch was carried to frame 90, so frames below 90 are done with; the
    /// checkpoint says so; if it were on the device before frame 90 is, a power cut takes the
    /// batch.
    pub(crate) fn capture(&mut self, clean: bool) {
        let chain = *self.wal.chain();
        let first_live = self.wal.first_pending();
        assert!(
            !clean || first_live > self.wal.last_entered() && self.unflushed_bytes == 0,
            "a clean mark over unflushed frames: {first_live} of {}, {} bytes",
            self.wal.last_entered(),
            self.unflushed_bytes
        );
        let head = Head {
            start: chain.start,
            core: chain.core,
            run: chain.run,
            clean,
            first_live,
            first_file: self.wal.files.first_n(),
        };
        let logs = self
            .logs
            .iter_mut()
            .flatten()
            .filter(|log| !log.deleted)
            .map(crate::log::Log::encode)
            .collect();
        // Deletions whose entries are not durable yet are in the list as well: they will be when
        // the file is written.
        let mut deleted = self.dirs.leaving_list();
        for log in self.logs.iter().flatten().filter(|log| log.deleted) {
            if !deleted.iter().any(|(id, _)| *id == log.id) {
                deleted.push((log.id, log.name.clone()));
            }
        }
        let durable = self.wal.want_durable();
        self.turn.captured = Some(Captured { durable, head, logs, deleted });
    }

    fn write_checkpoint(&mut self, captured: Captured) {
        self.turn.writing_checkpoint = true;
        let (io, data, disk) = (self.io.clone(), &self.options.data, self.dirs.disk.clone());
        let (dir, kafka) = (data.join("wal"), data.join("kafka"));
        self.tasks.spawn(Class::Flush, async move {
            let Captured { durable, head, logs, deleted } = captured;
            // Before anything counts on files that were closed without a sync.
            let result = match disk.settle(&kafka).await {
                Ok(()) => {
                    let bytes = checkpoint::encode(&head, &logs, &deleted);
                    checkpoint::write(&io, &dir, head.core, bytes).await
                }
                Err(error) => Err(error),
            };
            Outcome::Checkpointed { first_live: head.first_live, through: durable, result }
        });
    }

    pub(crate) fn is_writing_checkpoint(&self) -> bool {
        self.turn.writing_checkpoint || self.turn.captured.is_some()
    }

    fn on_checkpointed(&mut self, first_live: u64, through: u64, result: Result<(), netio::Error>) {
        self.turn.writing_checkpoint = false;
        if self.ending.is_marking() {
            self.on_marked(through, result);
            return;
        }
        match result {
            Ok(()) => {
                self.stats.checkpoints += 1;
                self.turn.done_files.extend(self.wal.files.take_done(first_live));
                self.keep_files();
            }
            // Tried again after a while; the WAL keeps what it has until then.
            Err(error) if error.is_full() || error.is_transient() => {
                if error.is_full() {
                    self.turn.full = Some(error.to_string());
                }
                match self.is_stopping() {
                    true => self.ending.no_checkpoint = true,
                    false => self.turn.short = Some(error.into()),
                }
            }
            Err(error) => {
                // The old checkpoint stands, nothing is lost; but a disk that cannot do this should
                // not take acks.
                self.wal.fail(format!("checkpoint: {error}"));
                self.progress();
            }
        }
    }

    // ---- files of the chain ---------------------------------------------------------------------

    pub(crate) fn pump_files(&mut self) {
        if self.is_stopping() && !self.wal.is_starved()
            || self.wal.failed.is_some()
            || self.turn.short.is_some()
        {
            return;
        }
        let first = self.stats.wal_files_made + self.stats.wal_files_recycled == 0;
        let target = match first || self.turn.refusing.is_some() {
            true => 1,
            false => SPARES,
        };
        let size = self.options.wal_file_bytes;
        if self.wal.files.spares() < target && !self.wal.files.is_making() {
            let old = self.turn.done_files.pop();
            // A full device gives no new file; one that is there may serve again. The care timer
            // tries again.
            let tries = self.turn.full.is_none()
                || self.wal.is_starved() && (self.turn.look || self.is_stopping());
            let recycled = old.is_some();
            // A stop takes whatever space there is.
            if !recycled && !self.is_stopping() && !self.may_make_file() {
                self.miss_file();
            } else if recycled || tries && !self.ending.no_file {
                if !recycled {
                    self.turn.ledger.begin(size);
                }
                let task = self.wal.files.make(&self.io, old, size);
                self.tasks.spawn(Class::Maintenance, async move {
                    let result = task.await;
                    Outcome::FileMade { recycled, result }
                });
            }
        } else if !self.turn.excess_files.is_empty()
            && !self.turn.removing_files
            && !self.wal.files.is_making()
        {
            self.turn.removing_files = true;
            let files = std::mem::take(&mut self.turn.excess_files);
            let (io, dir, core) =
                (self.io.clone(), self.options.data.join("wal"), self.wal.chain().core);
            self.tasks.spawn(Class::Maintenance, async move {
                Outcome::FilesRemoved(recycle::remove(&io, &dir, core, files).await)
            });
        }
    }

    /// Keeps the files that are done for their next turn: to fill a new one with zeros costs the
    /// device as much as all that is logged in it, and to remove one costs more where freed blocks
    /// are discarded at once (ext4's `discard`: 10 ms for 64 MiB, and every ack behind it). More
    /// than can be live at once are never kept; while the device is full, only those that are
    /// wanted next: no new ones can be made then.
    pub(crate) fn keep_files(&mut self) {
        let size = self.options.wal_file_bytes;
        let files = &self.wal.files;
        let wanted = SPARES.saturating_sub(files.spares());
        let mut room = if self.is_refusing() {
            wanted
        } else {
            let most = self.options.unflushed_bytes_max.div_ceil(size) as usize + 1 + SPARES;
            wanted.max(most.saturating_sub(files.count()))
        };
        let excess = self.turn.done_files.extract_if(.., |file| {
            let kept = file.bytes == size && room > 0;
            room -= usize::from(kept);
            !kept
        });
        self.turn.excess_files.extend(excess);
    }

    /// There is no space for another file. Without any that is ready, clients are refused before
    /// they fill what is left.
    fn miss_file(&mut self) {
        if self.wal.files.spares() > 0 {
            return;
        }
        self.turn.no_file = true;
        if self.turn.refusing.is_none() {
            let available = self.turn.ledger.available().unwrap_or(0);
            self.refuse(format!(
                "{available} bytes available, too few for another file of the write-ahead log"
            ));
        }
    }

    fn on_file_made(&mut self, recycled: bool, result: Result<WalFile, NotMade>) {
        if !recycled {
            self.turn.ledger.end(self.options.wal_file_bytes);
        }
        match result {
            Ok(file) => {
                self.turn.no_file = false;
                match recycled {
                    true => self.stats.wal_files_recycled += 1,
                    false => self.stats.wal_files_made += 1,
                }
                self.wal.files.on_made(Some(file));
            }
            Err(NotMade { error, old }) => {
                self.wal.files.on_made(None);
                self.turn.done_files.extend(old);
                self.turn.no_file = true;
                self.ending.no_file = self.is_stopping();
                if error.is_full() {
                    self.turn.full = Some(error.to_string());
                } else if error.is_transient() && !self.is_stopping() {
                    self.turn.short = Some(error.into());
                } else if error.is_transient() {
                    self.ending.because(error.to_string());
                } else {
                    self.wal.fail(format!("a file for the write-ahead log: {error}"));
                }
            }
        }
    }

    // ---- what is looked at now and then ---------------------------------------------------------

    /// Each second while something is going on.
    fn care(&mut self) {
        self.turn.look |= self.turn.short.take().is_some();
        self.wal_sync_when_old();
        self.turn.trimming = self.wal.trim_memory();
        self.care_for_space();
    }

    /// What was acked in a weaker class becomes durable within the age of a flush, if the disk is
    /// otherwise quiet.
    fn wal_sync_when_old(&mut self) {
        if self.wal.durable_through() < self.wal.written_through() && self.wal.failed.is_none() {
            self.wal.want_durable();
        }
    }

    // ---- timers ---------------------------------------------------------------------------------

    pub(crate) fn start_timers(&mut self) {
        if !self.turn.retention_armed && !self.is_stopping() && self.options.retention_check_ms > 0
        {
            self.turn.retention_armed = true;
            self.io.timer(self.io.now().after_ms(self.options.retention_check_ms), TIMER_RETENTION);
        }
    }

    fn arm_timers(&mut self) {
        if !self.turn.linger_armed
            && let Some(at) = self.wal.linger_until()
        {
            self.turn.linger_armed = true;
            self.io.timer(at, TIMER_LINGER);
        }
        let idle = self.dirty.is_empty()
            && !self.is_refusing()
            && !self.turn.told_refusing
            && self.turn.short.is_none()
            && self.turn.appended_since_space == 0
            && !self.turn.trimming;
        if !self.turn.ahead_armed && self.reads_ahead() {
            self.turn.ahead_armed = true;
            self.io.timer(self.io.now().after_ms(IDLE_MS / 2), TIMER_AHEAD);
        }
        if !self.turn.care_armed && !idle && !self.ending.is_stopped() {
            self.turn.care_armed = true;
            let ms = (self.options.flush_age_ms / 4).clamp(20, 1_000);
            self.io.timer(self.io.now().after_ms(ms), TIMER_CARE);
        }
    }
}
