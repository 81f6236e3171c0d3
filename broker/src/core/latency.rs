//! Latencies as counts between fixed bounds, as Prometheus has them.
//!
//! A core counts each of its requests here, so that recording is a table look-up and a comparison
//! or two, and a scrape copies 200 bytes. Two histograms of one kind are added bound by bound:
//! those of several cores are exact together.

/// Upper bounds in nanoseconds, in steps of about two from 10 us to a minute.
pub const BOUNDS_NS: [u64; 20] = [
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
];

/// By the bits of a number: the first bound that a number of as many bits may be within.
const FIRST: [u8; 65] = {
    let mut first = [0; 65];
    let mut bits = 1;
    while bits <= 64 {
        let least = 1u64 << (bits - 1);
        let mut at = 0;
        while at < BOUNDS_NS.len() && BOUNDS_NS[at] < least {
            at += 1;
        }
        first[bits] = at as u8;
        bits += 1;
    }
    first
};

/// How many took how long, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Those above the last bound come last.
    counts: [u64; BOUNDS_NS.len() + 1],
    sum_ns: u64,
}

impl Latency {
    #[inline]
    pub fn record(&mut self, ns: u64) {
        let bits = u64::BITS - ns.leading_zeros();
        let mut at = usize::from(FIRST[bits as usize]);
        while BOUNDS_NS.get(at).is_some_and(|&bound| ns > bound) {
            at += 1;
        }
        self.counts[at] += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// Each bound in seconds, and how many lie between it and the one before; at last infinity.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS_NS.iter().map(|&ns| ns as f64 / 1e9);
        bounds.chain([f64::INFINITY]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_counts_at_the_first_bound_that_is_not_below_it() {
        let mut probes = vec![0, 1, u64::MAX];
        for bound in BOUNDS_NS {
            probes.extend([bound - 1, bound, bound + 1]);
        }
        for bits in 0..64 {
            let power = 1u64 << bits;
            probes.extend([power - 1, power, power + 1]);
        }
        for ns in probes {
            let mut latency = Latency::default();
            latency.record(ns);
            let expected = BOUNDS_NS.iter().position(|&bound| ns <= bound);
            let at = latency.buckets().position(|(_, count)| count == 1);
            assert_eq!(at, Some(expected.unwrap_or(BOUNDS_NS.len())), "{ns}");
            assert_eq!((latency.count(), latency.sum_ns()), (1, ns));
        }
    }

    #[test]
    fn histograms_add_up() {
        let (mut a, mut b) = (Latency::default(), Latency::default());
        a.record(5);
        b.record(15_000);
        b.record(u64::MAX);
        a.add(&b);
        let counts: Vec<u64> = a.buckets().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[1], counts[20]), (1, 1, 1));
        assert_eq!(a.sum_ns(), u64::MAX);
    }
}
