//! Making a log smaller: retention and DeleteRecords from the front, truncation from the end,
//! removal of all of it.
use super::{
    Active, Closed, DiskLog, FlushedState,
    open::{SEGMENT_FILES, remove_segment},
    scan::{Bounds, DIRECT, OnDamage},
};
use crate::{
    error::Error,
    files::{
        DELETE_DIR, DELETED, INDEX, LEADER_EPOCHS, LOG, SEAL, SNAPSHOT, TIME_INDEX, aside, name,
        parse_name,
    },
    producer_state::ProducerStates,
    retention::LogView,
    segment::{facts::Facts, tail::Tail},
};
use netio::Class;
use record::Offset;
use std::path::PathBuf;

impl DiskLog {
    /// Raises the log start (never lowers it): records before it are no longer read. Files stay
    /// until [`Self::remove_below`]. Returns the log start.
    pub fn set_log_start(&self, to: Offset) -> Offset {
        let mut state = self.inner.state.borrow_mut();
        if to > state.log_start {
            state.log_start = to;
            state.epochs.truncate_from_start(to);
        }
        state.log_start
    }

    /// Removes closed segments that lie wholly below `offset`, and raises the log start to it.
    /// Their files are renamed to `*.deleted`, durably, and go after `file.delete.delay.ms`, so
    /// that reads under way end well. Returns the bases removed. The caller has made the new log
    /// start durable.
    ///
    /// # Errors
    /// Those of the disk; the log is read-only then.
    pub async fn remove_below(&self, offset: Offset) -> Result<Vec<Offset>, Error> {
        let _held = self.inner.writer.hold().await;
        self.inner.state.borrow().usable()?;
        self.set_log_start(offset);
        let (bases, delay) = {
            let mut state = self.inner.state.borrow_mut();
            let mut bases = Vec::new();
            while let Some((&base, _)) = state.closed.first_key_value() {
                if state.base_after(base) > offset {
                    break;
                }
                state.closed.remove(&base);
                state.fences.retain(|_, fence| fence.segment_base != base);
                bases.push(base);
            }
            (bases, u64::try_from(state.config.file_delete_delay_ms).unwrap_or(0))
        };
        if bases.is_empty() {
            return Ok(bases);
        }
        let mut doomed = Vec::new();
        let renamed = self.doom(&bases, &mut doomed).await;
        if renamed.is_err() {
            // Some of them may still have their names: they are gone over again when this is tried
            // again.
            let closed = &mut self.inner.state.borrow_mut().closed;
            closed.extend(bases.iter().map(|base| (*base, Closed::default())));
        }
        let io = self.inner.disk.io();
        let disk = self.inner.disk.clone();
        io.spawn(Class::Maintenance, async move {
            let io = disk.io();
            io.sleep_until(io.now().after_ms(delay)).await;
            for path in doomed {
                // What cannot be removed now is removed at the next start.
                let _ = disk.remove(&path).await;
            }
        });
        renamed.map(|()| bases)
    }

    /// Renames the files of segments that are to go, durably; `doomed`: their new names.
    async fn doom(&self, bases: &[Offset], doomed: &mut Vec<PathBuf>) -> Result<(), Error> {
        for &base in bases {
            self.inner.disk.forget(self.inner.key, base);
            // The .log first: the other files of a segment without one are removed at the next
            // start.
            for suffix in SEGMENT_FILES.into_iter().chain([SNAPSHOT]) {
                let from = self.path(base, suffix);
                let to = self.inner.dir.join(format!("{}{DELETED}", name(base, suffix)));
                if self.inner.disk.rename(&from, &to).await.map_err(|error| self.fail(error))? {
                    doomed.push(to);
                }
            }
        }
        self.inner
            .disk
            .io()
            .sync_dir(&self.inner.dir)
            .await
            .map_err(|error| self.fail(error.into()))
    }

    /// What retention plans by. `high_watermark` and `log_end` are the log's, which may be ahead of
    /// what is flushed.
    ///
    /// # Errors
    /// Those of [`Self::segments`].
    pub async fn view(&self, high_watermark: Offset, log_end: Offset) -> Result<LogView, Error> {
        let segments = self.segments().await?;
        Ok(LogView {
            segments,
            log_start: self.inner.state.borrow().log_start,
            high_watermark,
            log_end,
        })
    }

    /// Removes what lies below the log start, which is raised to it: segments of which all does;
    /// also the active one, for which a new one is begun. A crash in the middle leaves some of the
    /// doomed segments, below the log start.
    ///
    /// # Errors
    /// Those of [`Self::remove_below`] and [`Self::roll`].
    pub async fn trim(&self, log_start: Offset) -> Result<Vec<Offset>, Error> {
        // First what needs no space.
        let mut gone = self.remove_below(log_start).await?;
        if log_start >= self.flushed() {
            self.roll().await?;
            gone.extend(self.remove_below(log_start).await?);
        }
        Ok(gone)
    }

    /// Cuts the log to end at `to`, or at the beginning of the batch that holds `to`. Indexes and
    /// producers of the last segment are made anew from its batches (producers of older segments
    /// come from its snapshot, if there is one).
    ///
    /// # Errors
    /// [`Error::Damaged`] if the segment cannot be read up to there; those of the disk. The log is
    /// read-only then.
    pub async fn truncate(&self, to: Offset) -> Result<FlushedState, Error> {
        let mut tail = self.inner.writer.hold().await;
        self.inner.state.borrow().usable()?;
        if to < self.flushed() {
            self.truncate_held(&mut tail, to).await.map_err(|error| self.fail(error))?;
        }
        Ok(self.state())
    }

    async fn truncate_held(&self, tail: &mut Tail, to: Offset) -> Result<(), Error> {
        let disk = &self.inner.disk;
        let now = disk.io().wall();
        let (bases, target, config, old_position, old_active) = {
            let mut state = self.inner.state.borrow_mut();
            state.generation += 1;
            state.cursors.clear();
            state.fences.retain(|_, fence| fence.next <= to);
            state.active.touched = true;
            let bases = state.bases();
            // The segment that ends the log afterwards; none if everything goes.
            let target =
                bases.iter().copied().rfind(|&base| base < to || base == to && base == bases[0]);
            (bases, target, state.config.clone(), state.active.position, state.active.base())
        };
        let target = target.unwrap_or(to);
        for &base in bases.iter().filter(|&&base| base > target || !bases.contains(&target)) {
            disk.forget(self.inner.key, base);
            remove_segment(disk, &self.inner.dir, base).await?;
        }
        for suffix in [INDEX, TIME_INDEX, SEAL] {
            disk.close_file(&self.key(target, suffix));
            disk.remove(&self.path(target, suffix)).await?;
        }
        for entry in disk.io().read_dir(&self.inner.dir).await? {
            if let Some((offset, SNAPSHOT)) = parse_name(&entry.name)
                && offset > to
            {
                disk.remove(&self.inner.dir.join(entry.name)).await?;
            }
        }
        disk.io().sync_dir(&self.inner.dir).await?;

        let mut epochs = self.inner.state.borrow().epochs.clone();
        let max = disk.options().producer_ids_max;
        let mut producers =
            self.read_snapshot(target, max).await?.unwrap_or_else(|| ProducerStates::new(max));
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        let mut facts = Facts::new(target, now);
        if bases.contains(&target) {
            let size =
                if target == old_active { old_position } else { self.log_len(target).await? };
            let bounds = Bounds { size, end: Offset::MAX, upto: to, on_damage: OnDamage::Stop };
            let scanned = self
                .scan(facts, bounds, &epochs, &config, |header, entries| {
                    offsets.extend(entries.offset);
                    times.extend(entries.time);
                    producers.apply(header);
                })
                .await?;
            facts = scanned.facts;
            *tail = Tail::of(facts.size);
            let file = disk.file(self.key(target, LOG), &self.inner.dir, DIRECT).await?;
            tail.trim(&file, true).await?;
        } else {
            *tail = self.begin_segment(target).await?;
        }
        epochs.truncate_from_end(facts.end);
        disk.replace(&self.inner.dir, LEADER_EPOCHS, epochs.to_text().into_bytes()).await?;
        {
            let mut state = self.inner.state.borrow_mut();
            state.closed.retain(|&base, _: &mut Closed| base < target);
            state.active =
                Active { synced: Facts::new(target, now), offsets, times, ..Active::new(facts) };
            state.log_start = state.log_start.min(facts.end);
            state.producers = producers;
            state.epochs = epochs;
            state.generation += 1;
        }
        self.sync_index().await
    }

    /// Removes the log: its directory is renamed to `<name>.<id>-delete`, durably, then its files
    /// go. When this returns an error after the rename, the rest goes at the next start (see
    /// [`crate::files::Disk::purge`]).
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn remove(self) -> Result<(), Error> {
        let _held = self.inner.writer.hold().await;
        let disk = &self.inner.disk;
        let bases = {
            let mut state = self.inner.state.borrow_mut();
            state.stopped = true;
            state.bases()
        };
        for base in bases {
            disk.forget(self.inner.key, base);
        }
        let io = disk.io();
        let unique = (u128::from(io.random()) << 64) | u128::from(io.random());
        let to = aside(&self.inner.dir, unique, DELETE_DIR);
        io.rename(&self.inner.dir, &to).await?;
        if let Some(parent) = to.parent() {
            io.sync_dir(parent).await?;
        }
        disk.purge(to).await
    }
}
