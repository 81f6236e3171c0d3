//! Figures of a store on this machine: what an append costs, how fast the write-ahead log takes
//! batches, how long a start after a crash takes.
//!
//! `cargo run --release -p storage --example figures -- DIRECTORY [PARTITIONS] [BATCH_BYTES]
//! [MIB]`;
//! the directory is made and must not exist.
use netio::{Boot, Event, Io, Program, Turn};
use record::{BatchBuilder, LeaderEpoch, Timestamp, TopicId};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};
use storage::{AppendError, LogConfig, LogId, LogSlot, Options, Recovery, Store};

#[derive(Clone, Debug)]
struct Work {
    data: PathBuf,
    partitions: usize,
    batch_bytes: usize,
    bytes: u64,
    /// Nothing is flushed: what a start has to replay at most.
    keep: bool,
    /// Stop cleanly at the end.
    clean: bool,
}

struct Writer {
    io: Io,
    store: Store,
    slots: Vec<LogSlot>,
    batch: Vec<u8>,
    work: Work,
    appended: u64,
    next: usize,
    append_ns: u64,
    began: u64,
    done: bool,
    out: Arc<Mutex<String>>,
}

impl Program for Writer {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                Event::Written { token, result } => drop(self.store.on_written(token, result)),
                Event::Timer { token } => drop(self.store.on_timer(token)),
                _ => {}
            }
        }
        let before = std::time::Instant::now();
        for _ in 0..64 {
            if self.appended >= self.work.bytes {
                break;
            }
            match self.store.append(self.slots[self.next], &self.batch, None) {
                Ok(_) => {
                    self.appended += self.batch.len() as u64;
                    self.next = (self.next + 1) % self.slots.len();
                }
                Err(AppendError::Busy) => break,
                Err(error) => panic!("{error}"),
            }
        }
        self.append_ns += before.elapsed().as_nanos() as u64;
        self.store.settle();
        let mut stopped = false;
        while let Some(event) = self.store.take_event() {
            stopped |= matches!(event, storage::Event::Stopped);
        }
        let durable = self.slots.iter().all(|slot| {
            let offsets = self.store.offsets(*slot);
            offsets.high_watermark == offsets.log_end
        });
        if self.appended >= self.work.bytes && durable && !self.done {
            self.done = true;
            let ns = self.io.now().0 - self.began;
            let batches = self.appended / self.batch.len() as u64;
            let stats = self.store.stats();
            *self.out.lock().unwrap() += &format!(
                "{} partitions, {} B batches: {:.0} MB/s durable, append {:.0} ns a batch, {} groups of {:.0} KiB, {} flushes, {} checkpoints\n",
                self.slots.len(),
                self.batch.len(),
                self.appended as f64 * 1e3 / ns as f64,
                self.append_ns as f64 / batches as f64,
                stats.wal_writes,
                stats.wal_bytes as f64 / 1024.0 / stats.wal_writes as f64,
                stats.flushes,
                stats.checkpoints,
            );
            if self.work.clean {
                self.store.stop();
            } else {
                return Turn::Done;
            }
        }
        match stopped {
            true => Turn::Done,
            false if self.appended < self.work.bytes => Turn::Again,
            false => Turn::Rest,
        }
    }
}

fn life(work: &Work) -> String {
    let out = Arc::new(Mutex::new(String::new()));
    let (work, shared) = (work.clone(), out.clone());
    let boot: Boot<()> = Box::new(move |io, _mesh| {
        Box::pin(async move {
            let max = 512 << 20;
            let mut options = Options { reserve_bytes: 0, ..Options::new(&work.data) };
            if work.keep {
                options = Options {
                    flush_bytes: 1 << 40,
                    flush_age_ms: 1 << 40,
                    unflushed_bytes_max: 4 * max,
                    ..options
                };
            }
            let began = io.now();
            let recovery = Recovery::scan(&io, &options).await.expect("readable");
            let (logs, report) = recovery
                .finish(|_| Some(("figures".into(), LogConfig::default())))
                .await
                .expect("recovered");
            let count = logs.len();
            let mut store = Store::open(io.clone(), options, logs).await.expect("open");
            *shared.lock().unwrap() += &format!(
                "start: {:.1} ms for {count} logs, {} MiB replayed (scan {} ms, segments {} ms)\n",
                io.now().since(began) as f64 / 1e6,
                report.bytes >> 20,
                report.scan_ms,
                report.replay_ms,
            );
            let slots = (0..work.partitions)
                .map(|partition| {
                    let id = LogId { topic: TopicId([1; 16]), partition: partition as i32 };
                    store.find(id).unwrap_or_else(|| {
                        store
                            .create(id, "figures", LogConfig::default(), LeaderEpoch(0))
                            .expect("new")
                    })
                })
                .collect();
            let mut builder = BatchBuilder::new();
            builder
                .append(None, Some(&vec![7; work.batch_bytes]), Timestamp(io.wall()), &[])
                .expect("a record");
            let batch = builder.build().expect("a batch");
            io.want_turn();
            let began = io.now().0;
            Box::new(Writer {
                io,
                store,
                slots,
                batch,
                work,
                appended: 0,
                next: 0,
                append_ns: 0,
                began,
                done: false,
                out: shared,
            }) as Box<dyn Program>
        })
    });
    let running =
        netio::start(netio::Options { cpus: vec![None], ..netio::Options::default() }, vec![boot])
            .expect("io_uring");
    running.join().expect("no panic");
    std::mem::take(&mut out.lock().unwrap())
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let data = PathBuf::from(arguments.next().expect("a directory that does not exist"));
    let mut number =
        |default: u64| arguments.next().map_or(default, |text| text.parse().expect("a number"));
    let (partitions, batch_bytes, mib) = (number(100) as usize, number(4096) as usize, number(256));
    let work = Work { data, partitions, batch_bytes, bytes: mib << 20, keep: true, clean: false };
    print!("nothing flushed, then a crash\n{}", life(&work));
    print!("after it\n{}", life(&Work { keep: false, bytes: 4 * work.bytes, ..work.clone() }));
    print!(
        "after a crash with flushing\n{}",
        life(&Work { keep: false, bytes: 1, clean: true, ..work.clone() })
    );
    print!("after a clean stop\n{}", life(&Work { bytes: 1, ..work }));
}
