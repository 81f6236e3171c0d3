//! Numbers of a core: counted by the shard, read by the control thread through [`Snapshot`].
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use wire::ApiKey;

/// A latency histogram in nanoseconds, three significant digits, up to a minute.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 2).expect("bounds of a histogram"))
    }
}

impl Latency {
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }
}

/// Totals of a core since its start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub requests: BTreeMap<i16, u64>,
    /// Error codes answered, by API key and code: as many as are both served and said, so a bounded number.
    pub errors: BTreeMap<(i16, i16), u64>,
    pub sent_bytes: u64,
    pub produced_bytes: u64,
    pub fetched_bytes: u64,
    pub connections_accepted: u64,
    pub connections_refused: u64,
    pub idle_closed: u64,
    pub slow_closed: u64,
    pub malformed: u64,
    pub memory_waits: u64,
    pub log_waits: u64,
    /// Times that a connection had had its turn and had more to do.
    pub turn_waits: u64,
    /// Times that a group's coordinator had no memory for more.
    pub group_memory_refusals: u64,
    pub forwarded: u64,
    /// Of requests that had to wait before they were begun: for earlier ones, for memory, for room in the log.
    pub stage_wait: Latency,
    /// From the arrival of a request to the end of its first stage.
    pub stage_handle: Latency,
    /// From an append to its high watermark.
    pub stage_wal: Latency,
    /// From the arrival of a produce request to its ack.
    pub stage_ack: Latency,
}

impl Stats {
    pub fn request(&mut self, key: ApiKey) {
        *self.requests.entry(key.code()).or_default() += 1;
    }

    /// An answer to `key` says `code`, so often.
    pub fn error(&mut self, key: ApiKey, code: i16, times: u32) {
        *self.errors.entry((key.code(), code)).or_default() += u64::from(times);
    }
}

/// The numbers of a core at one moment, for the control thread.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub core: u16,
    pub connections: usize,
    pub partitions: usize,
    pub groups: usize,
    pub group_memory_bytes: usize,
    pub fetch_sessions: usize,
    pub fetch_session_partitions: usize,
    pub waiting_produces: usize,
    pub waiting_fetches: usize,
    pub request_memory_bytes: usize,
    pub acked_not_durable_ms: u64,
    pub image_offset: i64,
    pub stats: Stats,
    pub store: storage::store::Stats,
    pub io: netio::stats::Stats,
}
