//! Reads: the tail from the buffers that the write-ahead log wrote, the rest from segments in the
//! background.
//!
//! Cold reads are bounded: so many bytes at once, the others wait their turn. They never enter the
//! tail cache. Readers that go on where they ended are read ahead of (`ahead`).
use crate::{
    error::{Error, ReadError},
    ids::{LogSlot, TimeOffset},
    store::{
        Event, Read, Store,
        ahead::{Ahead, Taken, Waiting},
        turn::Outcome,
    },
    watermarks::Offsets,
};
use bytes::Bytes;
use netio::Class;
use record::{BatchHeader, BatchView, Offset, Records};
use std::collections::{BTreeMap, VecDeque};

/// What a token waits for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Batches { from: Offset, upto: Offset, max_bytes: usize, at_least_one: bool },
    Time(i64),
    MaxTimestamp,
}

/// Reads that need the disk.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    next: u64,
    waiting: VecDeque<(u64, LogSlot, Ask)>,
    /// Given out and not forgotten.
    wanted: BTreeMap<u64, (LogSlot, Ask, u8)>,
    reserved: usize,
    pub ahead: Ahead,
}

/// Least memory a cold read is reckoned with: it reads ahead.
const COLD_MIN: usize = 256 << 10;
/// Most bytes that a batch may decompress to for a look-up by time.
const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;
/// Times a look-up is done again because a segment went under it, or what it found.
const TRIES_MAX: u8 = 10;

impl Store {
    /// Whole batches from the one holding `from`, below `upto` (exclusive) and the high watermark,
    /// at most `max_bytes` in all but at least one batch when `at_least_one`. From the tail cache
    /// when possible, else from disk in the background.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &mut self,
        slot: LogSlot,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Read, ReadError> {
        let log = self.log(slot);
        let offsets = log.offsets;
        if from < offsets.log_start || from > offsets.log_end {
            let (log_start, high_watermark) = (offsets.log_start, offsets.high_watermark);
            return Err(ReadError::OutOfRange { offset: from, log_start, high_watermark });
        }
        if let Some((_, next)) = log.fence_at(from) {
            return Err(ReadError::Damaged { offset: from, next });
        }
        let upto = upto.min(offsets.high_watermark).min(log.next_fence(from));
        if from >= upto {
            return Ok(Read::Ready(Vec::new()));
        }
        if let Some(batches) = self.read_tail(slot, from, upto, max_bytes, at_least_one) {
            self.stats.cache_hits += 1;
            return Ok(Read::Ready(batches));
        }
        let upto = upto.min(offsets.flushed);
        assert!(
            from < upto,
            "{:?}: {from} is neither in memory nor flushed: {offsets:?}",
            self.log(slot).id
        );
        self.stats.cold_reads += 1;
        let ask = Ask::Batches { from, upto, max_bytes, at_least_one };
        let now = self.io.now();
        let ahead = &mut self.reads.ahead;
        Ok(match ahead.take(slot, from, upto, max_bytes, at_least_one, now) {
            Taken::Batches(batches, stream) => {
                self.stats.ahead_hits += 1;
                self.stats.cold_bytes += bytes_of(&batches);
                self.read_ahead(stream);
                Read::Ready(batches)
            }
            Taken::Soon(stream) => {
                self.stats.ahead_hits += 1;
                let token = self.token(slot, ask);
                let waiting = Waiting { token, upto, max_bytes, at_least_one };
                self.reads.ahead.wait(stream, waiting);
                Read::Pending(token)
            }
            Taken::Nothing => Read::Pending(self.ask(slot, ask)),
        })
    }

    /// `None` when `from` is not in memory.
    fn read_tail(
        &mut self,
        slot: LogSlot,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Option<Vec<Bytes>> {
        let first_cached = self.wal.first_cached();
        let copy = self.wal.memory_bytes()
            > self.unflushed_bytes
                + 2 * self.options.cache_bytes as u64
                + self.options.held_bytes_max;
        let Store { wal, logs, .. } = self;
        let log = logs[slot.0 as usize].as_mut()?;
        log.prune(first_cached);
        let at = log.position(from);
        let first = log.index.get(at)?;
        if first.sequence < first_cached
            || (at == 0 && first.base > from && from < log.offsets.flushed)
        {
            return None;
        }
        let mut out = Vec::new();
        let mut total = 0;
        // Neighbours in one frame leave as one slice.
        let mut run: Option<(u64, u32, u32)> = None;
        for cached in log.index.range(at..) {
            let fits = total + cached.len as usize <= max_bytes || (total == 0 && at_least_one);
            if cached.end > upto || cached.sequence < first_cached || !fits {
                break;
            }
            total += cached.len as usize;
            match &mut run {
                Some((sequence, start, len))
                    if *sequence == cached.sequence && *start + *len == cached.at =>
                {
                    *len += cached.len;
                }
                _ => {
                    out.extend(
                        run.take().and_then(|(sequence, at, len)| wal.slice(sequence, at, len)),
                    );
                    run = Some((cached.sequence, cached.at, cached.len));
                }
            }
        }
        out.extend(run.take().and_then(|(sequence, at, len)| wal.slice(sequence, at, len)));
        assert_eq!(
            out.iter().map(Bytes::len).sum::<usize>(),
            total,
            "a cached frame is not in memory"
        );
        if copy {
            out = out.iter().map(|bytes| Bytes::copy_from_slice(bytes)).collect();
        }
        Some(out)
    }

    /// Drops interest in a pending read.
    pub fn forget_read(&mut self, token: u64) {
        self.reads.wanted.remove(&token);
        self.reads.waiting.retain(|(waiting, ..)| *waiting != token);
    }

    /// First record with a timestamp >= `timestamp` below the high watermark: [`Event::TimeFound`]
    /// with the token returned.
    pub fn offset_for_time(&mut self, slot: LogSlot, timestamp: i64) -> u64 {
        self.ask(slot, Ask::Time(timestamp))
    }

    /// Offset and timestamp of the record with the largest timestamp: [`Event::TimeFound`]
    /// (ListOffsets -3).
    pub fn offset_of_max_timestamp(&mut self, slot: LogSlot) -> u64 {
        self.ask(slot, Ask::MaxTimestamp)
    }

    fn ask(&mut self, slot: LogSlot, ask: Ask) -> u64 {
        let token = self.token(slot, ask);
        self.reads.waiting.push_back((token, slot, ask));
        self.pump_reads();
        token
    }

    fn token(&mut self, slot: LogSlot, ask: Ask) -> u64 {
        let token = self.reads.next;
        self.reads.next += 1;
        self.reads.wanted.insert(token, (slot, ask, 0));
        token
    }

    /// Starts what may start now. A log that is being opened is waited for; others overtake it.
    pub(crate) fn pump_reads(&mut self) {
        for _ in 0..self.reads.waiting.len() {
            let Some((token, slot, ask)) = self.reads.waiting.pop_front() else {
                return;
            };
            if !self.start_read(token, slot, ask) {
                self.reads.waiting.push_back((token, slot, ask));
            }
        }
    }

    fn start_read(&mut self, token: u64, slot: LogSlot, ask: Ask) -> bool {
        let Some(log) = self.any_log(slot).filter(|log| !log.deleted) else {
            self.answer(token, ask, Error::Failed("the log was deleted".into()));
            return true;
        };
        let offsets = log.offsets;
        let on_disk = offsets.flushed > offsets.log_start && log.flushed_state().is_some();
        let failed = log.failed.clone().map(Error::Failed);
        let reason = failed.or_else(|| self.room.short.clone());
        match ask {
            Ask::Batches { from, upto, max_bytes, at_least_one } => {
                let reserve = max_bytes.max(COLD_MIN);
                if self.reads.reserved > 0
                    && self.reads.reserved + reserve > self.options.cold_read_bytes_max
                {
                    return false;
                }
                let Some(disk) = self.open_dir(slot, Class::Read) else {
                    return self.refuse_unopened(slot, token, ask, reason);
                };
                self.reads.reserved += reserve;
                self.tasks.spawn(Class::Read, async move {
                    let result = disk.read_on(from, upto, max_bytes, at_least_one).await;
                    Outcome::Read { token, reserved: reserve, result }
                });
            }
            Ask::Time(_) | Ask::MaxTimestamp => {
                let tail = self.tail_by_time(slot, ask);
                if !on_disk {
                    self.tell_time(token, Ok(tail));
                    return true;
                }
                let Some(disk) = self.open_dir(slot, Class::Read) else {
                    return self.refuse_unopened(slot, token, ask, reason);
                };
                let upto = offsets.high_watermark.min(offsets.flushed);
                let from = offsets.log_start;
                self.tasks.spawn(Class::Read, async move {
                    let found = match ask {
                        Ask::Time(timestamp) => disk.find_time_from(timestamp, from, upto).await,
                        _ => disk.max_timestamp().await,
                    };
                    let result = found.map(|found| match (found, tail, ask) {
                        // The earlier of equals is the one on disk.
                        (Some(found), Some(tail), Ask::MaxTimestamp)
                            if tail.timestamp > found.timestamp =>
                        {
                            Some(tail)
                        }
                        (found, tail, _) => found.or(tail),
                    });
                    Outcome::Time { token, result }
                });
            }
        }
        true
    }

    /// A log whose files cannot be opened gives no read; one that is being opened, later.
    fn refuse_unopened(
        &mut self,
        slot: LogSlot,
        token: u64,
        ask: Ask,
        reason: Option<Error>,
    ) -> bool {
        let closed =
            self.any_log(slot).is_some_and(|log| matches!(log.dir, crate::log::Dir::Closed(_)));
        match reason {
            Some(reason) if closed => {
                self.answer(token, ask, reason);
                true
            }
            _ => false,
        }
    }

    fn answer(&mut self, token: u64, ask: Ask, error: Error) {
        match ask {
            Ask::Batches { .. } => self.on_read(token, 0, Err(error.into())),
            Ask::Time(_) | Ask::MaxTimestamp => self.tell_time(token, Err(error)),
        }
    }

    /// What the batches that are in no segment say. Only the one batch that answers is opened.
    fn tail_by_time(&mut self, slot: LogSlot, ask: Ask) -> Option<TimeOffset> {
        let Store { wal, logs, .. } = self;
        let log = logs[slot.0 as usize].as_ref()?;
        let first = log.position(log.offsets.flushed.max(log.offsets.log_start));
        let committed =
            log.index.range(first..).take_while(|cached| cached.end <= log.offsets.high_watermark);
        let mut newest: Option<(i64, Bytes)> = None;
        for cached in committed {
            let bytes = wal.slice(cached.sequence, cached.at, cached.len)?;
            let stamp = BatchHeader::parse(&bytes).ok()?.max_timestamp.0;
            match ask {
                Ask::Time(timestamp) if stamp >= timestamp => {
                    let found = first_record(&bytes, log.offsets.log_start, timestamp);
                    if found.is_some() {
                        return found;
                    }
                }
                Ask::MaxTimestamp
                    if stamp >= 0 && newest.as_ref().is_none_or(|(best, _)| stamp > *best) =>
                {
                    newest = Some((stamp, bytes));
                }
                _ => {}
            }
        }
        newest.and_then(|(stamp, bytes)| first_record(&bytes, log.offsets.log_start, stamp))
    }

    pub(crate) fn on_read(
        &mut self,
        token: u64,
        reserved: usize,
        result: Result<(Vec<Bytes>, Offset), ReadError>,
    ) {
        self.reads.reserved -= reserved;
        match &result {
            Ok((batches, _)) => self.stats.cold_bytes += bytes_of(batches),
            Err(ReadError::Damaged { .. }) => self.stats.damaged_batches += 1,
            Err(_) => {}
        }
        let asked = self.reads.wanted.get(&token).copied();
        if let (Some((slot, Ask::Batches { from, max_bytes, .. }, _)), Ok((batches, end))) =
            (asked, &result)
            && !batches.is_empty()
            && self.options.read_ahead_bytes_max > 0
            && self.any_log(slot).is_some_and(|log| !log.deleted)
        {
            let now = self.io.now();
            let begun = self.reads.ahead.on_cold_read(slot, from, *end, max_bytes, now);
            if let Some(stream) = begun {
                self.read_ahead(stream);
            }
        }
        self.tell_read(token, result.map(|(batches, _)| batches));
    }

    /// Answers a read, if anybody still wants it.
    fn tell_read(&mut self, token: u64, result: Result<Vec<Bytes>, ReadError>) {
        let Some((slot, ask, _)) = self.reads.wanted.remove(&token) else {
            return;
        };
        let mut result = result;
        if let (Some(log), Ask::Batches { from, .. }) = (self.any_log(slot), ask)
            && from < log.offsets.log_start
        {
            // Segments went while this read was under way: it may have found only what lies behind
            // them.
            let (log_start, high_watermark) = (log.offsets.log_start, log.offsets.high_watermark);
            result = Err(ReadError::OutOfRange { offset: from, log_start, high_watermark });
        }
        self.events.push_back(Event::ReadDone { token, result });
    }

    // ---- read-ahead -----------------------------------------------------------------------------

    /// Starts reading a stream's next window, if it wants one and there is something to read.
    fn read_ahead(&mut self, stream: u64) {
        let budget = self.options.read_ahead_bytes_max;
        let Some(wish) = self.reads.ahead.wish(stream, budget) else {
            return;
        };
        let Some(log) = self.any_log(wish.slot).filter(|log| !log.deleted) else {
            return;
        };
        let Offsets { log_start, flushed, high_watermark, .. } = log.offsets;
        let upto = flushed.min(high_watermark).min(log.next_fence(wish.from));
        if wish.from < log_start || wish.from >= upto || log.fence_at(wish.from).is_some() {
            return;
        }
        // Closed for want of open files, perhaps; the next read opens it.
        let Some(disk) = log.open_disk() else { return };
        self.reads.ahead.on_started(&wish);
        self.tasks.spawn(Class::Read, async move {
            Outcome::Ahead {
                stream: wish.stream,
                reserved: wish.bytes,
                result: disk.read_on(wish.from, upto, wish.bytes, true).await,
            }
        });
    }

    pub(crate) fn on_ahead(
        &mut self,
        stream: u64,
        reserved: usize,
        result: Result<(Vec<Bytes>, Offset), ReadError>,
    ) {
        // What goes wrong ahead of a reader is told when it comes there, by a read of its own.
        let found = result.ok().filter(|(batches, _)| !batches.is_empty());
        if let Some(waiting) = self.reads.ahead.on_read(stream, reserved, found) {
            self.serve_waiting(waiting);
        }
        self.read_ahead(stream);
    }

    /// A read that waited for a window: from it, or by itself if there is none.
    fn serve_waiting(&mut self, waiting: Waiting) {
        let Waiting { token, upto, max_bytes, at_least_one } = waiting;
        let Some((slot, ask @ Ask::Batches { from, .. }, _)) =
            self.reads.wanted.get(&token).copied()
        else {
            return;
        };
        let now = self.io.now();
        let ahead = &mut self.reads.ahead;
        match ahead.take(slot, from, upto, max_bytes, at_least_one, now) {
            Taken::Batches(batches, _) => {
                self.stats.cold_bytes += bytes_of(&batches);
                self.tell_read(token, Ok(batches));
            }
            Taken::Soon(_) | Taken::Nothing => {
                self.reads.waiting.push_back((token, slot, ask));
                self.pump_reads();
            }
        }
    }

    /// The log's bytes change or go: nothing that was read ahead of them counts.
    pub(crate) fn forget_ahead(&mut self, slot: LogSlot) {
        for waiting in self.reads.ahead.forget(slot) {
            self.serve_waiting(waiting);
        }
    }

    pub(crate) fn drop_idle_ahead(&mut self) {
        self.reads.ahead.drop_idle(self.io.now());
    }

    /// There are streams to look after.
    pub(crate) fn reads_ahead(&self) -> bool {
        !self.reads.ahead.is_empty()
    }

    pub(crate) fn on_time(&mut self, token: u64, result: Result<Option<TimeOffset>, Error>) {
        let is_stale = match &result {
            // A segment went under the look-up.
            Err(Error::Io(error)) => error.is_not_found(),
            // Records were deleted, and this is one of them.
            Ok(Some(found)) => match self.reads.wanted.get(&token) {
                Some((slot, Ask::Time(_), _)) => {
                    self.any_log(*slot).is_some_and(|log| found.offset < log.offsets.log_start)
                }
                _ => false,
            },
            _ => false,
        };
        if is_stale
            && let Some((slot, ask, tries)) = self.reads.wanted.get_mut(&token)
            && *tries < TRIES_MAX
        {
            // What is left is looked through again.
            *tries += 1;
            let (slot, ask) = (*slot, *ask);
            self.reads.waiting.push_back((token, slot, ask));
            return;
        }
        self.tell_time(token, result);
    }

    fn tell_time(&mut self, token: u64, result: Result<Option<TimeOffset>, Error>) {
        if self.reads.wanted.remove(&token).is_some() {
            self.events.push_back(Event::TimeFound { token, result });
        }
    }
}

fn bytes_of(batches: &[Bytes]) -> u64 {
    batches.iter().map(|batch| batch.len() as u64).sum()
}

/// The first record of a batch at or behind `log_start` with a timestamp >= `timestamp`.
fn first_record(batch: &[u8], log_start: Offset, timestamp: i64) -> Option<TimeOffset> {
    let view = BatchView::parse(batch).ok()?;
    let records = view.decompressed(DECOMPRESSED_BYTES_MAX).ok()?;
    let header = view.header();
    Records::new(&records, header).filter_map(Result::ok).find_map(|record| {
        let found = TimeOffset {
            offset: record.offset(header),
            timestamp: record.timestamp(header).0,
            leader_epoch: header.partition_leader_epoch,
        };
        (found.offset >= log_start && found.timestamp >= timestamp).then_some(found)
    })
}
