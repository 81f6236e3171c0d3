//! When a checkpoint is made, what stands in it, and what follows.
//!
//! The order that recovery relies on is here: segment data and index entries synced (a flush has
//! ended) -> the checkpoint durable -> a WAL file used again.
use crate::{
    checkpoint::{self, Head},
    ids::LogId,
    store::{Store, turn::Outcome},
};
use bytes::Bytes;
use netio::Class;

/// A checkpoint that waits for what it says to be durable.
#[derive(Debug)]
struct Captured {
    durable: u64,
    head: Head,
    logs: Vec<Bytes>,
    deleted: Vec<(LogId, String)>,
}

/// The checkpoint under way.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    captured: Option<Captured>,
    writing: bool,
}

impl Store {
    pub(crate) fn pump_checkpoint(&mut self) {
        if self.wal.failed.is_some() {
            self.checkpoints.captured = None;
            return;
        }
        if !self.checkpoints.writing
            && self.checkpoints.captured.is_none()
            && self.room.short.is_none()
            && !self.ending.no_checkpoint
        {
            let pending = self.wal.first_pending();
            let useful = self.wal.files.oldest_full_last().is_some_and(|last| last < pending);
            if useful && !self.is_truncating() {
                self.capture(false);
            }
        }
        let durable = self.wal.durable_through();
        if let Some(captured) =
            self.checkpoints.captured.take_if(|captured| captured.durable <= durable)
        {
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
        self.checkpoints.captured = Some(Captured { durable, head, logs, deleted });
    }

    fn write_checkpoint(&mut self, captured: Captured) {
        self.checkpoints.writing = true;
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
        self.checkpoints.writing || self.checkpoints.captured.is_some()
    }

    pub(super) fn on_checkpointed(
        &mut self,
        first_live: u64,
        through: u64,
        result: Result<(), netio::Error>,
    ) {
        self.checkpoints.writing = false;
        if self.ending.is_marking() {
            self.on_marked(through, result);
            return;
        }
        match result {
            Ok(()) => {
                self.stats.checkpoints += 1;
                self.wal_files.done.extend(self.wal.files.take_done(first_live));
                self.keep_files();
            }
            // Tried again after a while; the WAL keeps what it has until then.
            Err(error) if error.is_full() || error.is_transient() => {
                if error.is_full() {
                    self.room.full = Some(error.to_string());
                }
                match self.is_stopping() {
                    true => self.ending.no_checkpoint = true,
                    false => self.room.short = Some(error.into()),
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
}
