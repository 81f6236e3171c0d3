//! Reads a core's chain: which frames count, where it ends, and what is damaged inside it.
//!
//! **Torn tail or damage?** A frame that is missing or bad, with nothing valid after it but frames
//! that were submitted before its ack (`acked_through` below it), is the torn tail: nobody was told
//! of it, it is dropped with all after it. If a later frame says `acked_through` at or above it, it
//! was acked: damage. Then what is readable is kept, what is not is reported and fenced.
use super::RecoveryReport;
use crate::{
    checkpoint::Head,
    error::Error,
    recover::Damage,
    wal::{
        Entry,
        frame::{BLOCK, Foreign, FrameHeader, VERSIONS, read_table},
        recycle::LANDMARK,
    },
};
use bytes::Bytes;
use netio::{AlignedBuf, File, Io, Open};
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
///
/// # Errors
/// [`Error::Version`] for a frame that is whole and has an entry of a kind that is not known here.
fn frames_of(bytes: &Bytes, file: &str, owner: &Owner, out: &mut Vec<Frame>) -> Result<(), Error> {
    let mut at = 0;
    while at + BLOCK <= bytes.len() {
        let header = FrameHeader::read(&bytes[at..])
            .filter(|(header, _)| owner.owns(header) && at + header.bytes as usize <= bytes.len());
        let mut whole = None;
        if let Some((header, crc)) = header {
            let frame = bytes.slice(at..at + header.bytes as usize);
            let table = read_table(&header, &frame).map_err(|kind| Error::Version {
                file: format!("{file} at byte {at}"),
                what: "an entry of the write-ahead log, its kind in place",
                found: kind.to_string(),
                known: "1 to 8",
            })?;
            whole = table.map(|table| Frame {
                header,
                crc,
                file: file.to_owned(),
                position: at as u64,
                table,
                bytes: frame,
            });
        }
        match whole {
            Some(frame) => {
                at += frame.header.bytes as usize;
                out.push(frame);
            }
            None => at += BLOCK,
        }
    }
    Ok(())
}

/// Orders a chain's frames, cuts the torn tail, keeps what is acked. `head` is the core's
/// checkpoint of this start, if any.
///
/// # Errors
/// [`Error::Damaged`] if frames of two runs claim the same start.
pub(crate) fn chain(
    mut frames: Vec<Frame>,
    head: Option<&Head>,
    report: &mut RecoveryReport,
) -> Result<Vec<Found>, Error> {
    frames.sort_by_key(|frame| frame.header.sequence);
    let Some(run) =
        head.map(|head| head.run).or_else(|| frames.first().map(|frame| frame.header.run))
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
    let acked = frames.iter().map(|frame| frame.header.acked_through).max().unwrap_or(0);
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
                    what: format!("{:?} of {:?} at offset {}", entry.kind, entry.id, entry.offset),
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

/// Whose frames count in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub core: u32,
    pub start: u64,
    pub generation: u64,
}

/// A file of a chain, after a look at its landmarks.
#[derive(Debug)]
pub(crate) struct Probed {
    file: File,
    path: String,
    owner: Owner,
    len: u64,
    /// Up to where it is to be read if it is the last one of its chain.
    upto: u64,
    /// A landmark holds a frame.
    pub used: bool,
}

/// Looks at a file's landmarks. The chain of a start is of one version, and a file is filled from
/// its front: its first frame tells whether a newer program wrote it. Further in, bytes that look
/// like one may be a client's. What is read from now on is on the device. Crash shown: a killed
/// process leaves a frame in a cache that says a log begins at 141; recovery removes the segments
/// below; the power goes before it ends, and takes the frame: the next recovery believes the
/// checkpoint, whose segment is gone.
pub(crate) async fn probe(io: &Io, path: &Path, owner: Owner) -> Result<Probed, Error> {
    let file = io.open(path, Open { direct: true, ..Open::default() }).await?;
    let path = path.display().to_string();
    let len = file.len().await? / BLOCK as u64 * BLOCK as u64;
    if len > READ_MAX {
        return Err(Error::Damaged {
            file: path,
            position: READ_MAX,
            what: format!("a WAL file of {len} bytes"),
        });
    }
    if len > 0 {
        file.sync(true).await?;
    }
    let mut upto = LANDMARK;
    let mut used = false;
    let mut buf = AlignedBuf::zeroed(BLOCK);
    let mut at = 0;
    while at < len {
        let (back, read) = file.read_at(buf, at).await;
        buf = back;
        let read = read?;
        if at == 0
            && let Some(foreign) = Foreign::read(&buf[..read])
            && !foreign.is_stale(owner.start, owner.generation)
        {
            return Err(Error::Version {
                file: path,
                what: "a frame of the write-ahead log",
                found: foreign.text(),
                known: VERSIONS,
            });
        }
        let header = FrameHeader::read(&buf[..read]).map(|(header, _)| header);
        if let Some(header) = header.filter(|header| owner.owns(header)) {
            used = true;
            let end = (at + u64::from(header.bytes)).next_multiple_of(LANDMARK);
            // See `Probed::frames`: the frames behind this one, and those behind the next landmark.
            upto = end + LANDMARK;
            if header.without_landmarks {
                upto = len;
            }
        }
        at += LANDMARK;
    }
    Ok(Probed { file, path, owner, len, upto: upto.min(len), used })
}

impl Owner {
    fn owns(&self, header: &FrameHeader) -> bool {
        header.core == self.core
            && header.start == self.start
            && header.generation == self.generation
    }
}

impl Probed {
    pub(crate) fn number(&self) -> u64 {
        self.owner.generation
    }

    /// The file's frames. `is_last`: no later file of the chain has any; only then less than all of
    /// it is read.
    ///
    /// A file is filled from its front, so what was never written begins somewhere, and from there
    /// on nothing counts. Where? Not at the first block that holds no frame: that may be a damaged
    /// frame, with acknowledged ones behind it, and the frame may be as long as the file. But a
    /// frame that lies behind a landmark is not alone: there is one *at* every landmark before it,
    /// except where one frame lies over landmarks, and that one begins at a landmark. With `k` the
    /// last landmark at which a frame is readable, the file is read to the end of that frame, to
    /// the landmark behind it, and on to the next:
    ///
    /// ```text
    /// k                     k+1                   k+2
    /// | frame ok | ... ok | | damaged | ok | ok | |
    /// |<------------------ read ----------------->|
    /// ```
    /// * Whatever is damaged up to `k`, the frames behind it up to `k` are found: the damage is
    ///   seen for what it is.
    /// * The frame at `k+1` is damaged, others follow in the same stretch: found, they are in what
    ///   is read.
    /// * Frames follow behind `k+2`: then one was at `k+2`, and it is not readable, nor is the one
    ///   at `k+1`, nor any at a landmark further on. That takes two damaged places [`LANDMARK`]
    ///   bytes apart, both exactly where headers are.
    ///
    /// A power cut leaves no such picture with acknowledged frames in it: it takes frames that were
    /// in flight, or were written without dsync, and no frame behind such a one says that it was on
    /// the device.
    ///
    /// Returns the frames, and how many bytes were read.
    pub(crate) async fn frames(self, is_last: bool) -> Result<(Vec<Frame>, u64), Error> {
        let upto = if is_last { self.upto } else { self.len };
        let frames = self.frames_upto(upto).await?;
        if upto < self.len && frames.iter().any(|frame| frame.header.without_landmarks) {
            return Ok((self.frames_upto(self.len).await?, upto + self.len));
        }
        Ok((frames, upto))
    }

    async fn frames_upto(&self, upto: u64) -> Result<Vec<Frame>, Error> {
        let mut frames = Vec::new();
        if upto > 0 {
            let (buf, read) = self.file.read_at(AlignedBuf::zeroed(upto as usize), 0).await;
            let bytes = buf.freeze().slice(..read?);
            frames_of(&bytes, &self.path, &self.owner, &mut frames)?;
        }
        Ok(frames)
    }
}
