//! What a start must know beyond the write-ahead log: per log how far segments reach, per chain
//! where its live part begins.
//!
//! `wal/<core>.checkpoint` is written by a core before WAL files are recycled, and at a clean stop;
//! `wal/recovered.checkpoint` by recovery, with the logs of all cores, when everything it found is
//! in segments. A core's file counts only if it is of the same *start* as the recovered one: an
//! older one is a leftover. Both are replaced atomically (temporary file, sync, rename, directory
//! sync).
//!
//! ```text
//! "millckpt" version u32 | start u64 | core u32 | run u128 | clean u8 | first_live u64 | first_file u64
//! | logs u32 | deleted u32 | logs ... | deleted ... | crc32c u32 of all before
//! ```
//! Integers are little-endian. A log's segments and its producers belong together: the producers
//! are those of the flushed end, so a replay applies exactly the batches behind it. Producers "as
//! of now" would already know unflushed batches, and their replay would take them for duplicates.
//!
//! A checkpoint whose checksum holds may still say what cannot be: `sense`.
pub(crate) mod sense;

use crate::{
    disk_log::{Chain, FlushedState},
    error::Error,
    ids::LogId,
    leader_epoch::EpochHistory,
    producer_state,
    wal::frame::BLOCK,
};
use bytes::Bytes;
use netio::{Io, Open};
use record::{LeaderEpoch, Offset, TopicId, checksum};
use std::path::Path;

const MAGIC: &[u8; 8] = b"millckpt";
/// Since 2, a log says which closed segments it has.
const VERSION: u32 = 2;
const VERSION_WITHOUT_CHAINS: u32 = 1;
/// As an operator reads them.
const VERSIONS: &str = "1 and 2";
/// `core` of the file that recovery writes.
pub(crate) const RECOVERED: u32 = u32::MAX;
/// Largest checkpoint that is believed.
const BYTES_MAX: u64 = 4 << 30;

/// `wal/<core>.checkpoint`
pub(crate) fn file_name(core: u32) -> String {
    if core == RECOVERED { "recovered.checkpoint".into() } else { format!("{core}.checkpoint") }
}

/// Core of a checkpoint's name.
pub(crate) fn parse_name(name: &str) -> Option<u32> {
    match name.strip_suffix(".checkpoint")? {
        "recovered" => Some(RECOVERED),
        core => core.parse().ok(),
    }
}

/// A log, as a checkpoint holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    pub id: LogId,
    /// Topic name of its directory.
    pub name: String,
    pub log_start: Offset,
    /// What is in segments; `None`: no directory was made yet.
    pub disk: Option<FlushedState>,
    /// The files were closed as for Kafka (trimmed, with snapshots) and not written since.
    pub closed: bool,
    pub epoch: LeaderEpoch,
    pub epochs: EpochHistory,
    /// The producers as of what is in segments:
    /// [`crate::producer_state::ProducerStates::to_bytes`]; empty = none.
    pub producers: Vec<u8>,
    /// Ranges lost to damage: reading them is an error.
    pub fenced: Vec<(Offset, Offset)>,
    /// Ranges whose segments are not there, as this start has found; not in the file, for they may
    /// come back.
    pub missing: Vec<(Offset, Offset)>,
}

impl LogState {
    /// A log without records.
    pub(crate) fn empty(id: LogId, name: &str, first: Offset, epoch: LeaderEpoch) -> LogState {
        LogState {
            id,
            name: name.into(),
            log_start: first,
            disk: None,
            closed: true,
            epoch,
            epochs: EpochHistory::new(),
            producers: Vec::new(),
            fenced: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// First offset that is not in a segment.
    pub(crate) fn flushed(&self) -> Offset {
        self.disk.as_ref().map_or(self.log_start, |disk| disk.flushed)
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(160 + self.name.len() + self.producers.len());
        put_id(&mut out, self.id, &self.name);
        put_i64(&mut out, self.log_start.0);
        out.push(u8::from(self.disk.is_some()) | u8::from(self.closed) << 1);
        if let Some(disk) = &self.disk {
            out.extend_from_slice(&disk.to_bytes());
        }
        put_u32(&mut out, self.epoch.0.cast_unsigned());
        put_len(&mut out, self.epochs.entries().len());
        for entry in self.epochs.entries() {
            put_u32(&mut out, entry.epoch.0.cast_unsigned());
            put_i64(&mut out, entry.start.0);
        }
        put_len(&mut out, self.producers.len());
        out.extend_from_slice(&self.producers);
        put_len(&mut out, self.fenced.len());
        for (from, to) in &self.fenced {
            put_i64(&mut out, from.0);
            put_i64(&mut out, to.0);
        }
        out.into()
    }

    fn decode(at: &mut Reader<'_>, version: u32) -> Option<LogState> {
        let (id, name) = at.id()?;
        let log_start = Offset(at.i64()?);
        let flags = at.u8()?;
        let disk = if flags & 1 != 0 {
            let mut bytes = [0; FlushedState::BYTES];
            let len = match version {
                VERSION_WITHOUT_CHAINS => FlushedState::BYTES_WITHOUT_CHAIN,
                _ => FlushedState::BYTES,
            };
            bytes[..len].copy_from_slice(at.take(len)?);
            let mut disk = FlushedState::from_bytes(&bytes);
            if version == VERSION_WITHOUT_CHAINS {
                disk.chain = Chain::UNKNOWN;
            }
            Some(disk)
        } else {
            None
        };
        let epoch = LeaderEpoch(at.u32()?.cast_signed());
        let mut epochs = EpochHistory::new();
        for _ in 0..at.u32()? {
            let (epoch, start) = (LeaderEpoch(at.u32()?.cast_signed()), Offset(at.i64()?));
            let rises =
                epochs.entries().last().is_none_or(|last| last.epoch < epoch && last.start < start);
            if epoch.0 < 0 || !start.is_valid() || !rises {
                return None;
            }
            epochs.assign(epoch, start);
        }
        let len = at.u32()? as usize;
        let producers = at.take(len)?.to_vec();
        let mut fenced = Vec::new();
        for _ in 0..at.u32()? {
            fenced.push((Offset(at.i64()?), Offset(at.i64()?)));
        }
        Some(LogState {
            id,
            name,
            log_start,
            disk,
            closed: flags & 2 != 0,
            epoch,
            epochs,
            producers,
            fenced,
            missing: Vec::new(),
        })
    }
}

/// Everything before the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub start: u64,
    pub core: u32,
    pub run: u128,
    /// The core stopped cleanly: its chain holds nothing that is needed.
    pub clean: bool,
    pub first_live: u64,
    pub first_file: u64,
}

/// A checkpoint as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub head: Head,
    pub logs: Vec<LogState>,
    /// Deletions whose directories may still be there.
    pub deleted: Vec<(LogId, String)>,
}

/// The bytes of a checkpoint; `logs` as [`LogState::encode`] made them.
pub(crate) fn encode(head: &Head, logs: &[Bytes], deleted: &[(LogId, String)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + logs.iter().map(Bytes::len).sum::<usize>());
    out.extend_from_slice(MAGIC);
    put_u32(&mut out, VERSION);
    put_u64(&mut out, head.start);
    put_u32(&mut out, head.core);
    out.extend_from_slice(&head.run.to_le_bytes());
    out.push(u8::from(head.clean));
    put_u64(&mut out, head.first_live);
    put_u64(&mut out, head.first_file);
    put_len(&mut out, logs.len());
    put_len(&mut out, deleted.len());
    for log in logs {
        out.extend_from_slice(log);
    }
    for (id, name) in deleted {
        put_id(&mut out, *id, name);
    }
    let crc = checksum(&out);
    put_u32(&mut out, crc);
    out
}

/// Why bytes are no checkpoint that can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// A byte, or what the bytes say.
    Damaged(String),
    /// Its version is not known here. `start` keeps its place in every version.
    Version { found: u32, start: u64 },
}

/// Reads [`encode`].
///
/// # Errors
/// What is wrong.
pub(crate) fn decode(bytes: &[u8]) -> Result<Checkpoint, Bad> {
    if let Some(bad) = foreign(bytes) {
        return Err(bad);
    }
    let checkpoint =
        parse(bytes).ok_or_else(|| Bad::Damaged("its checksum or its form is wrong".to_owned()))?;
    match sense::doubt(&checkpoint) {
        None => Ok(checkpoint),
        Some(what) => {
            Err(Bad::Damaged(format!("its checksum is right, but what it says cannot be: {what}")))
        }
    }
}

/// Another version; not one of ours with a flipped bit in its version, whose checksum is right with
/// the right one.
fn foreign(bytes: &[u8]) -> Option<Bad> {
    let mut at = Reader(bytes);
    if at.take(MAGIC.len())? != MAGIC {
        return None;
    }
    let (found, start) = (at.u32()?, at.u64()?);
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    let is_ours = [VERSION, VERSION_WITHOUT_CHAINS].iter().any(|version| {
        let mut ours = body.to_vec();
        ours[8..12].copy_from_slice(&version.to_le_bytes());
        found == *version || checksum(&ours) == u32::from_le_bytes(*crc)
    });
    (!is_ours).then_some(Bad::Version { found, start })
}

fn parse(bytes: &[u8]) -> Option<Checkpoint> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if checksum(body) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut at = Reader(body);
    let (magic, version) = (at.take(8)?, at.u32()?);
    if magic != MAGIC || ![VERSION, VERSION_WITHOUT_CHAINS].contains(&version) {
        return None;
    }
    let head = Head {
        start: at.u64()?,
        core: at.u32()?,
        run: u128::from_le_bytes(at.take(16)?.try_into().ok()?),
        clean: at.u8()? != 0,
        first_live: at.u64()?,
        first_file: at.u64()?,
    };
    let (logs, deleted) = (at.u32()?, at.u32()?);
    let logs = (0..logs).map(|_| LogState::decode(&mut at, version)).collect::<Option<_>>()?;
    let deleted = (0..deleted).map(|_| at.id()).collect::<Option<_>>()?;
    at.0.is_empty().then_some(Checkpoint { head, logs, deleted })
}

/// Replaces the checkpoint of `core` in `dir`; durable when this returns.
pub(crate) async fn write(
    io: &Io,
    dir: &Path,
    core: u32,
    bytes: Vec<u8>,
) -> Result<(), netio::Error> {
    let sound = bytes
        .split_last_chunk::<4>()
        .is_some_and(|(body, crc)| checksum(body) == u32::from_le_bytes(*crc));
    assert!(sound, "a checkpoint of {} bytes without its checksum", bytes.len());
    let name = file_name(core);
    let (temporary, path) = (dir.join(format!("{name}.tmp")), dir.join(name));
    if let Err(error) = write_whole(io, &temporary, bytes).await {
        // Its space is wanted; if the removal fails as well, the next one writes over it.
        let _ = io.remove_file(&temporary).await;
        return Err(error);
    }
    io.rename(&temporary, &path).await?;
    io.sync_dir(dir).await
}

async fn write_whole(io: &Io, path: &Path, bytes: Vec<u8>) -> Result<(), netio::Error> {
    let how = Open { write: true, create: true, truncate: true, ..Open::default() };
    let file = io.open(path, how).await?;
    let bytes = Bytes::from(bytes);
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + 256 * BLOCK);
        file.write_at(bytes.slice(at..end), at as u64, false).await?;
        at = end;
    }
    file.sync(false).await
}

/// Reads the checkpoint of `core`; `None` if there is none.
///
/// # Errors
/// [`Error::Damaged`]: it is replaced atomically, so a bad one is never a torn one.
/// [`Error::Version`].
pub(crate) async fn read(io: &Io, dir: &Path, core: u32) -> Result<Option<Checkpoint>, Error> {
    read_since(io, dir, core, 0).await
}

/// As [`read`]; also `None` for one of an unknown version and an earlier start than `start`: a
/// leftover.
pub(crate) async fn read_since(
    io: &Io,
    dir: &Path,
    core: u32,
    start: u64,
) -> Result<Option<Checkpoint>, Error> {
    let path = dir.join(file_name(core));
    let file = match io.open(&path, Open::default()).await {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let len = file.len().await?;
    let damaged =
        |what: String| Error::Damaged { file: path.display().to_string(), position: 0, what };
    if len > BYTES_MAX {
        return Err(damaged("larger than any checkpoint".into()));
    }
    let bytes = file.read_vec(0, len as usize).await?;
    match decode(&bytes) {
        Ok(checkpoint) if checkpoint.head.core == core => {
            let producers = checkpoint.logs.iter();
            let mut foreign =
                producers.filter_map(|log| producer_state::foreign_version(&log.producers));
            match foreign.next() {
                None => Ok(Some(checkpoint)),
                Some(found) => Err(Error::Version {
                    file: path.display().to_string(),
                    what: "the producers of a log in a checkpoint,",
                    found: found.to_string(),
                    known: "101",
                }),
            }
        }
        Ok(_) => Err(damaged("the checkpoint of another core".into())),
        Err(Bad::Damaged(what)) => Err(damaged(what)),
        Err(Bad::Version { start: of, .. }) if of < start => Ok(None),
        Err(Bad::Version { found, .. }) => Err(Error::Version {
            file: path.display().to_string(),
            what: "a checkpoint",
            found: found.to_string(),
            known: VERSIONS,
        }),
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}
fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}
fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}
fn put_len(out: &mut Vec<u8>, len: usize) {
    put_u32(out, u32::try_from(len).unwrap_or_else(|_| panic!("{len} items in a checkpoint")));
}
fn put_id(out: &mut Vec<u8>, id: LogId, name: &str) {
    out.extend_from_slice(&id.topic.0);
    put_u32(out, id.partition.cast_unsigned());
    put_len(out, name.len());
    out.extend_from_slice(name.as_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    fn i64(&mut self) -> Option<i64> {
        self.u64().map(u64::cast_signed)
    }
    fn id(&mut self) -> Option<(LogId, String)> {
        let topic = TopicId(self.take(16)?.try_into().ok()?);
        let partition = self.u32()?.cast_signed();
        let len = self.u32()? as usize;
        let name = String::from_utf8(self.take(len)?.to_vec()).ok()?;
        Some((LogId { topic, partition }, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> (Head, Vec<LogState>, Vec<(LogId, String)>) {
        let head = Head { start: 3, core: 1, run: 99, clean: false, first_live: 17, first_file: 4 };
        let id = LogId { topic: TopicId([9; 16]), partition: 2 };
        let mut log = LogState::empty(id, "flights", Offset(5), LeaderEpoch(4));
        log.disk = Some(FlushedState {
            position: 1234,
            flushed: Offset(40),
            ..FlushedState::empty(Offset(5))
        });
        log.epochs.assign(LeaderEpoch(3), Offset(5));
        log.epochs.assign(LeaderEpoch(4), Offset(11));
        log.producers = vec![1, 2, 3];
        log.fenced = vec![(Offset(6), Offset(8))];
        let other =
            LogState::empty(LogId { partition: 3, ..id }, "flights", Offset(0), LeaderEpoch(0));
        (head, vec![log, other], vec![(LogId { partition: 4, ..id }, "gone".into())])
    }

    #[test]
    fn round_trip() {
        let (head, logs, deleted) = sample();
        let encoded: Vec<Bytes> = logs.iter().map(LogState::encode).collect();
        let read = decode(&encode(&head, &encoded, &deleted)).expect("readable");
        assert_eq!(read, Checkpoint { head, logs, deleted });
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let (head, logs, deleted) = sample();
        let encoded: Vec<Bytes> = logs.iter().map(LogState::encode).collect();
        let bytes = encode(&head, &encoded, &deleted);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "cut to {len}");
        }
    }
}
