//! Cold reads: index look-up, direct reads with bounded read-ahead, every batch checked.
use super::{CURSORS, Cursor, DiskLog, Fence, Place, scan};
use crate::{
    error::{Error, ReadError},
    files::{INDEX, TIME_INDEX},
    index::{self, Entry, OffsetEntry, TimeEntry, lookup},
    leader_epoch::EpochHistory,
    segment::reader::{At, Expected, Piece, READ_BYTES_MIN, Reader, SCAN_BYTES},
};
use bytes::Bytes;
use record::Offset;

/// Bytes of a read beyond those asked for.
const WINDOW_SLACK: usize = 4096;

/// Where a search begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) position: u64,
    /// The batch there must end with this offset, if the place comes from an index.
    pub(super) last_offset: Option<Offset>,
    /// Least base offset there.
    pub(super) next: Offset,
}

impl DiskLog {
    /// Whole batches from the one that holds `from` (or the next, where compaction left a gap), all
    /// below `upto`, at most `max_bytes` in all, but the first one in any case with `at_least_one`.
    /// Neighbours come as one slice. Ends at the end of a segment; empty when there is nothing in
    /// the range.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] below the log start; [`ReadError::Damaged`] when the first batch
    /// is damaged: `next` is the first offset behind that can be read. Damage further on ends the
    /// read before it.
    pub async fn read(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Vec<Bytes>, ReadError> {
        let read = self.read_on(from, upto, max_bytes, at_least_one).await;
        read.map(|(batches, _)| batches)
    }

    /// As [`Self::read`]; also the offset behind the last batch: `from` if there is none.
    pub(crate) async fn read_on(
        &self,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<(Vec<Bytes>, Offset), ReadError> {
        let mut at = from;
        loop {
            let (segment, generation) = {
                let state = self.inner.state.borrow();
                if from < state.log_start {
                    return Err(ReadError::OutOfRange {
                        offset: from,
                        log_start: state.log_start,
                        high_watermark: state.active.flushed,
                    });
                }
                let flushed = state.active.flushed;
                if at >= flushed.min(upto) {
                    // Segments were gone through to the end of what is flushed, and nothing was
                    // there.
                    if at > from && upto >= flushed {
                        return Err(ReadError::Damaged { offset: from, next: flushed });
                    }
                    return Ok((Vec::new(), from));
                }
                (state.base_of(at), state.generation)
            };
            let place = match segment {
                Some(base) => self.place_of(base).await?,
                // The segment that held it is not there any more, and nobody deleted it.
                None => {
                    let next = self.inner.state.borrow().bases().first().copied().unwrap_or(upto);
                    return Err(ReadError::Damaged { offset: from, next });
                }
            };
            // The look at the place may have found damage in it.
            if let Some(fence) = self.inner.state.borrow().fence_at(at) {
                let next = fence.next;
                return Err(ReadError::Damaged { offset: from, next });
            }
            let Some(place) = place else { continue };
            let bound = upto.min(place.end);
            let pieces = self.read_segment(place, from, bound, max_bytes, at_least_one).await;
            {
                let state = self.inner.state.borrow();
                if state.generation != generation || from < state.log_start {
                    // Truncated or removed under the read: what it saw, or did not find, says
                    // nothing.
                    continue;
                }
            }
            match pieces? {
                Some((pieces, end)) => {
                    let batches = pieces.into_iter().map(Piece::into_bytes).collect();
                    return Ok((batches, end));
                }
                // What is flushed and not cut off by `upto` must be there.
                None if !place.closed && upto >= place.end => {
                    return Err(ReadError::Damaged { offset: from, next: place.end });
                }
                None if !place.closed => return Ok((Vec::new(), from)),
                // The rest of this segment was compacted away.
                None => at = place.end,
            }
        }
    }

    /// `None`: the segment has nothing from `from` on.
    async fn read_segment(
        &self,
        place: Place,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Option<(Vec<Piece>, Offset)>, ReadError> {
        let epochs = self.inner.state.borrow().epochs.clone();
        let mut reader = self
            .reader(
                place.base,
                place.size,
                // Kafka's largest batch by default is a little more than the bytes that clients ask
                // for.
                max_bytes.clamp(READ_BYTES_MIN, SCAN_BYTES) + WINDOW_SLACK,
            )
            .await?;
        let start = match self.cursor(place.base, from) {
            Some(start) => start,
            None => self.start_for(&mut reader, &place, from, &epochs).await?,
        };
        let mut walk = Walk::new(self, place, start, epochs);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut total = 0;
        loop {
            // The rest of an answer that is half full is not worth another read: its reader comes
            // again, and then what is read is used to the end.
            if total > 0 && total >= max_bytes / 2 && !reader.has_batch(walk.position) {
                break;
            }
            match walk.step(&mut reader).await? {
                Step::End if total == 0 => return Ok(None),
                Step::End => break,
                Step::Damage(fence) if fence.next <= from => {}
                Step::Damage(_) if total > 0 => break,
                Step::Damage(fence) => {
                    return Err(ReadError::Damaged { offset: from, next: fence.next });
                }
                Step::Batch(header, piece) => {
                    if header.next_offset() <= from {
                        continue;
                    }
                    let fits = total + piece.len() <= max_bytes || (total == 0 && at_least_one);
                    if header.next_offset() > upto || !fits {
                        break;
                    }
                    total += piece.len();
                    walk.taken();
                    if !pieces.last_mut().is_some_and(|last| last.join(&piece)) {
                        pieces.push(piece);
                    }
                    if total >= max_bytes {
                        break;
                    }
                }
            }
        }
        if total > 0 {
            self.remember(Cursor {
                offset: walk.taken_next,
                base: place.base,
                position: walk.taken_position,
            });
        }
        let end = if total > 0 { walk.taken_next } else { from };
        Ok(Some((pieces, end)))
    }

    // ---- where to begin -------------------------------------------------------------------------
    fn cursor(&self, base: Offset, from: Offset) -> Option<Start> {
        let state = self.inner.state.borrow();
        let cursor =
            state.cursors.iter().find(|cursor| cursor.offset == from && cursor.base == base)?;
        Some(Start { position: cursor.position, last_offset: None, next: from })
    }

    fn remember(&self, cursor: Cursor) {
        let cursors = &mut self.inner.state.borrow_mut().cursors;
        cursors.retain(|other| other.offset != cursor.offset);
        if cursors.len() == CURSORS {
            cursors.remove(0);
        }
        cursors.push(cursor);
    }

    /// The last place at or before the batch of `offset` that the index knows and that holds what
    /// the index says. An entry that is wrong, or names a damaged batch, is passed over for the one
    /// before: positions that are reached by walking are right.
    pub(super) async fn start_for(
        &self,
        reader: &mut Reader,
        place: &Place,
        offset: Offset,
        epochs: &EpochHistory,
    ) -> Result<Start, Error> {
        let mut key = offset;
        loop {
            let Some(entry) = self.offset_floor(place, key).await? else {
                return Ok(Start { position: 0, last_offset: None, next: place.base });
            };
            if entry.position < place.size
                && let At::Batch(header, _) = reader.batch_at(entry.position).await?
                && header.last_offset() == entry.last_offset
                && (Expected { next: place.base, end: place.end })
                    .judge(&header, None, epochs)
                    .is_ok()
            {
                return Ok(Start {
                    position: entry.position,
                    last_offset: Some(entry.last_offset),
                    next: header.base_offset,
                });
            }
            key = entry.last_offset.min(key).saturating_sub(1);
            if key < place.base {
                return Ok(Start { position: 0, last_offset: None, next: place.base });
            }
        }
    }

    /// Last entry of the offset index for a batch that ends at or before `offset`.
    async fn offset_floor(
        &self,
        place: &Place,
        offset: Offset,
    ) -> Result<Option<OffsetEntry>, Error> {
        let pending = self.pending(place, |active| index::floor(&active.offsets, offset.0));
        self.floor(place, INDEX, place.index_entries, offset.0, pending).await
    }

    /// Last entry of the time index with a timestamp <= `timestamp`.
    pub(super) async fn time_floor(
        &self,
        place: &Place,
        timestamp: i64,
    ) -> Result<Option<TimeEntry>, Error> {
        let pending = self.pending(place, |active| index::floor(&active.times, timestamp));
        self.floor(place, TIME_INDEX, place.time_entries, timestamp, pending).await
    }

    fn pending<E>(
        &self,
        place: &Place,
        look: impl FnOnce(&super::Active) -> Option<E>,
    ) -> Option<E> {
        let state = self.inner.state.borrow();
        if place.closed || state.active.base() != place.base { None } else { look(&state.active) }
    }

    async fn floor<E: Entry>(
        &self,
        place: &Place,
        suffix: &'static str,
        count: u64,
        key: i64,
        pending: Option<E>,
    ) -> Result<Option<E>, Error> {
        if pending.is_some() || count == 0 {
            return Ok(pending);
        }
        if place.closed {
            self.check_indexes(place.base).await?;
        }
        let file = match self.index_file(place.base, suffix).await {
            // Without an index everything is found by walking.
            Err(Error::Io(error)) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        Ok(lookup::floor::<E>(&file, place.base, count, key).await?.map(|(_, entry)| entry))
    }
}

/// What a walk comes to.
#[derive(Debug)]
pub(super) enum Step {
    Batch(record::BatchHeader, Piece),
    /// Fenced; the walk goes on behind it.
    Damage(Fence),
    End,
}

/// A walk over the batches of one segment, each checked by its bytes and its place, around damage.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    log: &'a DiskLog,
    place: Place,
    epochs: EpochHistory,
    position: u64,
    next: Offset,
    last_offset: Option<Offset>,
    /// Behind the last batch that was [`Self::taken`].
    pub(super) taken_next: Offset,
    pub(super) taken_position: u64,
}

impl<'a> Walk<'a> {
    pub(super) fn new(log: &'a DiskLog, place: Place, start: Start, epochs: EpochHistory) -> Self {
        let Start { position, last_offset, next } = start;
        Self {
            log,
            place,
            epochs,
            position,
            next,
            last_offset,
            taken_next: next,
            taken_position: position,
        }
    }

    /// The batch of the last step is used.
    pub(super) fn taken(&mut self) {
        (self.taken_next, self.taken_position) = (self.next, self.position);
    }

    pub(super) async fn step(&mut self, reader: &mut Reader) -> Result<Step, Error> {
        let expected = Expected { next: self.next, end: self.place.end };
        let (why, length) = match reader.batch_at(self.position).await? {
            At::End => return Ok(Step::End),
            At::Bad { why, length } => (why, length),
            At::Batch(header, piece) => {
                let length = piece.len() as u64;
                match scan::judge(reader, &expected, &header, self.position, &self.epochs).await? {
                    Ok(()) if self.last_offset.is_none_or(|last| last == header.last_offset()) => {
                        self.last_offset = None;
                        self.position += length;
                        self.next = header.next_offset();
                        return Ok(Step::Batch(header, piece));
                    }
                    Ok(()) => (
                        format!("ends at {}, not where the index says", header.last_offset()),
                        Some(length),
                    ),
                    Err(why) => (why, Some(length)),
                }
            }
        };
        let known = {
            let state = self.log.inner.state.borrow();
            let known = state.fences.values().find(|fence| {
                fence.segment_base == self.place.base && fence.position == self.position
            });
            known.cloned()
        };
        let fence = match known {
            Some(fence) => fence,
            None => {
                let (next, resume) = self
                    .log
                    .resume(reader, self.place.base, self.position, expected, length, 0)
                    .await?;
                let fence = Fence {
                    from: self.next,
                    next,
                    segment_base: self.place.base,
                    position: self.position,
                    resume,
                    why,
                };
                self.log.add_fence(fence.clone());
                fence
            }
        };
        self.position = fence.resume;
        self.next = fence.next;
        self.last_offset = None;
        Ok(Step::Damage(fence))
    }
}
