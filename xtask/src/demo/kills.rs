//! When the broker is killed: moments drawn from a seed, as shares of the work.
//!
//! Shares, not seconds: the kills spread over the work however fast the machine is. The delay
//! after a share is reached takes a kill off the beat of the acknowledgements that were counted.

use std::time::Duration;

/// Kills fall between these shares of acknowledged events, so that each has events before it
/// and after it.
const FIRST: f64 = 0.01;
const LAST: f64 = 0.95;
const DELAY_MS_MAX: u64 = 80;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Kill {
    /// Of all events, acknowledged.
    pub(super) share: f64,
    /// After the share is reached.
    pub(super) delay: Duration,
}

/// `count` kills in the order of their shares; the same for the same seed.
pub(super) fn schedule(seed: u64, count: usize) -> Vec<Kill> {
    let mut random = SplitMix(seed);
    let mut kills: Vec<Kill> = (0..count)
        .map(|_| Kill {
            share: FIRST + (LAST - FIRST) * random.unit(),
            delay: Duration::from_millis(random.next() % (DELAY_MS_MAX + 1)),
        })
        .collect();
    kills.sort_by(|a, b| a.share.total_cmp(&b.share));
    kills
}

/// SplitMix64 (Steele, Lea, Flood 2014): a few moments need no more.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In 0..1, from the upper 53 bits.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double")]
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule() {
        let kills = schedule(7, 50);
        assert_eq!(kills, schedule(7, 50));
        assert_ne!(kills, schedule(8, 50));
        assert!(kills.is_sorted_by(|a, b| a.share <= b.share));
        assert!(kills.iter().all(|kill| (FIRST..LAST).contains(&kill.share)));
    }
}
