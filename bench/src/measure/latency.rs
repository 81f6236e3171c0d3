//! Latencies in histograms: 3 significant digits from 1 ns to 60 s for a run, 2 for each second.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// Longer ones count as this long; the largest says so.
pub const LATENCY_MAX: Nanos = 60_000_000_000;

/// The quantiles that tables show.
pub const QUANTILES: [(f64, &str); 6] = [
    (0.5, "p50"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (0.99999, "p99.999"),
];

/// Latencies of a run.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_MAX, 3).expect("constant bounds are right"))
    }
}

impl Latencies {
    /// `count` times `latency`.
    pub fn record_n(&mut self, latency: Nanos, count: u64) {
        self.0.saturating_record_n(latency.max(1), count);
    }

    /// Once `latency`.
    pub fn record(&mut self, latency: Nanos) {
        self.record_n(latency, 1);
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("same bounds");
    }

    /// Samples.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The figures, and the curve for plots.
    #[must_use]
    pub fn summary(&self) -> Latency {
        let h = &self.0;
        if h.is_empty() {
            return Latency::default();
        }
        let mut curve = Vec::new();
        for point in h.iter_quantiles(5) {
            let quantile = point.quantile_iterated_to();
            curve.push((quantile, point.value_iterated_to()));
            if quantile >= 1.0 {
                break;
            }
        }
        Latency {
            count: h.len(),
            mean: h.mean(),
            min: h.min(),
            quantiles: QUANTILES.map(|(q, _)| h.value_at_quantile(q)),
            max: h.max(),
            curve,
        }
    }
}

/// The summary of a histogram; times in ns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    pub count: u64,
    pub mean: f64,
    pub min: Nanos,
    /// As in [`QUANTILES`].
    pub quantiles: [Nanos; 6],
    pub max: Nanos,
    /// (quantile, value): dense towards 1, ends at (1, max).
    pub curve: Vec<(f64, Nanos)>,
}

impl Latency {
    /// A quantile by its name, such as `p99.9`, or `max`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Nanos> {
        if name == "max" {
            return Some(self.max);
        }
        let index = QUANTILES.iter().position(|(_, n)| *n == name)?;
        Some(self.quantiles[index])
    }

    /// A quantile that so few samples cannot show is not worth printing.
    #[must_use]
    pub fn supports(&self, quantile: f64) -> bool {
        self.count as f64 * (1.0 - quantile) >= 1.0 - 1e-9
    }

    /// As text in the `.hgrm` form that HdrHistogram's plotters read; values in ms.
    #[must_use]
    pub fn hgrm(&self) -> String {
        use std::fmt::Write;
        let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
        for &(quantile, value) in &self.curve {
            let total = (quantile * self.count as f64).round() as u64;
            let _ = write!(out, "{:12.6} {quantile:14.12} {total:10}", value as f64 / 1e6);
            let _ = if quantile < 1.0 {
                writeln!(out, " {:14.2}", 1.0 / (1.0 - quantile))
            } else {
                writeln!(out)
            };
        }
        let _ = writeln!(out, "#[Mean    = {:12.6}]", self.mean / 1e6);
        let _ = writeln!(
            out,
            "#[Max     = {:12.6}, Total count    = {:12}]",
            self.max as f64 / 1e6,
            self.count
        );
        out
    }
}

/// Latencies of each second of a run: coarser, so that hours of them fit.
#[derive(Debug, Clone, Default)]
pub struct PerSecond(Vec<Option<Histogram<u32>>>);

impl PerSecond {
    /// `count` times `latency`, in the second that is number `second` since measuring began.
    pub fn record_n(&mut self, second: usize, latency: Nanos, count: u64) {
        if self.0.len() <= second {
            self.0.resize(second + 1, None);
        }
        self.0[second]
            .get_or_insert_with(|| {
                Histogram::new_with_bounds(1_000, LATENCY_MAX, 2)
                    .expect("constant bounds are right")
            })
            .saturating_record_n(latency.max(1), u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Adds another thread's.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), None);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => mine.add(theirs).expect("same bounds"),
                (None, Some(theirs)) => *mine = Some(theirs.clone()),
                (_, None) => {}
            }
        }
    }

    /// p50, p99, p99.9 and max of a second; `None` if it has no sample.
    #[must_use]
    pub fn second(&self, second: usize) -> Option<[Nanos; 4]> {
        let h = self.0.get(second)?.as_ref()?;
        Some([
            h.value_at_quantile(0.5),
            h.value_at_quantile(0.99),
            h.value_at_quantile(0.999),
            h.max(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_was_recorded() {
        let mut all = Latencies::default();
        for n in 1..=1000 {
            all.record(n * 1000);
        }
        all.record_n(2 * LATENCY_MAX, 1);
        let s = all.summary();
        assert_eq!(s.count, 1001);
        let p50 = s.named("p50").unwrap();
        assert!((500_000..=502_000).contains(&p50), "{p50}");
        assert!(s.max >= LATENCY_MAX, "{}", s.max);
        assert_eq!(s.curve.last().unwrap().0, 1.0);
        assert!(s.supports(0.999) && !s.supports(0.9999));
        assert!(s.hgrm().contains("#[Max"));
        assert_eq!(Latencies::default().summary(), Latency::default());
    }

    #[test]
    fn seconds_are_apart_and_merge() {
        let (mut a, mut b) = (PerSecond::default(), PerSecond::default());
        a.record_n(0, 1_000_000, 10);
        b.record_n(0, 9_000_000, 10);
        b.record_n(2, 5_000_000, 1);
        a.merge(&b);
        assert!(a.second(0).unwrap()[3] >= 9_000_000);
        assert!(a.second(0).unwrap()[0] < 1_100_000);
        assert_eq!(a.second(1), None);
        assert!(a.second(2).is_some() && a.second(3).is_none());
    }
}
