//! Read-ahead: what a reader of old data will ask for next is read while it is still busy with what
//! it got.
//!
//! A reader is known by where its cold reads begin and end: one that begins where another has just
//! ended is a *stream*. From then on the next window is read in the background before it is asked
//! for, so the disk works while the answer is on its way, and the next question is answered from
//! memory or waits for the rest of a read only.
//!
//! ```text
//! given out | window, ready | window, being read | not read yet
//!           ^ at                                 ^ next
//! ```
//! Bounded: so many windows a stream, so many bytes a core
//! ([`crate::Options::read_ahead_bytes_max`]), and what was not asked for within [`IDLE_MS`] is
//! dropped. It is no cache: what is given out is forgotten here, and the tail cache is not touched.
//! Every batch has been checked once, by the read that brought it.
//!
//! Here is the bookkeeping; `reads` starts the reads and gives the answers.
use crate::ids::LogSlot;
use bytes::Bytes;
use netio::Instant;
use record::{BatchHeader, Offset};
use std::collections::VecDeque;

/// Bytes of a window: at least, at most.
const WINDOW_MIN: usize = 256 << 10;
const WINDOW_MAX: usize = 1 << 20;
/// Windows ahead of a reader, the one being read included.
const WINDOWS: usize = 2;
/// Readers followed at once.
const STREAMS_MAX: usize = 128;
/// Ends of cold reads that are remembered, to know who goes on there.
const ENDS_MAX: usize = 256;
/// A stream that was not asked for so long is dropped.
pub(crate) const IDLE_MS: u64 = 500;

/// Batches that were read ahead: whole, back to back, up to `end`.
#[derive(Debug)]
struct Window {
    batches: VecDeque<Bytes>,
    bytes: usize,
    end: Offset,
}

/// A read that waits for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub token: u64,
    pub upto: Offset,
    pub max_bytes: usize,
    pub at_least_one: bool,
}

#[derive(Debug)]
struct Stream {
    id: u64,
    slot: LogSlot,
    /// What its reader asks for next.
    at: Offset,
    /// Behind the last window.
    next: Offset,
    windows: VecDeque<Window>,
    window_bytes: usize,
    /// A window is being read.
    reading: bool,
    waiting: Option<Waiting>,
    used: Instant,
}

/// A window to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub stream: u64,
    pub slot: LogSlot,
    pub from: Offset,
    pub bytes: usize,
}

/// Answer to [`Ahead::take`].
#[derive(Debug)]
pub(crate) enum Taken {
    /// From memory, and the stream it came from.
    Batches(Vec<Bytes>, u64),
    /// A read under way brings it: the stream.
    Soon(u64),
    /// Nobody has read ahead for this one.
    Nothing,
}

/// The streams of a core.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    /// Few, so they are looked through.
    streams: Vec<Stream>,
    ends: VecDeque<(LogSlot, Offset)>,
    next_id: u64,
    /// Bytes of windows, and of those being read.
    bytes: usize,
}

impl Ahead {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What a reader that asks for `from` may get, below `upto` and at most `max_bytes`, but one
    /// batch if `at_least_one`.
    pub(crate) fn take(
        &mut self,
        slot: LogSlot,
        from: Offset,
        upto: Offset,
        max_bytes: usize,
        at_least_one: bool,
        now: Instant,
    ) -> Taken {
        let found = self.streams.iter().position(|stream| stream.slot == slot && stream.at == from);
        let Some(found) = found else {
            return Taken::Nothing;
        };
        let stream = &mut self.streams[found];
        stream.used = now;
        if stream.windows.is_empty() {
            // A second reader in step with the first reads for itself.
            if stream.reading && stream.waiting.is_none() {
                return Taken::Soon(stream.id);
            }
            if !stream.reading {
                self.streams.swap_remove(found);
            }
            return Taken::Nothing;
        }
        let mut out = Vec::new();
        let mut total = 0;
        while let Some(window) = stream.windows.front_mut() {
            if window.end <= upto && total + window.bytes <= max_bytes {
                total += window.bytes;
                stream.at = window.end;
                out.extend(window.batches.drain(..));
                stream.windows.pop_front();
                continue;
            }
            let room = max_bytes.saturating_sub(total);
            let first = at_least_one && total == 0;
            let (bytes, end) = window.split(upto, room, first, &mut out);
            total += bytes;
            if let Some(end) = end {
                stream.at = end;
            }
            // Its last batch went although it was too large: an empty window would answer the next
            // question with nothing.
            if window.bytes == 0 {
                stream.windows.pop_front();
            }
            break;
        }
        stream.window_bytes = stream.window_bytes.max(max_bytes.clamp(WINDOW_MIN, WINDOW_MAX));
        self.bytes -= total;
        Taken::Batches(out, stream.id)
    }

    /// The read that waits for this stream's next window.
    pub(crate) fn wait(&mut self, id: u64, waiting: Waiting) {
        if let Some(stream) = self.stream(id) {
            stream.waiting = Some(waiting);
        }
    }

    /// A cold read has gone from `from` to `end`: true if another one ended at `from`, and a stream
    /// begins here.
    pub(crate) fn on_cold_read(
        &mut self,
        slot: LogSlot,
        from: Offset,
        end: Offset,
        max_bytes: usize,
        now: Instant,
    ) -> Option<u64> {
        let goes_on = self.ends.iter().position(|known| *known == (slot, from));
        if let Some(known) = goes_on {
            self.ends.remove(known);
        } else if self.ends.len() == ENDS_MAX {
            self.ends.pop_front();
        }
        self.ends.push_back((slot, end));
        let there = self.streams.iter().any(|stream| stream.slot == slot && stream.at == end);
        if goes_on.is_none() || there || self.streams.len() == STREAMS_MAX {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.streams.push(Stream {
            id,
            slot,
            at: end,
            next: end,
            windows: VecDeque::new(),
            window_bytes: max_bytes.clamp(WINDOW_MIN, WINDOW_MAX),
            reading: false,
            waiting: None,
            used: now,
        });
        Some(id)
    }

    /// The next window of a stream, if it wants one and `budget` allows it.
    pub(crate) fn wish(&mut self, id: u64, budget: usize) -> Option<Wish> {
        let bytes = self.bytes;
        let stream = self.stream(id)?;
        if stream.reading || stream.windows.len() >= WINDOWS || bytes + stream.window_bytes > budget
        {
            return None;
        }
        Some(Wish { stream: id, slot: stream.slot, from: stream.next, bytes: stream.window_bytes })
    }

    /// The read of a wish has been started.
    pub(crate) fn on_started(&mut self, wish: &Wish) {
        if let Some(stream) = self.stream(wish.stream) {
            stream.reading = true;
            self.bytes += wish.bytes;
        }
    }

    /// A read has ended that was begun for `reserved` bytes: with batches up to an offset, or
    /// `None` when there is nothing to be had. Returns who waits for it.
    pub(crate) fn on_read(
        &mut self,
        id: u64,
        reserved: usize,
        result: Option<(Vec<Bytes>, Offset)>,
    ) -> Option<Waiting> {
        self.bytes -= reserved;
        let at = self.streams.iter().position(|stream| stream.id == id)?;
        let stream = &mut self.streams[at];
        stream.reading = false;
        let waiting = stream.waiting.take();
        match result {
            Some((batches, end)) => {
                let bytes = batches.iter().map(Bytes::len).sum();
                let batches = batches.into();
                stream.next = end;
                stream.windows.push_back(Window { batches, bytes, end });
                self.bytes += bytes;
            }
            None if stream.windows.is_empty() => drop(self.streams.swap_remove(at)),
            None => {}
        }
        waiting
    }

    /// Drops the streams of a log whose bytes change or go. Returns the reads that waited for them.
    pub(crate) fn forget(&mut self, slot: LogSlot) -> Vec<Waiting> {
        self.ends.retain(|(of, _)| *of != slot);
        self.drop_if(|stream| stream.slot == slot)
    }

    /// Drops what nobody has asked for lately.
    pub(crate) fn drop_idle(&mut self, now: Instant) {
        let dropped = self.drop_if(|stream| {
            stream.waiting.is_none() && now.since(stream.used) >= IDLE_MS * 1_000_000
        });
        assert!(dropped.is_empty(), "{dropped:?} waited for an idle stream");
    }

    fn drop_if(&mut self, doomed: impl Fn(&Stream) -> bool) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        let mut freed = 0;
        self.streams.retain_mut(|stream| {
            let goes = doomed(stream);
            if goes {
                // What is being read is given back when its read ends.
                freed += stream.windows.iter().map(|window| window.bytes).sum::<usize>();
                waiting.extend(stream.waiting.take());
            }
            !goes
        });
        self.bytes -= freed;
        waiting
    }

    fn stream(&mut self, id: u64) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }
}

impl Window {
    /// Takes batches off the front while they end at or below `upto` and `room` bytes hold them;
    /// the first one in any case if `first`. Returns their bytes, and where the last one ends.
    fn split(
        &mut self,
        upto: Offset,
        room: usize,
        first: bool,
        out: &mut Vec<Bytes>,
    ) -> (usize, Option<Offset>) {
        let (mut total, mut last) = (0, None);
        while let Some(piece) = self.batches.front_mut() {
            let mut at = 0;
            while at < piece.len() {
                let header = match BatchHeader::parse(&piece[at..]) {
                    Ok(header) => header,
                    Err(error) => panic!("a batch that was checked: {error}"),
                };
                let bytes = header.size_in_bytes();
                let fits = total + at + bytes <= room || (first && total + at == 0);
                if header.next_offset() > upto || !fits {
                    break;
                }
                at += bytes;
                last = Some(header.next_offset());
            }
            total += at;
            let whole = at == piece.len();
            if whole {
                out.extend(self.batches.pop_front());
            } else {
                if at > 0 {
                    out.push(piece.split_to(at));
                }
                break;
            }
        }
        self.bytes -= total;
        (total, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{BatchBuilder, Timestamp, set_base_offset};

    const SLOT: LogSlot = LogSlot(3);

    /// One batch an offset, back to back; and the size of each.
    fn batches(offsets: std::ops::Range<i64>) -> (Bytes, usize) {
        let mut all = Vec::new();
        let mut len = 0;
        for offset in offsets {
            let mut builder = BatchBuilder::new();
            builder.append(None, Some(b"value"), Timestamp(1), &[]).expect("a record");
            let mut batch = builder.build().expect("a batch").to_vec();
            set_base_offset(&mut batch, Offset(offset));
            len = batch.len();
            all.extend_from_slice(&batch);
        }
        (all.into(), len)
    }

    fn now(ms: u64) -> Instant {
        Instant::default().after_ms(ms)
    }

    fn take(ahead: &mut Ahead, from: i64, upto: i64, max_bytes: usize) -> Taken {
        ahead.take(SLOT, Offset(from), Offset(upto), max_bytes, true, now(0))
    }

    /// A stream whose first window, of offsets 20..30, has been read.
    fn stream() -> (Ahead, u64, usize) {
        let mut ahead = Ahead::default();
        let at = now(0);
        assert_eq!(
            ahead.on_cold_read(SLOT, Offset(0), Offset(10), 1_000, at),
            None,
            "the first read may be the only one"
        );
        let other = ahead.on_cold_read(LogSlot(4), Offset(10), Offset(20), 1_000, at);
        assert_eq!(other, None, "another log");
        let id = ahead
            .on_cold_read(SLOT, Offset(10), Offset(20), 1_000, at)
            .expect("it goes on where one ended");
        let wish = ahead.wish(id, 1 << 20).expect("a first window");
        assert_eq!((wish.from, wish.bytes), (Offset(20), WINDOW_MIN));
        ahead.on_started(&wish);
        assert_eq!(ahead.bytes(), WINDOW_MIN);
        assert_eq!(ahead.wish(id, 1 << 20), None, "one read at a time");
        assert!(matches!(take(&mut ahead, 20, 99, 1_000), Taken::Soon(soon) if soon == id));
        let (bytes, each) = batches(20..30);
        let waiting = ahead.on_read(id, wish.bytes, Some((vec![bytes], Offset(30))));
        assert_eq!((waiting, ahead.bytes()), (None, 10 * each));
        (ahead, id, each)
    }

    #[test]
    fn a_window_is_given_out_in_whole_batches() {
        let (mut ahead, id, each) = stream();
        let wish = ahead.wish(id, 1 << 20).expect("a second window");
        assert_eq!(wish.from, Offset(30));
        for (from, upto, max, expected) in [
            (20, 99, 3 * each + each / 2, 20..23),
            (23, 25, 1_000_000, 23..25),
            (25, 99, 1, 25..26),
            (26, 99, 3 * each, 26..29),
            (29, 99, 1, 29..30),
        ] {
            let Taken::Batches(taken, _) = take(&mut ahead, from, upto, max) else {
                panic!("nothing at {from}")
            };
            assert_eq!(taken.concat(), batches(expected.clone()).0, "{expected:?}");
        }
        assert_eq!(ahead.bytes(), 0);
        assert!(matches!(take(&mut ahead, 30, 99, 1_000), Taken::Nothing));
    }

    #[test]
    fn several_windows_leave_together() {
        let (mut ahead, id, each) = stream();
        let wish = ahead.wish(id, 1 << 20).expect("a second window");
        ahead.on_started(&wish);
        ahead.on_read(id, wish.bytes, Some((vec![batches(30..32).0], Offset(32))));
        assert_eq!(ahead.wish(id, 1 << 20), None, "enough windows");
        let Taken::Batches(taken, _) = take(&mut ahead, 20, 99, 11 * each) else {
            panic!("two windows are there")
        };
        assert_eq!(taken.concat(), batches(20..31).0);
        assert_eq!(ahead.bytes(), each);
        let next = ahead.wish(id, 1 << 20).expect("room again");
        assert_eq!(next.from, Offset(32));
    }

    #[test]
    fn what_is_not_asked_for_goes() {
        let (mut ahead, id, each) = stream();
        ahead.drop_idle(now(IDLE_MS - 1));
        assert_eq!(ahead.bytes(), 10 * each);
        let wish = ahead.wish(id, 1 << 20).expect("a second window");
        ahead.on_started(&wish);
        ahead.drop_idle(now(IDLE_MS));
        assert!(ahead.is_empty());
        assert_eq!(ahead.bytes(), wish.bytes, "its read is still under way");
        assert_eq!(ahead.on_read(id, wish.bytes, None), None);
        assert_eq!(ahead.bytes(), 0);
    }

    #[test]
    fn the_budget_is_kept_and_a_changed_log_forgotten() {
        let (mut ahead, id, each) = stream();
        assert_eq!(ahead.wish(id, WINDOW_MIN + 10 * each - 1), None);
        let wish = ahead.wish(id, WINDOW_MIN + 10 * each).expect("room");
        ahead.on_started(&wish);
        assert!(matches!(take(&mut ahead, 20, 99, 1 << 20), Taken::Batches(..)));
        let waiting = Waiting { token: 7, upto: Offset(99), max_bytes: 1, at_least_one: true };
        ahead.wait(id, waiting);
        assert!(matches!(take(&mut ahead, 30, 99, 1_000), Taken::Nothing), "a second reader");
        assert_eq!(ahead.forget(SLOT), [waiting]);
        assert_eq!(ahead.on_read(id, wish.bytes, None), None);
        assert_eq!((ahead.bytes(), ahead.is_empty()), (0, true));
    }
}
