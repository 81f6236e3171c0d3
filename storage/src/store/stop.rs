//! The end of a store: everything into segments, files closed as Kafka wants them, and a checkpoint
//! that says so; or what was left, and why.
//!
//! The next start voids the chain of a core whose checkpoint is marked *clean* without reading it.
//! So the mark is written only when the chain holds nothing that is needed, whatever the reason why
//! the rest could not be moved. Crash shown: the device is full, "nothing more can be flushed" is
//! taken for "everything is flushed", the mark is written: every record since the last flush is
//! gone with the next start.
//!
//! From here on files are made, flushed and closed without syncs of their own: they are sixteen for
//! a new log, and with 20,000 logs that is a minute of journal commits. One sync of the whole file
//! system stands before each checkpoint ([`crate::files::Disk::settle`]), and until then nothing
//! counts on the files: what is in them is in the chain, or in the checkpoint before. What a power
//! cut may leave:
//! 1. a directory that does not say whose it is, also beside a segment, or with nothing in the file
//!    that does: known as half made, and made anew from the chain;
//! 2. a segment without its last batches: they are in the chain;
//! 3. index entries behind those that the checkpoint before counts on, or none: made again from the
//!    batches;
//! 4. a seal, a snapshot of producers or a file of epochs that is empty or not there: each says by
//!    its checksum, or by its form, that it is none, and what they say is in the checkpoint before
//!    as well;
//! 5. zeros behind the content of a segment, or not: nobody looks behind the position.
//!
//! So the next start is that after a kill.
//!
//! A stop ends when everything is done, when nothing can go on any more, or when its owner has no
//! more time ([`Store::leave_rest`]). What is left then is replayed by the next start, as after a
//! kill.
use crate::{ids::LogSlot, log::Dir, store::Store};
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    No,
    Flushing,
    Closing,
    /// The last checkpoint is under way.
    Marking,
    Stopped,
}

/// State of the end.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    stage: Stage,
    /// Logs that found no space, or no descriptor, since the stop began: each is tried once.
    pub(crate) passed: BTreeSet<LogSlot>,
    /// The same for a checkpoint while others are flushed.
    pub(crate) no_checkpoint: bool,
    /// No file for the chain could be made since the stop began.
    pub(crate) no_file: bool,
    /// Nothing more is begun.
    pub(crate) leaving: bool,
    /// The first reason why something is left.
    why: Option<String>,
}

/// What an ended store leaves for the next start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Logs with records that are in no segment, and the bytes of those records.
    pub logs: usize,
    pub bytes: u64,
    /// Logs whose files are not closed as Kafka wants them.
    pub open: usize,
    /// Why the store is not marked clean, or its files are not closed. `None`: nothing is left.
    pub why: Option<String>,
}

impl Ending {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stage != Stage::No
    }
    pub(crate) fn is_stopped(&self) -> bool {
        self.stage == Stage::Stopped
    }
    pub(crate) fn is_marking(&self) -> bool {
        self.stage == Stage::Marking
    }
    /// The first reason is kept.
    pub(crate) fn because(&mut self, why: impl Into<String>) {
        self.why.get_or_insert_with(|| why.into());
    }
}

impl Store {
    /// Flushes everything, closes the files, writes the clean mark; [`crate::Event::Stopped`] at
    /// the end, and [`Self::left`] says what could not be done. No append after this. Space below
    /// the reserve is used: the reserve is kept for such work.
    pub fn stop(&mut self) {
        if self.ending.stage == Stage::No {
            self.ending.stage = Stage::Flushing;
            self.dirs.disk.defer_syncs();
            self.drop_looks();
            // What was short is tried once more, now.
            self.room.short = None;
        }
        self.pump();
    }

    /// There is no more time: what is under way ends, nothing more is begun.
    /// [`crate::Event::Stopped`] follows soon.
    pub fn leave_rest(&mut self, why: &str) {
        if matches!(self.ending.stage, Stage::Flushing | Stage::Closing) {
            self.leave(why.into());
        }
        self.pump();
    }

    /// What has not been done yet of a stop; once it has ended, what is left for the next start.
    pub fn left(&self) -> Left {
        let is_open =
            |log: &&crate::log::Log| !log.deleted && !log.closed && log.flushed_state().is_some();
        Left {
            logs: self.dirty.len(),
            bytes: self.unflushed_bytes,
            open: self.logs.iter().flatten().filter(is_open).count(),
            why: self.ending.why.clone(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.ending.is_stopping()
    }

    pub(crate) fn pump_stop(&mut self) {
        if self.ending.stage == Stage::Flushing {
            if !self.is_flushed() && !self.is_under_way() {
                // What has come since the turn began may let something go on.
                self.plan_flush();
                self.pump_dirs();
                self.pump_files();
                self.wal.submit(true);
            }
            if self.is_flushed() {
                self.ending.stage = Stage::Closing;
                self.close_all();
                self.pump_dirs();
            } else if !self.is_under_way() {
                let why = self.obstacle();
                self.leave(why);
            }
        }
        if self.ending.stage == Stage::Closing
            && self.dirs.is_idle()
            && !self.is_writing_checkpoint()
        {
            self.mark();
        }
        if self.ending.stage == Stage::Marking && self.wal.failed.is_some() {
            self.end();
        }
    }

    fn leave(&mut self, why: String) {
        self.ending.because(why);
        self.ending.leaving = true;
        self.ending.stage = Stage::Closing;
        self.dirs.drop_planned();
    }

    /// Everything is in segments, and the chain says nothing that a checkpoint does not.
    fn is_flushed(&self) -> bool {
        self.wal.failed.is_none()
            && self.wal.is_drained()
            && self.dirs.is_idle()
            && self.dirty.is_empty()
            && !self.is_truncating()
    }

    /// Something will end by itself, and call for another turn.
    fn is_under_way(&self) -> bool {
        self.dirs.is_working()
            || self.wal.is_writing()
            || self.wal.files.is_making()
            || self.is_writing_checkpoint()
    }

    /// Why a flush does not go on.
    fn obstacle(&self) -> String {
        if let Some(reason) = &self.wal.failed {
            return format!("the write-ahead log is read-only since: {reason}");
        }
        let failed = self.logs.iter().flatten();
        let failed = failed.filter_map(|log| Some((log.dir_name(), log.failed.as_ref()?)));
        if let Some((name, reason)) = failed.into_iter().next() {
            return format!("{name} is read-only since: {reason}");
        }
        match &self.room.full {
            Some(reason) => format!("no space: {reason}"),
            None => "nothing can go on".into(),
        }
    }

    /// The last checkpoint: of a chain that holds nothing any more, or, so that the next start has
    /// less to read, of what is left.
    fn mark(&mut self) {
        let failed = self.logs.iter().flatten().any(|log| log.failed.is_some());
        if failed || self.wal.failed.is_some() {
            let why = self.obstacle();
            self.ending.because(why);
        }
        let clean = !failed && self.is_flushed();
        let writable = self.wal.failed.is_none() && self.wal.is_drained() && !self.is_truncating();
        if !writable {
            self.end();
            return;
        }
        self.ending.stage = Stage::Marking;
        self.capture(clean);
        self.pump_checkpoint();
    }

    /// The last checkpoint was written, up to frame `through`, or could not be.
    pub(crate) fn on_marked(&mut self, through: u64, result: Result<(), netio::Error>) {
        match result {
            // Something was entered meanwhile, and a clean mark voids it.
            Ok(()) if self.wal.last_entered() > through => {
                self.ending.stage = Stage::Closing;
                self.pump_stop();
                return;
            }
            Ok(()) => {}
            Err(error) => self.ending.because(format!("checkpoint: {error}")),
        }
        self.end();
    }

    fn end(&mut self) {
        self.ending.stage = Stage::Stopped;
        let Left { logs, open, .. } = self.left();
        if logs > 0 || open > 0 {
            let why = self.obstacle();
            self.ending.because(why);
        }
        self.events.push_back(crate::Event::Stopped);
    }

    /// Looks at segments for retention are for a store that goes on.
    fn drop_looks(&mut self) {
        for log in self.logs.iter_mut().flatten() {
            log.wanted.retain = false;
        }
        let logs = &self.logs;
        let wants = |slot: &LogSlot| {
            let log = logs.get(slot.0 as usize).and_then(Option::as_ref);
            log.is_some_and(|log| log.wanted.any())
        };
        self.dirs.keep_wanting(wants);
    }

    /// Opens the closed logs that were written since their files were closed, and closes them for
    /// Kafka's tools.
    fn close_all(&mut self) {
        for at in 0..self.logs.len() {
            let slot = LogSlot(at as u32);
            if let Some(log) = self.any_log(slot)
                && !log.deleted
                && log.failed.is_none()
                && (!log.closed || matches!(log.dir, Dir::Open(_)))
                && log.flushed_state().is_some()
            {
                self.dirs.close(slot);
            }
        }
    }
}
