//! The figures that peers are compared by: one value a run, a range over the rounds, ratios.

use crate::compare::Compared;
use crate::result::RunResult;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Number(&'static str),
    Nanos,
    Bytes,
}

/// Something that can be read off a run.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    pub name: &'static str,
    pub unit: Unit,
    pub better: Better,
    /// Said of closed loops only, or of open ones only, where it means anything.
    pub of: fn(&RunResult) -> Option<f64>,
}

/// All figures, in the order of tables.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "produced",
        unit: Unit::Number("MB/s"),
        better: Better::Higher,
        of: |r| closed(r).map(|p| p.mb_per_s),
    },
    Figure {
        name: "requests",
        unit: Unit::Number("/s"),
        better: Better::Higher,
        of: |r| closed(r).map(|p| p.requests_per_s),
    },
    Figure {
        name: "consumed",
        unit: Unit::Number("MB/s"),
        better: Better::Higher,
        of: |r| match (&r.produce, &r.consume) {
            (None, Some(c)) => Some(c.mb_per_s),
            _ => None,
        },
    },
    Figure {
        name: "broker CPU per byte",
        unit: Unit::Number("ns/B"),
        better: Better::Lower,
        of: RunResult::broker_ns_per_byte,
    },
    Figure {
        name: "broker CPU per request",
        unit: Unit::Number("us"),
        better: Better::Lower,
        of: RunResult::broker_us_per_request,
    },
    Figure { name: "ack p50", unit: Unit::Nanos, better: Better::Lower, of: |r| ack(r, 0, 0.5) },
    Figure { name: "ack p99", unit: Unit::Nanos, better: Better::Lower, of: |r| ack(r, 2, 0.99) },
    Figure {
        name: "ack p99.9",
        unit: Unit::Nanos,
        better: Better::Lower,
        of: |r| ack(r, 3, 0.999),
    },
    Figure {
        name: "ack max",
        unit: Unit::Nanos,
        better: Better::Lower,
        of: |r| r.produce.as_ref().map(|p| p.ack.max as f64),
    },
    Figure {
        name: "end to end p50",
        unit: Unit::Nanos,
        better: Better::Lower,
        of: |r| end_to_end(r, 0, 0.5),
    },
    Figure {
        name: "end to end p99",
        unit: Unit::Nanos,
        better: Better::Lower,
        of: |r| end_to_end(r, 2, 0.99),
    },
    Figure {
        name: "end to end p99.9",
        unit: Unit::Nanos,
        better: Better::Lower,
        of: |r| end_to_end(r, 3, 0.999),
    },
    Figure {
        name: "resident memory",
        unit: Unit::Bytes,
        better: Better::Lower,
        of: |r| r.broker.map(|b| b.rss_bytes as f64),
    },
];

fn closed(r: &RunResult) -> Option<&crate::result::ProduceResult> {
    r.produce.as_ref().filter(|p| p.offered_per_s.is_none())
}

fn ack(r: &RunResult, index: usize, quantile: f64) -> Option<f64> {
    let ack = &r.produce.as_ref()?.ack;
    ack.supports(quantile).then(|| ack.quantiles[index] as f64)
}

fn end_to_end(r: &RunResult, index: usize, quantile: f64) -> Option<f64> {
    let latency = &r.consume.as_ref()?.end_to_end;
    latency.supports(quantile).then(|| latency.quantiles[index] as f64)
}

/// A figure over the rounds of one peer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    pub min: f64,
    pub median: f64,
    pub max: f64,
    pub rounds: usize,
}

impl Range {
    /// Over a peer's good runs; `None` if none has the figure.
    #[must_use]
    pub fn of(figure: &Figure, compared: &Compared, peer: &str) -> Option<Self> {
        let mut all: Vec<f64> = compared.of(peer).filter_map(figure.of).collect();
        all.sort_by(f64::total_cmp);
        let (&min, &max) = (all.first()?, all.last()?);
        Some(Self {
            min,
            median: f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2]),
            max,
            rounds: all.len(),
        })
    }
}

/// How many times better one peer is than another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    pub low: f64,
    pub median: f64,
    pub high: f64,
    pub verdict: Verdict,
}

/// Whether the ranges are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Win,
    Loss,
    /// They overlap: nothing is shown.
    Tie,
    /// One round is no range.
    Unknown,
}

impl Ratio {
    /// Of `mine` to `theirs`; above 1 is better. `None` where a division by zero would be.
    #[must_use]
    pub fn of(better: Better, mine: Range, theirs: Range) -> Option<Self> {
        let (top, bottom) = match better {
            Better::Higher => (mine, theirs),
            Better::Lower => (theirs, mine),
        };
        if bottom.min <= 0.0 || top.min <= 0.0 {
            return None;
        }
        Some(Self {
            low: top.min / bottom.max,
            median: top.median / bottom.median,
            high: top.max / bottom.min,
            verdict: if mine.rounds < 2 || theirs.rounds < 2 {
                Verdict::Unknown
            } else if top.min > bottom.max {
                Verdict::Win
            } else if top.max < bottom.min {
                Verdict::Loss
            } else {
                Verdict::Tie
            },
        })
    }

    /// Such as `4.1 x (3.8 - 4.6)`.
    #[must_use]
    pub fn text(&self) -> String {
        let digits = |v: f64| {
            if v >= 10.0 { format!("{v:.0}") } else { format!("{v:.2}") }
        };
        format!("{} x ({} - {})", digits(self.median), digits(self.low), digits(self.high))
    }
}

impl Unit {
    /// A value in this unit.
    #[must_use]
    pub fn text(self, value: f64) -> String {
        use crate::units::{bytes, short, time};
        match self {
            Unit::Number(unit) => format!("{} {unit}", short(value)),
            Unit::Nanos => time(value.max(0.0) as u64),
            Unit::Bytes => bytes(value.max(0.0) as u64),
        }
    }

    /// A range in this unit: `low - high unit`, or one value if both look the same.
    #[must_use]
    pub fn range(self, range: Range) -> String {
        let (low, high) = (self.text(range.min), self.text(range.max));
        if low == high {
            return low;
        }
        match (low.rsplit_once(' '), high.rsplit_once(' ')) {
            (Some((number, a)), Some((_, b))) if a == b => format!("{number} - {high}"),
            _ => format!("{low} - {high}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: f64, median: f64, max: f64) -> Range {
        Range { min, median, max, rounds: 3 }
    }

    #[test]
    fn a_win_needs_ranges_apart() {
        let (fast, slow) = (range(300.0, 310.0, 320.0), range(100.0, 105.0, 110.0));
        let ratio = Ratio::of(Better::Higher, fast, slow).unwrap();
        assert_eq!(ratio.verdict, Verdict::Win);
        assert!(ratio.low < ratio.median && ratio.median < ratio.high);
        assert_eq!(Ratio::of(Better::Lower, fast, slow).unwrap().verdict, Verdict::Loss);
        let once = Range { rounds: 1, ..fast };
        assert_eq!(Ratio::of(Better::Higher, once, slow).unwrap().verdict, Verdict::Unknown);
        let near = range(109.0, 120.0, 130.0);
        assert_eq!(Ratio::of(Better::Higher, near, slow).unwrap().verdict, Verdict::Tie);
        assert_eq!(Ratio::of(Better::Lower, range(0.0, 0.0, 0.0), slow), None);
    }

    #[test]
    fn ranges_are_short() {
        assert_eq!(Unit::Nanos.range(range(1e6, 2e6, 3e6)), "1.00 - 3.00 ms");
        assert_eq!(Unit::Nanos.range(range(1e3, 2e6, 3e6)), "1.00 us - 3.00 ms");
        assert_eq!(Unit::Number("MB/s").range(range(5.0, 5.0, 5.0)), "5.00 MB/s");
    }
}
