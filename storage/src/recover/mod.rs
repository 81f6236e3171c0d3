//! What a start does with the data directory, once, on one core, before anything is served.
//!
//! Two phases, because which logs exist stands in `__cluster_metadata`, which is a log itself:
//! 1. [`Recovery::scan`] reads checkpoints and chains, also those of cores that no longer exist;
//!    [`Recovery::replay`] brings single logs into their segments, which [`Recovery::read`] then
//!    reads.
//! 2. [`Recovery::finish`] does the same for all other logs that the broker knows, removes what was
//!    deleted, sets aside what nobody knows, writes a durable checkpoint of a new *start* and
//!    retires the old write-ahead log.
//!
//! Its time depends on the unflushed write-ahead log only. A crash inside it repeats it: segments
//! are written from the recorded position again, and only the new checkpoint ends the old start.
//! What it leaves is all in segments, so a log may be opened on any core afterwards.
mod chain;
mod clean;
mod directories;
pub(crate) mod replay;
pub(crate) mod scan;

use crate::{
    checkpoint::{self, Checkpoint, Head, LogState, RECOVERED},
    disk_log::DiskLog,
    error::{Error, ReadError},
    files::{self, DELETE_DIR, Disk, DiskOptions, LOG, STRAY_DIR},
    ids::LogId,
    join::join_bounded,
    log::dir_name,
    options::{LogConfig, Options},
    wal::{Kind, recycle},
    watermarks::Offsets,
};
use bytes::Bytes;
pub use clean::mark_clean;
use netio::{Io, Open, buffer::BLOCK};
use record::{LeaderEpoch, Offset};
use replay::{LogFound, Replayed};
use scan::Found;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
};

/// Logs replayed at once.
const REPLAYS_AT_ONCE: usize = 64;
/// Files of the write-ahead log read at once.
const FILES_READ_AT_ONCE: usize = 2;
/// Files of the write-ahead log that are kept for the next start, for each core that had some: one
/// to begin with, and spares.
const FILES_KEPT: usize = 3;
/// What a start takes beside the logs: a checkpoint, and whatever the file system takes for itself.
const SMALL_FILES: u64 = 1 << 20;
/// Segment files open at once.
const FILES_OPEN_MAX: usize = 512;

/// A place where acknowledged bytes are not readable any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: String,
    pub position: u64,
    pub what: String,
}

/// What recovery found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Every core of the last run had stopped cleanly.
    pub clean: bool,
    /// Valid frames of the write-ahead log, and their bytes.
    pub frames: u64,
    pub wal_bytes: u64,
    /// Bytes of the write-ahead log's files that were read to find them.
    pub wal_bytes_read: u64,
    /// Frames dropped at the end of chains: nobody was told of them.
    pub torn_frames: u64,
    /// Batches written to segments, and their bytes.
    pub batches: u64,
    pub bytes: u64,
    pub damaged: Vec<Damage>,
    /// Directories set aside: nobody knows their logs, and no deletion is recorded.
    pub strays: Vec<String>,
    pub removed: Vec<String>,
    /// Directories that should have gone or been set aside and could not be, and why. They do not
    /// stop a start.
    pub stuck: Vec<(String, String)>,
    pub logs: usize,
    pub scan_ms: u64,
    pub replay_ms: u64,
    pub(crate) lost_frames: bool,
}

/// A data directory between its last run and the next.
#[derive(Debug)]
pub struct Recovery {
    io: Io,
    options: Options,
    disk: Disk,
    start: u64,
    logs: BTreeMap<LogId, LogFound>,
    replayed: BTreeMap<LogId, Replayed>,
    deleted: BTreeMap<LogId, String>,
    /// Deleted logs of which a directory is left: the next start must know that they are deleted.
    undeleted: Vec<(LogId, String)>,
    /// The device is nearly full.
    is_short: bool,
    /// What has been written of the write-ahead log's records.
    written: Rc<Cell<u64>>,
    /// Bytes that the logs need on the device beyond what their segments have.
    needed: u64,
    report: RecoveryReport,
    changing: bool,
}

impl Recovery {
    /// Reads the data directory. Nothing is changed before [`Self::replay`] or [`Self::finish`]: a
    /// directory that a newer program has written is left as it is.
    ///
    /// # Errors
    /// The disk's, or damage that leaves no way to go on ([`Error::Damaged`]); [`Error::Version`].
    pub async fn scan(io: &Io, options: &Options) -> Result<Recovery, Error> {
        let began = io.now();
        let wal = options.data.join("wal");
        let (files, checkpoints) = match list(io, &wal).await {
            Err(Error::Io(error)) if error.is_not_found() => Default::default(),
            listed => listed?,
        };
        let base = checkpoint::read(io, &wal, RECOVERED).await?;
        let Some(base) = base else {
            if files.is_empty() && checkpoints.is_empty() {
                let recovery = Self::empty(io, options);
                recovery.check_directories().await?;
                return Ok(recovery);
            }
            return Err(Error::Damaged {
                file: wal.join(checkpoint::file_name(RECOVERED)).display().to_string(),
                position: 0,
                what: "the file is missing, but there is a write-ahead log: restore it, or the whole directory".into(),
            });
        };
        let mut recovery = Self { start: base.head.start, ..Self::empty(io, options) };
        recovery.take_checkpoint(base);
        let mut heads = BTreeMap::new();
        for core in checkpoints {
            // One of another start is a leftover.
            if let Some(checkpoint) = checkpoint::read_since(io, &wal, core, recovery.start)
                .await?
                .filter(|read| read.head.start == recovery.start)
            {
                heads.insert(core, checkpoint.head);
                recovery.take_checkpoint(checkpoint);
            }
        }
        recovery.report.clean =
            files.keys().all(|core| heads.get(core).is_some_and(|head| head.clean));
        let (cores, mut live) = (files.len().max(1), 0);
        let mut void = Vec::new();
        for (core, numbers) in files {
            let head = heads.get(&core);
            live += numbers.len();
            if head.is_some_and(|head| head.clean) {
                void.extend(numbers.into_iter().map(|n| (core, n)));
            } else {
                let of_chain = recovery.scan_chain(&wal, core, numbers, head).await?;
                void.extend(of_chain.into_iter().map(|n| (core, n)));
            }
        }
        recovery.needed = recovery.logs.values().map(LogFound::needed_bytes).sum();
        recovery.make_room(&wal, cores, live - void.len(), &void).await?;
        let lost_frames = recovery.report.lost_frames;
        for found in recovery.logs.values_mut() {
            found.holes_are_damage = lost_frames;
        }
        recovery.check_directories().await?;
        recovery.report.scan_ms = io.now().since(began) / 1_000_000;
        Ok(recovery)
    }

    /// Directories that no checkpoint names will be removed, adopted or set aside, by what their
    /// `partition.metadata` says.
    async fn check_directories(&self) -> Result<(), Error> {
        let kafka = self.options.data.join("kafka");
        let named = self.logs.iter().filter(|(_, log)| log.state.disk.is_some());
        let named: BTreeSet<String> =
            named.map(|(id, log)| dir_name(&log.state.name, id.partition)).collect();
        let entries = match self.io.read_dir(&kafka).await {
            Err(error) if error.is_not_found() => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let leaves = entry.name.ends_with(DELETE_DIR) || entry.name.ends_with(STRAY_DIR);
            if entry.is_dir && !leaves && !named.contains(&entry.name) {
                self.disk.topic_of(&kafka.join(entry.name)).await?;
            }
        }
        Ok(())
    }

    /// Before the first change of anything: the directories are there, and Kafka's marker of a
    /// clean stop is not.
    async fn begin_changes(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.changing, true) {
            return Ok(());
        }
        let (io, data) = (&self.io, &self.options.data);
        let kafka = data.join("kafka");
        for dir in [data, &data.join("wal"), &kafka] {
            io.create_dir(dir).await?;
        }
        io.sync_dir(data).await?;
        if let Some(parent) = data.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            io.sync_dir(parent).await?;
        }
        clean::unmark(io, &kafka).await
    }

    /// The batches of a log as the last run has left it, those of its segments first, for a look at
    /// what they say before anything is changed. Ends before what cannot be read: [`Self::replay`]
    /// judges that.
    ///
    /// # Errors
    /// The disk's.
    pub async fn look(&self, id: LogId, name: &str) -> Result<Vec<Bytes>, Error> {
        let Some(found) = self.logs.get(&id) else {
            return Ok(Vec::new());
        };
        let dir = self.dir(&dir_name(name, id.partition));
        let mut batches = Vec::new();
        if let Some(known) = found.state.disk {
            let entries = match self.io.read_dir(&dir).await {
                Err(error) if error.is_not_found() => Vec::new(),
                entries => entries?,
            };
            let bases = entries.iter().filter_map(|entry| {
                files::parse_name(&entry.name)
                    .filter(|(base, suffix)| *suffix == LOG && *base <= known.segment_base)
            });
            let bases: BTreeSet<Offset> = bases.map(|(base, _)| base).collect();
            for base in bases {
                let path = dir.join(files::name(base, LOG));
                let file = self.io.open(&path, Open::default()).await?;
                let mut len = file.len().await?;
                if base == known.segment_base {
                    len = len.min(known.position);
                }
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                batches.push(file.read_vec(0, len).await?.into());
            }
        }
        batches.extend(found.batches());
        Ok(batches)
    }

    fn empty(io: &Io, options: &Options) -> Recovery {
        Recovery {
            io: io.clone(),
            options: options.clone(),
            disk: Disk::new(
                io,
                DiskOptions {
                    open_files_max: FILES_OPEN_MAX.min(options.open_files_max),
                    producer_ids_max: options.producer_ids_max,
                },
            ),
            start: 0,
            logs: BTreeMap::new(),
            replayed: BTreeMap::new(),
            deleted: BTreeMap::new(),
            undeleted: Vec::new(),
            is_short: false,
            written: Rc::default(),
            needed: 0,
            report: RecoveryReport { clean: true, ..RecoveryReport::default() },
            changing: false,
        }
    }

    /// A core's own checkpoint comes after the recovered one and replaces what that says of its
    /// logs.
    fn take_checkpoint(&mut self, checkpoint: Checkpoint) {
        for log in checkpoint.logs {
            self.logs.insert(log.id, LogFound::new(log));
        }
        for (id, name) in checkpoint.deleted {
            self.deleted.insert(id, name);
        }
    }

    /// Reads a chain; returns the numbers of files that hold nothing of it.
    async fn scan_chain(
        &mut self,
        wal: &Path,
        core: u32,
        numbers: Vec<u64>,
        head: Option<&Head>,
    ) -> Result<Vec<u64>, Error> {
        let first = head.map_or(0, |head| head.first_file);
        let mut void: Vec<u64> = numbers.iter().copied().filter(|n| *n < first).collect();
        let start = self.start;
        let io = self.io.clone();
        let probes = numbers.into_iter().filter(|n| *n >= first).map(|n| {
            let (io, path) = (io.clone(), wal.join(recycle::file_name(core, n)));
            let owner = scan::Owner { core, start, generation: n };
            async move { scan::probe(&io, &path, owner).await }
        });
        let mut files = Vec::new();
        for probed in join_bounded(probes, FILES_READ_AT_ONCE).await {
            files.push(probed?);
        }
        files.sort_unstable_by_key(scan::Probed::number);
        let last = files.iter().rposition(|file| file.used);
        let reads = files.into_iter().enumerate().map(|(at, file)| async move {
            let n = file.number();
            // The memory of a file without frames is free again here.
            let read = file.frames(last.is_none_or(|last| at >= last)).await;
            (n, last.is_none_or(|last| at > last), read)
        });
        let mut frames = Vec::new();
        for (n, is_behind, read) in join_bounded(reads, FILES_READ_AT_ONCE).await {
            let read: Result<(Vec<scan::Frame>, u64), Error> = read;
            let (of_file, bytes) = read?;
            if is_behind && of_file.is_empty() {
                void.push(n);
            }
            frames.extend(of_file);
            self.report.wal_bytes_read += bytes;
        }
        for found in scan::chain(frames, head, &mut self.report)? {
            self.on_found(found);
        }
        Ok(void)
    }

    /// Frees what holds nothing, if there may not be space for what the chains hold: without it no
    /// start would come through on a full device. `live`: files of the chains that hold something.
    async fn make_room(
        &mut self,
        wal: &Path,
        cores: usize,
        live: usize,
        void: &[(u32, u64)],
    ) -> Result<(), Error> {
        let (io, bytes) = (&self.io, self.options.wal_file_bytes);
        let space = io.space(&self.options.data).await?;
        let wanted = self.options.reserve_bytes.saturating_add(live as u64 * bytes);
        self.is_short = space.available_bytes < wanted;
        if self.is_short {
            // What is live now serves again when it has been replayed.
            let keep = cores.saturating_sub(live);
            self.disk.set_tight(true);
            recycle::free_void(io, wal, void, keep, bytes).await?;
        }
        Ok(())
    }

    fn on_found(&mut self, found: Found) {
        let (entry, data) = match found {
            Found::Entry(entry, data) => (entry, Some(data)),
            Found::Lost(entry) => (entry, None),
        };
        if entry.kind == Kind::Deleted {
            let name =
                data.and_then(|data| String::from_utf8(data.to_vec()).ok()).unwrap_or_default();
            self.logs.remove(&entry.id);
            self.deleted.insert(entry.id, name);
            return;
        }
        if self.deleted.contains_key(&entry.id) {
            return;
        }
        let name = match (&data, entry.kind) {
            (Some(data), Kind::Created) => String::from_utf8(data.to_vec()).ok(),
            _ => None,
        };
        let log = self.logs.entry(entry.id).or_insert_with(|| {
            LogFound::new(LogState::empty(
                entry.id,
                name.as_deref().unwrap_or_default(),
                entry.offset,
                LeaderEpoch(0),
            ))
        });
        if let Some(name) = name.filter(|_| log.state.name.is_empty()) {
            log.state.name = name;
        }
        match data {
            Some(data) => log.on_entry(&entry, data),
            None => log.on_lost(&entry),
        }
    }

    /// What has been found so far.
    pub fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Brings one log into its segments, so that [`Self::read`] can read it; `None` if it was not
    /// found.
    ///
    /// # Errors
    /// The disk's; [`Error::Full`] with what is wanting.
    pub async fn replay(
        &mut self,
        id: LogId,
        name: &str,
        config: LogConfig,
    ) -> Result<Option<Offsets>, Error> {
        match self.try_replay(id, name, config).await {
            Err(error) if error.is_full() => Err(self.wanting(error).await),
            other => other,
        }
    }

    /// A start that finds no space changes nothing of what counts, and may be tried again. How much
    /// it takes, it must say: nobody else knows.
    async fn wanting(&self, error: Error) -> Error {
        let data = &self.options.data;
        let available = self.io.space(data).await.map_or(0, |space| space.available_bytes);
        let rest = self.needed.saturating_sub(self.written.get()) + SMALL_FILES;
        Error::Full(format!(
            "{available} bytes are available on the volume of {}, and the start needs {rest} to bring into segments what {} \
             holds: free at least {} bytes there, or make the volume larger, and start again; nothing is lost ({error})",
            data.display(),
            data.join("wal").display(),
            rest.saturating_sub(available).max(BLOCK as u64),
        ))
    }

    async fn try_replay(
        &mut self,
        id: LogId,
        name: &str,
        config: LogConfig,
    ) -> Result<Option<Offsets>, Error> {
        self.begin_changes().await?;
        if let Some(mut found) = self.logs.remove(&id) {
            let dir = self.dir(&dir_name(name, id.partition));
            let max = self.options.producer_ids_max;
            let mut missing =
                Box::pin(chain::check(&self.disk, &dir, id, &config, &mut found)).await?;
            self.report.damaged.append(&mut missing);
            let mut replayed = Box::pin(replay::replay(
                &self.disk,
                dir.clone(),
                id,
                config.clone(),
                found,
                max,
                &self.written,
            ))
            .await?;
            if replayed.disk.is_none()
                && let Some(known) = replayed.state.disk
            {
                let disk =
                    Box::pin(DiskLog::open(&self.disk, dir, id, config, Some(known))).await?.0;
                if !replayed.state.producers.is_empty() {
                    disk.set_producers(crate::producer_state::parse_producers(
                        &replayed.state.producers,
                        id,
                        max,
                    )?);
                }
                disk.set_epochs(replayed.state.epochs.clone());
                replayed.disk = Some(disk);
            }
            replayed.state.name = name.to_owned();
            self.replayed.insert(id, replayed);
        }
        Ok(self.replayed.get(&id).map(Replayed::offsets))
    }

    /// Batches of a replayed log from the one holding `from`; empty at its end.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Panics
    /// If the log was not replayed.
    pub async fn read(
        &self,
        id: LogId,
        from: Offset,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let Some(log) = self.replayed.get(&id) else { panic!("{id:?} was not replayed") };
        let offsets = log.offsets();
        if let Some((_, next)) = log
            .state
            .fenced
            .iter()
            .chain(&log.state.missing)
            .find(|(start, end)| *start <= from && from < *end)
        {
            return Err(ReadError::Damaged { offset: from, next: *next });
        }
        match &log.disk {
            Some(disk) if from < offsets.log_end => {
                disk.read(from, offsets.log_end, max_bytes, true).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Ends recovery: `known` names the directory's topic and the settings of every log that is to
    /// live. Returns those logs, ready to be opened on any core.
    ///
    /// # Errors
    /// The disk's; [`Error::Full`] with what is wanting.
    pub async fn finish(
        mut self,
        known: impl Fn(LogId) -> Option<(String, LogConfig)>,
    ) -> Result<(Vec<RecoveredLog>, RecoveryReport), Error> {
        match self.try_finish(known).await {
            Err(error) if error.is_full() => Err(self.wanting(error).await),
            other => other,
        }
    }

    async fn try_finish(
        &mut self,
        known: impl Fn(LogId) -> Option<(String, LogConfig)>,
    ) -> Result<(Vec<RecoveredLog>, RecoveryReport), Error> {
        let began = self.io.now();
        self.begin_changes().await?;
        // Nothing counts on what is written from here on before the new start's checkpoint: see
        // `stop`.
        self.disk.defer_syncs();
        let mut wanted = Vec::new();
        for (id, found) in std::mem::take(&mut self.logs) {
            // Of a log that nobody knows only the directory is left: it is set aside below.
            if let Some((name, config)) = known(id) {
                wanted.push((id, name, config, found));
            }
        }
        let expected = wanted
            .iter()
            .map(|(id, name, _, found)| (*id, name.clone(), found.state.disk.is_some()));
        let expected: Vec<_> = expected.collect();
        // Before any log is made: a deleted one, or one that nobody knows, may have left a
        // directory of the same name.
        self.settle_directories(&expected, &known).await?;
        let (disk, max) = (self.disk.clone(), self.options.producer_ids_max);
        let kafka = self.options.data.join("kafka");
        let replays = wanted.into_iter().map(|(id, name, config, mut found)| {
            let (disk, dir) = (disk.clone(), kafka.join(dir_name(&name, id.partition)));
            let written = self.written.clone();
            async move {
                let missing = Box::pin(chain::check(&disk, &dir, id, &config, &mut found)).await?;
                let mut replayed =
                    Box::pin(replay::replay(&disk, dir, id, config, found, max, &written)).await?;
                replayed.state.name = name;
                replayed.disk = None;
                replayed.damaged.extend(missing);
                Ok((id, replayed))
            }
        });
        // Each has a few files open.
        let at_once = REPLAYS_AT_ONCE.min(self.options.open_files_max / 4);
        for result in join_bounded(replays, at_once).await {
            let result: Result<(LogId, Replayed), Error> = result;
            let (id, replayed) = result?;
            self.replayed.insert(id, replayed);
        }
        let mut logs = Vec::with_capacity(self.replayed.len());
        let mut encoded = Vec::with_capacity(self.replayed.len());
        for (id, mut replayed) in std::mem::take(&mut self.replayed) {
            self.report.batches += replayed.batches;
            self.report.bytes += replayed.bytes;
            self.report.damaged.append(&mut replayed.damaged);
            encoded.push(replayed.state.encode());
            logs.push(RecoveredLog {
                id,
                name: replayed.state.name.clone(),
                config: replayed.config,
                state: replayed.state,
            });
        }
        self.end_start(&encoded).await?;
        self.report.logs = logs.len();
        self.report.replay_ms = self.io.now().since(began) / 1_000_000;
        Ok((logs, std::mem::take(&mut self.report)))
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.options.data.join("kafka").join(name)
    }

    /// The checkpoint of the next start; with it, everything of the old one is void and goes.
    async fn end_start(&mut self, logs: &[Bytes]) -> Result<(), Error> {
        let wal = self.options.data.join("wal");
        let run = u128::from(self.io.random());
        let head = Head {
            start: self.start + 1,
            core: RECOVERED,
            run,
            clean: true,
            first_live: 0,
            first_file: 0,
        };
        // Directories of other deleted logs are gone by now.
        let bytes = checkpoint::encode(&head, logs, &self.undeleted);
        self.disk.settle(&self.options.data.join("kafka")).await?;
        checkpoint::write(&self.io, &wal, RECOVERED, bytes).await?;
        let (files, checkpoints) = list(&self.io, &wal).await?;
        let each = if self.is_short { 1 } else { FILES_KEPT };
        let keep = each * files.len().max(1);
        let all = files
            .into_iter()
            .flat_map(|(core, numbers)| numbers.into_iter().map(move |n| (core, n)));
        recycle::retire(&self.io, &wal, all, keep, self.options.wal_file_bytes).await?;
        for core in checkpoints {
            self.io.remove_file(&wal.join(checkpoint::file_name(core))).await?;
        }
        self.io.sync_dir(&wal).await?;
        Ok(())
    }
}

/// WAL files by core, in order of their numbers, and the cores that have a checkpoint.
async fn list(io: &Io, wal: &Path) -> Result<(BTreeMap<u32, Vec<u64>>, Vec<u32>), Error> {
    let mut files: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut checkpoints = Vec::new();
    for entry in io.read_dir(wal).await? {
        if let Some((core, n)) = recycle::parse_name(&entry.name) {
            files.entry(core).or_default().push(n);
        } else if let Some(core) =
            checkpoint::parse_name(&entry.name).filter(|core| *core != RECOVERED)
        {
            checkpoints.push(core);
        }
    }
    for numbers in files.values_mut() {
        numbers.sort_unstable();
    }
    Ok((files, checkpoints))
}

/// A log found by recovery, ready to be opened on any core.
#[derive(Debug)]
pub struct RecoveredLog {
    pub id: LogId,
    pub name: String,
    pub config: LogConfig,
    pub(crate) state: LogState,
}
