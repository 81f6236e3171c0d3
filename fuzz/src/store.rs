//! A sequence of operations on a store, against the model of the log conformance suite, in the
//! simulation.
//!
//! ```text
//! byte 0: seed of the simulation (delays, what a crash leaves); then operations: a byte, and two of parameters
//! ```
//! Creations, appends of two idempotent producers and of none, repetitions, reads, look-ups,
//! deletions, and ends of the process: clean, by a kill, by a power cut. After each end everything
//! is read back and compared. One core: what several do to each other is the conformance suite's.
use netio::{
    Boot, Io, Program, Turn,
    sim::{DiskOptions, NodeId, NodeOptions, Sim, SimOptions},
};
use record::{
    BatchBuilder, BatchHeader, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp, TopicId,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};
use storage::{
    AppendError, Durability, Event, LogConfig, LogId, LogSlot, Options, Read, ReadError, Recovery,
    Store,
};
use testkit::model::{End, LogModel, Model, Sent, Stored};

/// Operations of one input.
const OPERATIONS_MAX: usize = 300;
/// Ends of one input.
const LIVES_MAX: usize = 6;
/// Virtual time that anything may take.
const PATIENCE_NS: u64 = 20_000_000_000;
const LOGS_MAX: usize = 4;

/// What survives the process: the model, and what is left to do.
#[derive(Debug, Default)]
struct Shared {
    model: Mutex<Model>,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    operations: VecDeque<[u8; 3]>,
    /// An end was reached: the process waits for it.
    end: Option<End>,
    /// Everything was read back in this life.
    verified: bool,
}

impl Shared {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(|error| panic!("{error}"))
    }
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Small, so that files roll and caches overflow within a few operations.
pub fn options() -> Options {
    Options {
        group_bytes: 16 << 10,
        wal_file_bytes: 64 << 10,
        wal_first_file_bytes: 32 << 10,
        unflushed_bytes_max: 256 << 10,
        flush_bytes: 16 << 10,
        flush_age_ms: 20,
        cache_bytes: 32 << 10,
        reserve_bytes: 0,
        retention_check_ms: 50,
        cold_read_bytes_max: 256 << 10,
        ..Options::new("data")
    }
}

/// A data directory as a run of operations leaves it: its files, and what is in the logs.
#[derive(Debug)]
pub struct Left {
    pub files: Vec<(String, Vec<u8>)>,
    pub logs: BTreeMap<LogId, LeftLog>,
}

/// A log of a data directory.
#[derive(Debug)]
pub struct LeftLog {
    pub name: String,
    pub config: LogConfig,
    /// Batches by base offset, those that were not promised included.
    pub batches: BTreeMap<i64, Vec<u8>>,
}

/// Runs `operations` to their end.
///
/// # Panics
/// On a finding.
pub fn leave(operations: &[u8]) -> Left {
    let (sim, node, shared) = play(1, operations);
    let model = shared.model();
    let log = |log: &LogModel| LeftLog {
        name: log.name.clone(),
        config: log.config.clone(),
        batches: log.batches.iter().map(|batch| (batch.base, batch.bytes.clone())).collect(),
    };
    let logs = model.logs.iter().map(|(id, each)| (*id, log(each))).collect();
    let disk = sim.disk(node);
    let read = |path: String| {
        let bytes = disk.read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, bytes)
    };
    Left { files: disk.list().into_iter().map(|(path, _)| read(path)).collect(), logs }
}

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    let [seed, operations @ ..] = data else { return };
    let (mut sim, node, shared) = play(u64::from(*seed), operations);
    sim.restart(node, vec![boot(&shared)]);
    let verified = sim.run_until(PATIENCE_NS, |_| shared.script().verified);
    assert!(verified, "the last life does not come up");
}

/// Life after life until the operations are over; the last one has ended.
fn play(seed: u64, operations: &[u8]) -> (Sim, NodeId, Arc<Shared>) {
    let shared = Arc::new(Shared::default());
    shared.script().operations =
        operations.as_chunks::<3>().0.iter().take(OPERATIONS_MAX).copied().collect();
    let mut sim = Sim::new(SimOptions {
        disk: DiskOptions { slow: 0.0, ..DiskOptions::default() },
        ..SimOptions::seeded(seed)
    });
    let node = sim.add_node(NodeOptions::default(), vec![boot(&shared)]);
    for life in 0..LIVES_MAX {
        let ended = sim.run_until(PATIENCE_NS, |_| shared.script().end.is_some());
        assert!(ended, "the script hangs: {:?}", shared.script());
        let (end, more) = {
            let mut script = shared.script();
            script.verified = false;
            (script.end.take().unwrap_or(End::Clean), !script.operations.is_empty())
        };
        match end {
            End::Power => sim.power_cut(node),
            End::Kill => sim.kill(node),
            End::Clean => {
                sim.stop(node);
                assert!(
                    sim.run_until(PATIENCE_NS, |sim| sim.has_ended(node)),
                    "the store does not stop"
                );
            }
        }
        shared.model().last_end = Some(end);
        if !more || life + 1 == LIVES_MAX {
            break;
        }
        sim.restart(node, vec![boot(&shared)]);
    }
    (sim, node, shared)
}

fn boot(shared: &Arc<Shared>) -> Boot<()> {
    let shared = shared.clone();
    Box::new(move |io, _mesh| {
        Box::pin(async move {
            let options = options();
            let recovery = Recovery::scan(&io, &options)
                .await
                .unwrap_or_else(|error| panic!("the directory is readable: {error}"));
            let known: BTreeMap<LogId, (String, LogConfig)> = shared
                .model()
                .logs
                .iter()
                .map(|(id, log)| (*id, (log.name.clone(), log.config.clone())))
                .collect();
            let finished = recovery.finish(|id| known.get(&id).cloned()).await;
            let (logs, report) = finished.unwrap_or_else(|error| panic!("recovery ends: {error}"));
            assert_eq!(report.damaged, [], "no byte was damaged here");
            shared.model().leaving.clear();
            let store = Store::open(io.clone(), options, logs)
                .await
                .unwrap_or_else(|error| panic!("the store opens: {error}"));
            Box::new(Load::new(io, shared, store)) as Box<dyn Program>
        })
    })
}

#[derive(Clone, Copy, Debug)]
struct Mine {
    id: LogId,
    slot: LogSlot,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    mine: Mine,
    from: i64,
    upto: i64,
    verify: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Verify,
    Work,
    /// The script says that the process ends here.
    Waiting,
    Stopping,
    Done,
}

/// The core's program.
struct Load {
    io: Io,
    shared: Arc<Shared>,
    store: Store,
    mine: Vec<Mine>,
    /// Logs still to be read back, with the next offset.
    walk: Vec<(Mine, i64)>,
    asked: BTreeMap<u64, Asked>,
    by_time: BTreeMap<u64, LogId>,
    phase: Phase,
    /// Not before this timer.
    paused: bool,
    random: u64,
}

const TICK: u64 = 7;

impl Load {
    fn new(io: Io, shared: Arc<Shared>, mut store: Store) -> Load {
        let mut model = shared.model();
        let last_end = model.last_end;
        let mut mine = Vec::new();
        let ids: Vec<LogId> = model.logs.keys().copied().collect();
        for id in ids {
            let Some(log) = model.logs.get_mut(&id) else { continue };
            let slot = match store.find(id) {
                Some(slot) => {
                    let end = last_end.unwrap_or_else(|| panic!("{id:?} before the first life"));
                    log.reopened(id, store.offsets(slot), end);
                    slot
                }
                None => {
                    let promised = last_end.map_or(0, |end| log.promised(end));
                    assert_eq!(promised, 0, "{id:?} is gone");
                    *log = LogModel {
                        epoch: log.epoch,
                        ..LogModel::new(log.name.clone(), log.config.clone())
                    };
                    create(&mut store, id, &log.name, &log.config, log.epoch)
                }
            };
            log.epoch += 1;
            store.set_epoch(slot, LeaderEpoch(log.epoch));
            mine.push(Mine { id, slot });
        }
        drop(model);
        assert_eq!(store.slots().count(), mine.len(), "the store has logs that nobody knows");
        let walk = mine.iter().map(|mine| (*mine, store.offsets(mine.slot).log_start.0)).collect();
        let random = io.random();
        io.want_turn();
        let (asked, by_time) = (BTreeMap::new(), BTreeMap::new());
        Load {
            io,
            shared,
            store,
            mine,
            walk,
            asked,
            by_time,
            phase: Phase::Verify,
            paused: false,
            random,
        }
    }

    fn verify(&mut self) {
        if !self.asked.is_empty() {
            return;
        }
        while let Some((mine, from)) = self.walk.pop() {
            let offsets = self.store.offsets(mine.slot);
            // Retention goes on meanwhile.
            let (from, upto) = (from.max(offsets.log_start.0), offsets.high_watermark.0);
            if from >= upto {
                continue;
            }
            let max = 1 + usize::try_from(self.next_random() % 60_000).unwrap_or(0);
            match self.store.read(mine.slot, Offset(from), Offset::MAX, max, true) {
                Ok(Read::Ready(batches)) => {
                    let next = self.shared.model().logs[&mine.id]
                        .check_read(mine.id, from, upto, &batches);
                    assert!(next > from, "{:?}: nothing at {from} below {upto}", mine.id);
                    self.walk.push((mine, next));
                }
                Ok(Read::Pending(token)) => {
                    self.asked.insert(token, Asked { mine, from, upto, verify: true });
                    return;
                }
                Err(error) => panic!("{:?} from {from} below {upto}: {error}", mine.id),
            }
        }
        self.phase = Phase::Work;
        self.shared.script().verified = true;
    }

    fn next_random(&mut self) -> u64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    /// Operations until one takes time.
    fn work(&mut self) {
        while self.phase == Phase::Work && !self.paused {
            let next = self.shared.script().operations.pop_front();
            let Some([operation, a, b]) = next else {
                self.end(End::Clean);
                return;
            };
            let log = usize::from(a) % self.mine.len().max(1);
            let mine = self.mine.get(log).copied();
            match (operation % 16, mine) {
                (0, _) | (_, None) => self.create(a, b),
                (1..=5, Some(mine)) => self.append(mine, a, b),
                (6, Some(mine)) => self.repeat(mine, b),
                (7..=8, Some(mine)) => self.read(mine, a, b),
                (9, Some(mine)) => self.delete_records(mine, b),
                (10, Some(mine)) => self.raise_epoch(mine),
                (11, Some(mine)) => self.look_up(mine, b),
                (12, _) if b & 7 == 0 => self.delete(log),
                (12..=14, _) => {
                    self.paused = true;
                    let us = if b < 128 { u64::from(b) * 5 } else { u64::from(b) * 400 };
                    self.io.timer(self.io.now().after_us(us), TICK);
                }
                (_, _) => self.end([End::Clean, End::Kill, End::Power][usize::from(a) % 3]),
            }
        }
    }

    fn end(&mut self, end: End) {
        self.phase = Phase::Waiting;
        self.shared.script().end = Some(end);
    }

    // ---- operations -----------------------------------------------------------------------------

    fn create(&mut self, a: u8, b: u8) {
        if self.mine.len() >= LOGS_MAX {
            return;
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.io.random().to_be_bytes());
        let id = LogId { topic: TopicId(id), partition: i32::from(a % 2) };
        let name = format!("topic.{}", b % 3);
        let mut model = self.shared.model();
        if model.logs.iter().any(|(other, log)| log.name == name && other.partition == id.partition)
        {
            return;
        }
        let config = LogConfig {
            durability: [
                Durability::Device,
                Durability::Device,
                Durability::Written,
                Durability::Memory,
            ][usize::from(a >> 2 & 3)],
            segment_bytes: 8 << 10 << (a >> 4 & 3),
            retention_bytes: if a & 0x80 != 0 { 24 << 10 } else { -1 },
            file_delete_delay_ms: 5,
            index_interval_bytes: 512,
            ..LogConfig::default()
        };
        let slot = create(&mut self.store, id, &name, &config, 0);
        model.logs.insert(id, LogModel::new(name, config));
        self.mine.push(Mine { id, slot });
    }

    fn delete(&mut self, log: usize) {
        let mine = self.mine.swap_remove(log);
        self.store.delete(mine.slot);
        let mut model = self.shared.model();
        if let Some(log) = model.logs.remove(&mine.id) {
            model.leaving.insert(mine.id, log.name);
        }
        self.asked.retain(|_, asked| asked.mine.id != mine.id);
        self.by_time.retain(|_, id| *id != mine.id);
    }

    fn append(&mut self, mine: Mine, a: u8, b: u8) {
        let producer = match a >> 5 {
            0..=1 => None,
            n => Some(usize::from(n) % 2),
        };
        let sequence =
            producer.map(|n| self.shared.model().logs[&mine.id].producers[n].next_sequence);
        let mut builder = BatchBuilder::new();
        if let Some((n, sequence)) = producer.zip(sequence) {
            builder = builder.producer(ProducerId(1000 + n as i64), ProducerEpoch(0), sequence);
        }
        // Mostly small; some are one record that is larger than a group or a segment, and still
        // fits a file of the log.
        let (records, size) = if b >= 0xf0 {
            (1, usize::from(b & 15) << 11)
        } else {
            (1 + (b & 3), usize::from(b) * 6)
        };
        let value = vec![b; size];
        for _ in 0..records {
            builder
                .append(Some(b"key"), Some(&value), Timestamp(self.io.wall()), &[])
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let bytes = builder.build().unwrap_or_else(|error| panic!("{error}"));
        let stamp = (a >> 3 & 3 == 3).then(|| self.io.wall());
        let appended = match self.store.append(mine.slot, &bytes, stamp) {
            Ok(appended) => appended,
            Err(AppendError::Busy) => return,
            Err(error) => panic!("{:?}: {error}", mine.id),
        };
        let mut model = self.shared.model();
        let Some(log) = model.logs.get_mut(&mine.id) else { return };
        let (base, end) = (appended.base_offset.0, appended.end_offset.0);
        assert!(!appended.duplicate, "{:?}: {base}..{end} taken for a duplicate", mine.id);
        let records_count = BatchHeader::parse(&bytes).map_or(0, |header| header.records_count);
        assert_eq!(end - base, i64::from(records_count));
        assert!(
            base >= log.end(),
            "{:?}: offset {base} is given twice, the log ended at {}",
            mine.id,
            log.end()
        );
        let mut stored = bytes.clone();
        record::set_base_offset(&mut stored, appended.base_offset);
        record::set_leader_epoch(&mut stored, LeaderEpoch(log.epoch));
        if let Some(now) = stamp {
            record::restamp_log_append_time(&mut stored, Timestamp(now));
        }
        log.batches.push(Stored { base, end, bytes: stored });
        if let Some((n, sequence)) = producer.zip(sequence) {
            let producer = &mut log.producers[n];
            producer.next_sequence = sequence + records_count;
            producer.sent.push(Sent { base, end, next_sequence: producer.next_sequence, bytes });
        }
    }

    /// A producer that saw no answer sends again.
    fn repeat(&mut self, mine: Mine, b: u8) {
        let sent = self.shared.model().logs[&mine.id].producers[usize::from(b & 1)]
            .sent
            .iter()
            .rev()
            .nth(usize::from(b >> 1) % 5)
            .cloned();
        let Some(sent) = sent else { return };
        match self.store.append(mine.slot, &sent.bytes, None) {
            Ok(again) => {
                assert!(
                    again.duplicate,
                    "{:?}: {}..{} was appended twice",
                    mine.id, sent.base, sent.end
                );
                assert_eq!(
                    (again.base_offset.0, again.end_offset.0),
                    (sent.base, sent.end),
                    "{:?}",
                    mine.id
                );
            }
            Err(error) => panic!("{:?}: a repetition was refused: {error}", mine.id),
        }
    }

    fn delete_records(&mut self, mine: Mine, b: u8) {
        let offsets = self.store.offsets(mine.slot);
        let span = offsets.high_watermark.0 - offsets.log_start.0;
        let to = offsets.log_start.0 + i64::from(b) * (span + 1) / 256;
        let start = self.store.delete_records(mine.slot, Offset(to));
        assert_eq!(start.unwrap_or_else(|error| panic!("below the high watermark: {error}")).0, to);
    }

    fn raise_epoch(&mut self, mine: Mine) {
        if let Some(log) = self.shared.model().logs.get_mut(&mine.id) {
            log.epoch += 1;
            self.store.set_epoch(mine.slot, LeaderEpoch(log.epoch));
        }
    }

    fn read(&mut self, mine: Mine, a: u8, b: u8) {
        let offsets = self.store.offsets(mine.slot);
        let span = offsets.log_end.0 - offsets.log_start.0;
        let from = offsets.log_start.0 + i64::from(b) * (span + 1) / 256;
        let upto = offsets.high_watermark.0;
        let max = 1 + (usize::from(a) << 8);
        let read = self.store.read(mine.slot, Offset(from), Offset::MAX, max, true);
        match read.unwrap_or_else(|error| panic!("{from} is in range of {offsets:?}: {error}")) {
            Read::Ready(batches) => {
                let next =
                    self.shared.model().logs[&mine.id].check_read(mine.id, from, upto, &batches);
                assert!(
                    next > from || from >= upto,
                    "{:?}: nothing at {from} of {offsets:?}",
                    mine.id
                );
            }
            Read::Pending(token) if a & 0x70 == 0x70 => self.store.forget_read(token),
            Read::Pending(token) => {
                self.asked.insert(token, Asked { mine, from, upto, verify: false });
            }
        }
    }

    fn look_up(&mut self, mine: Mine, b: u8) {
        let token = if b & 1 == 0 {
            self.store.offset_for_time(mine.slot, self.io.wall() - i64::from(b))
        } else {
            self.store.offset_of_max_timestamp(mine.slot)
        };
        self.by_time.insert(token, mine.id);
    }

    // ---- events ---------------------------------------------------------------------------------

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Advanced(_) | Event::Room | Event::Space { .. } => {}
            Event::ReadDone { token, result } => {
                let Some(asked) = self.asked.remove(&token) else { return };
                self.on_read(asked, result);
            }
            Event::TimeFound { token, result } => {
                let Some(id) = self.by_time.remove(&token) else { return };
                let found = result.unwrap_or_else(|error| panic!("{id:?} by time: {error}"));
                let model = self.shared.model();
                assert!(
                    found.is_none_or(|found| found.offset.0 < model.logs[&id].end()),
                    "{id:?}: {found:?}"
                );
            }
            Event::LogStartMoved(slot) => {
                let start = self.mine.iter().find(|mine| mine.slot == slot).map(|mine| mine.id);
                if let Some(id) = start
                    && let Some(log) = self.shared.model().logs.get_mut(&id)
                {
                    log.start_durable = log.start_durable.max(self.store.durable_log_start(slot).0);
                }
            }
            Event::Deleted(id) => {
                self.shared.model().leaving.remove(&id);
            }
            Event::Stopped => self.phase = Phase::Done,
            Event::LogFailed { slot, reason } => panic!("{slot:?} failed: {reason}"),
            Event::ChainFailed { reason } => panic!("the chain failed: {reason}"),
        }
    }

    fn on_read(&mut self, asked: Asked, result: Result<Vec<bytes::Bytes>, ReadError>) {
        let id = asked.mine.id;
        match result {
            Ok(batches) => {
                let next =
                    self.shared.model().logs[&id].check_read(id, asked.from, asked.upto, &batches);
                if asked.verify {
                    assert!(next > asked.from, "{id:?}: nothing on disk at {}", asked.from);
                    self.walk.push((asked.mine, next));
                }
            }
            // The log start has overtaken the read, by order or by retention.
            Err(ReadError::OutOfRange { .. }) => {
                let start = self.store.offsets(asked.mine.slot).log_start.0;
                assert!(
                    asked.from < start,
                    "{id:?}: out of range at {} with start {start}",
                    asked.from
                );
                if asked.verify {
                    self.walk.push((asked.mine, start));
                }
            }
            Err(error) => panic!("{id:?} from {}: {error}", asked.from),
        }
    }

    /// What the store shows must fit the model.
    fn look(&mut self) {
        let mut model = self.shared.model();
        for mine in &self.mine {
            let offsets = self.store.offsets(mine.slot);
            if let Some(log) = model.logs.get_mut(&mine.id) {
                log.saw(mine.id, offsets);
            }
        }
    }
}

fn create(store: &mut Store, id: LogId, name: &str, config: &LogConfig, epoch: i32) -> LogSlot {
    store
        .create(id, name, config.clone(), LeaderEpoch(epoch))
        .unwrap_or_else(|error| panic!("a new log: {error}"))
}

impl Program for Load {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                netio::Event::Written { token, result } => {
                    assert!(self.store.on_written(token, result))
                }
                netio::Event::Timer { token: TICK } => self.paused = false,
                netio::Event::Timer { token } => assert!(self.store.on_timer(token)),
                netio::Event::Stop if self.phase != Phase::Stopping => {
                    self.asked.clear();
                    self.by_time.clear();
                    self.phase = Phase::Stopping;
                    self.store.stop();
                }
                _ => {}
            }
        }
        if self.phase == Phase::Work {
            self.work();
        }
        self.store.settle();
        while let Some(event) = self.store.take_event() {
            self.on_event(event);
        }
        if self.phase == Phase::Verify {
            self.verify();
            if self.phase == Phase::Work {
                self.io.want_turn();
            }
        }
        self.look();
        if self.phase == Phase::Done { Turn::Done } else { Turn::Rest }
    }
}
