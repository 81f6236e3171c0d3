//! One monotonic clock for a whole run, in nanoseconds since it was made.
//!
//! All threads of a run share its origin, so a stamp written by one is an age for another.

use std::time::{Duration, Instant};

/// Nanoseconds on a [`Clock`].
pub type Nanos = u64;

/// Of a second.
pub const SECOND: Nanos = 1_000_000_000;

/// A point in time that others are measured from.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock {
    /// Nanoseconds since the origin; wide enough for 500 years.
    #[must_use]
    pub fn now(&self) -> Nanos {
        nanos(self.origin.elapsed())
    }

    /// Blocks the thread until `at`; returns at once if that is over.
    pub fn sleep_until(&self, at: Nanos) {
        let now = self.now();
        if at > now {
            std::thread::sleep(Duration::from_nanos(at - now));
        }
    }
}

/// A duration in the clock's unit.
#[must_use]
pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number of seconds in the clock's unit; negative is none.
#[must_use]
pub fn from_seconds(seconds: f64) -> Nanos {
    (seconds.max(0.0) * 1e9) as Nanos
}

/// In seconds.
#[must_use]
pub fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}
