//! Several brokers, the same load, turn by turn.
//!
//! Rounds are interleaved (A B A B A B), so that whatever changes on the machine meanwhile meets
//! all peers alike. All peers run all the time, each as warm as its own past makes it; those whose
//! turn it is not are idle, and what CPU they took all the same is part of the report.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::engine::Progress;
use crate::measure::host::ProcessSample;
use crate::measure::manifest::Manifest;
use crate::measure::memory;
use crate::peer::{self, About, Peer, Place};
use crate::result::RunResult;
use crate::scenario::Scenario;

/// Between two runs: what the last one left in caches and queues is written out, then this long.
const SETTLE: Duration = Duration::from_millis(500);

/// What to compare.
#[derive(Debug, Clone)]
pub struct Plan {
    pub peers: Vec<String>,
    pub scenarios: Vec<Scenario>,
    pub rounds: usize,
    pub place: Place,
    /// Bytes of memory that are made sure of beforehand: see [`memory`].
    pub keep_memory_bytes: u64,
    /// Runs per peer whose figures are thrown away: JIT compilers, allocators, page tables.
    pub warm: Vec<Warm>,
}

/// A load that makes a peer warm.
#[derive(Debug, Clone)]
pub struct Warm {
    pub scenario: Scenario,
    /// It is run again until it needs hardly less CPU than the time before, but no more often than
    /// this.
    pub times_max: usize,
}

/// A run is as good as the one before if it saves less than this share of its CPU per byte.
const STEADY: f64 = 0.04;

/// A whole comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub manifest: Manifest,
    pub peers: Vec<About>,
    pub scenarios: Vec<Compared>,
    pub took_s: f64,
}

/// One scenario's rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub scenario: Scenario,
    /// In the order they were run.
    pub runs: Vec<Run>,
    /// Peers that took no part, and why.
    pub absent: Vec<(String, String)>,
}

/// One peer's turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub peer: String,
    /// From 1.
    pub round: usize,
    /// `Err`: it failed, and how.
    pub result: Result<RunResult, String>,
    /// CPU of all other peers meanwhile, as a share of one CPU.
    pub others_cpu: f64,
}

impl Compared {
    /// A peer's good runs.
    pub fn of<'a>(&'a self, peer: &'a str) -> impl Iterator<Item = &'a RunResult> {
        self.runs.iter().filter(move |r| r.peer == peer).filter_map(|r| r.result.as_ref().ok())
    }
}

/// Starts all peers, runs all rounds, stops them.
///
/// # Errors
/// A peer does not start. A run that fails is part of the comparison.
pub fn compare(
    plan: &Plan,
    progress: Progress<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<Comparison> {
    ensure!(!plan.peers.is_empty(), "no peers");
    let start = Instant::now();
    std::fs::create_dir_all(&plan.place.work)
        .with_context(|| plan.place.work.display().to_string())?;
    let mut manifest = Manifest::read(&plan.place.work);
    if plan.keep_memory_bytes > 0 {
        say("writing memory that the host may not have given yet");
    }
    // Held until the last run.
    let kept = memory::keep(plan.keep_memory_bytes, progress)?;
    manifest.memory_kept_bytes = kept.bytes;
    let mut peers: Vec<Box<dyn Peer>> = Vec::new();
    for name in &plan.peers {
        say(&format!("starting {name}"));
        let peer = peer::start(name, &plan.place).with_context(|| format!("peer {name}"))?;
        let about = peer.about();
        let ready = about.first_ack_s.unwrap_or(0.0);
        say(&format!("  {}: first ack after {ready:.2} s", about.version));
        peers.push(peer);
    }
    for peer in &mut peers {
        let name = peer.about().name.clone();
        for warm in &plan.warm {
            let times = warm_up(peer.as_mut(), warm, progress)
                .with_context(|| format!("warming {name}"))?;
            say(&format!("warming {name}: {times}"));
        }
    }
    let mut scenarios = Vec::new();
    for scenario in &plan.scenarios {
        say(&format!("{}: {}", scenario.name, scenario.title));
        scenarios.push(one(scenario, plan.rounds, &mut peers, progress, say));
    }
    drop(kept);
    let about = peers.iter().map(|p| p.about().clone()).collect();
    for peer in peers {
        let name = peer.about().name.clone();
        if let Err(error) = peer.stop() {
            say(&format!("stopping {name}: {error:#}"));
        }
    }
    Ok(Comparison { manifest, peers: about, scenarios, took_s: start.elapsed().as_secs_f64() })
}

/// Runs a load until it is steady; what each run cost.
fn warm_up(peer: &mut dyn Peer, warm: &Warm, progress: Progress<'_>) -> Result<String> {
    let name = &warm.scenario.name;
    let Ok(workload) = warm.scenario.for_peer(&peer.about().name) else {
        return Ok(format!("{name} is not for it"));
    };
    if peer.supports(&workload).is_err() {
        return Ok(format!("it cannot do {name}"));
    }
    let mut costs: Vec<f64> = Vec::new();
    while costs.len() < warm.times_max {
        let result = peer.run(&workload, progress)?;
        let cost = result.broker_ns_per_byte().unwrap_or(0.0);
        let last = costs.last().copied();
        costs.push(cost);
        if last.is_some_and(|last| cost > last * (1.0 - STEADY)) {
            break;
        }
    }
    let costs: Vec<_> = costs.into_iter().map(crate::units::short).collect();
    Ok(format!("{name} {} ns/B", costs.join(", ")))
}

fn one(
    scenario: &Scenario,
    rounds: usize,
    peers: &mut [Box<dyn Peer>],
    progress: Progress<'_>,
    say: &mut dyn FnMut(&str),
) -> Compared {
    let mut compared =
        Compared { scenario: scenario.clone(), runs: Vec::new(), absent: Vec::new() };
    for round in 1..=rounds {
        for n in 0..peers.len() {
            let name = peers[n].about().name.clone();
            let workload = scenario.for_peer(&name).and_then(|w| peers[n].supports(&w).map(|()| w));
            let workload = match workload {
                Ok(workload) => workload,
                Err(reason) => {
                    if round == 1 {
                        compared.absent.push((name, format!("{reason:#}")));
                    }
                    continue;
                }
            };
            settle();
            let others = Others::sample(peers, n);
            let result = peers[n].run(&workload, progress);
            let run = Run {
                peer: name,
                round,
                others_cpu: others.cpu_since(),
                result: result.map_err(|e| format!("{e:#}")),
            };
            say(&line(&run));
            compared.runs.push(run);
        }
    }
    compared
}

/// Dirty pages of one peer must not be written during the turn of the next.
fn settle() {
    rustix::fs::sync();
    std::thread::sleep(SETTLE);
}

/// The processes whose turn it is not.
struct Others(Instant, Vec<(u32, ProcessSample)>);

impl Others {
    fn sample(peers: &[Box<dyn Peer>], turn: usize) -> Self {
        let pids = peers
            .iter()
            .enumerate()
            .filter(|(n, _)| *n != turn)
            .filter_map(|(_, p)| p.target().pid);
        Self(Instant::now(), pids.filter_map(|pid| Some((pid, ProcessSample::of(pid)?))).collect())
    }

    fn cpu_since(&self) -> f64 {
        let used = |(pid, then): &(u32, ProcessSample)| {
            ProcessSample::of(*pid).map_or(0, |now| now.since(then).cpu_ns)
        };
        let total: u64 = self.1.iter().map(used).sum();
        total as f64 / 1e9 / self.0.elapsed().as_secs_f64().max(1e-9)
    }
}

fn line(run: &Run) -> String {
    use crate::units::{short, time};
    let head = format!("  round {} {:<16}", run.round, run.peer);
    let result = match &run.result {
        Ok(result) => result,
        Err(error) => return format!("{head} FAILED: {error}"),
    };
    let mut parts = Vec::new();
    if let Some(p) = &result.produce {
        parts.push(format!("{} MB/s", short(p.mb_per_s)));
        parts.push(format!("{} requests/s", short(p.requests_per_s)));
        for name in ["p50", "p99", "p99.9"] {
            parts.push(format!("{name} {}", time(p.ack.named(name).unwrap_or(0))));
        }
    }
    if let Some(c) = &result.consume {
        if result.produce.is_none() {
            parts.push(format!("{} MB/s", short(c.mb_per_s)));
        }
        if c.end_to_end.count > 0 {
            parts.push(format!("e2e p50 {}", time(c.end_to_end.quantiles[0])));
        }
    }
    if let Some(ns) = result.broker_ns_per_byte() {
        parts.push(format!("{} ns/B", short(ns)));
    }
    for mark in &result.marks {
        parts.push(format!("[{}]", mark.word()));
    }
    format!("{head} {}", parts.join("  "))
}
