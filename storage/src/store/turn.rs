//! What carries a store forward: outcomes of the disk become progress, progress becomes events, and
//! work is started.
use crate::{
    disk_log::{DiskLog, FlushedState},
    error::{Error, ReadError},
    ids::{LogSlot, TimeOffset},
    log::Busy,
    store::{Event, Store, ahead::IDLE_MS},
    wal::recycle::{NotMade, WalFile},
};
use bytes::Bytes;
use netio::Space;
use record::Offset;

/// Tokens of the store's timers.
const TIMER: u64 = 1 << 63;
const TIMER_LINGER: u64 = TIMER | 1;
const TIMER_CARE: u64 = TIMER | 2;
const TIMER_RETENTION: u64 = TIMER | 3;
const TIMER_AHEAD: u64 = TIMER | 4;

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

/// Which timers are set.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    linger: bool,
    care: bool,
    retention: bool,
    ahead: bool,
    /// There was memory of a burst to give back at the last look.
    trimming: bool,
}

impl Store {
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
            TIMER_LINGER => self.timers.linger = false,
            TIMER_CARE => {
                self.timers.care = false;
                self.looks.wanted = true;
                self.care();
            }
            TIMER_RETENTION => {
                self.timers.retention = false;
                self.retain();
                self.start_timers();
            }
            TIMER_AHEAD => {
                self.timers.ahead = false;
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

    /// Everything that can go on, goes on. Cheap when there is nothing.
    pub(crate) fn pump(&mut self) {
        while let Some(outcome) = self.tasks.take() {
            self.on_outcome(outcome);
        }
        if self.room.ledger.has_taken_much() {
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
                self.room.ledger.end(space);
                self.on_flushed(slot, bytes, result);
            }
            Outcome::Changed { slot, what, result } => self.on_changed(slot, what, result),
            Outcome::Retain { slot, result } => self.on_retain(slot, result),
            Outcome::Read { token, reserved, result } => self.on_read(token, reserved, result),
            Outcome::Ahead { stream, reserved, result } => self.on_ahead(stream, reserved, result),
            Outcome::Time { token, result } => self.on_time(token, result),
            Outcome::FileMade { recycled, result } => self.on_file_made(recycled, result),
            Outcome::FilesRemoved(result) => self.on_files_removed(result),
            Outcome::Checkpointed { first_live, through, result } => {
                self.on_checkpointed(first_live, through, result)
            }
            Outcome::Space(result) => self.on_space(result),
        }
    }

    /// Each second while something is going on.
    fn care(&mut self) {
        self.looks.wanted |= self.room.short.take().is_some();
        self.wal_sync_when_old();
        self.timers.trimming = self.wal.trim_memory();
        self.care_for_space();
    }

    /// What was acked in a weaker class becomes durable within the age of a flush, if the disk is
    /// otherwise quiet.
    fn wal_sync_when_old(&mut self) {
        if self.wal.durable_through() < self.wal.written_through() && self.wal.failed.is_none() {
            self.wal.want_durable();
        }
    }

    pub(crate) fn start_timers(&mut self) {
        if !self.timers.retention && !self.is_stopping() && self.options.retention_check_ms > 0 {
            self.timers.retention = true;
            self.io.timer(self.io.now().after_ms(self.options.retention_check_ms), TIMER_RETENTION);
        }
    }

    fn arm_timers(&mut self) {
        if !self.timers.linger
            && let Some(at) = self.wal.linger_until()
        {
            self.timers.linger = true;
            self.io.timer(at, TIMER_LINGER);
        }
        let idle = self.dirty.is_empty()
            && !self.is_refusing()
            && !self.room.told_refusing
            && self.room.short.is_none()
            && self.room.appended_since_space == 0
            && !self.timers.trimming;
        if !self.timers.ahead && self.reads_ahead() {
            self.timers.ahead = true;
            self.io.timer(self.io.now().after_ms(IDLE_MS / 2), TIMER_AHEAD);
        }
        if !self.timers.care && !idle && !self.ending.is_stopped() {
            self.timers.care = true;
            let ms = (self.options.flush_age_ms / 4).clamp(20, 1_000);
            self.io.timer(self.io.now().after_ms(ms), TIMER_CARE);
        }
    }
}
