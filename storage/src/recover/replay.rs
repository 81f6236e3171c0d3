//! One log's part of recovery: what its checkpoint and its chain say, brought into segments.
//!
//! Batches are kept by offset, not in the order of the chain: a carried batch stands behind later
//! ones. Where the chain cut the log, what was behind the cut is gone; everything after is in order
//! of (leader epoch, offset).
use super::Damage;
use crate::{
    checkpoint::LogState,
    disk_log::DiskLog,
    error::Error,
    files::Disk,
    ids::LogId,
    options::LogConfig,
    producer_state::parse_producers,
    wal::{Entry, Kind},
    watermarks::Offsets,
};
use bytes::Bytes;
use netio::buffer::BLOCK;
use record::{LeaderEpoch, Offset};
use std::{cell::Cell, collections::BTreeMap, path::PathBuf};

/// Most bytes given to one flush.
const FLUSH_BYTES: usize = 8 << 20;

/// A batch of the chain.
#[derive(Debug)]
struct Batch {
    epoch: LeaderEpoch,
    end: Offset,
    bytes: Bytes,
}

/// What was found of a log.
#[derive(Debug)]
pub(crate) struct LogFound {
    pub state: LogState,
    batches: BTreeMap<Offset, Batch>,
    /// The chain cut the log here, or lower than what is flushed.
    cut: Option<Offset>,
    /// Batches that were acked and are damaged.
    lost: Vec<(Offset, Offset)>,
    /// Frames were lost as a whole: a hole between offsets is damage.
    pub holes_are_damage: bool,
}

impl LogFound {
    pub(crate) fn new(state: LogState) -> LogFound {
        LogFound {
            state,
            batches: BTreeMap::new(),
            cut: None,
            lost: Vec::new(),
            holes_are_damage: false,
        }
    }

    pub(crate) fn on_entry(&mut self, entry: &Entry, data: Bytes) {
        let epoch = entry.epoch.max(self.state.epoch);
        match entry.kind {
            Kind::Append | Kind::Carry => {
                self.state.epoch = epoch;
                let batch = Batch { epoch: entry.epoch, end: entry.end(), bytes: data };
                match self.batches.get(&entry.offset) {
                    Some(old) if old.epoch >= batch.epoch => {}
                    _ => drop(self.batches.insert(entry.offset, batch)),
                }
            }
            Kind::Truncate => {
                drop(self.batches.split_off(&entry.offset));
                self.lost.retain(|(from, _)| *from < entry.offset);
                self.state.epochs.truncate_from_end(entry.offset);
                if entry.offset < self.state.flushed() {
                    self.cut = Some(self.cut.map_or(entry.offset, |cut| cut.min(entry.offset)));
                }
            }
            Kind::LogStart => self.state.log_start = self.state.log_start.max(entry.offset),
            Kind::EpochStart | Kind::Created => self.state.epoch = epoch,
            Kind::Deleted | Kind::Extent => {}
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// The batches of the chain, by offset.
    pub(crate) fn batches(&self) -> impl Iterator<Item = Bytes> + '_ {
        self.batches.values().map(|batch| batch.bytes.clone())
    }

    pub(crate) fn on_lost(&mut self, entry: &Entry) {
        if entry.is_batch() {
            self.lost.push((entry.offset, entry.end()));
        }
    }

    /// Most bytes that a replay takes of the device.
    pub(crate) fn needed_bytes(&self) -> u64 {
        let from = self.cut.unwrap_or_else(|| self.state.flushed());
        let batches = self.batches.range(from..).map(|(_, batch)| batch.bytes.len() as u64);
        let bytes: u64 = batches.sum();
        match (bytes, self.state.disk) {
            (0, _) => 0,
            (bytes, Some(_)) => bytes.next_multiple_of(BLOCK as u64),
            // Its directory, whose it is, and the block that is begun.
            (bytes, None) => bytes.next_multiple_of(BLOCK as u64) + 3 * BLOCK as u64,
        }
    }

    /// Offset after everything known.
    pub(crate) fn end(&self) -> Offset {
        let flushed = self.cut.unwrap_or_else(|| self.state.flushed());
        let batches = self.batches.values().map(|batch| batch.end).max().unwrap_or(flushed);
        let lost = self.lost.iter().map(|(_, end)| *end).max().unwrap_or(flushed);
        flushed.max(batches).max(lost).max(self.state.log_start)
    }
}

/// A log whose chain is in segments now.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub state: LogState,
    pub config: LogConfig,
    /// Open, if anything was to be done.
    pub disk: Option<DiskLog>,
    pub damaged: Vec<Damage>,
    pub batches: u64,
    pub bytes: u64,
}

impl Replayed {
    pub(crate) fn offsets(&self) -> Offsets {
        let end = self.state.flushed().max(self.state.log_start);
        Offsets::settled(self.state.log_start, end)
    }
}

/// Writes what is behind the flushed end to the log's segments, and counts it as `written`. Without
/// anything to write, the log is not even opened.
///
/// # Errors
/// The disk's. Everything can be done again after one.
pub(crate) async fn replay(
    disk: &Disk,
    dir: PathBuf,
    id: LogId,
    config: LogConfig,
    found: LogFound,
    producer_ids_max: usize,
    written: &Cell<u64>,
) -> Result<Replayed, Error> {
    let end = found.end();
    let LogFound { mut state, batches, cut, lost, holes_are_damage } = found;
    let mut result = Replayed {
        state: state.clone(),
        config: config.clone(),
        disk: None,
        damaged: Vec::new(),
        batches: 0,
        bytes: 0,
    };
    // Of a log without segments the chain has everything; also what the log start has passed, for
    // the producers' sake.
    let from = cut.or_else(|| state.disk.map(|disk| disk.flushed)).unwrap_or(Offset::ZERO);
    if all_deleted(&state) {
        crate::files::remove_dir(disk, &dir).await?;
        state.disk = None;
        result.state.disk = None;
    }
    let wanted = batches.range(from..).next().is_some();
    if !wanted && cut.is_none() && lost.is_empty() {
        // Epochs of batches that were not promised and are gone.
        result.state.epochs.truncate_from_end(end);
        return Ok(result);
    }
    let log = match &state.disk {
        Some(known) => Box::pin(DiskLog::open(disk, dir, id, config, Some(*known))).await?.0,
        None => {
            let first = batches.range(from..).next().map_or(state.log_start, |(first, _)| *first);
            Box::pin(DiskLog::create(disk, dir, id, config, first)).await?
        }
    };
    if !state.producers.is_empty() {
        log.set_producers(parse_producers(&state.producers, id, producer_ids_max)?);
    }
    log.set_epochs(state.epochs.clone());
    if let Some(to) = cut {
        Box::pin(log.truncate(to)).await?;
    }
    let mut expected = log.flushed().max(from);
    // What the checkpoint knew of batches that come again: with later epochs there, an earlier one
    // would seem to begin only here.
    state.epochs.truncate_from_end(expected);
    let mut pending = Vec::new();
    let mut pending_bytes = 0;
    for (base, batch) in batches {
        if base < expected {
            // In a segment already; offsets of what is in segments and of what is in the chain
            // never overlap halfway.
            if batch.end > expected {
                result.damaged.push(Damage {
                    file: log.dir().display().to_string(),
                    position: 0,
                    what: format!(
                        "batch {base}..{} of {id:?} overlaps what ends at {expected}",
                        batch.end
                    ),
                });
            }
            continue;
        }
        if base > expected
            && (holes_are_damage || lost.iter().any(|(from, end)| *from < base && *end > expected))
        {
            fence(&mut state, expected, base);
        }
        state.epochs.assign(batch.epoch, base);
        expected = batch.end;
        result.batches += 1;
        result.bytes += batch.bytes.len() as u64;
        pending_bytes += batch.bytes.len();
        pending.push(batch.bytes);
        if pending_bytes >= FLUSH_BYTES {
            Box::pin(log.flush(std::mem::take(&mut pending))).await?;
            written.set(written.get() + std::mem::take(&mut pending_bytes) as u64);
        }
    }
    if !pending.is_empty() {
        Box::pin(log.flush(pending)).await?;
        written.set(written.get() + pending_bytes as u64);
    }
    if end > expected && !lost.is_empty() {
        // The damaged batch was the last: its offsets must not be given again.
        fence(&mut state, expected, end);
    }
    state.epochs.truncate_from_end(end);
    state.disk = Some(log.state());
    state.producers =
        log.with_producers(
            |producers| {
                if producers.is_empty() { Vec::new() } else { producers.to_bytes() }
            },
        );
    state.closed = false;
    result.state = state;
    result.disk = Some(log);
    Ok(result)
}

/// Was everything that the checkpoint counts on deleted since? Then its segment may be gone, in
/// whole or in part: the log start was durable before. What comes after is in the chain, so the
/// directory is made anew.
fn all_deleted(state: &LogState) -> bool {
    state.disk.is_some_and(|known| {
        state.log_start >= known.flushed && (known.position > 0 || !state.closed)
    })
}

fn fence(state: &mut LogState, from: Offset, to: Offset) {
    let from = from.max(state.log_start);
    if from < to && !state.fenced.contains(&(from, to)) {
        state.fenced.push((from, to));
    }
}
