//! Where scenarios run, batches, and the model that judges.
use bytes::Bytes;
use netio::{
    Boot, Event, Io, Program, Turn,
    sim::{NodeId, NodeOptions, Rng, Sim, SimOptions},
};
use record::{
    BatchBuilder, Batches, Compression, Header, LeaderEpoch, Offset, ProducerEpoch, ProducerId,
    Tail, Timestamp, TopicId,
};
use std::{future::Future, path::PathBuf, pin::Pin, sync::mpsc, time::Duration};
use storage::{
    LogConfig, LogId, ReadError,
    disk_log::{DiskLog, FlushedState},
    files::{Disk, DiskOptions},
};
pub(crate) use testkit::seeds;

pub(crate) const SECOND: u64 = 1_000_000_000;

/// A future on a core; gets the core and an empty directory.
pub(crate) type Scenario = fn(Io, PathBuf, u64) -> Pin<Box<dyn Future<Output = ()>>>;

struct End;
impl Program for End {
    fn turn(&mut self, _: &mut Vec<Event>) -> Turn {
        Turn::Done
    }
}

/// A core that runs one future and ends.
pub(crate) fn task<F: Future<Output = ()> + 'static>(
    f: impl FnOnce(Io) -> F + Send + 'static,
) -> Boot<()> {
    Box::new(move |io, _mesh| {
        Box::pin(async move {
            f(io).await;
            Box::new(End) as Box<dyn Program>
        })
    })
}

/// Runs it on the ring, on real files.
pub(crate) fn on_ring(name: &str, scenario: Scenario) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("segments-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let place = dir.clone();
    let boot = task(move |io| scenario(io, place, 1));
    let running =
        netio::start(netio::Options { cpus: vec![None], ..netio::Options::default() }, vec![boot]);
    let running = running.expect("io_uring is there");
    let (over, wait) = mpsc::channel();
    std::thread::spawn(move || over.send(running.join()));
    let joined = wait.recv_timeout(Duration::from_secs(120));
    joined.expect("the scenario hangs, or the core failed").expect("the core does not fail");
    std::fs::remove_dir_all(dir).unwrap();
}

/// Runs it in the simulation, for several seeds.
pub(crate) fn on_sim(scenario: Scenario) {
    for seed in seeds(4) {
        let mut sim = Sim::new(SimOptions { trace_lines: 40, ..SimOptions::seeded(seed) });
        run(&mut sim, move |io| scenario(io, "data".into(), seed));
    }
}

/// Runs one future on a node of its own, to its end.
pub(crate) fn run<F: Future<Output = ()> + 'static>(
    sim: &mut Sim,
    f: impl FnOnce(Io) -> F + Send + 'static,
) -> NodeId {
    let node = sim.add_node(NodeOptions::default(), vec![task(f)]);
    assert!(sim.run_until(600 * SECOND, |sim| sim.has_ended(node)), "the node hangs");
    node
}

/// Runs one future as the next process on a node.
pub(crate) fn again<F: Future<Output = ()> + 'static>(
    sim: &mut Sim,
    node: NodeId,
    f: impl FnOnce(Io) -> F + Send + 'static,
) {
    sim.restart(node, vec![task(f)]);
    assert!(sim.run_until(600 * SECOND, |sim| sim.has_ended(node)), "the node hangs");
}

pub(crate) fn id() -> LogId {
    LogId { topic: TopicId::from_random(1, 2), partition: 0 }
}
pub(crate) fn disk(io: &Io) -> Disk {
    Disk::new(io, DiskOptions { open_files_max: 12, producer_ids_max: 100 })
}

/// Small enough to roll often and to have several index entries in a segment.
pub(crate) fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 60_000,
        index_interval_bytes: 1_000,
        segment_ms: 1 << 50,
        file_delete_delay_ms: 10,
        ..LogConfig::default()
    }
}

/// A batch of the model.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) base: i64,
    pub(crate) end: i64,
    pub(crate) epoch: i32,
    /// Timestamp of each record.
    pub(crate) times: Vec<i64>,
    pub(crate) bytes: Bytes,
}

/// What a log must hold, and a source of more.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) rng: Rng,
    pub(crate) batches: Vec<Written>,
    pub(crate) end: i64,
    pub(crate) epoch: i32,
    sequence: i32,
    clock: i64,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::new(seed),
            batches: Vec::new(),
            end: 0,
            epoch: 0,
            sequence: 0,
            clock: 1_000_000,
        }
    }

    /// The next batch: 1 to 5 records of up to 800 bytes each (sometimes one of 30,000), any codec.
    pub(crate) fn batch(&mut self) -> Written {
        if self.rng.chance(0.03) {
            self.epoch += 1 + self.rng.below(2) as i32;
        }
        let count = 1 + self.rng.below(5) as i32;
        let codec = Compression::ALL[self.rng.below(5) as usize];
        let mut builder = BatchBuilder::new()
            .base_offset(Offset(self.end))
            .leader_epoch(LeaderEpoch(self.epoch))
            .producer(ProducerId(7), ProducerEpoch(0), self.sequence)
            .compression(codec);
        let mut times = Vec::new();
        for _ in 0..count {
            // Mostly forward, sometimes back.
            self.clock += self.rng.below(50) as i64 - 10;
            times.push(self.clock);
            let len = if self.rng.chance(0.02) { 30_000 } else { self.rng.below(800) as usize };
            let mut value: Vec<u8> =
                (0..len / 8 + 1).flat_map(|_| self.rng.next_u64().to_be_bytes()).collect();
            value.truncate(len);
            let headers: [Header<'_>; 0] = [];
            builder
                .append(
                    Some(&self.end.to_be_bytes()),
                    Some(&value),
                    Timestamp(self.clock),
                    &headers,
                )
                .unwrap();
        }
        let bytes = Bytes::from(builder.build().unwrap());
        let written = Written {
            base: self.end,
            end: self.end + i64::from(count),
            epoch: self.epoch,
            times,
            bytes,
        };
        self.end = written.end;
        self.sequence += count;
        self.batches.push(written.clone());
        written
    }

    /// Flushes `count` more batches.
    pub(crate) async fn flush(&mut self, log: &DiskLog, count: usize) -> FlushedState {
        let bytes = (0..count).map(|_| self.batch().bytes).collect();
        let state = log.flush(bytes).await.unwrap();
        assert_eq!(state.flushed, Offset(self.end));
        assert_eq!(state, log.state());
        state
    }

    /// What a read must return: whole batches from the one that holds `from` on.
    fn expected(&self, from: i64, bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for batch in self.batches.iter().filter(|batch| batch.end > from) {
            if out.len() >= bytes {
                break;
            }
            out.extend_from_slice(&batch.bytes);
        }
        assert!(out.len() >= bytes, "{} of {bytes} bytes from {from}", out.len());
        out.truncate(bytes);
        out
    }

    /// Reads from `from` once and compares; returns the offset behind.
    pub(crate) async fn read(&self, log: &DiskLog, from: i64, upto: i64, max_bytes: usize) -> i64 {
        let pieces = log.read(Offset(from), Offset(upto), max_bytes, true).await;
        let pieces =
            pieces.unwrap_or_else(|error| panic!("{error}: {:?}, {:?}", log.state(), log.fences()));
        let got: Vec<u8> = pieces.concat();
        assert!(!got.is_empty(), "nothing at {from} below {upto}");
        assert!(got == self.expected(from, got.len()), "other bytes at {from}");
        let mut batches = Batches::new(&got);
        let last = batches.by_ref().last().unwrap();
        assert_eq!(batches.tail(), Tail::Clean);
        let next = last.next_offset().0;
        assert!(next <= upto);
        assert!(
            got.len() <= max_bytes || got.len() == last.bytes().len(),
            "{} of {max_bytes}",
            got.len()
        );
        next
    }

    /// Reads all from `from` to the end.
    pub(crate) async fn read_all(&self, log: &DiskLog, from: i64, max_bytes: usize) {
        let mut at = from;
        while at < self.end {
            at = self.read(log, at, self.end, max_bytes).await;
        }
        assert_eq!(at, self.end);
        assert!(log.fences().is_empty(), "{:?}", log.fences());
    }

    /// Reads from `start` to the end and goes around damage: all bytes returned are right, and all
    /// that is missing is said to be. Returns the offsets said to be damaged.
    pub(crate) async fn read_around(&self, log: &DiskLog, start: i64) -> Vec<std::ops::Range<i64>> {
        let (mut at, mut damaged) = (start, Vec::new());
        while at < self.end {
            match log.read(Offset(at), Offset(self.end), 10_000, true).await {
                Ok(pieces) => {
                    let got: Vec<u8> = pieces.concat();
                    assert!(got == self.expected(at, got.len()), "other bytes at {at}");
                    at = Batches::new(&got)
                        .last()
                        .unwrap_or_else(|| panic!("nothing at {at}"))
                        .next_offset()
                        .0;
                }
                Err(ReadError::Damaged { offset, next }) => {
                    assert_eq!(offset, Offset(at));
                    assert!(next.0 > at && next.0 <= self.end, "{next} from {at}");
                    damaged.push(at..next.0);
                    at = next.0;
                }
                Err(error) => panic!("{error}"),
            }
        }
        damaged
    }

    /// Looks up times all over, and compares with the records.
    pub(crate) async fn check_times(&mut self, log: &DiskLog, log_start: i64, tries: u64) {
        let records: Vec<(i64, i64, i32)> = self
            .batches
            .iter()
            .flat_map(|b| {
                b.times.iter().enumerate().map(|(n, &time)| (b.base + n as i64, time, b.epoch))
            })
            .filter(|record| record.0 >= log_start)
            .collect();
        let (min, max) = (
            records.iter().map(|r| r.1).min().unwrap(),
            records.iter().map(|r| r.1).max().unwrap(),
        );
        for n in 0..tries {
            let time = match n {
                0 => 0,
                1 => max,
                2 => max + 1,
                _ => min + self.rng.below((max - min) as u64 + 1) as i64,
            };
            let upto = if n % 3 == 0 {
                self.end
            } else {
                log_start + self.rng.below((self.end - log_start) as u64 + 1) as i64
            };
            let want = records.iter().find(|r| r.1 >= time && r.0 < upto);
            let got = log.find_time(time, Offset(upto)).await.unwrap();
            assert_eq!(
                got.map(|t| (t.offset.0, t.timestamp, t.leader_epoch.0)),
                want.copied(),
                "time {time} below {upto}"
            );
        }
        let got = log.max_timestamp().await.unwrap().unwrap();
        let want = records.iter().find(|r| r.1 == max).unwrap();
        assert_eq!((got.offset.0, got.timestamp, got.leader_epoch.0), *want);
    }

    /// Forgets what reaches past `to`.
    pub(crate) fn truncate(&mut self, to: i64) {
        self.batches.retain(|batch| batch.end <= to);
        self.end = self.batches.last().map_or(0, |batch| batch.end);
        self.epoch += 1;
    }
}
