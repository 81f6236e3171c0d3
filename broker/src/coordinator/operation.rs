//! What comes with every operation: the time, the caller, the place for the answer.

/// The time at which an operation runs. Two clocks, since sessions must not end when somebody sets
/// the host's clock, and records must say what the wall says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// A clock that never goes back, in ms since any fixed moment.
    pub monotonic_ms: u64,
    /// Unix time in ms.
    pub wall_ms: i64,
}

impl Now {
    /// The moment `ms` from now; none if `ms` is negative.
    pub(crate) fn after(self, ms: i32) -> u64 {
        self.monotonic_ms.saturating_add(u64::try_from(ms).unwrap_or(0))
    }
}

/// Where an answer goes: opaque here. Each is answered exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Version of the request; it decides a few rules (`group::versions`).
    pub api_version: i16,
    /// From the request's header; the empty string if it had none.
    pub client_id: &'a str,
    /// As Kafka prints it, a slash in front of the address: `/127.0.0.1`.
    pub client_host: &'a str,
    /// 128 fresh random bits: the unique part of a new member id.
    pub random: u128,
}
