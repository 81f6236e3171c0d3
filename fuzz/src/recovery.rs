//! A data directory whose files were changed at will: write-ahead log, checkpoints, segments,
//! indexes, seals, snapshots, epochs.
//!
//! ```text
//! byte 0: which directory; byte 1: bit 0: make checksums right again (a forger, not a fault); then edits:
//! file, kind, position (u16, big-endian), value, and for some kinds as many bytes as that says
//! ```
//! Whatever comes: no panic, an end in bounded time, and every byte served is in a batch whose CRC
//! holds, at rising offsets. After one flipped bit, every batch served is the one that was written.
//! `MILLRACE_FUZZ_SHOW=1` prints the edits of an input.
use crate::store::{self, Left, LeftLog};
use bytes::Bytes;
use netio::{
    Boot, Io, Program, Turn,
    sim::{DiskOptions, NodeOptions, Sim, SimOptions},
};
use record::{
    BatchBuilder, Batches, HEADER_SIZE, LeaderEpoch, Offset, Tail, Timestamp, checksum, header,
};
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::{Arc, Mutex},
};
use storage::{Event, LogId, LogSlot, Read, ReadError, Recovery, Store};

const EDITS_MAX: usize = 16;
const FILE_BYTES_MAX: usize = 256 << 10;
/// The simulated disk keeps holes in memory too, and a forged position may lie anywhere.
const DISK_BYTES: u64 = 16 << 20;
const PATIENCE_NS: u64 = 60_000_000_000;
/// Reads of one input: a forged log may have 2^60 offsets.
const READS_MAX: usize = 2_000;

/// Operations that leave the directories: creations, appends, pauses (flushes, checkpoints), and an
/// end.
const SCRIPTS: [&[u8]; 3] = [
    // Killed with segments and unflushed appends of two logs.
    b"\x00\x00\x00\x00\x01\x01\x01\x40\x20\x01\x61\x30\x01\x40\xf8\x0c\x00\xff\x0c\x00\xff\x01\x40\x21\x01\x01\x22\x01\x00\xff\x0c\x00\xff\
      \x01\x60\x23\x09\x00\x20\x01\x40\xf3\x0a\x00\x00\x01\x00\x41\x0c\x00\xff\x01\x41\x42\x01\x60\x43\x0c\x00\x20\x0f\x01\x00",
    // Stopped cleanly.
    b"\x00\x00\x00\x00\x01\x01\x01\x40\x20\x01\x61\x30\x01\x40\xf8\x0c\x00\xff\x01\x40\xf7\x0c\x00\xff\x01\x00\xf6\x0c\x00\xff\x0f\x00\x00",
    // A power cut, a recovery, a kill soon after.
    b"\x00\x00\x00\x01\x40\x20\x01\x40\x21\x01\x40\xf2\x0c\x00\xff\x01\x40\x22\x0c\x00\x40\x0f\x02\x00\x01\x40\x23\x0c\x00\x40\x01\x40\x24\
      \x00\x09\x01\x01\x41\x42\x0c\x00\x20\x0f\x01\x00",
];

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    thread_local! {
        static LEFT: Vec<Rc<Left>> = SCRIPTS.iter().map(|script| Rc::new(store::leave(script))).collect();
    }
    let [which, how, edits @ ..] = data else { return };
    let left = LEFT.with(|left| left[usize::from(*which) % left.len()].clone());
    let mut files: BTreeMap<String, Vec<u8>> = left.files.iter().cloned().collect();
    let faithful = edit(&mut files, edits);
    let forged = how & 1 != 0;
    if forged {
        files.iter_mut().for_each(|(path, bytes)| forge(path, bytes));
    }
    open(&left, &files, Trust { faithful: faithful && !forged, forged });
}

/// The paths and sizes that edits choose from, for whoever writes seeds.
pub fn directories() -> Vec<Vec<(String, usize)>> {
    let sizes =
        |left: Left| left.files.into_iter().map(|(path, bytes)| (path, bytes.len())).collect();
    SCRIPTS.iter().map(|script| sizes(store::leave(script))).collect()
}

/// Carries out the edits; true if that was at most one flipped bit.
fn edit(files: &mut BTreeMap<String, Vec<u8>>, mut rest: &[u8]) -> bool {
    let paths: Vec<String> = files.keys().cloned().collect();
    let mut faithful = true;
    let show = std::env::var_os("MILLRACE_FUZZ_SHOW").is_some();
    for n in 0..EDITS_MAX {
        let [file, kind, high, low, value, after @ ..] = rest else { break };
        rest = after;
        let path = &paths[usize::from(*file) % paths.len()];
        let position = usize::from(u16::from_be_bytes([*high, *low]));
        let mut bytes = files.remove(path).unwrap_or_default();
        // Of a larger file every place can be reached, but not each by itself.
        let at =
            if bytes.is_empty() { 0 } else { position * (bytes.len() / 65_536 + 1) % bytes.len() };
        if show {
            eprintln!("{path} ({} bytes): edit {} at {at} with {value}", bytes.len(), kind % 8);
        }
        let flips = kind % 8 == 0 && value.count_ones() == 1 && n == 0;
        faithful &= flips;
        let mut present = true;
        match kind % 8 {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= value;
                }
            }
            1 => {
                let (put, after) = rest.split_at(usize::from(value % 32).min(rest.len()));
                rest = after;
                for (place, byte) in bytes.iter_mut().skip(at).zip(put) {
                    *place = *byte;
                }
            }
            2 => bytes.truncate(at),
            3 => present = false,
            4 => {
                // A misdirected write: a sector lands elsewhere in the file.
                let sectors = (bytes.len() / 512).max(1);
                let from = usize::from(*value) % sectors * 512;
                let sector: Vec<u8> = bytes.iter().skip(from).take(512).copied().collect();
                for (place, byte) in bytes.iter_mut().skip(at / 512 * 512).zip(sector) {
                    *place = byte;
                }
            }
            5 => {
                // A lost write: zeros.
                let len = 1 << (value % 14);
                bytes.iter_mut().skip(at / 512 * 512).take(len).for_each(|byte| *byte = 0);
            }
            6 => {
                let other = &paths[usize::from(*value) % paths.len()];
                bytes = files.get(other).cloned().unwrap_or_default();
            }
            _ => {
                let (put, after) = rest.split_at(position.min(rest.len()));
                rest = after;
                if value & 1 == 0 {
                    bytes.clear();
                }
                bytes.extend_from_slice(put);
                bytes.truncate(FILE_BYTES_MAX);
            }
        }
        if present {
            files.insert(path.clone(), bytes);
        }
    }
    faithful
}

/// Makes the checksums fit what is there.
fn forge(path: &str, bytes: &mut [u8]) {
    if path.ends_with(".checkpoint") {
        if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = checksum(body).to_le_bytes();
        }
    } else if path.ends_with(".seal") {
        if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = checksum(body).to_be_bytes();
        }
    } else if path.ends_with(".snapshot") {
        if bytes.len() > 6 {
            let fits = checksum(&bytes[6..]);
            bytes[2..6].copy_from_slice(&fits.to_be_bytes());
        }
    } else if path.ends_with(".log") {
        let mut at = 0;
        while let Some(size) = batch_at(&bytes[at..]) {
            header::refresh_crc(&mut bytes[at..at + size]);
            at += size;
        }
    } else if path.ends_with(".wal") {
        for at in (0..bytes.len()).step_by(4096) {
            forge_frame(&mut bytes[at..]);
        }
    }
}

fn batch_at(bytes: &[u8]) -> Option<usize> {
    let view = record::BatchView::parse(bytes).ok()?;
    (view.bytes().len() >= HEADER_SIZE).then(|| view.bytes().len())
}

/// Header and table of a frame (`storage/src/wal/frame.rs`).
fn forge_frame(frame: &mut [u8]) {
    if frame.len() < 4096 || !frame.starts_with(b"millwal") {
        return;
    }
    let number = |at: usize| {
        frame[at..at + 4].iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte))
    };
    let (table_at, entries) = (number(68), number(72));
    if let Some(table) = frame.get(table_at..table_at + entries.min(1 << 16) * 48) {
        let crc = checksum(table);
        frame[80..84].copy_from_slice(&crc.to_le_bytes());
    }
    let crc = checksum(&frame[..124]);
    frame[124..128].copy_from_slice(&crc.to_le_bytes());
}

/// What was done to the directory.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// At most one flipped bit, and no checksum made to fit.
    faithful: bool,
    /// Checksums were made to fit: what they cover can say anything.
    forged: bool,
}

/// Recovers, reads everything, works a little, stops.
fn open(left: &Rc<Left>, files: &BTreeMap<String, Vec<u8>>, trust: Trust) {
    let options = SimOptions {
        disk: DiskOptions { slow: 0.0, capacity_bytes: DISK_BYTES, ..DiskOptions::default() },
        ..SimOptions::seeded(1)
    };
    let mut sim = Sim::new(options);
    let node = sim.add_host(NodeOptions::default());
    let disk = sim.disk(node);
    for (path, bytes) in files {
        disk.put(path, bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let expected: Expected =
        Arc::new(left.logs.iter().map(|(id, log)| (*id, Arc::new(copy(log)))).collect());
    let done = Arc::new(Mutex::new(false));
    sim.restart(node, vec![boot(expected, trust, done.clone())]);
    let over = |done: &Mutex<bool>| done.lock().is_ok_and(|done| *done);
    if !sim.run_until(PATIENCE_NS, |sim| over(&done) || sim.has_ended(node)) {
        panic!("neither served nor refused in bounded time");
    }
    sim.stop(node);
    assert!(sim.run_until(PATIENCE_NS, |sim| sim.has_ended(node)), "the store does not stop");
}

type Expected = Arc<BTreeMap<LogId, Arc<LeftLog>>>;

fn copy(log: &LeftLog) -> LeftLog {
    LeftLog { name: log.name.clone(), config: log.config.clone(), batches: log.batches.clone() }
}

fn boot(expected: Expected, trust: Trust, done: Arc<Mutex<bool>>) -> Boot<()> {
    Box::new(move |io, _mesh| {
        Box::pin(async move {
            match start(io, expected, trust, done).await {
                Ok(reader) => Box::new(reader) as Box<dyn Program>,
                // Refused: nothing is served.
                Err(_) => Box::new(Refused),
            }
        })
    })
}

struct Refused;
impl Program for Refused {
    fn turn(&mut self, _: &mut Vec<netio::Event>) -> Turn {
        Turn::Done
    }
}

async fn start(
    io: Io,
    expected: Expected,
    trust: Trust,
    done: Arc<Mutex<bool>>,
) -> Result<Reader, storage::Error> {
    let options = store::options();
    let mut recovery = Recovery::scan(&io, &options).await?;
    let check = Check { expected: expected.clone(), trust };
    // One log as the metadata log is read: before the others.
    if let Some((id, log)) = expected.iter().next()
        && let Some(offsets) = recovery.replay(*id, &log.name, log.config.clone()).await?
    {
        let mut from = offsets.log_start;
        for _ in 0..READS_MAX {
            from = match recovery.read(*id, from, 10_000).await {
                Ok(batches) if batches.is_empty() => break,
                Ok(batches) => check.batches(*id, from, &batches),
                Err(error) => check.skip(from, error)?,
            };
        }
    }
    let known = expected.clone();
    let (logs, _report) = recovery
        .finish(|id| known.get(&id).map(|log| (log.name.clone(), log.config.clone())))
        .await?;
    let store = Store::open(io.clone(), options, logs).await?;
    let walk: VecDeque<(LogId, LogSlot, Offset)> =
        store.slots().map(|(id, slot)| (id, slot, store.offsets(slot).log_start)).collect();
    io.want_turn();
    Ok(Reader {
        store,
        check,
        walk,
        asked: BTreeMap::new(),
        reads: 0,
        looked: 0,
        io,
        done,
        stopping: false,
        over: false,
    })
}

/// What is known of what may be served.
#[derive(Debug)]
struct Check {
    expected: Expected,
    trust: Trust,
}

impl Check {
    /// Returns the offset behind.
    fn batches(&self, id: LogId, from: Offset, pieces: &[Bytes]) -> Offset {
        let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let mut next = from;
        let mut batches = Batches::new(&all);
        for batch in &mut batches {
            batch.verify_crc().unwrap_or_else(|error| {
                panic!("{id:?} from {from}: served at {}: {error}", batch.base_offset)
            });
            let end = batch.next_offset();
            assert!(end > next, "{id:?} from {from}: {}..{end} behind {next}", batch.base_offset);
            assert!(
                next == from || batch.base_offset >= next,
                "{id:?} from {from}: {}..{end} behind {next}",
                batch.base_offset
            );
            if self.trust.faithful {
                let written =
                    self.expected.get(&id).and_then(|log| log.batches.get(&batch.base_offset.0));
                let same = written.is_some_and(|written| written == batch.bytes());
                assert!(
                    same,
                    "{id:?} from {from}: at {} is not what was written",
                    batch.base_offset
                );
            }
            next = end;
        }
        assert_eq!(batches.tail(), Tail::Clean, "{id:?} from {from}");
        next
    }

    /// Where to go on behind damage.
    fn skip(&self, from: Offset, error: ReadError) -> Result<Offset, storage::Error> {
        match error {
            ReadError::Damaged { next, .. } => {
                assert!(next > from, "damage at {from} is left at {next}");
                Ok(next)
            }
            ReadError::OutOfRange { .. } => Ok(Offset::MAX),
            other => Err(storage::Error::Failed(other.to_string())),
        }
    }
}

struct Reader {
    io: Io,
    store: Store,
    check: Check,
    walk: VecDeque<(LogId, LogSlot, Offset)>,
    asked: BTreeMap<u64, (LogId, LogSlot, Offset)>,
    reads: usize,
    /// Questions that wait for an answer besides reads.
    looked: usize,
    done: Arc<Mutex<bool>>,
    stopping: bool,
    over: bool,
}

impl Reader {
    fn read(&mut self) {
        while self.asked.is_empty()
            && let Some((id, slot, from)) = self.walk.pop_front()
        {
            self.reads += 1;
            if self.reads > READS_MAX || from >= self.store.offsets(slot).high_watermark {
                self.work(slot);
                continue;
            }
            match self.store.read(slot, from, Offset::MAX, 20_000, true) {
                Ok(Read::Ready(batches)) => self.on_read(id, slot, from, Ok(batches)),
                Ok(Read::Pending(token)) => {
                    self.asked.insert(token, (id, slot, from));
                }
                Err(error) => self.on_read(id, slot, from, Err(error)),
            }
        }
        if self.asked.is_empty() && self.looked == 0 && self.walk.is_empty() {
            *self.done.lock().unwrap_or_else(|error| panic!("{error}")) = true;
        }
    }

    fn on_read(
        &mut self,
        id: LogId,
        slot: LogSlot,
        from: Offset,
        result: Result<Vec<Bytes>, ReadError>,
    ) {
        let next = match result {
            Ok(batches) => {
                let next = self.check.batches(id, from, &batches);
                let offsets = self.store.offsets(slot);
                // Of a forged end there is nothing to find.
                assert!(
                    next > from || self.check.trust.forged,
                    "{id:?}: nothing at {from} of {offsets:?}"
                );
                if next > from { next } else { offsets.high_watermark }
            }
            // A log that failed stays failed.
            Err(error) => self.check.skip(from, error).unwrap_or(Offset::MAX),
        };
        self.walk.push_front((id, slot, next));
    }

    /// What a broker does next with a log.
    fn work(&mut self, slot: LogSlot) {
        self.store.offset_for_time(slot, 0);
        self.store.offset_of_max_timestamp(slot);
        self.looked += 2;
        let epoch = self.store.epoch(slot).0;
        self.store.set_epoch(slot, LeaderEpoch(epoch.saturating_add(1)));
        let mut batch = BatchBuilder::new();
        let made = batch
            .append(Some(b"key"), Some(b"value"), Timestamp(self.io.wall()), &[])
            .and_then(|()| batch.build());
        if let Ok(batch) = made {
            let _ = self.store.append(slot, &batch, None);
        }
        let offsets = self.store.offsets(slot);
        let middle = offsets.log_start.0 + (offsets.high_watermark.0 - offsets.log_start.0) / 2;
        let _ = self.store.delete_records(slot, Offset(middle));
    }
}

impl Program for Reader {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> Turn {
        for event in events.drain(..) {
            match event {
                netio::Event::Written { token, result } => {
                    self.store.on_written(token, result);
                }
                netio::Event::Timer { token } => {
                    self.store.on_timer(token);
                }
                netio::Event::Stop if !self.stopping => {
                    self.stopping = true;
                    self.store.stop();
                }
                _ => {}
            }
        }
        self.store.settle();
        while let Some(event) = self.store.take_event() {
            match event {
                Event::ReadDone { token, result } => {
                    if let Some((id, slot, from)) = self.asked.remove(&token) {
                        self.on_read(id, slot, from, result);
                    }
                }
                Event::TimeFound { .. } => self.looked = self.looked.saturating_sub(1),
                Event::Stopped => self.over = true,
                _ => {}
            }
        }
        if !self.stopping {
            self.read();
        }
        if self.over { Turn::Done } else { Turn::Rest }
    }
}
