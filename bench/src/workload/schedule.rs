//! When a connection means to send: the intended times of an open loop.
//!
//! A schedule never looks at the clock. What is late is late against it, and that is the point: a
//! broker that stalls is charged for every request that should have been sent meanwhile.

use super::Arrival;
use crate::clock::{Nanos, SECOND};
use crate::rng::Rng;

/// The intended times of one connection, in order, without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    arrival: Arrival,
    /// Mean distance, ns.
    interval: f64,
    /// The next intended time; fractions are kept, or rates would drift.
    next: f64,
    rng: Rng,
}

impl Schedule {
    /// Schedule number `index` of `of` that together make `rate` requests a second from `start` on.
    #[must_use]
    pub fn new(
        arrival: Arrival,
        rate: f64,
        start: Nanos,
        index: usize,
        of: usize,
        seed: u64,
    ) -> Self {
        let interval = SECOND as f64 * of as f64 / rate;
        let mut schedule = Self {
            arrival,
            interval,
            next: start as f64 + interval * index as f64 / of as f64,
            rng: Rng::new(seed, 0x5eed_0000 + index as u64),
        };
        if arrival == Arrival::Poisson {
            schedule.next = start as f64;
            schedule.advance();
        }
        schedule
    }

    /// The next intended time.
    #[must_use]
    pub fn peek(&self) -> Nanos {
        self.next as Nanos
    }

    /// Goes on to the one after.
    pub fn advance(&mut self) {
        self.next += match self.arrival {
            Arrival::Fixed => self.interval,
            Arrival::Poisson => -self.rng.unit().ln() * self.interval,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(schedule: &mut Schedule, until: Nanos) -> Vec<Nanos> {
        let mut all = Vec::new();
        while schedule.peek() < until {
            all.push(schedule.peek());
            schedule.advance();
        }
        all
    }

    #[test]
    fn fixed_schedules_interleave_at_the_rate() {
        let mut all: Vec<_> = (0..3)
            .flat_map(|i| {
                take(&mut Schedule::new(Arrival::Fixed, 3000.0, 500, i, 3, 1), 500 + SECOND)
            })
            .collect();
        all.sort_unstable();
        assert_eq!(all.len(), 3000);
        for pair in all.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((333_332..=333_335).contains(&gap), "{gap}");
        }
    }

    #[test]
    fn poisson_schedules_make_the_rate_with_exponential_gaps() {
        let times = take(&mut Schedule::new(Arrival::Poisson, 1000.0, 0, 0, 1, 9), 20 * SECOND);
        assert!((19_000..21_000).contains(&times.len()), "{}", times.len());
        // Of exponential gaps a share of 1/e is above the mean.
        let above = times.windows(2).filter(|w| w[1] - w[0] > 1_000_000).count();
        let share = above as f64 / times.len() as f64;
        assert!((0.34..0.40).contains(&share), "{share}");
    }
}
