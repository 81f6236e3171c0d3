//! From the write-ahead log to the segments: planned, gathered, written, and told.
use crate::{
    disk_log::FlushedState,
    error::Error,
    ids::LogSlot,
    log::Busy,
    options::Durability,
    segment::tail::AHEAD_BYTES_MAX,
    store::{
        Store, batch_entry,
        flush::{self, Move},
        turn::Outcome,
        work::LOOKS_MAX,
    },
    wal::Kind,
};
use bytes::Bytes;
use netio::Class;
use record::BatchHeader;

/// What a flush takes beside batches.
const SMALL_FILES: u64 = 64 << 10;
/// Most bytes of one flush.
const FLUSH_BYTES: usize = 8 << 20;

/// When unflushed logs are looked at.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// The care timer asked for a look at all unflushed logs.
    pub wanted: bool,
    /// Unflushed bytes below which a look for large logs found none.
    looked_at: u64,
}

impl Store {
    pub(crate) fn plan_flush(&mut self) {
        if self.dirty.is_empty()
            || self.ending.leaving
            || self.dirs.is_flushing()
            || self.room.short.is_some()
            || self.room.full.is_some() && !self.looks.wanted && !self.is_stopping()
        {
            return;
        }
        let all = self.is_stopping();
        let full = self.unflushed_bytes >= self.options.flush_bytes;
        let oldest = self.wal.files.oldest_full_last();
        let tight = self.wal.files.live_bytes() >= self.options.unflushed_bytes_max / 2;
        let pending = self.wal.first_pending();
        let free_through = oldest.filter(|last| tight && pending <= *last);
        let large = full && self.unflushed_bytes >= self.looks.looked_at;
        if !(all || large || free_through.is_some() || self.looks.wanted) {
            return;
        }
        self.looks.wanted = false;
        let now = self.io.now();
        let views: Vec<flush::View> = self
            .dirty
            .iter()
            .filter(|slot| !self.ending.passed.contains(slot))
            .filter_map(|slot| self.flush_view(*slot, now))
            .collect();
        let aim = flush::Aim { full, free_through, age_ms: self.options.flush_age_ms, all };
        let moves = flush::plan(&views, aim);
        // Nothing large among them: look again when that may have changed.
        self.looks.looked_at =
            if moves.is_empty() { self.unflushed_bytes + self.options.flush_bytes / 4 } else { 0 };
        for (slot, what) in moves {
            match what {
                Move::Flush => self.dirs.flush(slot),
                Move::Carry => self.carry(slot),
            }
        }
    }

    fn flush_view(&self, slot: LogSlot, now: netio::Instant) -> Option<flush::View> {
        let log = self.logs.get(slot.0 as usize)?.as_ref()?;
        let first = log.index.get(log.first_unflushed())?;
        Some(flush::View {
            slot,
            bytes: log.unflushed_bytes,
            first: first.sequence,
            age_ms: now.since(log.dirty_since) / 1_000_000,
            failed: log.failed.is_some(),
        })
    }

    /// Logs the unflushed batches of a log once more, so that their first places can be freed.
    fn carry(&mut self, slot: LogSlot) {
        let Some(log) = self.logs.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let (id, first) = (log.id, log.first_unflushed());
        for at in first..log.index.len() {
            let cached = log.index[at];
            let Some(bytes) = self.wal.slice(cached.sequence, cached.at, cached.len) else {
                panic!("{id:?}: unflushed batch {cached:?} is not in memory");
            };
            let header = match BatchHeader::parse(&bytes) {
                Ok(header)
                    if header.base_offset == cached.base && header.next_offset() == cached.end =>
                {
                    header
                }
                other => panic!("{id:?}: {cached:?} holds {other:?}"),
            };
            let dsync = log.config.durability == Durability::Device;
            let (sequence, place) =
                self.wal.put_batch(slot, &bytes, dsync, |_| batch_entry(Kind::Carry, id, &header));
            self.wal.unpin(cached.sequence);
            log.index[at].sequence = sequence;
            log.index[at].at = place;
            self.stats.carried_bytes += bytes.len() as u64;
        }
    }

    /// Starts flushes in their order; one that can't start yet keeps its place, and those behind it
    /// may pass.
    pub(super) fn pump_flushes(&mut self) {
        let max = self.changes_max();
        // One that waits for its name does not keep the others from theirs.
        let opening_max = max.max(2);
        let mut waiting = Vec::new();
        while self.dirs.running < max
            && self.dirs.opening < opening_max
            && waiting.len() < LOOKS_MAX
        {
            let Some(slot) = self.dirs.queue.pop_front() else {
                break;
            };
            if self.start_flush(slot) {
                self.dirs.queued.remove(&slot);
            } else {
                waiting.push(slot);
            }
        }
        for slot in waiting.into_iter().rev() {
            self.dirs.queue.push_front(slot);
        }
    }

    /// True when done or started; false to try again later.
    pub(super) fn start_flush(&mut self, slot: LogSlot) -> bool {
        let through = self.wal.durable_through();
        let broken = self.wal.failed.is_some();
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        if log.deleted || log.failed.is_some() || log.unflushed_bytes == 0 {
            return true;
        }
        if self.ending.passed.contains(&slot) {
            return true;
        }
        let Some(log) = self.any_log(slot) else {
            return true;
        };
        if log.busy.is_some() || log.wanted.truncate.is_some() {
            return false;
        }
        let first = log.first_unflushed();
        if log.index.get(first).is_some_and(|cached| cached.sequence > through) {
            // Segments never get ahead of what the chain holds durably, whatever the class. Crash
            // shown: a batch of class `written` is flushed, its frame is lost with the power, the
            // checkpoint knows an older position: what the flush wrote is cut off, and offsets that
            // were called durable are gone.
            if !broken {
                self.wal.want_durable();
            }
            return broken;
        }
        let Some(disk) = self.open_dir(slot, Class::Flush) else {
            return self.any_log(slot).is_none_or(|log| log.failed.is_some());
        };
        let (batches, bytes) = self.gather(slot, first, through);
        let ahead = match self.is_refusing() {
            true => 0,
            false => AHEAD_BYTES_MAX,
        };
        // Indexes, a snapshot and the like, if a segment ends.
        let space = bytes + ahead + SMALL_FILES;
        let stopping = self.is_stopping();
        let ledger = &mut self.room.ledger;
        // A stop takes whatever space there is.
        if !stopping && !ledger.is_above(ledger.floor(), space) {
            let available = ledger.available().unwrap_or(0);
            self.room.full = Some(format!("{available} bytes available, too few to flush"));
            self.dirs.forget_flushes();
            self.look_at_space();
            return true;
        }
        ledger.begin(space);
        if let Some(log) = self.any_log(slot) {
            log.busy = Some(Busy::Flush);
            log.closed = false;
            log.encoded = None;
        }
        self.dirs.running += 1;
        self.tasks.spawn(Class::Flush, async move {
            let result = Box::pin(disk.flush(batches)).await;
            Outcome::Flushed { slot, bytes, space, result }
        });
        true
    }

    /// The next batches of a log to flush, from the buffers of the write-ahead log.
    fn gather(&mut self, slot: LogSlot, first: usize, through: u64) -> (Vec<Bytes>, u64) {
        let Store { wal, logs, .. } = self;
        let Some(log) = logs[slot.0 as usize].as_ref() else {
            return (Vec::new(), 0);
        };
        let mut batches = Vec::new();
        let mut bytes = 0;
        for cached in log.index.range(first..) {
            if cached.sequence > through || (bytes > 0 && bytes + cached.len as usize > FLUSH_BYTES)
            {
                break;
            }
            let Some(batch) = wal.slice(cached.sequence, cached.at, cached.len) else {
                panic!("{:?}: unflushed batch {cached:?} is not in memory", log.id);
            };
            bytes += batch.len();
            batches.push(batch);
        }
        (batches, bytes as u64)
    }

    pub(crate) fn on_flushed(
        &mut self,
        slot: LogSlot,
        bytes: u64,
        result: Result<FlushedState, Error>,
    ) {
        self.dirs.running -= 1;
        let now = self.io.now();
        let Some(log) = self.logs.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        log.busy = None;
        log.encoded = None;
        match result {
            Ok(state) => {
                self.stats.flushes += 1;
                self.stats.flushed_bytes += bytes;
                let first = log.first_unflushed();
                for cached in
                    log.index.range(first..).take_while(|cached| cached.end <= state.flushed)
                {
                    self.wal.unpin(cached.sequence);
                    log.unflushed_bytes -= u64::from(cached.len);
                    self.unflushed_bytes -= u64::from(cached.len);
                }
                if state.flushed > log.offsets.log_end {
                    // It was truncated while this flush was under way.
                    log.wanted.truncate = Some(log.offsets.log_end);
                    self.dirs.wanting.insert(slot);
                }
                log.offsets.flushed =
                    log.offsets.flushed.max(state.flushed.min(log.offsets.log_end));
                log.dirty_since = now;
                if !log.deleted {
                    log.check();
                }
                let again = log.unflushed_bytes >= FLUSH_BYTES as u64 || self.is_stopping();
                if self.any_log(slot).is_some_and(|log| log.unflushed_bytes == 0) {
                    self.dirty.remove(&slot);
                } else if again {
                    self.dirs.flush(slot);
                }
                self.follow_producers(slot);
                self.advance(slot);
            }
            Err(error) if error.is_full() => {
                // Nothing was written; the data is safe in the write-ahead log. Flushing goes on
                // when space is back.
                self.on_full(slot, error);
            }
            Err(error) if error.is_transient() => self.fall_short(slot, error),
            Err(error) => self.fail_log(slot, error.to_string()),
        }
        self.wants_again(slot);
    }
}
