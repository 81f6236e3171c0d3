//! Time, as the driver tells it. Above this crate nothing else may ask for the time.

/// Monotonic nanoseconds since an arbitrary start (of the process, or of the simulation).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Instant {
    /// This instant plus `us` microseconds.
    pub fn after_us(self, us: u64) -> Instant {
        Instant(self.0.saturating_add(us.saturating_mul(1_000)))
    }
    /// This instant plus `ms` milliseconds.
    pub fn after_ms(self, ms: u64) -> Instant {
        Instant(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }
    /// Nanoseconds since `earlier`; 0 if `earlier` is later.
    pub fn since(self, earlier: Instant) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Milliseconds since the Unix epoch: Kafka's time stamps.
pub type WallTime = i64;
