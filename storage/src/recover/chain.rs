//! A segment that is missing: found at the start, from a listing of names and sizes.
//!
//! Whatever took it away (fsck, a restore that forgot it, a hand), nothing in the files around it
//! says so: readers would go from the end of the segment before to the beginning of the next, as
//! over what was compacted away. So a checkpoint holds the [`Chain`] of the closed segments, and a
//! start compares it with what lies there. Only where they differ, or where damage was found
//! before, the seals are read: the end of each segment is the base of the next.
//!
//! What is missing is reported by name at every start, and reading it is an error
//! ([`crate::ReadError::Damaged`]), until the file is back; then it is served again. No offset of
//! it is given a second time.
use super::{Damage, replay::LogFound};
use crate::{
    checkpoint::LogState,
    disk_log::{Chain, DiskLog, FlushedState},
    error::Error,
    files::{self, Disk, INDEX, LOG, SEAL, TIME_INDEX},
    ids::LogId,
    options::LogConfig,
    seal::Seal,
    segment::facts::Facts,
};
use record::Offset;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What lies in a partition's directory.
#[derive(Debug, Default)]
struct Listing {
    /// Segments, and the bytes of their `.log`.
    logs: BTreeMap<Offset, u64>,
    /// Bytes of index files, by base and suffix.
    indexes: BTreeMap<(Offset, &'static str), u64>,
    /// Files of segments that may have no `.log`.
    others: BTreeSet<Offset>,
}

/// Compares a log's directory with what its checkpoint counts on, and makes `found` say what is not
/// there.
///
/// # Errors
/// The disk's; [`Error::Version`].
pub(super) async fn check(
    disk: &Disk,
    dir: &Path,
    id: LogId,
    config: &LogConfig,
    found: &mut LogFound,
) -> Result<Vec<Damage>, Error> {
    let is_cut = found.is_cut();
    let state = &mut found.state;
    let Some(known) = state.disk else {
        return Ok(Vec::new());
    };
    if is_cut || state.log_start >= known.flushed {
        // Segments of it may be gone by right.
        return Ok(Vec::new());
    }
    let mut damaged = Vec::new();
    let Some(listing) = list(disk, dir).await? else {
        let range = (state.log_start, known.flushed);
        damaged.push(Damage {
            file: dir.display().to_string(),
            position: 0,
            what: format!("the directory is missing: offsets {}..{}", range.0, range.1),
        });
        state.missing.push(range);
        state.disk = Some(begun_anew(&known));
        drop(Box::pin(DiskLog::create(disk, dir.into(), id, config.clone(), known.flushed)).await?);
        return Ok(damaged);
    };
    let base = known.segment_base;
    let closed = listing.logs.range(..base);
    let mut closed: BTreeMap<Offset, u64> = closed.map(|(base, bytes)| (*base, *bytes)).collect();
    let mut now = known;
    match listing.logs.get(&base) {
        None if known.position > 0 => now = begun_anew(&known),
        None => {}
        Some(bytes) if *bytes < known.position => {
            // What it must be, only the checkpoint knows: a seal that does not fit says so from now
            // on.
            let mut facts = known.synced;
            facts.skip_to(known.position, known.flushed);
            let seal = Seal { facts, index_crc: 0, time_index_crc: 0 };
            disk.replace(dir, &files::name(base, SEAL), seal.to_bytes()).await?;
            closed.insert(base, *bytes);
            now = begun_anew(&known);
        }
        Some(_) => {
            let (index, time_index) = known.synced.index_bytes();
            let is_short = |suffix, bytes| {
                let len = listing.indexes.get(&(base, suffix));
                bytes > 0 && len.is_none_or(|len| *len < bytes)
            };
            if is_short(INDEX, index) || is_short(TIME_INDEX, time_index) {
                // Made again from the batches, all of them.
                now.synced = Facts::new(base, known.synced.created_ms);
            }
        }
    }
    now.chain = Chain::of(closed.iter().map(|(base, bytes)| (*base, *bytes)));
    let first = closed.keys().next().copied().unwrap_or(now.segment_base);
    if now.chain != known.chain || now.segment_base != base || state.log_start < first {
        walk(disk, dir, state, &listing, &closed, now.segment_base, &mut damaged).await?;
    }
    if !damaged.is_empty() {
        now.chain = now.chain.doubted();
    }
    state.disk = Some(now);
    Ok(damaged)
}

/// The log goes on in a new segment behind what was flushed.
fn begun_anew(known: &FlushedState) -> FlushedState {
    FlushedState {
        log_start: known.log_start,
        chain: Chain::UNKNOWN,
        ..FlushedState::empty(known.flushed)
    }
}

fn path(dir: &Path, base: Offset, suffix: &str) -> String {
    dir.join(files::name(base, suffix)).display().to_string()
}

/// `None`: there is no directory.
async fn list(disk: &Disk, dir: &Path) -> Result<Option<Listing>, Error> {
    let entries = match disk.io().read_dir(dir).await {
        Err(error) if error.is_not_found() => return Ok(None),
        entries => entries?,
    };
    let mut listing = Listing::default();
    for entry in entries {
        match files::parse_name(&entry.name) {
            Some((base, LOG)) => {
                listing.logs.insert(base, entry.bytes);
            }
            Some((base, INDEX)) => {
                listing.indexes.insert((base, INDEX), entry.bytes);
            }
            Some((base, TIME_INDEX)) => {
                listing.indexes.insert((base, TIME_INDEX), entry.bytes);
            }
            Some((base, SEAL)) => {
                listing.others.insert(base);
            }
            _ => {}
        }
    }
    let bases = listing.indexes.keys().map(|(base, _)| *base);
    listing.others.extend(bases);
    Ok(Some(listing))
}

/// From the log start on, each segment must begin where the one before ends.
async fn walk(
    disk: &Disk,
    dir: &Path,
    state: &mut LogState,
    listing: &Listing,
    closed: &BTreeMap<Offset, u64>,
    active: Offset,
    damaged: &mut Vec<Damage>,
) -> Result<(), Error> {
    let mut at = state.log_start;
    let bases: Vec<Offset> = closed.keys().copied().chain([active]).collect();
    for (n, base) in bases.iter().copied().enumerate() {
        let fenced = |(from, to): &(Offset, Offset)| *from <= at && base <= *to;
        if base > at && !state.fenced.iter().any(fenced) {
            // By the name of what is left of it, or by where it must have begun.
            let mut left = listing.others.range(..base);
            let name = left.rfind(|base| !listing.logs.contains_key(base));
            let name = name.copied().unwrap_or(at);
            damaged.push(Damage {
                file: path(dir, name, LOG),
                position: 0,
                what: format!("the segment is missing: offsets {at}..{base}"),
            });
            state.missing.push((at, base));
        }
        at = at.max(base);
        let Some(next) = bases.get(n + 1).copied() else {
            break;
        };
        let seal_path: PathBuf = dir.join(files::name(base, SEAL));
        match Seal::load(disk, &seal_path, base).await? {
            Some(seal) => {
                if closed[&base] < seal.facts.size {
                    damaged.push(Damage {
                        file: path(dir, base, LOG),
                        position: closed[&base],
                        what: format!(
                            "{} bytes of {}: the segment is cut short",
                            closed[&base], seal.facts.size
                        ),
                    });
                }
                at = at.max(seal.facts.end);
            }
            // Where it ends, nobody says.
            None => at = at.max(next),
        }
    }
    Ok(())
}
