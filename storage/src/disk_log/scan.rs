//! Walking a segment batch by batch: to rebuild indexes, to find the end of a log, to catch up
//! behind the index files.
use super::{DiskLog, Fence};
use crate::{
    error::Error,
    index::{OffsetEntry, lookup},
    leader_epoch::EpochHistory,
    options::LogConfig,
    segment::{
        facts::{Entries, Facts},
        reader::{At, Expected, Reader, SCAN_BYTES},
    },
};
use netio::Open;
use record::{BatchHeader, Batches, Offset, Tail};

/// Most index entries tried to find where reading can go on behind damage.
const RESUME_TRIES: usize = 64;

/// Most bytes searched for a batch: as many as may lie behind the index files on the device, and
/// some more.
const SEARCH_BYTES_MAX: u64 = 4 << 20;

/// What to do at damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnDamage {
    /// The end of the content is not known: what cannot be read was never whole.
    Stop,
    /// The content is known to have been whole: fence and go on.
    Fence,
}

/// Bounds of a scan.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of the file that count.
    pub(super) size: u64,
    /// Offset at which the segment ends.
    pub(super) end: Offset,
    /// Stop before the first batch that reaches past this offset.
    pub(super) upto: Offset,
    pub(super) on_damage: OnDamage,
}

/// How a scan ended.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) facts: Facts,
    pub(super) fences: Vec<Fence>,
    /// Why it stopped before the end of the bytes.
    pub(super) stopped: Option<String>,
}

/// LOG files are always opened like this.
pub(super) const DIRECT: Open =
    Open { write: true, create: false, exclusive: false, truncate: false, direct: true };

impl DiskLog {
    /// A reader over the first `size` bytes of a segment.
    pub(super) async fn reader(
        &self,
        base: Offset,
        size: u64,
        window: usize,
    ) -> Result<Reader, Error> {
        let file = self
            .inner
            .disk
            .file(self.key(base, crate::files::LOG), &self.inner.dir, DIRECT)
            .await?;
        Ok(Reader::new(file, size, window))
    }

    /// Goes on from `facts` to the end of `bounds`, giving each good batch to `sink` with the index
    /// entries it makes.
    pub(super) async fn scan(
        &self,
        mut facts: Facts,
        bounds: Bounds,
        epochs: &EpochHistory,
        config: &LogConfig,
        mut sink: impl FnMut(&BatchHeader, Entries),
    ) -> Result<Scanned, Error> {
        let mut fences = Vec::new();
        if facts.size >= bounds.size {
            return Ok(Scanned { facts, fences, stopped: None });
        }
        let mut reader = self.reader(facts.base, bounds.size, SCAN_BYTES).await?;
        let stopped = loop {
            let position = facts.size;
            let expected = Expected {
                next: facts.end,
                // Indexes hold offsets as 32 bits from the base: whoever wrote a batch beyond has
                // rolled before it.
                end: bounds.end.min(facts.base.saturating_add(i64::from(i32::MAX) + 1)),
            };
            let (why, length) = match reader.batch_at(position).await? {
                At::End => break None,
                At::Batch(header, piece) => {
                    let length = piece.len() as u64;
                    match judge(&mut reader, &expected, &header, position, epochs).await? {
                        Ok(()) if header.next_offset() > bounds.upto => {
                            break Some(format!("the batch up to {}", header.next_offset()));
                        }
                        Ok(()) => {
                            let entries = facts.add(&header, config);
                            sink(&header, entries);
                            continue;
                        }
                        Err(why) => (why, Some(length)),
                    }
                }
                At::Bad { why, length } => (why, length),
            };
            if bounds.on_damage == OnDamage::Stop {
                break Some(why);
            }
            if expected.next == bounds.end && reader.zeros_from(position).await? {
                // Space taken in advance and never cut off: the roll was not finished. Nothing is
                // missing.
                break Some("zeros to the end".into());
            }
            let (next, resume) = self
                .resume(
                    &mut reader,
                    facts.base,
                    position,
                    expected,
                    length,
                    facts.index_entries.into(),
                )
                .await?;
            fences.push(Fence {
                from: expected.next,
                next,
                segment_base: facts.base,
                position,
                resume,
                why,
            });
            facts.skip_to(resume, next);
        };
        Ok(Scanned { facts, fences, stopped })
    }

    /// Offset and position of the first batch behind damage at `position` that can be believed: the
    /// one behind the damaged batch if its length is right, else one that the index names, else one
    /// found by search, else the end of the segment.
    pub(super) async fn resume(
        &self,
        reader: &mut Reader,
        base: Offset,
        position: u64,
        expected: Expected,
        length: Option<u64>,
        index_from: u64,
    ) -> Result<(Offset, u64), Error> {
        let fits = |header: &BatchHeader| {
            header.base_offset >= expected.next && header.next_offset() <= expected.end
        };
        if let Some(length) = length {
            match reader.batch_at(position + length).await? {
                At::Batch(header, _) if fits(&header) => {
                    return Ok((header.base_offset, position + length));
                }
                At::End => return Ok((expected.end, position + length)),
                _ => {}
            }
        }
        let mut entries: Vec<OffsetEntry> = Vec::new();
        if let Ok(file) = self
            .inner
            .disk
            .file(self.key(base, crate::files::INDEX), &self.inner.dir, super::closed::BUFFERED)
            .await
        {
            let mut from = index_from;
            loop {
                let more = lookup::read::<OffsetEntry>(&file, base, from, 512).await?;
                from += more.len() as u64;
                let ended = more.len() < 512;
                entries.extend(more.into_iter().filter(|entry| {
                    entry.position > position && entry.last_offset >= expected.next
                }));
                if ended || entries.len() >= RESUME_TRIES {
                    break;
                }
            }
        }
        {
            let state = self.inner.state.borrow();
            if state.active.base() == base {
                entries
                    .extend(state.active.offsets.iter().filter(|entry| entry.position > position));
            }
        }
        for entry in entries.into_iter().take(RESUME_TRIES) {
            if let At::Batch(header, _) = reader.batch_at(entry.position).await?
                && header.last_offset() == entry.last_offset
                && fits(&header)
            {
                return Ok((header.base_offset, entry.position));
            }
        }
        let found = search(reader, position, expected).await?;
        Ok(found.unwrap_or_else(|| (expected.end, reader.size())))
    }

    /// Remembers damage; the same damage once.
    pub(super) fn add_fence(&self, fence: Fence) {
        self.inner.state.borrow_mut().fences.entry(fence.from).or_insert(fence);
    }
}

/// Looks byte by byte for a batch that fits. A record may hold the bytes of a batch, and its sender
/// may have chosen them: what is found is believed only if batches follow each other from it to the
/// very end of the segment.
async fn search(
    reader: &mut Reader,
    position: u64,
    expected: Expected,
) -> Result<Option<(Offset, u64)>, Error> {
    let size = reader.size();
    if size - position > SEARCH_BYTES_MAX {
        return Ok(None);
    }
    let bytes = reader.bytes_from(position).await?;
    for skip in 1..bytes.len() {
        let fits = BatchHeader::parse(&bytes[skip..]).is_ok_and(|header| {
            let inside =
                skip + header.size_in_bytes() <= bytes.len() && header.last_offset_delta >= 0;
            inside && header.base_offset >= expected.next && header.next_offset() <= expected.end
        });
        if !fits {
            continue;
        }
        let mut batches = Batches::new(&bytes[skip..]);
        let (mut first, mut next) = (None, expected.next);
        for batch in batches.by_ref() {
            if batch.base_offset < next || batch.verify_crc().is_err() {
                first = None;
                break;
            }
            first = first.or(Some(batch.base_offset));
            next = batch.next_offset();
        }
        if let Some(first) = first
            && batches.tail() == Tail::Clean
            && next == expected.end
        {
            return Ok(Some((first, position + skip as u64)));
        }
    }
    Ok(None)
}

/// [`Expected::judge`], with the header behind where there is a gap to explain.
pub(super) async fn judge(
    reader: &mut Reader,
    expected: &Expected,
    header: &BatchHeader,
    position: u64,
    epochs: &EpochHistory,
) -> Result<Result<(), String>, Error> {
    let follower = if header.base_offset > expected.next {
        reader.header_at(position + header.size_in_bytes() as u64).await?
    } else {
        None
    };
    Ok(expected.judge(header, follower.as_ref(), epochs))
}
