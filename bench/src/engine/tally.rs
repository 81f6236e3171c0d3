//! What one event loop counts while it runs.

use std::collections::{BTreeMap, HashMap};

use crate::clock::{Nanos, SECOND};
use crate::measure::latency::{Latencies, PerSecond};

/// The times of a run that every loop knows beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Load begins.
    pub start: Nanos,
    /// What is due from here on counts.
    pub from: Nanos,
    /// Nothing is due from here on.
    pub to: Nanos,
    /// Nobody waits longer.
    pub deadline: Nanos,
}

impl Window {
    /// Whether this moment counts.
    #[must_use]
    pub const fn contains(&self, at: Nanos) -> bool {
        self.from <= at && at < self.to
    }

    /// The second of the measurement that a moment lies in.
    #[must_use]
    pub fn second(&self, at: Nanos) -> usize {
        usize::try_from(at.saturating_sub(self.from) / SECOND).unwrap_or(usize::MAX)
    }
}

/// Counters of one side, producing or consuming.
#[derive(Debug, Clone, Default)]
pub struct Side {
    pub requests: u64,
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// Of frames sent (producing) or received (consuming).
    pub wire_bytes: u64,
    /// Kafka's name of the error, or the socket's words: how often.
    pub errors: BTreeMap<String, u64>,
    /// Requests and bytes completed in each second.
    pub done: Vec<(u64, u64)>,
}

impl Side {
    /// A request that was completed at a moment that counts.
    pub fn complete(&mut self, second: usize, records: u64, bytes: u64, wire_bytes: u64) {
        self.requests += 1;
        self.records += records;
        self.bytes += bytes;
        self.wire_bytes += wire_bytes;
        if self.done.len() <= second {
            self.done.resize(second + 1, (0, 0));
        }
        self.done[second].0 += 1;
        self.done[second].1 += bytes;
    }

    /// Counts an error.
    pub fn error(&mut self, what: String) {
        *self.errors.entry(what).or_default() += 1;
    }

    fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.records += other.records;
        self.bytes += other.bytes;
        self.wire_bytes += other.wire_bytes;
        for (what, count) in other.errors {
            *self.errors.entry(what).or_default() += count;
        }
        if self.done.len() < other.done.len() {
            self.done.resize(other.done.len(), (0, 0));
        }
        for (mine, theirs) in self.done.iter_mut().zip(&other.done) {
            mine.0 += theirs.0;
            mine.1 += theirs.1;
        }
    }
}

/// Which of the two ends of a request was seen first, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Acked(Nanos),
    Read,
}

/// From the ack of a request to its first record's arrival at the reader, where one loop sees both.
///
/// A broker may let readers have a record before its producer knows; that counts as no wait.
#[derive(Debug, Clone, Default)]
pub struct WakeUp {
    pub latencies: Latencies,
    /// By (stream, sequence number) of a request's first record.
    open: HashMap<(u32, u64), Seen>,
}

impl WakeUp {
    /// More are not kept: a reader that is so far behind is not woken up by what it reads.
    const OPEN_MAX: usize = 1 << 18;

    /// The ack of the request that begins with this record.
    pub fn acked(&mut self, record: (u32, u64), now: Nanos, counts: bool) {
        match self.open.remove(&record) {
            Some(_) if counts => self.latencies.record(0),
            Some(_) => {}
            None if self.open.len() < Self::OPEN_MAX => {
                self.open.insert(record, Seen::Acked(now));
            }
            None => {}
        }
    }

    /// The arrival of a batch that begins with this record.
    pub fn read(&mut self, record: (u32, u64), now: Nanos, counts: bool) {
        match self.open.remove(&record) {
            Some(Seen::Acked(at)) if counts => self.latencies.record(now.saturating_sub(at)),
            Some(_) => {}
            None if self.open.len() < Self::OPEN_MAX => {
                self.open.insert(record, Seen::Read);
            }
            None => {}
        }
    }
}

/// What a loop has done since its start, warm-up included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records.
    pub acked: u64,
    pub read: u64,
    /// Bytes of values.
    pub acked_bytes: u64,
    pub read_bytes: u64,
    pub errors: u64,
}

/// All that a loop has counted.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub produce: Side,
    pub consume: Side,
    /// From the intended time to the ack.
    pub ack: Latencies,
    /// From the actual send to the ack.
    pub service: Latencies,
    /// From the intended time to the actual send.
    pub slip: Latencies,
    /// From the intended time to the reader.
    pub end_to_end: Latencies,
    /// From a fetch's send to its response.
    pub fetch: Latencies,
    /// `Some` where one loop does all.
    pub wake_up: Option<Box<WakeUp>>,
    pub ack_seconds: PerSecond,
    pub end_to_end_seconds: PerSecond,
    /// Requests that were due while it counted.
    pub offered: u64,
    /// Of them, those without an answer when the waiting ended.
    pub unanswered: u64,
    /// Records acknowledged, from the first one on: (partition, stream) -> how many.
    pub acked: BTreeMap<(i32, u32), u64>,
    pub progress: Progress,
    /// CPU of the loop's thread while it counted.
    pub cpu_ns: Nanos,
    /// Time of the loop that was not spent waiting, while it counted.
    pub busy_ns: Nanos,
}

impl Tally {
    /// Adds another loop's.
    pub fn merge(&mut self, other: Self) {
        self.produce.merge(other.produce);
        self.consume.merge(other.consume);
        self.ack.merge(&other.ack);
        self.service.merge(&other.service);
        self.slip.merge(&other.slip);
        self.end_to_end.merge(&other.end_to_end);
        self.fetch.merge(&other.fetch);
        // Only where there is one loop, so there is nothing to add to.
        self.wake_up = self.wake_up.take().or(other.wake_up);
        self.ack_seconds.merge(&other.ack_seconds);
        self.end_to_end_seconds.merge(&other.end_to_end_seconds);
        self.offered += other.offered;
        self.unanswered += other.unanswered;
        self.acked.extend(other.acked);
        self.cpu_ns += other.cpu_ns;
        self.busy_ns += other.busy_ns;
    }
}
