//! Totals of a core, counted as things happen.
use crate::core::latency::Latency;
use netio::Instant;
use std::collections::BTreeMap;
use wire::ApiKey;

/// Requests of one API on the core of their connections: each is counted once, wherever its parts
/// are carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApiStats {
    /// Requests begun.
    pub requests: u64,
    /// From the arrival of a request until its answer leaves with the core's turn. The time for
    /// which a fetch waited for news, as its client asked, is not in it. What closes its connection
    /// instead has none.
    pub latency: Latency,
}

/// A request whose answer leaves with this turn.
#[derive(Clone, Copy, Debug)]
struct Answered {
    key: ApiKey,
    at: Instant,
    silent: bool,
}

/// Totals of a core since its start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By API key; see [`Stats::apis`].
    by_api: Vec<ApiStats>,
    /// Of this turn: when those came whose handlers have ended, and those whose answers leave.
    handled: Vec<Instant>,
    answered: Vec<Answered>,
    /// Error codes answered, by API key and code: as many as are both served and said, so a bounded
    /// number.
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
    /// Of requests that had to wait before they were begun: for earlier ones, for memory, for room
    /// in the log.
    pub stage_wait: Latency,
    /// From the arrival of a request to the end of the turn of its handler, on the core of its
    /// connection.
    pub stage_handle: Latency,
    /// From an append to its high watermark.
    pub stage_wal: Latency,
    /// From the arrival of a produce request to its ack; acks=0 has none.
    pub stage_ack: Latency,
}

impl Stats {
    #[inline]
    fn api(&mut self, key: ApiKey) -> &mut ApiStats {
        // No code of the enum is negative.
        let at = key.code() as usize;
        if self.by_api.len() <= at {
            self.by_api.resize(at + 1, ApiStats::default());
        }
        &mut self.by_api[at]
    }

    #[inline]
    pub fn request(&mut self, key: ApiKey) {
        self.api(key).requests += 1;
    }

    /// The handler of a request that came at `at` has ended.
    #[inline]
    pub fn handled(&mut self, at: Instant) {
        self.handled.push(at);
    }

    /// The answer to a request that came at `at` leaves with this turn; `silent`: there is none
    /// (acks=0).
    #[inline]
    pub fn answered(&mut self, key: ApiKey, at: Instant, silent: bool) {
        self.answered.push(Answered { key, at, silent });
    }

    /// A turn of the core ends, and what it sends leaves now: one reading of the clock serves all
    /// that it has done.
    pub fn end_turn(&mut self, clock: impl FnOnce() -> Instant) {
        if self.handled.is_empty() && self.answered.is_empty() {
            return;
        }
        let now = clock();
        let (mut handled, mut answered) =
            (std::mem::take(&mut self.handled), std::mem::take(&mut self.answered));
        for at in handled.drain(..) {
            self.stage_handle.record(now.since(at));
        }
        for Answered { key, at, silent } in answered.drain(..) {
            let ns = now.since(at);
            self.api(key).latency.record(ns);
            if key == ApiKey::Produce && !silent {
                self.stage_ack.record(ns);
            }
        }
        // Their memory serves the next turn.
        (self.handled, self.answered) = (handled, answered);
    }

    /// The APIs that were asked for, in the order of their keys.
    pub fn apis(&self) -> impl Iterator<Item = (ApiKey, &ApiStats)> {
        (0..)
            .zip(&self.by_api)
            .filter(|(_, stats)| stats.requests > 0)
            .filter_map(|(code, stats)| Some((ApiKey::from_code(code)?, stats)))
    }

    /// An answer to `key` says `code`, so often.
    pub fn error(&mut self, key: ApiKey, code: i16, times: u32) {
        *self.errors.entry((key.code(), code)).or_default() += u64::from(times);
    }
}
