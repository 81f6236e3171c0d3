//! Damaged bytes, failing writes and full disks: what is found, what is refused, what goes on.
use netio::{
    Boot, Io, Program, Turn,
    sim::{FileOp, NodeId, NodeOptions, Sim, SimOptions},
};
use record::{BatchBuilder, LeaderEpoch, Offset, Timestamp, TopicId};
use std::sync::{Arc, Mutex};
use storage::{
    AppendError, Durability, Error, Event, Left, LogConfig, LogId, LogSlot, Options, Read,
    ReadError, Recovery, RecoveryReport, Store,
};

const EIO: i32 = 5;
const LOG: LogId = LogId { topic: TopicId([7; 16]), partition: 0 };
const SECOND: u64 = 1_000_000_000;

type Order = Box<dyn FnOnce(&mut Store, LogSlot) + Send>;

/// What the test and the program share: orders in, facts out.
#[derive(Default)]
struct Bench {
    orders: Vec<Order>,
    events: Vec<Event>,
    report: Option<RecoveryReport>,
    reads: Vec<Result<Read, ReadError>>,
    refused: Vec<AppendError>,
    offsets: storage::Offsets,
    stats: storage::Stats,
    ready: bool,
    turns: u64,
    /// Of a store that has stopped.
    left: Option<Left>,
}
type Shared = Arc<Mutex<Bench>>;

struct Host {
    io: Io,
    store: Store,
    slot: LogSlot,
    shared: Shared,
}

impl Program for Host {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                netio::Event::Written { token, result } => {
                    assert!(self.store.on_written(token, result))
                }
                netio::Event::Timer { token: 1 } => {
                    self.io.timer(self.io.now().after_ms(1), 1);
                }
                netio::Event::Timer { token } => assert!(self.store.on_timer(token)),
                netio::Event::Stop => self.store.stop(),
                _ => {}
            }
        }
        let orders = std::mem::take(&mut self.shared.lock().unwrap().orders);
        for order in orders {
            order(&mut self.store, self.slot);
        }
        self.store.settle();
        let mut shared = self.shared.lock().unwrap();
        let mut turn = Turn::Rest;
        while let Some(event) = self.store.take_event() {
            if matches!(event, Event::Stopped) {
                turn = Turn::Done;
                shared.left = Some(self.store.left());
            }
            shared.events.push(event);
        }
        shared.offsets = self.store.offsets(self.slot);
        shared.ready = true;
        shared.turns += 1;
        turn
    }
}

fn options() -> Options {
    Options {
        wal_file_bytes: 256 << 10,
        wal_first_file_bytes: 256 << 10,
        unflushed_bytes_max: 1 << 20,
        group_bytes: 64 << 10,
        reserve_bytes: 0,
        // Nothing is flushed unless a test wants it.
        flush_bytes: 1 << 30,
        flush_age_ms: 3_600_000,
        ..Options::new("data")
    }
}

fn boot(shared: &Shared, options: Options) -> Vec<Boot<()>> {
    let shared = shared.clone();
    *shared.lock().unwrap() = Bench::default();
    let boot: Boot<()> = Box::new(move |io, _mesh| {
        Box::pin(async move {
            let recovery = Recovery::scan(&io, &options).await.expect("readable");
            let known = |id: LogId| (id == LOG).then(|| ("topic".to_owned(), LogConfig::default()));
            let (logs, report) = recovery.finish(known).await.expect("recovered");
            let mut store = Store::open(io.clone(), options, logs).await.expect("open");
            let slot = match store.find(LOG) {
                Some(slot) => slot,
                None => {
                    store.create(LOG, "topic", LogConfig::default(), LeaderEpoch(0)).expect("new")
                }
            };
            let epoch = LeaderEpoch(store.epoch(slot).0 + 1);
            store.set_epoch(slot, epoch);
            shared.lock().unwrap().report = Some(report);
            io.timer(io.now().after_ms(1), 1);
            Box::new(Host { io, store, slot, shared }) as Box<dyn Program>
        })
    });
    vec![boot]
}

fn batch(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(None, Some(&vec![b'x'; bytes]), Timestamp(1_000), &[]).expect("a record");
    builder.build().expect("a batch")
}

struct Case {
    sim: Sim,
    node: NodeId,
    shared: Shared,
    options: Options,
}

impl Case {
    fn new(options: Options) -> Case {
        let shared = Shared::default();
        let mut sim = Sim::new(SimOptions::seeded(1));
        let node = sim.add_node(NodeOptions::default(), boot(&shared, options.clone()));
        let mut case = Case { sim, node, shared, options };
        case.until("ready", |bench| bench.ready);
        case
    }
    fn until(&mut self, what: &str, done: impl Fn(&Bench) -> bool) {
        let shared = self.shared.clone();
        let came = self.sim.run_until(30 * SECOND, |_| done(&shared.lock().unwrap()));
        assert!(came, "never {what}: {:?}", self.shared.lock().unwrap().events);
    }
    fn order(&mut self, order: impl FnOnce(&mut Store, LogSlot) + Send + 'static) {
        let turns = {
            let mut bench = self.shared.lock().unwrap();
            bench.orders.push(Box::new(order));
            bench.turns
        };
        self.until("a turn", |bench| bench.orders.is_empty() && bench.turns > turns);
    }
    /// One frame each: an append, and its ack.
    fn append_acked(&mut self, bytes: usize) {
        let before = self.shared.lock().unwrap().offsets.high_watermark;
        // A flush that meets slow operations of the disk makes an append wait.
        while let Some(refused) = self.try_append(bytes) {
            assert_eq!(refused, AppendError::Busy);
            self.sim.run_for(SECOND / 1_000);
        }
        self.until("acked", |bench| bench.offsets.high_watermark > before);
    }
    fn try_append(&mut self, bytes: usize) -> Option<AppendError> {
        let (batch, shared) = (batch(bytes), self.shared.clone());
        self.order(move |store, slot| {
            if let Err(error) = store.append(slot, &batch, None) {
                shared.lock().unwrap().refused.push(error);
            }
        });
        self.shared.lock().unwrap().refused.pop()
    }
    fn read(&mut self, from: i64) -> Result<usize, ReadError> {
        let shared = self.shared.clone();
        self.order(move |store, slot| {
            let read = store.read(slot, Offset(from), Offset::MAX, 1 << 20, true);
            shared.lock().unwrap().reads.push(read);
        });
        let read = self.shared.lock().unwrap().reads.pop().expect("read");
        let token = match read? {
            Read::Ready(batches) => return Ok(batches.iter().map(|batch| batch.len()).sum()),
            Read::Pending(token) => token,
        };
        let done = move |event: &Event| matches!(event, Event::ReadDone { token: other, .. } if *other == token);
        self.until("read", move |bench| bench.events.iter().any(done));
        let mut bench = self.shared.lock().unwrap();
        let at = bench.events.iter().position(done).expect("there");
        match bench.events.swap_remove(at) {
            Event::ReadDone { result, .. } => {
                result.map(|batches| batches.iter().map(|batch| batch.len()).sum())
            }
            other => panic!("{other:?}"),
        }
    }
    fn restart(&mut self) -> RecoveryReport {
        self.sim.kill(self.node);
        self.start()
    }
    /// As SIGTERM does it; what the store says of its end.
    fn stop(&mut self) -> Left {
        self.sim.stop(self.node);
        let node = self.node;
        let ended = self.sim.run_until(30 * SECOND, |sim| sim.has_ended(node));
        assert!(ended, "the store does not stop");
        let left = self.shared.lock().unwrap().left.clone();
        left.expect("it says what is left")
    }
    /// A process after one that has ended.
    fn start(&mut self) -> RecoveryReport {
        self.sim.restart(self.node, boot(&self.shared, self.options.clone()));
        self.until("ready", |bench| bench.ready);
        let report = self.shared.lock().unwrap().report.clone();
        report.expect("a report")
    }
    fn offsets(&self) -> storage::Offsets {
        self.shared.lock().unwrap().offsets
    }
}

const FILE: &str = "data/wal/0-1.wal";

/// Positions of frames in the first WAL file, by their magic.
fn frames(case: &Case) -> Vec<u64> {
    let bytes = case.sim.disk(case.node).read(FILE).expect("the file");
    let at = |block: usize| bytes[block * 4096..].starts_with(b"millwal\x01");
    (0..bytes.len() / 4096).filter(|block| at(*block)).map(|block| block as u64 * 4096).collect()
}

#[test]
fn a_damaged_batch_inside_acked_data_is_fenced() {
    let mut case = Case::new(options());
    for _ in 0..6 {
        case.append_acked(500);
    }
    let frames = frames(&case);
    // A byte of the batch in a frame in the middle: the third append.
    let third = frames[frames.len() - 4];
    case.sim.disk(case.node).flip(FILE, third + 128 + 300, 1).expect("flipped");
    let report = case.restart();
    assert_eq!(report.damaged.len(), 1, "{report:?}");
    assert!(
        report.damaged[0].file.ends_with("0-1.wal") && report.damaged[0].position == third + 128,
        "{report:?}"
    );
    assert_eq!(case.offsets().log_end, Offset(6), "no offset is given again");
    assert_eq!(case.read(2), Err(ReadError::Damaged { offset: Offset(2), next: Offset(3) }));
    assert!(case.read(0).is_ok_and(|bytes| bytes > 1_000), "what is before it is served");
    assert!(case.read(3).is_ok_and(|bytes| bytes > 1_500), "what is behind it is served");
    // The fence outlives the next start.
    case.append_acked(10);
    let report = case.restart();
    assert_eq!(report.damaged, [], "reported once");
    assert_eq!(case.read(2), Err(ReadError::Damaged { offset: Offset(2), next: Offset(3) }));
    assert!(case.read(6).is_ok_and(|bytes| bytes > 60));
}

#[test]
fn a_lost_frame_inside_acked_data_is_a_hole_that_readers_see() {
    let mut case = Case::new(options());
    for _ in 0..6 {
        case.append_acked(500);
    }
    let frames = frames(&case);
    case.sim.disk(case.node).flip(FILE, frames[frames.len() - 4] + 50, 1).expect("flipped");
    let report = case.restart();
    assert_eq!(report.damaged.len(), 1, "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(6));
    assert_eq!(case.read(2), Err(ReadError::Damaged { offset: Offset(2), next: Offset(3) }));
    assert!(case.read(3).is_ok_and(|bytes| bytes > 1_500));
}

#[test]
fn the_last_frame_without_a_successor_is_the_torn_tail() {
    let mut case = Case::new(options());
    for _ in 0..4 {
        case.append_acked(500);
    }
    let last = *frames(&case).last().expect("frames");
    case.sim.disk(case.node).flip(FILE, last + 128 + 300, 1).expect("flipped");
    let report = case.restart();
    assert_eq!((report.torn_frames, report.damaged.len()), (1, 0), "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(3));
}

// ---- versions -----------------------------------------------------------------------------------

/// Every file and its bytes.
fn image(case: &Case) -> Vec<(String, Vec<u8>)> {
    let disk = case.sim.disk(case.node);
    let files = disk.list().into_iter();
    files
        .map(|(name, _)| {
            let bytes = disk.read(&name).unwrap_or_default();
            (name, bytes)
        })
        .collect()
}

struct NotStarted;

impl Program for NotStarted {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> Turn {
        events.clear();
        Turn::Done
    }
}

/// Starts on what the process that ended has left, and expects that this is refused and changes
/// nothing.
fn refused(case: &mut Case) -> Error {
    let before = image(case);
    let options = case.options.clone();
    let (told, said) = std::sync::mpsc::channel();
    let boot: Boot<()> = Box::new(move |io, _mesh| {
        Box::pin(async move {
            let scanned = Recovery::scan(&io, &options).await;
            told.send(scanned.map(drop)).expect("the test waits");
            Box::new(NotStarted) as Box<dyn Program>
        })
    });
    case.sim.restart(case.node, vec![boot]);
    let node = case.node;
    assert!(case.sim.run_until(30 * SECOND, |sim| sim.has_ended(node)));
    assert_eq!(image(case), before, "a refused start has changed something");
    said.recv().expect("an outcome").expect_err("refused")
}

/// The frames of the first file are of another version: all of them, as a program writes a chain in
/// one version.
fn set_version(case: &Case, magic: u8, version: u32) {
    let disk = case.sim.disk(case.node);
    let mut bytes = disk.read(FILE).expect("the file");
    for at in frames(case) {
        let at = at as usize;
        bytes[at + 7] = magic;
        bytes[at + 8..at + 12].copy_from_slice(&version.to_le_bytes());
        // Where the checksum is now, and of what, we do not know.
        bytes[at + 90..at + 128].fill(0xc3);
    }
    disk.put(FILE, &bytes).expect("put");
}

#[test]
fn a_newer_write_ahead_log_is_refused_and_left_as_it_is() {
    for (magic, version, text) in [(1, 3, "of version 3"), (2, 7, "of version 2/7")] {
        let mut case = Case::new(options());
        for _ in 0..4 {
            case.append_acked(500);
        }
        case.sim.kill(case.node);
        set_version(&case, magic, version);
        let error = refused(&mut case);
        assert!(matches!(error, Error::Version { .. }), "{error:?}");
        let error = error.to_string();
        assert!(
            error.contains(FILE) && error.contains(text) && error.contains("knows 1 and 2"),
            "{error}"
        );
    }
}

#[test]
fn frames_of_a_newer_program_that_are_garbage_of_an_earlier_start_do_not_matter() {
    let mut case = Case::new(options());
    for _ in 0..4 {
        case.append_acked(500);
    }
    assert_eq!(case.stop(), Left::default());
    // A newer program wrote this file, and stopped cleanly; ours has started since, and uses its
    // files again.
    set_version(&case, 1, 3);
    case.start();
    case.append_acked(500);
    let report = case.restart();
    assert_eq!((report.torn_frames, &report.damaged[..]), (0, &[][..]));
    assert_eq!(case.offsets().log_end, Offset(5));
}

#[test]
fn an_entry_of_an_unknown_kind_is_no_torn_tail() {
    let mut case = Case::new(options());
    for _ in 0..3 {
        case.append_acked(500);
    }
    case.sim.kill(case.node);
    let last = *frames(&case).last().expect("frames") as usize;
    let disk = case.sim.disk(case.node);
    let mut bytes = disk.read(FILE).expect("the file");
    let u32_at = |bytes: &[u8], at: usize| {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    };
    let frame = &mut bytes[last..];
    let table_at = u32_at(frame, 68) as usize;
    let table = table_at..table_at + 48 * u32_at(frame, 72) as usize;
    frame[table_at] = 9;
    let crc = record::checksum(&frame[table]);
    frame[80..84].copy_from_slice(&crc.to_le_bytes());
    let crc = record::checksum(&frame[..124]);
    frame[124..128].copy_from_slice(&crc.to_le_bytes());
    disk.put(FILE, &bytes).expect("put");
    let error = refused(&mut case).to_string();
    assert!(
        error.contains(FILE) && error.contains("of version 9") && error.contains("1 to 8"),
        "{error}"
    );
}

#[test]
fn a_newer_checkpoint_is_refused_by_name() {
    for name in ["data/wal/recovered.checkpoint", "data/wal/0.checkpoint"] {
        let mut case = Case::new(options());
        case.append_acked(500);
        assert_eq!(case.stop(), Left::default());
        let disk = case.sim.disk(case.node);
        let mut bytes = disk.read(name).expect("there");
        bytes[8..12].copy_from_slice(&9u32.to_le_bytes());
        let end = bytes.len();
        bytes[end - 4..].fill(0x77);
        disk.put(name, &bytes).expect("put");
        let error = refused(&mut case).to_string();
        assert!(error.contains(name) && error.contains("of version 9"), "{error}");
    }
}

#[test]
fn a_directory_with_a_newer_partition_metadata_is_not_set_aside() {
    let mut case = Case::new(options());
    case.append_acked(500);
    assert_eq!(case.stop(), Left::default());
    let disk = case.sim.disk(case.node);
    let log = disk.read("data/kafka/topic-0/00000000000000000000.log");
    let moved = "data/kafka/topic-0/partition.metadata";
    // Nobody names it: its checkpoints are gone, as those of a directory that was put there.
    for name in ["recovered", "0"] {
        disk.remove(&format!("data/wal/{name}.checkpoint")).expect("removed");
    }
    let files: Vec<_> = disk.list();
    for (name, _) in files {
        if name.starts_with("data/wal/") {
            disk.remove(&name).expect("removed");
        }
    }
    disk.put(moved, b"version: 1\ntopic_id: BwcHBwcHBwcHBwcHBwcHBw").expect("put");
    let error = refused(&mut case).to_string();
    assert!(error.contains(moved) && error.contains("of version 1"), "{error}");
    assert_eq!(disk.read("data/kafka/topic-0/00000000000000000000.log"), log);
}

/// Crash shown: a recovery makes the directory of a log that only the chain knows, with its syncs
/// left to the end, and the power goes: the segment's name is on the device, and the file that says
/// whose it is is not. The next start took that for a stranger's.
#[test]
fn a_directory_that_a_recovery_had_begun_is_made_anew() {
    let mut case = Case::new(options());
    case.append_acked(500);
    case.append_acked(500);
    case.sim.kill(case.node);
    let disk = case.sim.disk(case.node);
    assert!(disk.list().iter().all(|(name, _)| !name.contains("topic-0")), "not flushed yet");
    disk.put("data/kafka/topic-0/00000000000000000000.log", &[0; 4096]).expect("put");
    let report = case.start();
    assert_eq!((report.strays, report.damaged), (vec![], vec![]));
    assert!(case.read(0).is_ok_and(|bytes| bytes > 1_000), "what was acked is served");
}

// ---- missing segments ---------------------------------------------------------------------------

/// A log of ten batches in five segments, two batches each, which has ended: cleanly, or by a kill
/// that leaves nothing unflushed.
fn segments(cleanly: bool) -> Case {
    let mut case = Case::new(Options { flush_bytes: 1, flush_age_ms: 20, ..options() });
    case.order(|store, slot| {
        let small = LogConfig { segment_bytes: 13_000, ..LogConfig::default() };
        store.set_config(slot, small);
    });
    for n in 1..=10 {
        case.append_acked(6_000);
        case.until("flushed", |bench| bench.offsets.flushed == Offset(n));
    }
    assert_eq!(case.stop(), Left::default());
    case.options = options();
    case.start();
    match cleanly {
        true => assert_eq!(case.stop(), Left::default()),
        false => case.sim.kill(case.node),
    }
    case
}

fn segment(base: i64, suffix: &str) -> String {
    format!("data/kafka/topic-0/{base:020}.{suffix}")
}

/// Every offset that is not in `gap` is served, every one in it is damage, and no read goes over
/// it.
fn check_gap(case: &mut Case, gap: std::ops::Range<i64>) {
    for offset in 0..10 {
        let read = case.read(offset);
        if gap.contains(&offset) {
            let expected = ReadError::Damaged { offset: Offset(offset), next: Offset(gap.end) };
            assert_eq!(read, Err(expected), "at {offset}");
        } else {
            let upto = if offset < gap.start { gap.start } else { 10 };
            let bytes = read.unwrap_or_else(|error| panic!("at {offset}: {error}"));
            // Two small ones may be behind them.
            let most = (upto - offset) as usize * 6_200 + 2_000;
            assert!(bytes > 6_000 && bytes <= most, "{bytes} at {offset}");
        }
    }
}

#[test]
fn a_missing_segment_is_found_at_the_start_and_served_as_damage() {
    // The first, one in the middle, the last closed one, the active one.
    for base in [0, 4, 6, 8] {
        for cleanly in [true, false] {
            for whole in [true, false] {
                let mut case = segments(cleanly);
                let disk = case.sim.disk(case.node);
                let kept: Vec<_> = ["log", "index", "timeindex", "seal"]
                    .into_iter()
                    .filter(|suffix| whole || *suffix == "log")
                    .filter_map(|suffix| {
                        let name = segment(base, suffix);
                        let bytes = disk.read(&name).ok()?;
                        disk.remove(&name).expect("removed");
                        Some((name, bytes))
                    })
                    .collect();
                // At every start, and whatever comes between.
                for n in 0..2 {
                    let report = case.start();
                    let what = format!("{base}, {cleanly}, {whole}: {report:?}");
                    assert_eq!(report.damaged.len(), 1, "{what}");
                    assert!(report.damaged[0].file.ends_with(&segment(base, "log")), "{what}");
                    assert!(
                        report.damaged[0].what.contains(&format!("offsets {base}..{}", base + 2)),
                        "{what}"
                    );
                    assert_eq!(case.offsets().log_end, Offset(10 + n), "{what}");
                    check_gap(&mut case, base..base + 2);
                    case.append_acked(500);
                    match n {
                        0 => assert_eq!(case.stop(), Left::default()),
                        _ => case.sim.kill(case.node),
                    }
                }
                for (name, bytes) in kept {
                    disk.put(&name, &bytes).expect("put");
                }
                let report = case.start();
                assert_eq!(report.damaged, [], "{base}: it is back");
                check_gap(&mut case, 0..0);
                assert!(case.read(11).is_ok_and(|bytes| bytes > 500));
            }
        }
    }
}

#[test]
fn a_start_on_segments_that_are_all_there_reads_no_seal() {
    for cleanly in [true, false] {
        let mut case = segments(cleanly);
        case.sim.fail_always(case.node, FileOp::Open, ".seal", EIO);
        let report = case.start();
        assert_eq!(report.damaged, []);
        assert_eq!(case.offsets().log_end, Offset(10));
    }
}

#[test]
fn a_missing_directory_is_found_at_the_start_and_served_as_damage() {
    for cleanly in [true, false] {
        let mut case = segments(cleanly);
        let disk = case.sim.disk(case.node);
        for (name, _) in disk.list() {
            if name.starts_with("data/kafka/topic-0/") {
                disk.remove(&name).expect("removed");
            }
        }
        for n in 0..2 {
            let report = case.start();
            assert!(
                report.damaged.len() == 1 && report.damaged[0].what.contains("offsets 0..10"),
                "{report:?}"
            );
            assert_eq!(case.offsets().log_end, Offset(10 + n));
            check_gap(&mut case, 0..10);
            case.append_acked(500);
            assert!(case.read(10).is_ok_and(|bytes| bytes > 500));
            assert_eq!(case.stop(), Left::default());
        }
    }
}

#[test]
fn a_segment_cut_short_is_found_at_the_start_and_served_as_damage() {
    for (base, cleanly) in [(4, true), (4, false), (8, true), (8, false)] {
        let mut case = segments(cleanly);
        let disk = case.sim.disk(case.node);
        let name = segment(base, "log");
        let bytes = disk.read(&name).expect("there");
        disk.remove(&name).expect("removed");
        disk.put(&name, &bytes[..7_000]).expect("put");
        for n in 0..3 {
            let report = case.start();
            let what = format!("start {n}, {base}, {cleanly}: {report:?}");
            assert_eq!(report.damaged.len(), 1, "{what}");
            assert!(report.damaged[0].file.ends_with(&name), "{what}");
            assert!(case.read(base).is_ok_and(|bytes| bytes > 6_000), "{what}");
            let expected = ReadError::Damaged { offset: Offset(base + 1), next: Offset(base + 2) };
            assert_eq!(case.read(base + 1), Err(expected), "{what}");
            match base {
                4 => assert!(case.read(base + 2).is_ok_and(|bytes| bytes > 6_000)),
                _ => assert_eq!(case.offsets().log_end, Offset(10)),
            }
            match n {
                0 => case.sim.kill(case.node),
                _ => drop(case.stop()),
            }
        }
    }
}

#[test]
fn a_missing_index_is_made_again() {
    for base in [4, 8] {
        for cleanly in [true, false] {
            let mut case = segments(cleanly);
            let disk = case.sim.disk(case.node);
            for suffix in ["index", "timeindex"] {
                disk.remove(&segment(base, suffix)).expect("removed");
            }
            let report = case.start();
            assert_eq!(report.damaged, [], "{base}");
            check_gap(&mut case, 0..0);
            for _ in 0..3 {
                case.append_acked(6_000);
            }
            assert_eq!(case.stop(), Left::default(), "{base} {cleanly}");
            assert!(disk.read(&segment(base, "index")).is_ok());
        }
    }
}

/// Of the write-ahead log's files: no frame lies across a multiple of it.
const LANDMARK: u64 = 4 << 20;

/// Large files, and frames of about 900 kB: four and a little one up to the first landmark, four to
/// each next.
fn large() -> Case {
    Case::new(Options {
        wal_file_bytes: 32 << 20,
        wal_first_file_bytes: 32 << 20,
        unflushed_bytes_max: 64 << 20,
        group_bytes: 1 << 20,
        ..options()
    })
}

#[test]
fn a_start_reads_little_behind_the_end_of_what_was_written() {
    let mut case = large();
    for _ in 0..6 {
        case.append_acked(900_000);
    }
    let second = frames(&case)[5];
    assert_eq!(second, LANDMARK, "the fifth large frame begins at a landmark");
    let report = case.restart();
    assert_eq!(case.offsets().log_end, Offset(6));
    assert_eq!((report.frames, report.torn_frames), (7, 0), "{report:?}");
    // Of the file being written up to the landmark after the next; of the other one, if it was
    // there already, up to the first.
    let read = report.wal_bytes_read;
    assert!((12 << 20..=16 << 20).contains(&read), "{read} of 64 MiB");
    // The files serve again, and what was in them counts no more.
    case.append_acked(500);
    let report = case.restart();
    assert_eq!((report.frames, report.batches), (2, 1), "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(7));
    assert!(case.read(0).is_ok_and(|bytes| bytes > 900_000));
    let files = case.sim.disk(case.node).list();
    let wal = files
        .iter()
        .filter(|(name, _)| name.starts_with("data/wal/") && name.ends_with(".wal"))
        .count();
    assert!(wal <= 3, "{files:?}");
}

#[test]
fn damage_at_a_landmark_is_not_taken_for_the_end() {
    // The frame at the last landmark of all, with one behind it; and one at a landmark in the
    // middle.
    for (frames_in_all, landmark) in [(6, 1), (11, 1), (11, 2)] {
        let mut case = large();
        for _ in 0..frames_in_all {
            case.append_acked(900_000);
        }
        let at = landmark * LANDMARK;
        assert!(frames(&case).contains(&at), "{:?}", frames(&case));
        case.sim.disk(case.node).flip(FILE, at + 50, 1).expect("flipped");
        let report = case.restart();
        assert_eq!((report.torn_frames, report.damaged.len()), (0, 1), "{report:?}");
        assert_eq!(case.offsets().log_end, Offset(frames_in_all));
        let lost = landmark as i64 * 4;
        assert_eq!(
            case.read(lost),
            Err(ReadError::Damaged { offset: Offset(lost), next: Offset(lost + 1) })
        );
        assert!(case.read(lost + 1).is_ok_and(|bytes| bytes > 900_000));
    }
}

#[test]
fn damage_in_the_last_frame_of_a_full_file_is_not_taken_for_the_end() {
    let mut case = large();
    // Eight landmarks of four large frames each are the first file; the second one has one.
    for _ in 0..33 {
        case.append_acked(900_000);
    }
    let last = *frames(&case).last().expect("frames");
    case.sim.disk(case.node).flip(FILE, last + 50, 1).expect("flipped");
    let report = case.restart();
    assert_eq!((report.torn_frames, report.damaged.len()), (0, 1), "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(33));
}

#[test]
fn a_failed_write_makes_the_chain_read_only() {
    {
        let mut case = Case::new(options());
        case.append_acked(500);
        case.sim.fail_next(case.node, FileOp::Write, ".wal", EIO);
        assert_eq!(case.try_append(500), None, "the append itself is taken");
        case.until("failed", |bench| {
            bench.events.iter().any(|event| matches!(event, Event::ChainFailed { .. }))
        });
        assert_eq!(case.offsets().high_watermark, Offset(1), "no ack after the fault");
        let refused = case.try_append(500);
        assert!(matches!(refused, Some(AppendError::Storage(Error::Failed(_)))), "{refused:?}");
        assert!(case.read(0).is_ok_and(|bytes| bytes > 500), "reads go on");
        case.sim.clear_faults(case.node);
        let refused = case.try_append(500);
        assert!(
            matches!(refused, Some(AppendError::Storage(Error::Failed(_)))),
            "never tried again: {refused:?}"
        );
        let report = case.restart();
        assert_eq!(report.damaged, []);
        assert!(case.offsets().log_end >= Offset(1));
        case.append_acked(100);
    }
}

#[test]
fn a_batch_that_fits_no_file_is_too_large_and_one_that_fills_it_is_not() {
    let mut case = Case::new(Options {
        // Larger than a file: groups are held to what fits.
        group_bytes: 1 << 20,
        ..options()
    });
    let refused = case.try_append(256 << 10);
    assert!(matches!(refused, Some(AppendError::TooLarge { .. })), "{refused:?}");
    // Header, entry and batch header take less than a block.
    case.append_acked((256 << 10) - 4096);
    for _ in 0..20 {
        let refused = case.try_append(20_000);
        assert_eq!(refused, None, "many at once make groups that fit");
    }
    case.until("all acked", |bench| bench.offsets.high_watermark == bench.offsets.log_end);
    case.append_acked(500);
    case.restart();
    assert_eq!(case.offsets().log_end, Offset(22));
}

#[test]
fn a_failing_segment_makes_its_log_read_only() {
    let mut case = Case::new(Options { flush_bytes: 1, flush_age_ms: 20, ..options() });
    case.append_acked(500);
    case.sim.fail_always(case.node, FileOp::Write, "topic-0", EIO);
    case.append_acked(5_000);
    case.until("failed", |bench| {
        bench.events.iter().any(|event| matches!(event, Event::LogFailed { .. }))
    });
    let refused = case.try_append(500);
    assert!(matches!(refused, Some(AppendError::Storage(Error::Failed(_)))), "{refused:?}");
    assert!(case.read(0).is_ok_and(|bytes| bytes > 5_000), "reads go on");
    case.sim.clear_faults(case.node);
    case.restart();
    assert_eq!(case.offsets().log_end, Offset(2), "the write-ahead log had it");
    case.append_acked(100);
}

#[test]
fn below_the_reserve_appends_are_refused_and_come_back_by_themselves() {
    let reserve = 1 << 30;
    let mut case = Case::new(Options { reserve_bytes: reserve, ..options() });
    case.append_acked(500);
    let disk = case.sim.disk(case.node);
    let space = disk.space();
    disk.set_capacity(space.total_bytes - space.available_bytes + reserve / 2);
    case.append_acked(500);
    case.sim.run_for(3 * SECOND);
    let refused = case.try_append(500);
    assert!(matches!(refused, Some(AppendError::Storage(Error::Full(_)))), "{refused:?}");
    assert!(case.read(0).is_ok_and(|bytes| bytes > 1_000), "reads go on");
    disk.set_capacity(space.total_bytes);
    case.until("room", |bench| bench.events.iter().any(|event| matches!(event, Event::Room)));
    case.append_acked(500);
}

#[test]
fn a_stop_below_the_reserve_flushes_with_the_space_there_is() {
    let reserve = 1 << 30;
    let mut case = Case::new(Options { reserve_bytes: reserve, ..options() });
    let taken = 20;
    for _ in 0..taken {
        case.append_acked(500);
    }
    let disk = case.sim.disk(case.node);
    let space = disk.space();
    disk.set_capacity(space.total_bytes - space.available_bytes + reserve / 2);
    case.append_acked(500);
    let taken = taken + 1;
    case.sim.run_for(5 * SECOND / 2);
    assert!(case.try_append(500).is_some(), "below the reserve");
    assert_eq!(case.offsets().high_watermark, Offset(taken));
    assert_eq!(case.stop(), Left::default());
    let report = case.start();
    assert!(report.clean && report.damaged.is_empty(), "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(taken));
    assert!(case.read(0).is_ok_and(|bytes| bytes > 500));
}

/// The device is full from the first block on that a stop needs, from the second one, and so on
/// until the stop has all it needs.
#[test]
fn a_stop_that_runs_out_of_space_anywhere_leaves_the_rest_to_the_next_start() {
    let (mut stopped_clean, mut stopped_unclean) = (0, 0);
    for room in 0..60 {
        let mut case = Case::new(options());
        case.order(|store, slot| {
            let small = LogConfig { segment_bytes: 32 << 10, ..LogConfig::default() };
            store.set_config(slot, small);
        });
        for bytes in [500, 20_000, 3_000, 20_000, 9_000] {
            case.append_acked(bytes);
        }
        let disk = case.sim.disk(case.node);
        let space = disk.space();
        disk.set_capacity(space.total_bytes - space.available_bytes + room * 4096);
        let left = case.stop();
        disk.set_capacity(space.total_bytes);
        let report = case.start();
        assert_eq!(report.damaged, [], "{room} blocks");
        assert_eq!(case.offsets().log_end, Offset(5), "{room} blocks: {left:?}");
        for offset in 0..5 {
            assert!(case.read(offset).is_ok_and(|bytes| bytes > 500));
        }
        if left.logs > 0 {
            assert!(left.bytes > 0 && left.why.is_some(), "{left:?}");
            assert!(!report.clean && report.batches > 0, "{left:?} {report:?}");
        }
        match left.why {
            Some(_) => stopped_unclean += 1,
            None => {
                assert!(report.clean && report.batches == 0, "{report:?}");
                stopped_clean += 1;
            }
        }
    }
    assert!(
        stopped_clean > 5 && stopped_unclean > 5,
        "{stopped_clean} clean, {stopped_unclean} not"
    );
}

#[test]
fn a_stop_without_time_leaves_the_rest_to_the_next_start() {
    let mut case = large();
    // More than one flush takes.
    for _ in 0..24 {
        case.append_acked(900_000);
    }
    case.order(|store, _| store.stop());
    case.until("flushed in part", |bench| bench.offsets.flushed > Offset(0));
    case.order(|store, _| store.leave_rest("the time for a stop was over"));
    let left = case.stop();
    assert_eq!(left.why.as_deref(), Some("the time for a stop was over"), "{left:?}");
    assert!(left.logs == 1 && left.bytes > 900_000, "{left:?}");
    let report = case.start();
    // What was flushed is not replayed: the last checkpoint says so.
    assert!(!report.clean && (1..24).contains(&report.batches), "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(24));
}

#[test]
fn a_stop_of_a_log_that_failed_marks_nothing_clean() {
    let mut case = Case::new(options());
    case.append_acked(500);
    case.sim.fail_always(case.node, FileOp::Write, "topic-0", EIO);
    let left = case.stop();
    assert!(
        left.logs == 1 && left.why.as_ref().is_some_and(|why| why.contains("topic-0")),
        "{left:?}"
    );
    case.sim.clear_faults(case.node);
    let report = case.start();
    assert!(!report.clean, "{report:?}");
    assert_eq!(case.offsets().log_end, Offset(1));
}

#[test]
fn a_full_device_stops_flushing_and_loses_nothing() {
    let mut case = Case::new(Options { flush_bytes: 1, flush_age_ms: 20, ..options() });
    case.append_acked(500);
    let disk = case.sim.disk(case.node);
    let space = disk.space();
    disk.set_capacity(space.total_bytes - space.available_bytes);
    for _ in 0..20 {
        let refused = case.try_append(20_000);
        assert!(
            matches!(
                refused,
                None | Some(AppendError::Storage(Error::Full(_)) | AppendError::Busy)
            ),
            "{refused:?}"
        );
        case.sim.run_for(SECOND / 10);
    }
    let end = case.offsets().high_watermark;
    assert!(end > Offset(1), "the write-ahead log takes what it has room for");
    assert!(
        !case
            .shared
            .lock()
            .unwrap()
            .events
            .iter()
            .any(|event| matches!(event, Event::LogFailed { .. } | Event::ChainFailed { .. }))
    );
    disk.set_capacity(space.total_bytes);
    case.sim.run_for(5 * SECOND);
    case.append_acked(500);
    let end = case.offsets().high_watermark;
    case.restart();
    assert_eq!(case.offsets().log_end, end);
}

#[test]
fn under_a_steady_load_files_of_the_log_are_used_again() {
    let mut case = Case::new(Options { flush_bytes: 256 << 10, ..options() });
    for _ in 0..800 {
        case.append_acked(16 << 10);
    }
    let shared = case.shared.clone();
    case.order(move |store, _| shared.lock().unwrap().stats = store.stats());
    let stats = case.shared.lock().unwrap().stats.clone();
    let filled = stats.wal_bytes / case.options.wal_file_bytes;
    assert!(filled > 50, "a steady load: {stats:?}");
    // What may be live at once, the one that is written, two that are ready; the first one is not
    // counted.
    let most = case.options.unflushed_bytes_max / case.options.wal_file_bytes + 2;
    assert!(stats.wal_files_made <= most, "{stats:?}");
    assert!(stats.wal_files_made + stats.wal_files_recycled >= filled, "{stats:?}");
    let files = case.sim.disk(case.node).list();
    let files = files.iter().filter(|(name, _)| name.ends_with(".wal"));
    assert!(files.count() as u64 <= most + 1);
}

#[test]
fn a_weaker_class_is_acked_earlier_and_a_stronger_one_takes_over() {
    let mut case = Case::new(options());
    case.order(|store, slot| {
        store
            .set_config(slot, LogConfig { durability: Durability::Memory, ..LogConfig::default() });
        let appended = store.append(slot, &batch(100), None).expect("room");
        assert!(store.offsets(slot).high_watermark >= appended.end_offset, "acked at once");
        let Ok(Read::Ready(batches)) = store.read(slot, Offset(0), Offset::MAX, 1 << 20, true)
        else {
            panic!("in memory")
        };
        assert_eq!(batches.len(), 1, "readable at once");
        store.set_config(slot, LogConfig::default());
    });
    case.until("durable", |bench| bench.offsets.durable == Offset(1));
    case.append_acked(100);
    assert_eq!(case.offsets().durable, Offset(2));
}

#[test]
fn groups_that_wait_for_the_disk_take_little_more_memory_than_their_bytes() {
    let mut case = Case::new(Options {
        wal_file_bytes: 4 << 20,
        wal_first_file_bytes: 4 << 20,
        unflushed_bytes_max: 64 << 20,
        ..options()
    });
    // Eight turns whose appends fill the queue of groups.
    for _ in 0..8 {
        let batch = batch(15_000);
        case.order(move |store, slot| while store.append(slot, &batch, None).is_ok() {});
        case.until("acked", |bench| bench.offsets.high_watermark == bench.offsets.log_end);
    }
    let shared = case.shared.clone();
    case.order(move |store, _| shared.lock().unwrap().stats = store.stats());
    let stats = case.shared.lock().unwrap().stats.clone();
    let (held, bytes) = (stats.group_memory_bytes, stats.cache_bytes);
    assert!(bytes > 3 << 20, "{stats:?}");
    assert!(held * 2 < bytes * 3, "{held} bytes hold {bytes}");
}
