//! Reads a core's chain: which frames count, where it ends, and what is damaged inside it.
//!
//! **Torn tail or damage?** A frame that is missing or bad, with nothing valid after it but frames that were submitted before
//! its ack (`acked_through` below it), is the torn tail: nobody was told of it, it is dropped with all after it. If a later
//! frame says `acked_through` at or above it, it was acked: damage. Then what is readable is kept, what is not is reported and
//! fenced.
use super::RecoveryReport;
use crate::{
    Error,
    checkpoint::Head,
    recover::Damage,
    wal::{
        Entry,
        frame::{BLOCK, FrameHeader, read_table},
    },
};
use bytes::Bytes;
use netio::{AlignedBuf, Io, Open};
use std::path::Path;

/// Most bytes of one read of a WAL file.
const READ_MAX: u64 = 1 << 30;

/// A valid frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub header: FrameHeader,
    crc: u32,
    file: String,
    position: u64,
    table: Vec<(Entry, std::ops::Range<usize>)>,
    bytes: Bytes,
}

/// What a chain says, in its order.
#[derive(Debug)]
pub(crate) enum Found {
    Entry(Entry, Bytes),
    /// This batch's bytes are damaged; its entry is not.
    Lost(Entry),
}

/// Every valid frame of this start and core in a file, whatever lies between them.
pub(crate) fn frames_of(
    bytes: &Bytes,
    file: &str,
    core: u32,
    start: u64,
    generation: u64,
    out: &mut Vec<Frame>,
) {
    let mut at = 0;
    while at + BLOCK <= bytes.len() {
        let whole = FrameHeader::read(&bytes[at..])
            .filter(|(header, _)| {
                header.core == core
                    && header.start == start
                    && header.generation == generation
                    && at + header.bytes as usize <= bytes.len()
            })
            .and_then(|(header, crc)| {
                let frame = bytes.slice(at..at + header.bytes as usize);
                let table = read_table(&header, &frame)?;
                Some(Frame {
                    header,
                    crc,
                    file: file.to_owned(),
                    position: at as u64,
                    table,
                    bytes: frame,
                })
            });
        match whole {
            Some(frame) => {
                at += frame.header.bytes as usize;
                out.push(frame);
            }
            None => at += BLOCK,
        }
    }
}

/// Orders a chain's frames, cuts the torn tail, keeps what is acked. `head` is the core's checkpoint of this start, if any.
///
/// # Errors
/// [`Error::Damaged`] if frames of two runs claim the same start.
pub(crate) fn chain(
    mut frames: Vec<Frame>,
    head: Option<&Head>,
    report: &mut RecoveryReport,
) -> Result<Vec<Found>, Error> {
    frames.sort_by_key(|frame| frame.header.sequence);
    let Some(run) = head
        .map(|head| head.run)
        .or_else(|| frames.first().map(|frame| frame.header.run))
    else {
        return Ok(Vec::new());
    };
    if let Some(other) = frames.iter().find(|frame| frame.header.run != run) {
        return Err(Error::Damaged {
            file: other.file.clone(),
            position: other.position,
            what: "a frame of another run of the same start".into(),
        });
    }
    let acked = frames
        .iter()
        .map(|frame| frame.header.acked_through)
        .max()
        .unwrap_or(0);
    let mut expected = head.map_or(1, |head| head.first_live);
    let mut previous: Option<(u64, u32)> = None;
    let mut found = Vec::new();
    let mut frames = frames.into_iter().peekable();
    while let Some(frame) = frames.next() {
        let FrameHeader { sequence, .. } = frame.header;
        if sequence < expected {
            previous = Some((sequence, frame.crc));
            continue;
        }
        if sequence > expected {
            if expected <= acked {
                report.damaged.push(Damage {
                    file: frame.file.clone(),
                    position: frame.position,
                    what: format!("frames {expected}..{sequence} before this place were acknowledged and are not readable"),
                });
                report.lost_frames = true;
            }
            if sequence - 1 > acked {
                // At least one missing frame was not acked: with it ends what anybody was told of.
                report.torn_frames += 1 + frames.count() as u64;
                break;
            }
        }
        if let Some((before, crc)) = previous
            && before + 1 == sequence
            && crc != frame.header.previous
        {
            return Err(Error::Damaged {
                file: frame.file,
                position: frame.position,
                what: format!("frame {sequence} does not follow its predecessor"),
            });
        }
        let bad = |(entry, range): &&(Entry, std::ops::Range<usize>)| {
            !entry.matches(&frame.bytes[range.clone()])
        };
        if sequence > acked && frame.table.iter().any(|each| bad(&each)) {
            report.torn_frames += 1 + frames.count() as u64;
            break;
        }
        for (entry, range) in &frame.table {
            let data = frame.bytes.slice(range.clone());
            if entry.matches(&data) {
                found.push(Found::Entry(*entry, data));
            } else {
                report.damaged.push(Damage {
                    file: frame.file.clone(),
                    position: frame.position + range.start as u64,
                    what: format!(
                        "{:?} of {:?} at offset {}",
                        entry.kind, entry.id, entry.offset
                    ),
                });
                found.push(Found::Lost(*entry));
            }
        }
        report.frames += 1;
        report.wal_bytes += u64::from(frame.header.bytes);
        previous = Some((sequence, frame.crc));
        expected = sequence + 1;
    }
    Ok(found)
}

/// All of a WAL file; what is read is on the device. Crash shown: a killed process leaves a frame in a cache that says a log
/// begins at 141; recovery removes the segments below; the power goes before it ends, and takes the frame: the next recovery
/// believes the checkpoint, whose segment is gone.
pub(crate) async fn read_file(io: &Io, path: &Path) -> Result<Bytes, Error> {
    let file = io
        .open(
            path,
            Open {
                direct: true,
                ..Open::default()
            },
        )
        .await?;
    let len = file.len().await? / BLOCK as u64 * BLOCK as u64;
    if len > READ_MAX {
        return Err(Error::Damaged {
            file: path.display().to_string(),
            position: READ_MAX,
            what: format!("a WAL file of {len} bytes"),
        });
    }
    if len == 0 {
        return Ok(Bytes::new());
    }
    file.sync(true).await?;
    let (buf, read) = file.read_at(AlignedBuf::zeroed(len as usize), 0).await;
    let read = read?;
    Ok(buf.freeze().slice(..read))
}
