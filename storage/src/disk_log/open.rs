//! Making, opening and closing a log.
use super::{
    Active, Closed, DiskLog, Fence, FlushedState, Inner, State,
    scan::{Bounds, DIRECT, OnDamage},
};
use crate::{
    error::Error,
    files::{
        DELETED, Disk, INDEX, LEADER_EPOCHS, LOG, PARTITION_METADATA, SEAL, SNAPSHOT, TIME_INDEX,
        damaged, name, parse_name, parse_partition_metadata, partition_metadata,
    },
    ids::LogId,
    leader_epoch::EpochHistory,
    lock::Lock,
    options::LogConfig,
    producer_state::{ProducerStates, StateError},
    segment::{facts::Facts, tail::Tail},
};
use record::Offset;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
};

/// Suffixes that belong to one segment.
pub(super) const SEGMENT_FILES: [&str; 5] = [LOG, INDEX, TIME_INDEX, "txnindex", SEAL];
/// Most bytes of a small file that is read whole.
const SMALL_FILE_MAX: usize = 256 << 20;

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments behind the known position, removed: their content comes again from the write-ahead
    /// log.
    pub segments_removed: Vec<Offset>,
    /// Bytes cut off the end of the last segment (only without a known position).
    pub bytes_cut: u64,
    /// Why they were cut.
    pub cut_because: Option<String>,
    /// The epoch history could not be read: epochs of older records are unknown.
    pub epochs_lost: Option<String>,
    /// The producers come from the directory (only without a known position); else they come from
    /// the checkpoint.
    pub producers_read: bool,
}

impl DiskLog {
    /// Makes the directory of a new log that begins at `first`. One that a crash left half made is
    /// used again if it is of the same topic and has no records.
    ///
    /// # Errors
    /// [`Error::Damaged`] if another log is in the way; those of the disk.
    pub async fn create(
        disk: &Disk,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        first: Offset,
    ) -> Result<DiskLog, Error> {
        let io = disk.io();
        io.create_dir(&dir).await?;
        match disk.read(&dir.join(PARTITION_METADATA), 4096).await? {
            Some(bytes)
                if parse_partition_metadata(&String::from_utf8_lossy(&bytes)) != Some(id.topic) =>
            {
                return Err(damaged(&dir, 0, "the directory of another topic is in the way"));
            }
            _ => {}
        }
        // Whose directory it is, it says at any moment: another core may look whether the name is
        // free.
        let mut named = false;
        for entry in io.read_dir(&dir).await? {
            if entry.name == PARTITION_METADATA {
                named = true;
            } else {
                io.remove_file(&dir.join(entry.name)).await?;
            }
        }
        if !named {
            disk.replace(&dir, PARTITION_METADATA, partition_metadata(id.topic).into_bytes())
                .await?;
        }
        let log = Self::new(
            disk,
            dir,
            id,
            config,
            Active::new(Facts::new(first, io.wall())),
            first,
            EpochHistory::new(),
            Tail::empty(),
        );
        log.begin_segment(first).await?;
        if let Some(parent) = log.inner.dir.parent().filter(|_| !disk.defers()) {
            io.sync_dir(parent).await?;
        }
        Ok(log)
    }

    /// Opens a directory. With a known position (of a checkpoint) nothing behind it is trusted:
    /// later segments go, bytes behind it will be overwritten; the cost does not depend on the size
    /// of the data. Without one (a directory that Kafka, or a clean stop, left) the last segment is
    /// read through, unless its seal fits.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the segment of the known position is not there; those of the disk.
    pub async fn open(
        disk: &Disk,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        known: Option<FlushedState>,
    ) -> Result<(DiskLog, OpenReport), Error> {
        let mut report = OpenReport::default();
        let found = Found::list(disk, &dir).await?;
        match disk.topic_of(&dir).await? {
            Some(topic) if topic != id.topic => {
                return Err(damaged(&dir, 0, format!("of topic id {topic}, not {}", id.topic)));
            }
            Some(_) => {}
            None => {
                disk.replace(&dir, PARTITION_METADATA, partition_metadata(id.topic).into_bytes())
                    .await?
            }
        }
        let path = dir.join(LEADER_EPOCHS);
        let epochs = match disk.read(&path, SMALL_FILE_MAX).await? {
            None => EpochHistory::new(),
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                if let Some(found) = EpochHistory::foreign_version(&text) {
                    return Err(Error::Version {
                        file: path.display().to_string(),
                        what: "a leader-epoch-checkpoint",
                        found,
                        known: "0",
                    });
                }
                EpochHistory::from_text(&text).unwrap_or_else(|error| {
                    report.epochs_lost = Some(error.to_string());
                    EpochHistory::new()
                })
            }
        };
        let log = match known {
            Some(known) => {
                Self::open_known(disk, dir, id, config, known, epochs, &found, &mut report).await?
            }
            None => Self::open_found(disk, dir, id, config, epochs, &found, &mut report).await?,
        };
        Ok((log, report))
    }

    #[allow(clippy::too_many_arguments)]
    async fn open_known(
        disk: &Disk,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        known: FlushedState,
        mut epochs: EpochHistory,
        found: &Found,
        report: &mut OpenReport,
    ) -> Result<DiskLog, Error> {
        let base = known.segment_base;
        let there = found.logs.contains(&base);
        if !there && known.position > 0 {
            return Err(damaged(
                &dir.join(name(base, LOG)),
                known.position,
                "the segment is missing",
            ));
        }
        for &later in found.logs.range(base.next()..) {
            report.segments_removed.push(later);
            remove_segment(disk, &dir, later).await?;
        }
        for &snapshot in found.snapshots.range(known.flushed.next()..) {
            disk.remove(&dir.join(name(snapshot, SNAPSHOT))).await?;
        }
        let epochs_stale = epochs.truncate_from_end(known.flushed);
        epochs.truncate_from_start(known.log_start);
        let fits = known.synced.base == base
            && known.synced.size <= known.position
            && known.synced.end <= known.flushed;
        let synced = if fits { known.synced } else { Facts::new(base, disk.io().wall()) };
        let active = Active {
            position: known.position,
            flushed: known.flushed,
            facts: synced,
            loaded: synced.size == known.position && synced.end == known.flushed,
            synced,
            offsets: Vec::new(),
            times: Vec::new(),
            touched: false,
        };
        let tail = Tail::of(known.position);
        let log = Self::new(disk, dir, id, config, active, known.log_start, epochs, tail);
        {
            let mut state = log.inner.state.borrow_mut();
            state.closed = found.closed_before(base);
            // Doubted until a start finds nothing missing; and where something has gone since the
            // start looked.
            state.chain_doubted = state.chain() != known.chain;
            state.epochs_stale = epochs_stale;
        }
        if !there {
            log.begin_segment(base).await?;
        }
        Ok(log)
    }

    async fn open_found(
        disk: &Disk,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        epochs: EpochHistory,
        found: &Found,
        report: &mut OpenReport,
    ) -> Result<DiskLog, Error> {
        let Some((&base, &first)) = found.logs.last().zip(found.logs.first()) else {
            let facts = Facts::new(Offset::ZERO, disk.io().wall());
            let log = Self::new(
                disk,
                dir,
                id,
                config,
                Active::new(facts),
                Offset::ZERO,
                epochs,
                Tail::empty(),
            );
            log.begin_segment(Offset::ZERO).await?;
            return Ok(log);
        };
        let now = disk.io().wall();
        let log = Self::new(
            disk,
            dir,
            id,
            config.clone(),
            Active::new(Facts::new(base, now)),
            first,
            epochs.clone(),
            Tail::of(0),
        );
        {
            let mut state = log.inner.state.borrow_mut();
            state.closed = found.closed_before(base);
            state.chain_doubted = true;
        }
        report.producers_read = true;
        let len = log.log_len(base).await?;
        let max = disk.options().producer_ids_max;

        // A clean stop left a seal and the producers at the very end: nothing to read.
        if let Some(seal) = log.read_seal(base).await?.filter(|seal| seal.facts.size == len)
            && log.indexes_are(&seal).await?
            && let Some(producers) = log.read_snapshot(seal.facts.end, max).await?
        {
            {
                let mut state = log.inner.state.borrow_mut();
                state.active = Active { touched: false, ..Active::new(seal.facts) };
                state.producers = producers;
            }
            *log.inner.writer.hold().await = Tail::of(len);
            return Ok(log);
        }

        let mut producers =
            log.read_snapshot(base, max).await?.unwrap_or_else(|| ProducerStates::new(max));
        let mut epochs = epochs;
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        let bounds =
            Bounds { size: len, end: Offset::MAX, upto: Offset::MAX, on_damage: OnDamage::Stop };
        let scanned = log
            .scan(
                Facts::new(base, now),
                bounds,
                &EpochHistory::new(),
                &config,
                |header, entries| {
                    offsets.extend(entries.offset);
                    times.extend(entries.time);
                    producers.apply(header);
                    if header.partition_leader_epoch.0 >= 0
                        && epochs
                            .latest()
                            .is_none_or(|latest| latest < header.partition_leader_epoch)
                    {
                        epochs.assign(header.partition_leader_epoch, header.base_offset);
                    }
                },
            )
            .await?;
        let facts = scanned.facts;
        report.bytes_cut = len - facts.size;
        report.cut_because = scanned.stopped;
        epochs.truncate_from_end(facts.end);
        disk.replace(&log.inner.dir, LEADER_EPOCHS, epochs.to_text().into_bytes()).await?;
        for &snapshot in found.snapshots.range(facts.end.next()..) {
            disk.remove(&log.path(snapshot, SNAPSHOT)).await?;
        }
        for suffix in [INDEX, TIME_INDEX, SEAL] {
            disk.remove(&log.path(base, suffix)).await?;
        }
        let mut tail = Tail::of(facts.size);
        let file = disk.file(log.key(base, LOG), &log.inner.dir, DIRECT).await?;
        tail.trim(&file, true).await?;
        {
            let mut state = log.inner.state.borrow_mut();
            state.active =
                Active { synced: Facts::new(base, now), offsets, times, ..Active::new(facts) };
            state.producers = producers;
            state.epochs = epochs;
        }
        log.sync_index().await?;
        *log.inner.writer.hold().await = tail;
        Ok(log)
    }

    #[allow(clippy::too_many_arguments)]
    fn new(
        disk: &Disk,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        active: Active,
        log_start: Offset,
        epochs: EpochHistory,
        tail: Tail,
    ) -> Self {
        let state = State {
            config,
            closed: BTreeMap::new(),
            chain_doubted: false,
            active,
            log_start,
            producers: ProducerStates::new(disk.options().producer_ids_max),
            epochs,
            epochs_stale: false,
            epochs_kept: false,
            fences: BTreeMap::new(),
            cursors: Vec::new(),
            generation: 0,
            failed: None,
            stopped: false,
        };
        let inner = Inner {
            disk: disk.clone(),
            key: disk.new_log(),
            dir,
            id,
            writer: Lock::new(tail),
            state: RefCell::new(state),
        };
        Self { inner: Rc::new(inner) }
    }

    pub(super) async fn read_snapshot(
        &self,
        offset: Offset,
        max: usize,
    ) -> Result<Option<ProducerStates>, Error> {
        let bytes = self.inner.disk.read(&self.path(offset, SNAPSHOT), SMALL_FILE_MAX).await?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        match ProducerStates::from_snapshot(&bytes, max) {
            Ok(producers) => Ok(Some(producers)),
            Err(StateError::Version(found)) if found > 1 => Err(Error::Version {
                file: self.path(offset, SNAPSHOT).display().to_string(),
                what: "a snapshot of producers",
                found: found.to_string(),
                known: "1",
            }),
            // One that does not read is as good as none: batches say it again.
            Err(_) => Ok(None),
        }
    }

    // ---- catching up ----------------------------------------------------------------------------
    /// Reads what lies between the index files and the position, if that has not been done.
    pub(super) async fn load(&self) -> Result<(), Error> {
        if self.inner.state.borrow().active.loaded {
            return Ok(());
        }
        let _held = self.inner.writer.hold().await;
        self.load_held().await
    }

    pub(super) async fn load_held(&self) -> Result<(), Error> {
        let (start, position, flushed, epochs, config) = {
            let state = self.inner.state.borrow();
            if state.active.loaded {
                return Ok(());
            }
            (
                state.active.synced,
                state.active.position,
                state.active.flushed,
                state.epochs.clone(),
                state.config.clone(),
            )
        };
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        let bounds =
            Bounds { size: position, end: flushed, upto: Offset::MAX, on_damage: OnDamage::Fence };
        let scanned = self
            .scan(start, bounds, &epochs, &config, |_, entries| {
                offsets.extend(entries.offset);
                times.extend(entries.time);
            })
            .await?;
        let mut facts = scanned.facts;
        for fence in scanned.fences {
            self.add_fence(fence);
        }
        if (facts.size, facts.end) != (position, flushed) {
            // Fewer records than were flushed: what is missing is damage too.
            let why = scanned
                .stopped
                .unwrap_or_else(|| format!("ends at offset {} instead of {flushed}", facts.end));
            let fence = Fence {
                from: facts.end,
                next: flushed,
                segment_base: facts.base,
                position: facts.size,
                resume: position,
                why,
            };
            if fence.from < fence.next {
                self.add_fence(fence);
            }
            facts.skip_to(position, flushed);
        }
        let active = &mut self.inner.state.borrow_mut().active;
        active.facts = facts;
        active.offsets = offsets;
        active.times = times;
        active.loaded = true;
        Ok(())
    }

    // ---- closing --------------------------------------------------------------------------------
    /// Brings all files to the form that Kafka's tools read without complaint: nothing behind the
    /// content, whole indexes, the producers' snapshot, the epochs. The log takes no more writes. A
    /// log that was not written since it was closed last costs a look at its seal.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn close(&self) -> Result<FlushedState, Error> {
        let mut tail = self.inner.writer.hold().await;
        self.inner.state.borrow().usable()?;
        let stale = self.inner.state.borrow().epochs_stale;
        if stale || !self.is_sealed().await? {
            self.load_held().await?;
            self.seal_active(&mut tail).await.map_err(|error| self.space(error))?;
            let end = self.flushed();
            self.write_snapshot(end).await.map_err(|error| self.space(error))?;
            self.write_epochs().await.map_err(|error| self.space(error))?;
            self.drop_stray_snapshots(end).await?;
        }
        tail.rest();
        let mut state = self.inner.state.borrow_mut();
        state.active.touched = false;
        state.stopped = true;
        for base in state.bases() {
            self.inner.disk.forget(self.inner.key, base);
        }
        drop(state);
        Ok(self.state())
    }

    /// The files are as a close left them.
    async fn is_sealed(&self) -> Result<bool, Error> {
        let (touched, synced, position, flushed) = {
            let state = self.inner.state.borrow();
            (state.active.touched, state.active.synced, state.active.position, state.active.flushed)
        };
        if touched || (synced.size, synced.end) != (position, flushed) {
            return Ok(false);
        }
        let Some(seal) = self.read_seal(synced.base).await? else {
            return Ok(false);
        };
        let whole = seal.facts == synced && self.log_len(synced.base).await? == position;
        // One of a stop that the power has ended may be there and empty.
        let max = self.inner.disk.options().producer_ids_max;
        Ok(whole && self.read_snapshot(flushed, max).await?.is_some())
    }

    /// Snapshots belong to the beginning of a segment or to the end of the log.
    async fn drop_stray_snapshots(&self, end: Offset) -> Result<(), Error> {
        let kept: BTreeSet<Offset> =
            self.inner.state.borrow().bases().into_iter().chain([end]).collect();
        for entry in self.inner.disk.io().read_dir(&self.inner.dir).await? {
            if let Some((offset, SNAPSHOT)) = parse_name(&entry.name)
                && !kept.contains(&offset)
            {
                self.inner.disk.remove(&self.path(offset, SNAPSHOT)).await?;
            }
        }
        Ok(())
    }
}

/// Removes the files of a segment.
pub(super) async fn remove_segment(
    disk: &Disk,
    dir: &std::path::Path,
    base: Offset,
) -> Result<(), Error> {
    for suffix in SEGMENT_FILES {
        disk.remove(&dir.join(name(base, suffix))).await?;
    }
    Ok(())
}

/// What lies in a partition's directory.
#[derive(Debug, Default)]
struct Found {
    logs: BTreeSet<Offset>,
    /// Bytes of them.
    bytes: BTreeMap<Offset, u64>,
    snapshots: BTreeSet<Offset>,
}

impl Found {
    fn closed_before(&self, active: Offset) -> BTreeMap<Offset, Closed> {
        let closed = self.bytes.range(..active);
        let closed = closed.map(|(&base, &bytes)| {
            let closed = Closed { bytes, ..Closed::default() };
            (base, closed)
        });
        closed.collect()
    }

    /// Lists it, and removes what a crash left behind: temporary files, files that waited for
    /// removal, indexes without a log.
    async fn list(disk: &Disk, dir: &std::path::Path) -> Result<Self, Error> {
        let mut found = Self::default();
        let mut others = Vec::new();
        for entry in disk.io().read_dir(dir).await? {
            if entry.is_dir {
                continue;
            }
            if entry.name.ends_with(DELETED) || entry.name.ends_with(".tmp") {
                disk.remove(&dir.join(entry.name)).await?;
                continue;
            }
            match parse_name(&entry.name) {
                Some((base, LOG)) => {
                    found.logs.insert(base);
                    found.bytes.insert(base, entry.bytes);
                }
                Some((base, SNAPSHOT)) => {
                    found.snapshots.insert(base);
                }
                Some((base, suffix)) if SEGMENT_FILES.contains(&suffix) => {
                    others.push((base, entry.name))
                }
                _ => {}
            }
        }
        for (base, name) in others {
            if !found.logs.contains(&base) {
                disk.remove(&dir.join(name)).await?;
            }
        }
        Ok(found)
    }
}
