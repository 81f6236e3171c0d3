//! What a run found, as it is printed, stored as JSON and drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::measure::host::{HostUse, ProcessUse};
use crate::measure::latency::Latency;
use crate::workload::Workload;

/// So many findings are kept in words.
const EXAMPLES_MAX: usize = 8;

/// One run against one broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    pub workload: Workload,
    /// UTC seconds since 1970 at the start.
    pub started_unix_s: u64,
    /// How long it counted.
    pub seconds: f64,
    pub produce: Option<ProduceResult>,
    pub consume: Option<ConsumeResult>,
    pub broker: Option<ProcessUse>,
    pub client: ClientUse,
    pub host: HostUse,
    pub seconds_log: Vec<Second>,
    /// Why this run's figures are not to be taken at face value; empty for a good run.
    pub marks: Vec<Mark>,
}

/// The producing side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProduceResult {
    pub requests: u64,
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    /// Of the frames.
    pub wire_bytes: u64,
    pub requests_per_s: f64,
    pub mb_per_s: f64,
    /// Of an open loop.
    pub offered_per_s: Option<f64>,
    pub unanswered: u64,
    pub errors: BTreeMap<String, u64>,
    /// From the intended time.
    pub ack: Latency,
    /// From the actual send.
    pub service: Latency,
    pub slip: Latency,
}

/// The consuming side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumeResult {
    pub fetches: u64,
    pub records: u64,
    pub bytes: u64,
    pub mb_per_s: f64,
    pub errors: BTreeMap<String, u64>,
    /// From a stamped record's intended time to its reader, by record.
    pub end_to_end: Latency,
    /// From a fetch's send to its response, waiting for data included.
    pub fetch: Latency,
    /// From a request's ack to its first record's arrival at the reader; of runs with one loop. A
    /// reader that had it before the ack counts as no wait. Only the first batch of a request.
    pub wake_up: Option<Latency>,
    pub findings: Findings,
}

/// What was found. All zeros but the first two is what a good broker has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    pub records: u64,
    pub batches: u64,
    /// Records that should have come before the one that came.
    pub missing: u64,
    /// Records that came again, or too late.
    pub duplicates: u64,
    /// Batches whose offsets do not follow the one before.
    pub offset_errors: u64,
    /// Batches whose CRC or framing is wrong, and records whose bytes are.
    pub damaged: u64,
    /// Records acknowledged and never read, though there was time.
    pub lost: u64,
    /// Records acknowledged and not read when the waiting ended, of a broker that still owed acks.
    pub unread: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl Findings {
    /// True if nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing == 0
            && self.duplicates == 0
            && self.offset_errors == 0
            && self.damaged == 0
            && self.lost == 0
    }

    /// Adds what another connection found.
    pub fn merge(&mut self, other: Self) {
        self.records += other.records;
        self.batches += other.batches;
        self.missing += other.missing;
        self.duplicates += other.duplicates;
        self.offset_errors += other.offset_errors;
        self.damaged += other.damaged;
        self.lost += other.lost;
        self.unread += other.unread;
        for example in other.examples {
            self.example(|| example);
        }
    }

    /// Keeps one in words, if there are few yet.
    pub(crate) fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }
}

/// The generator's own cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ClientUse {
    /// Of the event loops, spinning included.
    pub cpu_ns: u64,
    /// Share of the time in which the loops did something but wait, over all of them.
    pub busy: f64,
    pub threads: usize,
}

/// One second of the measurement. Latencies are of what was due in it, in ns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Second {
    /// Acks that came.
    pub requests: u64,
    pub produced_bytes: u64,
    pub consumed_bytes: u64,
    /// p50, p99, p99.9, max.
    pub ack: Option<[u64; 4]>,
    pub end_to_end: Option<[u64; 4]>,
    pub broker_cpu_ns: Option<u64>,
}

/// Something a reader of the figures must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "detail", rename_all = "snake_case")]
pub enum Mark {
    /// The offered rate was not reached.
    MissedRate(String),
    /// Requests went out late by the generator's own fault.
    Slip(String),
    /// The generator had no time left: the broker may be faster.
    ClientLimited(String),
    Errors(String),
    Unanswered(String),
    /// What was read is not what was written.
    Data(String),
    /// The hypervisor took CPU time away.
    Steal(String),
}

impl Mark {
    /// One word, for tables.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Mark::MissedRate(_) => "missed rate",
            Mark::Slip(_) => "slip",
            Mark::ClientLimited(_) => "client limited",
            Mark::Errors(_) => "errors",
            Mark::Unanswered(_) => "unanswered",
            Mark::Data(_) => "WRONG DATA",
            Mark::Steal(_) => "steal",
        }
    }

    /// What was seen.
    #[must_use]
    pub fn detail(&self) -> &str {
        let (Mark::MissedRate(text)
        | Mark::Slip(text)
        | Mark::ClientLimited(text)
        | Mark::Errors(text)
        | Mark::Unanswered(text)
        | Mark::Data(text)
        | Mark::Steal(text)) = self;
        text
    }
}

impl RunResult {
    /// CPU of the broker per byte, in ns: produced, or where nothing was produced, consumed.
    #[must_use]
    pub fn broker_ns_per_byte(&self) -> Option<f64> {
        let bytes = match (&self.produce, &self.consume) {
            (Some(p), _) => p.bytes,
            (None, Some(c)) => c.bytes,
            (None, None) => 0,
        };
        let cpu = self.broker?.cpu_ns as f64;
        (bytes > 0).then(|| cpu / bytes as f64)
    }

    /// CPU of the broker per request, in µs: produce requests, or else fetches.
    #[must_use]
    pub fn broker_us_per_request(&self) -> Option<f64> {
        let requests = match (&self.produce, &self.consume) {
            (Some(p), _) => p.requests,
            (None, Some(c)) => c.fetches,
            (None, None) => 0,
        };
        let cpu = self.broker?.cpu_ns as f64 / 1e3;
        (requests > 0).then(|| cpu / requests as f64)
    }

    /// Time of the generator per request (produce requests, or else fetches), in µs.
    #[must_use]
    pub fn client_us_per_request(&self) -> Option<f64> {
        let requests = match (&self.produce, &self.consume) {
            (Some(p), _) => p.requests,
            (None, Some(c)) => c.fetches,
            (None, None) => 0,
        };
        (requests > 0).then(|| {
            // Busy time, not CPU time: spinning is not work.
            self.client.busy * self.seconds * 1e6 * self.client.threads as f64 / requests as f64
        })
    }

    /// Share of a CPU that the broker used.
    #[must_use]
    pub fn broker_cpu_share(&self) -> Option<f64> {
        Some(self.broker?.cpu_ns as f64 / 1e9 / self.seconds)
    }
}
