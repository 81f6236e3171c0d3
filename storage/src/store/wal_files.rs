//! Files of the chain: made ahead, used again, removed.
use crate::{
    store::{Store, turn::Outcome},
    wal::recycle::{self, NotMade, WalFile},
};
use netio::Class;

/// WAL files that are ready for use, once more than the first is needed.
const SPARES: usize = 2;

/// Files of the chain that hold nothing live.
#[derive(Debug, Default)]
pub(crate) struct WalFiles {
    /// They will serve again, all of the full size.
    pub done: Vec<WalFile>,
    /// They are to be removed.
    excess: Vec<WalFile>,
    removing: bool,
    /// The last attempt to make one failed for want of something.
    pub missing: bool,
}

impl Store {
    pub(crate) fn pump_files(&mut self) {
        if self.is_stopping() && !self.wal.is_starved()
            || self.wal.failed.is_some()
            || self.room.short.is_some()
        {
            return;
        }
        let first = self.stats.wal_files_made + self.stats.wal_files_recycled == 0;
        let target = match first || self.room.refusing.is_some() {
            true => 1,
            false => SPARES,
        };
        let size = self.options.wal_file_bytes;
        if self.wal.files.spares() < target && !self.wal.files.is_making() {
            let old = self.wal_files.done.pop();
            // A full device gives no new file; one that is there may serve again. The care timer
            // tries again.
            let tries = self.room.full.is_none()
                || self.wal.is_starved() && (self.looks.wanted || self.is_stopping());
            let recycled = old.is_some();
            // A stop takes whatever space there is.
            if !recycled && !self.is_stopping() && !self.may_make_file() {
                self.miss_file();
            } else if recycled || tries && !self.ending.no_file {
                if !recycled {
                    self.room.ledger.begin(size);
                }
                let task = self.wal.files.make(&self.io, old, size);
                self.tasks.spawn(Class::Maintenance, async move {
                    let result = task.await;
                    Outcome::FileMade { recycled, result }
                });
            }
        } else if !self.wal_files.excess.is_empty()
            && !self.wal_files.removing
            && !self.wal.files.is_making()
        {
            self.wal_files.removing = true;
            let files = std::mem::take(&mut self.wal_files.excess);
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
        let excess = self.wal_files.done.extract_if(.., |file| {
            let kept = file.bytes == size && room > 0;
            room -= usize::from(kept);
            !kept
        });
        self.wal_files.excess.extend(excess);
    }

    /// There is no space for another file. Without any that is ready, clients are refused before
    /// they fill what is left.
    fn miss_file(&mut self) {
        if self.wal.files.spares() > 0 {
            return;
        }
        self.wal_files.missing = true;
        if self.room.refusing.is_none() {
            let available = self.room.ledger.available().unwrap_or(0);
            self.refuse(format!(
                "{available} bytes available, too few for another file of the write-ahead log"
            ));
        }
    }

    pub(super) fn on_file_made(&mut self, recycled: bool, result: Result<WalFile, NotMade>) {
        if !recycled {
            self.room.ledger.end(self.options.wal_file_bytes);
        }
        match result {
            Ok(file) => {
                self.wal_files.missing = false;
                match recycled {
                    true => self.stats.wal_files_recycled += 1,
                    false => self.stats.wal_files_made += 1,
                }
                self.wal.files.on_made(Some(file));
            }
            Err(NotMade { error, old }) => {
                self.wal.files.on_made(None);
                self.wal_files.done.extend(old);
                self.wal_files.missing = true;
                self.ending.no_file = self.is_stopping();
                if error.is_full() {
                    self.room.full = Some(error.to_string());
                } else if error.is_transient() && !self.is_stopping() {
                    self.room.short = Some(error.into());
                } else if error.is_transient() {
                    self.ending.because(error.to_string());
                } else {
                    self.wal.fail(format!("a file for the write-ahead log: {error}"));
                }
            }
        }
    }

    pub(super) fn on_files_removed(&mut self, result: Result<(), netio::Error>) {
        self.wal_files.removing = false;
        // A file that stays is not read again: its frames are of a former generation. The next
        // recovery removes it.
        let _ = result;
    }
}
