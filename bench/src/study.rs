//! Many runs of one broker that together answer a question: how latency grows with load, what a
//! parameter costs, what a reader of old data does to writers.

use std::thread;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::engine::{self, Progress};
use crate::measure::manifest::Manifest;
use crate::peer::{About, Peer};
use crate::result::RunResult;
use crate::workload::{Check, Consume, Rate, Start, Workload};

/// Shares of the maximum at which a curve is measured.
pub const SHARES: [f64; 8] = [0.05, 0.10, 0.25, 0.50, 0.70, 0.80, 0.90, 0.95];
/// Halvings of the interval in which a latency bound is crossed.
const BISECTIONS: usize = 4;
/// Depth of the closed loop that finds the maximum, where the workload has none.
const DEPTH: usize = 5;

/// What a study found, for one peer or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Study {
    pub manifest: Manifest,
    pub question: String,
    pub peers: Vec<About>,
    pub answers: Vec<Answer>,
}

/// One peer's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Curve(Curve),
    Sweep(Sweep),
    Replay(Box<Replay>),
    Soak(Box<RunResult>),
}

/// Latency over load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub peer: String,
    /// The closed loop's.
    pub max_requests_per_s: f64,
    pub max: Box<RunResult>,
    pub points: Vec<Point>,
    /// Offered requests/s from which on latency grows faster than load.
    pub knee: Option<f64>,
    /// (bound on p99 in ns, highest rate in requests/s that kept it, in MB/s).
    pub within: Vec<(u64, f64, f64)>,
}

/// One load of a curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub requests_per_s: f64,
    pub result: RunResult,
}

/// What a parameter costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    pub peer: String,
    pub dimension: Dimension,
    /// A value, and its run or why it failed.
    pub runs: Vec<(u64, Result<RunResult, String>)>,
}

/// What is swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Connections,
    RecordBytes,
    Partitions,
}

/// Writers alone, and beside a reader of stored data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    pub peer: String,
    pub stored_mb: u64,
    /// Whether the page cache was emptied before reading.
    pub cold: bool,
    pub alone: RunResult,
    pub beside: RunResult,
    pub reader: RunResult,
}

impl Dimension {
    /// The values that are tried.
    #[must_use]
    pub const fn values(self) -> &'static [u64] {
        match self {
            Dimension::Connections => &[1, 4, 16, 50, 200],
            Dimension::RecordBytes => {
                &[100, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1000 << 10]
            }
            Dimension::Partitions => &[1, 10, 100, 1000, 10_000],
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Dimension::Connections => "connections",
            Dimension::RecordBytes => "record bytes",
            Dimension::Partitions => "partitions",
        }
    }

    /// The load with this value.
    ///
    /// # Errors
    /// The load does not produce.
    pub fn apply(self, workload: &Workload, value: u64) -> Result<Workload> {
        let mut workload = workload.clone();
        let size = usize::try_from(value)?;
        let produce = workload.produce.as_mut().context("a sweep needs a producer")?;
        match self {
            Dimension::Connections => {
                produce.connections = size;
                // At a constant total rate, or where there is none at a constant total depth.
                workload.partitions = workload.partitions.max(i32::try_from(value.min(64))?);
            }
            Dimension::RecordBytes => {
                produce.record_bytes = size;
                produce.batch_bytes = produce.batch_bytes.max(size);
            }
            Dimension::Partitions => workload.partitions = i32::try_from(value)?,
        }
        Ok(workload)
    }
}

/// Measures the maximum, then latency at [`SHARES`] of it, then where p99 crosses each of `bounds`
/// (ns; of end-to-end latency where the workload reads, else of acks).
///
/// # Errors
/// Those of [`Peer::run`]; the workload does not produce.
pub fn curve(
    peer: &mut dyn Peer,
    workload: &Workload,
    bounds: &[u64],
    progress: Progress<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Curve> {
    let name = peer.about().name.clone();
    let mut closed = workload.clone();
    let produce = closed.produce.as_mut().context("a curve needs a producer")?;
    produce.rate = None;
    produce.depth = if produce.depth == 0 { DEPTH } else { produce.depth };
    // The maximum is the broker's with the same readers beside it.
    let max = peer.run(&closed, progress)?;
    let rate = max.produce.as_ref().map_or(0.0, |p| p.requests_per_s);
    ensure!(rate > 0.0, "{name} acknowledged nothing");
    say(&format!("  {name}: maximum {rate:.0} requests/s"));
    let mut points: Vec<Point> = Vec::new();
    for share in SHARES {
        let point = at(peer, workload, rate * share, progress)?;
        say(&format!(
            "  {name}: {:.0} % = {:.0} requests/s, p99 {:.3} ms",
            100.0 * share,
            point.requests_per_s,
            p99(&point.result) as f64 / 1e6
        ));
        points.push(point);
    }
    let mut within = Vec::new();
    for &bound in bounds {
        let kept = |p: &Point| p99(&p.result) < bound && holds_rate(&p.result);
        let mut low =
            points.iter().filter(|p| kept(p)).map(|p| p.requests_per_s).fold(0.0, f64::max);
        let mut high = points
            .iter()
            .filter(|p| !kept(p) && p.requests_per_s > low)
            .map(|p| p.requests_per_s)
            .fold(rate, f64::min);
        for _ in 0..BISECTIONS {
            let middle = f64::midpoint(low, high);
            if middle < 1.0 {
                break;
            }
            let point = at(peer, workload, middle, progress)?;
            if kept(&point) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let bytes = workload.produce.as_ref().map_or(0, |p| p.request_bytes(workload.partitions));
        within.push((bound, low, low * bytes as f64 / 1e6));
    }
    Ok(Curve {
        peer: name,
        max_requests_per_s: rate,
        max: Box::new(max),
        knee: knee(&points),
        points,
        within,
    })
}

fn at(
    peer: &mut dyn Peer,
    workload: &Workload,
    requests_per_s: f64,
    progress: Progress<'_>,
) -> Result<Point> {
    let mut open = workload.clone();
    let produce = open.produce.as_mut().context("a curve needs a producer")?;
    produce.rate = Some(Rate::RequestsPerS(requests_per_s));
    produce.depth = 0;
    Ok(Point { requests_per_s, result: peer.run(&open, progress)? })
}

/// Of end-to-end latency where there is one, else of acks; ns.
#[must_use]
pub fn p99(result: &RunResult) -> u64 {
    let end_to_end = result.consume.as_ref().map(|c| &c.end_to_end);
    let ack = result.produce.as_ref().map(|p| &p.ack);
    let latency = end_to_end.filter(|l| l.count > 0).or(ack);
    latency.and_then(|l| l.named("p99")).unwrap_or(u64::MAX)
}

fn holds_rate(result: &RunResult) -> bool {
    !result.marks.iter().any(|m| matches!(m.word(), "missed rate" | "unanswered"))
}

/// The point farthest below the straight line from the first to the last, with latency on a
/// logarithmic scale (the "Kneedle" of Satopää et al. 2011, without smoothing).
fn knee(points: &[Point]) -> Option<f64> {
    let (first, last) = (points.first()?, points.last()?);
    let y = |p: &Point| (p99(&p.result).max(1) as f64).ln();
    let width = last.requests_per_s - first.requests_per_s;
    let height = y(last) - y(first);
    if width <= 0.0 || height <= 0.0 {
        return None;
    }
    let below =
        |p: &Point| (p.requests_per_s - first.requests_per_s) / width - (y(p) - y(first)) / height;
    let best = points.iter().max_by(|a, b| below(a).total_cmp(&below(b)))?;
    (below(best) > 0.0).then_some(best.requests_per_s)
}

/// One run for each value; a value that fails is part of the answer.
pub fn sweep(
    peer: &mut dyn Peer,
    workload: &Workload,
    dimension: Dimension,
    values: &[u64],
    progress: Progress<'_>,
    say: &mut dyn FnMut(&str),
) -> Sweep {
    let name = peer.about().name.clone();
    let mut runs = Vec::new();
    for &value in values {
        let run = dimension
            .apply(workload, value)
            .and_then(|load| {
                peer.supports(&load)?;
                peer.run(&load, progress)
            })
            .map_err(|e| format!("{e:#}"));
        let text = match &run {
            Ok(r) => r.produce.as_ref().map_or_else(String::new, |p| {
                format!("{:.1} MB/s, p99 {:.3} ms", p.mb_per_s, p99(r) as f64 / 1e6)
            }),
            Err(error) => format!("failed: {error}"),
        };
        say(&format!("  {name}: {value} {}: {text}", dimension.name()));
        runs.push((value, run));
    }
    Sweep { peer: name, dimension, runs }
}

/// Writers alone; then the same beside a reader that goes through `stored_mb` of older data, which
/// is written first and, if `drop_caches` and we may, thrown out of the page cache.
///
/// # Errors
/// Those of the runs.
pub fn replay(
    peer: &mut dyn Peer,
    workload: &Workload,
    stored_mb: u64,
    drop_caches: bool,
    progress: Progress<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Replay> {
    let name = peer.about().name.clone();
    say(&format!("  {name}: writers alone"));
    let alone = peer.run(workload, progress)?;
    let mut reading = workload.clone();
    reading.produce = None;
    reading.partitions = 4;
    reading.consume = Some(Consume {
        from: Start::Stored(stored_mb),
        check: Check::Batches,
        ..Default::default()
    });
    let target = peer.target();
    let mut cluster = target.cluster()?;
    let topic = engine::make_topic(&mut cluster, &reading, false)?;
    say(&format!("  {name}: storing {stored_mb} MB"));
    engine::store(&target, &reading, &topic, stored_mb, progress)?;
    rustix::fs::sync();
    // The whole machine's cache: only when asked for, and only root may.
    let cold = drop_caches && std::fs::write("/proc/sys/vm/drop_caches", "1").is_ok();
    say(&format!("  {name}: writers beside a reader{}", if cold { " of cold data" } else { "" }));
    let mut reader_target = target.clone();
    reader_target.topic = Some(topic.name.clone());
    let reader = thread::spawn(move || engine::run(&reader_target, &reading, &mut |_| ()));
    let beside = peer.run(workload, progress)?;
    let reader = reader.join().map_err(|_| anyhow::anyhow!("the reader has panicked"))??;
    cluster.delete_topic(&topic.name)?;
    Ok(Replay { peer: name, stored_mb, cold, alone, beside, reader })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Produce;

    #[test]
    fn a_sweep_changes_one_thing() {
        let workload = Workload {
            produce: Some(Produce { depth: 1, ..Default::default() }),
            ..Default::default()
        };
        for dimension in [Dimension::Connections, Dimension::RecordBytes, Dimension::Partitions] {
            for &value in dimension.values() {
                let load = dimension.apply(&workload, value).unwrap();
                load.validate().unwrap();
                assert_ne!((value > 1024).then_some(&load), Some(&workload));
            }
        }
        assert!(Dimension::Partitions.apply(&Workload::default(), 1).is_err());
    }
}
