//! Writing: batches to the active segment, and beginning a new one.
use super::{Active, Closed, DiskLog, FlushedState, PENDING_MAX, scan::DIRECT};
use crate::{
    error::Error,
    files::{LEADER_EPOCHS, LOG, SNAPSHOT, name},
    segment::{
        facts::{Entries, Facts},
        tail::Tail,
    },
};
use bytes::Bytes;
use netio::Open;
use record::{BatchHeader, BatchView, Offset};

impl DiskLog {
    /// Writes whole batches, in offset order, on from [`Self::flushed`]; batches below it (a flush
    /// that is tried again) are passed over. When it returns, data is on the device, and so is what
    /// makes index entries of it again.
    ///
    /// # Errors
    /// [`Error::Full`]: try again with the same batches when space returns. Any other error makes
    /// the log read-only.
    ///
    /// # Panics
    /// If a batch does not follow: our memory is broken, and must not reach the disk.
    pub async fn flush(&self, batches: Vec<Bytes>) -> Result<FlushedState, Error> {
        let mut tail = self.inner.writer.hold().await;
        self.inner.state.borrow().usable()?;
        self.load_held().await?;
        let batches = self.parse(batches);
        let mut rest = &batches[..];
        while let Some(((first, _), _)) = rest.split_first() {
            let (mut facts, config) = {
                let state = self.inner.state.borrow();
                (state.active.facts, state.config.clone())
            };
            let now = self.inner.disk.io().wall();
            if facts.should_roll(first, &config, now) {
                self.roll_held(&mut tail, first.base_offset).await?;
                continue;
            }
            let mut entries = Vec::new();
            let fitting = rest.iter().position(|(header, _)| {
                let full = facts.should_roll(header, &config, now);
                if !full {
                    entries.push(facts.add(header, &config));
                }
                full
            });
            facts.modified_ms = now;
            let (run, later) = rest.split_at(fitting.unwrap_or(rest.len()));
            self.append(&mut tail, run, facts, &entries, config.segment_bytes).await?;
            rest = later;
        }
        Ok(self.state())
    }

    /// Headers of the batches, which must continue the log. Their CRC was checked when they came
    /// in, and is again by whoever reads them from the segment; once more here would cost a tenth
    /// of a byte's way through the broker, and halt its core for a millisecond.
    fn parse(&self, batches: Vec<Bytes>) -> Vec<(BatchHeader, Bytes)> {
        let flushed = self.flushed();
        let mut next = flushed;
        let mut parsed = Vec::with_capacity(batches.len());
        for bytes in batches {
            let view = BatchView::parse(&bytes).unwrap_or_else(|error| {
                panic!("{:?}: flushing a bad batch: {error}", self.inner.id)
            });
            assert_eq!(
                view.bytes().len(),
                bytes.len(),
                "{:?}: bytes behind a batch",
                self.inner.id
            );
            let header = *view.header();
            if header.next_offset() <= flushed {
                continue;
            }
            assert!(
                header.base_offset >= next,
                "{:?}: batch at {} where {next} is next",
                self.inner.id,
                header.base_offset
            );
            assert!(header.last_offset_delta >= 0, "{:?}: {header:?}", self.inner.id);
            next = header.next_offset();
            parsed.push((header, bytes));
        }
        parsed
    }

    /// Writes a run of batches that fit the active segment; `facts` are those behind it.
    async fn append(
        &self,
        tail: &mut Tail,
        run: &[(BatchHeader, Bytes)],
        facts: Facts,
        entries: &[Entries],
        segment_bytes: u64,
    ) -> Result<(), Error> {
        self.inner.state.borrow_mut().active.touched = true;
        let pending = self.inner.state.borrow().active.offsets.len();
        if pending >= PENDING_MAX {
            self.sync_index().await?;
        }
        let file = self.inner.disk.file(self.key(facts.base, LOG), &self.inner.dir, DIRECT).await?;
        let bytes = run.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let longer = tail
            .reserve(&file, bytes, segment_bytes, self.inner.disk.is_tight())
            .await
            .map_err(|error| self.fault(error))?;

        // Epochs before their batches, unless somebody else keeps them: one too many is cut off at
        // the next start, one too few would be lost.
        let kept = self.inner.state.borrow().epochs_kept;
        let epochs = {
            let (mut epochs, mut changed) = {
                let state = self.inner.state.borrow();
                (state.epochs.clone(), state.epochs_stale && !kept)
            };
            for (header, _) in run.iter().filter(|(header, _)| header.partition_leader_epoch.0 >= 0)
            {
                changed |= epochs.assign(header.partition_leader_epoch, header.base_offset);
            }
            changed.then_some(epochs)
        };
        if let Some(epochs) = epochs.as_ref().filter(|_| !kept) {
            let text = epochs.to_text().into_bytes();
            self.inner
                .disk
                .replace(&self.inner.dir, LEADER_EPOCHS, text)
                .await
                .map_err(|error| self.space(error))?;
        }

        let batches: Vec<Bytes> = run.iter().map(|(_, bytes)| bytes.clone()).collect();
        // A file that became longer is in the file system's journal, with which a sync of
        // everything makes its data durable; one that is only written over may not be.
        let synced = !longer || !self.inner.disk.defers();
        tail.write(&file, self.inner.disk.buffers(), &batches, longer, synced)
            .await
            .map_err(|error| self.fail(error))?;
        assert_eq!(tail.size(), facts.size, "{:?}: written to {}", self.inner.id, tail.size());

        let mut state = self.inner.state.borrow_mut();
        if let Some(epochs) = epochs {
            state.epochs = epochs;
            state.epochs_stale = kept;
        }
        for (header, _) in run {
            state.producers.apply(header);
        }
        let active = &mut state.active;
        active.facts = facts;
        active.position = facts.size;
        active.flushed = facts.end;
        active.offsets.extend(entries.iter().filter_map(|entries| entries.offset));
        active.times.extend(entries.iter().filter_map(|entries| entries.time));
        Ok(())
    }

    /// Ends the active segment and begins one at `base`, if there is anything in the active one
    /// (Kafka's `UnifiedLog.roll`).
    pub async fn roll(&self) -> Result<FlushedState, Error> {
        let mut tail = self.inner.writer.hold().await;
        self.inner.state.borrow().usable()?;
        self.load_held().await?;
        let facts = self.inner.state.borrow().active.facts;
        if facts.end > facts.base {
            self.roll_held(&mut tail, facts.end).await?;
        }
        Ok(self.state())
    }

    async fn roll_held(&self, tail: &mut Tail, base: Offset) -> Result<(), Error> {
        let seal = self.seal_active(tail).await.map_err(|error| self.space(error))?;
        self.write_snapshot(base).await.map_err(|error| self.space(error))?;
        if self.inner.state.borrow().epochs_stale {
            self.write_epochs().await.map_err(|error| self.space(error))?;
        }
        *tail = self.begin_segment(base).await.map_err(|error| self.space(error))?;
        let facts = Facts::new(base, self.inner.disk.io().wall());
        let mut state = self.inner.state.borrow_mut();
        state.closed.insert(
            seal.facts.base,
            Closed { bytes: seal.facts.size, seal: Some(seal), checked: true },
        );
        state.active = Active::new(facts);
        Ok(())
    }

    /// Makes an empty segment file, over one that a crash left.
    pub(super) async fn begin_segment(&self, base: Offset) -> Result<Tail, Error> {
        let io = self.inner.disk.io();
        self.inner.disk.forget(self.inner.key, base);
        let how = Open { create: true, truncate: true, ..DIRECT };
        drop(io.open(&self.path(base, LOG), how).await?);
        if !self.inner.disk.defers() {
            io.sync_dir(&self.inner.dir).await?;
        }
        Ok(Tail::empty())
    }

    /// The file of epochs, as the log knows them.
    pub(super) async fn write_epochs(&self) -> Result<(), Error> {
        let text = self.inner.state.borrow().epochs.to_text();
        self.inner.disk.replace(&self.inner.dir, LEADER_EPOCHS, text.into_bytes()).await?;
        self.inner.state.borrow_mut().epochs_stale = false;
        Ok(())
    }

    /// Kafka's producer snapshot at `offset`, which is `flushed`.
    pub(super) async fn write_snapshot(&self, offset: Offset) -> Result<(), Error> {
        let bytes = self.inner.state.borrow().producers.to_snapshot();
        self.inner.disk.replace(&self.inner.dir, &name(offset, SNAPSHOT), bytes).await
    }

    /// A full disk while a small file is made changes nothing; what else fails makes the log
    /// read-only.
    pub(super) fn space(&self, error: Error) -> Error {
        match error {
            Error::Io(error) if error.is_full() => Error::Full(error.to_string()),
            other => self.fault(other),
        }
    }
}
