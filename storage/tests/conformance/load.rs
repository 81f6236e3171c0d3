//! The program of a core in these tests: a store under random operations, all of them checked
//! against the model.
use netio::{Boot, Io, Mesh, Program, Turn, sim::Rng};
use record::{
    BatchBuilder, BatchHeader, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp, TopicId,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};
use storage::{
    AppendError, Durability, Event, LogConfig, LogId, LogSlot, Options, Read, RecoveredLog,
    Recovery, Store,
};
use testkit::model::{End, LogModel, Model, Sent, Stored};

/// What the cores of one life share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub model: Mutex<Model>,
    life: Mutex<Life>,
}

#[derive(Debug, Default)]
struct Life {
    number: u64,
    logs: Option<BTreeMap<usize, Vec<RecoveredLog>>>,
    ready: usize,
    stopped: usize,
    /// A store could not end cleanly.
    left: bool,
}

impl Shared {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { model: Mutex::default(), life: Mutex::default() })
    }
    pub(crate) fn ready(&self) -> usize {
        self.life.lock().unwrap().ready
    }
    pub(crate) fn left_something(&self) -> bool {
        self.life.lock().unwrap().left
    }
    pub(crate) fn stopped(&self) -> usize {
        self.life.lock().unwrap().stopped
    }
}

/// Small, so that files roll, caches overflow and limits bite within milliseconds.
pub(crate) fn options(data: &Path) -> Options {
    Options {
        group_bytes: 16 << 10,
        wal_file_bytes: 128 << 10,
        wal_first_file_bytes: 64 << 10,
        unflushed_bytes_max: 512 << 10,
        flush_bytes: 32 << 10,
        flush_age_ms: 40,
        cache_bytes: 64 << 10,
        reserve_bytes: 0,
        retention_check_ms: 150,
        cold_read_bytes_max: 1 << 20,
        read_ahead_bytes_max: 600 << 10,
        ..Options::new(data)
    }
}

/// Boots of one life with `cores` cores.
pub(crate) fn boots(shared: &Arc<Shared>, data: &Path, cores: usize, seed: u64) -> Vec<Boot<()>> {
    {
        let mut life = shared.life.lock().unwrap();
        *life = Life { number: life.number + 1, ..Life::default() };
        shared.model.lock().unwrap().cores = cores;
    }
    (0..cores)
        .map(|core| {
            let (shared, options) = (shared.clone(), options(data));
            let boot: Boot<()> = Box::new(move |io, mesh| {
                Box::pin(async move {
                    let program = start(io, mesh, shared, options, core, cores, seed).await;
                    Box::new(program) as Box<dyn Program>
                })
            });
            boot
        })
        .collect()
}

async fn start(
    io: Io,
    mesh: Mesh<()>,
    shared: Arc<Shared>,
    options: Options,
    core: usize,
    cores: usize,
    seed: u64,
) -> Load {
    if core == 0 {
        recover(&io, &shared, &options, cores).await;
    }
    let logs = loop {
        let taken = shared
            .life
            .lock()
            .unwrap()
            .logs
            .as_mut()
            .map(|logs| logs.remove(&core).unwrap_or_default());
        match taken {
            Some(logs) => break logs,
            None => io.sleep_until(io.now().after_us(200)).await,
        }
    };
    let mut options = options;
    let mut rng = Rng::new(seed ^ (core as u64 + 1) << 32);
    options.linger_us = if rng.chance(0.3) { rng.between(1, 2_000) } else { 0 };
    options.groups_in_flight = rng.between(1, 4) as usize;
    let store = Store::open(io.clone(), options, logs).await.expect("the store opens");
    Load::new(io, mesh, shared, store, core, cores, rng)
}

/// Phase two knows the model's logs, as a broker knows its image's.
async fn recover(io: &Io, shared: &Arc<Shared>, options: &Options, cores: usize) {
    let recovery = Recovery::scan(io, options).await.expect("the directory is readable");
    let known: BTreeMap<LogId, (String, LogConfig)> = shared
        .lock()
        .logs
        .iter()
        .map(|(id, log)| (*id, (log.name.clone(), log.config.clone())))
        .collect();
    let (logs, report) =
        recovery.finish(|id| known.get(&id).cloned()).await.expect("recovery ends");
    assert_eq!(report.damaged, [], "no byte was damaged here");
    let mut model = shared.lock();
    if model.last_end == Some(End::Clean) {
        assert!(
            report.clean && report.frames == 0,
            "a clean stop leaves nothing to replay: {report:?}"
        );
    }
    if model.leaving.is_empty() {
        assert_eq!(report.strays, Vec::<String>::new(), "nothing to set aside");
    }
    model.leaving.clear();
    let mut by_core: BTreeMap<usize, Vec<RecoveredLog>> = BTreeMap::new();
    for log in logs {
        by_core.entry(core_of(log.id, cores)).or_default().push(log);
    }
    shared.life.lock().unwrap().logs = Some(by_core);
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }
}

fn core_of(id: LogId, cores: usize) -> usize {
    (id.topic.0[0] as usize + id.partition as usize) % cores
}

/// A log of this core.
#[derive(Clone, Copy, Debug)]
struct Mine {
    id: LogId,
    slot: LogSlot,
}

/// What a pending read was for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    mine: Mine,
    from: i64,
    upto: i64,
    /// The walk over everything after an open.
    verify: bool,
}

#[derive(Debug)]
enum Phase {
    /// Reads everything: log by log, from its start to its end.
    Verify(Vec<(Mine, i64)>),
    Work,
    Stopping,
    Done,
}

pub(crate) struct Load {
    io: Io,
    /// A message means: drop everything, as a killed process does.
    mesh: Mesh<()>,
    shared: Arc<Shared>,
    store: Store,
    core: usize,
    cores: usize,
    rng: Rng,
    mine: Vec<Mine>,
    asked: BTreeMap<u64, Asked>,
    by_time: BTreeMap<u64, LogId>,
    phase: Phase,
    names: u64,
}

impl Load {
    #[allow(clippy::too_many_arguments)]
    fn new(
        io: Io,
        mesh: Mesh<()>,
        shared: Arc<Shared>,
        mut store: Store,
        core: usize,
        cores: usize,
        rng: Rng,
    ) -> Load {
        let mut model = shared.lock();
        let last_end = model.last_end;
        let mut mine = Vec::new();
        let mut lost = 0;
        let ids: Vec<LogId> =
            model.logs.keys().copied().filter(|id| core_of(*id, cores) == core).collect();
        for id in ids {
            let log = model.logs.get_mut(&id).unwrap();
            let slot = match store.find(id) {
                Some(slot) => {
                    let end = last_end.expect("a log before the first life");
                    lost += log.reopened(id, store.offsets(slot), end);
                    slot
                }
                None => {
                    // Its creation was not durable: then nothing of it was promised.
                    let promised = last_end.map_or(0, |end| log.promised(end));
                    assert_eq!(promised, 0, "{id:?} is gone");
                    lost += log.batches.len() as u64;
                    *log = LogModel {
                        epoch: log.epoch,
                        ..LogModel::new(log.name.clone(), log.config.clone())
                    };
                    store
                        .create(id, &log.name, log.config.clone(), LeaderEpoch(log.epoch))
                        .expect("a new log")
                }
            };
            // Every start raises the epoch: offsets that were lost are not given again unseen.
            log.epoch += 1;
            store.set_epoch(slot, LeaderEpoch(log.epoch));
            mine.push(Mine { id, slot });
        }
        model.lost_unacked += lost;
        drop(model);
        let walk = mine.iter().map(|mine| (*mine, store.offsets(mine.slot).log_start.0)).collect();
        let extra = store.slots().count();
        assert_eq!(extra, mine.len(), "the store has logs that nobody knows");
        io.want_turn();
        Load {
            io,
            mesh,
            shared,
            store,
            core,
            cores,
            rng,
            mine,
            asked: BTreeMap::new(),
            by_time: BTreeMap::new(),
            phase: Phase::Verify(walk),
            names: 0,
        }
    }

    fn verify(&mut self) {
        let Phase::Verify(walk) = &mut self.phase else {
            return;
        };
        if !self.asked.is_empty() {
            return;
        }
        while let Some((mine, from)) = walk.pop() {
            let offsets = self.store.offsets(mine.slot);
            let upto = offsets.high_watermark.0;
            if from >= upto {
                let mut model = self.shared.lock();
                model.verified += 1;
                continue;
            }
            let max = self.rng.between(1, 100_000) as usize;
            match self.store.read(mine.slot, Offset(from), Offset::MAX, max, true) {
                Ok(Read::Ready(batches)) => {
                    let next =
                        self.shared.lock().logs[&mine.id].check_read(mine.id, from, upto, &batches);
                    assert!(next > from, "{:?}: nothing at {from} of {offsets:?}", mine.id);
                    walk.push((mine, next));
                }
                Ok(Read::Pending(token)) => {
                    self.asked.insert(token, Asked { mine, from, upto, verify: true });
                    return;
                }
                Err(error) => panic!("{:?} from {from} of {offsets:?}: {error}", mine.id),
            }
        }
        self.phase = Phase::Work;
        self.shared.life.lock().unwrap().ready += 1;
    }

    // ---- operations -----------------------------------------------------------------------------

    fn work(&mut self) {
        for _ in 0..self.rng.below(6) {
            match self.rng.below(100) {
                0..=1 => self.create(),
                2 if self.mine.len() > 2 => self.delete(),
                3..=5 => self.delete_records(),
                6..=7 => self.raise_epoch(),
                8..=24 => self.read(),
                25..=26 => self.look_up(),
                27..=40 => self.repeat(),
                _ => self.append(),
            }
        }
    }

    fn any(&mut self) -> Option<Mine> {
        let n = self.mine.len() as u64;
        (n > 0).then(|| self.mine[self.rng.below(n) as usize])
    }

    fn create(&mut self) {
        if self.mine.len() >= 8 {
            return;
        }
        let id = loop {
            let id = LogId {
                topic: TopicId::from_random(self.rng.next_u64(), self.rng.next_u64()),
                partition: self.rng.below(3) as i32,
            };
            if core_of(id, self.cores) == self.core {
                break id;
            }
        };
        let mut model = self.shared.lock();
        // Few names, so that directories are made again while the old ones go.
        let name = format!("topic.{}", self.rng.below(6));
        self.names += 1;
        if model.logs.iter().any(|(other, log)| log.name == name && other.partition == id.partition)
        {
            return;
        }
        let durability = match self.rng.below(6) {
            0 => Durability::Memory,
            1 => Durability::Written,
            _ => Durability::Device,
        };
        let config = LogConfig {
            durability,
            segment_bytes: self.rng.between(8 << 10, 128 << 10),
            retention_bytes: if self.rng.chance(0.3) {
                self.rng.between(16 << 10, 256 << 10) as i64
            } else {
                -1
            },
            file_delete_delay_ms: 20,
            index_interval_bytes: 1024,
            ..LogConfig::default()
        };
        let slot = self.store.create(id, &name, config.clone(), LeaderEpoch(0)).expect("a new log");
        model.logs.insert(id, LogModel::new(name, config));
        self.mine.push(Mine { id, slot });
    }

    fn delete(&mut self) {
        let n = self.rng.below(self.mine.len() as u64) as usize;
        let mine = self.mine.swap_remove(n);
        self.store.delete(mine.slot);
        let mut model = self.shared.lock();
        let log = model.logs.remove(&mine.id).unwrap();
        model.leaving.insert(mine.id, log.name);
        self.asked.retain(|_, asked| asked.mine.id != mine.id);
        self.by_time.retain(|_, id| *id != mine.id);
    }

    fn batch(&mut self, producer: Option<(usize, i32)>) -> Vec<u8> {
        let records = self.rng.between(1, 5);
        let large = self.rng.chance(0.03);
        let mut builder = BatchBuilder::new();
        if let Some((producer, sequence)) = producer {
            builder =
                builder.producer(ProducerId(1000 + producer as i64), ProducerEpoch(0), sequence);
        }
        for _ in 0..records {
            let len =
                if large { self.rng.between(4_000, 20_000) } else { self.rng.between(0, 1_500) };
            let value = self.rng.next_u64().to_le_bytes().repeat(len as usize / 8);
            builder
                .append(Some(b"key"), Some(&value), Timestamp(self.io.wall()), &[])
                .expect("a record");
        }
        builder.build().expect("a batch")
    }

    fn append(&mut self) {
        let Some(mine) = self.any() else { return };
        let producer = match self.rng.below(3) {
            n @ 0..=1 => {
                let sequence =
                    self.shared.lock().logs[&mine.id].producers[n as usize].next_sequence;
                Some((n as usize, sequence))
            }
            _ => None,
        };
        let bytes = self.batch(producer);
        let stamp = self.rng.chance(0.1).then(|| self.io.wall());
        let appended = match self.store.append(mine.slot, &bytes, stamp) {
            Ok(appended) => appended,
            Err(AppendError::Busy) => {
                self.shared.lock().busy += 1;
                return;
            }
            Err(AppendError::Storage(error)) if error.is_full() => {
                self.shared.lock().refused += 1;
                return;
            }
            Err(error) => panic!("{:?}: {error}", mine.id),
        };
        let mut model = self.shared.lock();
        model.appended += 1;
        let log = model.logs.get_mut(&mine.id).unwrap();
        let (base, end) = (appended.base_offset.0, appended.end_offset.0);
        assert!(!appended.duplicate, "{:?}: {base}..{end} taken for a duplicate", mine.id);
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!(end - base, i64::from(header.last_offset_delta) + 1);
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
        if let Some((n, sequence)) = producer {
            let next_sequence = sequence + header.records_count;
            let producer = &mut log.producers[n];
            producer.next_sequence = next_sequence;
            producer.sent.push(Sent { base, end, next_sequence, bytes });
        }
    }

    /// A producer that saw no answer sends again: the answer must be the first append's.
    fn repeat(&mut self) {
        let Some(mine) = self.any() else { return };
        let n = self.rng.below(2) as usize;
        let back = self.rng.below(5) as usize;
        let sent =
            self.shared.lock().logs[&mine.id].producers[n].sent.iter().rev().nth(back).cloned();
        let Some(sent) = sent else { return };
        match self.store.append(mine.slot, &sent.bytes, None) {
            Ok(again) => {
                assert!(again.duplicate, "{:?}: {sent:?} was appended twice", mine.id);
                assert_eq!(
                    (again.base_offset.0, again.end_offset.0),
                    (sent.base, sent.end),
                    "{:?}",
                    mine.id
                );
                self.shared.lock().duplicates += 1;
            }
            Err(error) => panic!("{:?}: a repetition was refused: {error}", mine.id),
        }
    }

    fn delete_records(&mut self) {
        let Some(mine) = self.any() else { return };
        let offsets = self.store.offsets(mine.slot);
        let span = (offsets.high_watermark.0 - offsets.log_start.0) as u64;
        let to = offsets.log_start.0 + self.rng.below(span + 1) as i64;
        let start =
            self.store.delete_records(mine.slot, Offset(to)).expect("below the high watermark");
        assert_eq!(start.0, to);
    }

    fn raise_epoch(&mut self) {
        let Some(mine) = self.any() else { return };
        let mut model = self.shared.lock();
        let log = model.logs.get_mut(&mine.id).unwrap();
        log.epoch += 1;
        self.store.set_epoch(mine.slot, LeaderEpoch(log.epoch));
    }

    fn read(&mut self) {
        let Some(mine) = self.any() else { return };
        let offsets = self.store.offsets(mine.slot);
        let span = (offsets.log_end.0 - offsets.log_start.0) as u64;
        let from = offsets.log_start.0 + self.rng.below(span + 1) as i64;
        let upto = offsets.high_watermark.0;
        let max = self.rng.between(1, 50_000) as usize;
        let at_least_one = self.rng.chance(0.7);
        match self
            .store
            .read(mine.slot, Offset(from), Offset::MAX, max, at_least_one)
            .expect("in range")
        {
            Read::Ready(batches) => {
                let mut model = self.shared.lock();
                model.reads += 1;
                let next = model.logs[&mine.id].check_read(mine.id, from, upto, &batches);
                assert!(
                    !at_least_one || next > from || from >= upto,
                    "{:?}: nothing at {from} of {offsets:?}",
                    mine.id
                );
            }
            Read::Pending(token) => {
                if self.rng.chance(0.1) {
                    self.store.forget_read(token);
                } else {
                    self.asked.insert(token, Asked { mine, from, upto, verify: false });
                }
            }
        }
    }

    fn look_up(&mut self) {
        let Some(mine) = self.any() else { return };
        let token = if self.rng.chance(0.5) {
            self.store.offset_for_time(mine.slot, self.io.wall() - self.rng.below(200) as i64)
        } else {
            self.store.offset_of_max_timestamp(mine.slot)
        };
        self.by_time.insert(token, mine.id);
    }

    // ---- events ---------------------------------------------------------------------------------

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Advanced(slot) => {
                let Some(mine) = self.mine.iter().find(|mine| mine.slot == slot).copied() else {
                    return;
                };
                let offsets = self.store.offsets(slot);
                self.shared.lock().logs.get_mut(&mine.id).unwrap().saw(mine.id, offsets);
            }
            Event::ReadDone { token, result } => {
                let Some(asked) = self.asked.remove(&token) else {
                    return;
                };
                let id = asked.mine.id;
                match result {
                    Ok(batches) => {
                        let mut model = self.shared.lock();
                        model.cold += 1;
                        let next = model.logs[&id].check_read(id, asked.from, asked.upto, &batches);
                        drop(model);
                        if asked.verify {
                            assert!(next > asked.from, "{id:?}: nothing on disk at {}", asked.from);
                            if let Phase::Verify(walk) = &mut self.phase {
                                walk.push((asked.mine, next));
                            }
                        }
                    }
                    // The log start has overtaken the read.
                    Err(storage::ReadError::OutOfRange { .. }) if !asked.verify => {
                        let start = self.store.offsets(asked.mine.slot).log_start.0;
                        assert!(
                            asked.from < start,
                            "{id:?}: out of range at {} with start {start}",
                            asked.from
                        );
                    }
                    Err(error) => panic!("{id:?} from {}: {error}", asked.from),
                }
            }
            Event::TimeFound { token, result } => {
                let Some(id) = self.by_time.remove(&token) else {
                    return;
                };
                let found = result.unwrap_or_else(|error| panic!("{id:?} by time: {error}"));
                let model = self.shared.lock();
                if let Some(found) = found {
                    assert!(found.offset.0 < model.logs[&id].end(), "{id:?}: {found:?}");
                }
            }
            Event::LogStartMoved(slot) => {
                let Some(mine) = self.mine.iter().find(|mine| mine.slot == slot).copied() else {
                    return;
                };
                let mut model = self.shared.lock();
                let log = model.logs.get_mut(&mine.id).unwrap();
                log.start_durable = log.start_durable.max(self.store.durable_log_start(slot).0);
            }
            Event::Deleted(id) => {
                self.shared.lock().leaving.remove(&id);
            }
            Event::Room | Event::Space { .. } => {}
            Event::Stopped => {
                self.phase = Phase::Done;
                let left = self.store.left();
                let mut life = self.shared.life.lock().unwrap();
                life.stopped += 1;
                life.left |= left.why.is_some();
                assert!(left.why.is_some() || left.logs == 0 && left.open == 0, "{left:?}");
            }
            Event::LogFailed { slot, reason } => panic!("{slot:?} failed: {reason}"),
            Event::ChainFailed { reason } => panic!("the chain failed: {reason}"),
        }
    }

    fn look(&mut self) {
        let mut model = self.shared.lock();
        for mine in &self.mine {
            let offsets = self.store.offsets(mine.slot);
            model.logs.get_mut(&mine.id).unwrap().saw(mine.id, offsets);
        }
    }
}

const TICK: u64 = 7;

impl Program for Load {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> Turn {
        if self.mesh.receive().is_some() {
            return Turn::Done;
        }
        let mut ticked = false;
        for event in events.drain(..) {
            match event {
                netio::Event::Written { token, result } => {
                    assert!(self.store.on_written(token, result))
                }
                netio::Event::Timer { token: TICK } => ticked = true,
                netio::Event::Timer { token } => assert!(self.store.on_timer(token)),
                netio::Event::Stop if matches!(self.phase, Phase::Work | Phase::Verify(_)) => {
                    self.asked.clear();
                    self.by_time.clear();
                    self.phase = Phase::Stopping;
                    self.store.stop();
                }
                _ => {}
            }
        }
        if matches!(self.phase, Phase::Work) && (ticked || self.names == 0) {
            self.names = self.names.max(1);
            self.work();
            self.io.timer(self.io.now().after_us(self.rng.between(1, 800)), TICK);
        }
        self.store.settle();
        while let Some(event) = self.store.take_event() {
            self.on_event(event);
        }
        self.verify();
        if matches!(self.phase, Phase::Work) && self.names == 0 {
            self.io.want_turn();
        }
        self.look();
        match self.phase {
            Phase::Done => Turn::Done,
            _ => Turn::Rest,
        }
    }
}
