//! One run against one broker: `produce`, `consume`, `e2e`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::load::{ConsumeFlags, ProduceFlags, RunFlags};
use crate::cpus;
use crate::engine::{self, Target};
use crate::report::table;
use crate::result::{Mark, RunResult};
use crate::workload::{Start, Workload};

/// Whom to measure, and where the results go.
#[derive(Debug, Clone, Args)]
pub(super) struct TargetFlags {
    /// host:port, several with commas
    #[arg(long, default_value = "127.0.0.1:9092")]
    pub(super) bootstrap: String,
    /// The broker's process, for its CPU and memory
    #[arg(long)]
    pub(super) pid: Option<u32>,
    /// CPUs for the event loops, such as 0 or 0,2-3
    #[arg(long, value_name = "LIST")]
    pub(super) cpus: Option<String>,
    /// An existing topic; without this one is made for the run and deleted
    #[arg(long)]
    pub(super) topic: Option<String>,
    /// The peer serves Produce 7 and Metadata 4 and nothing else
    #[arg(long, hide = true)]
    pub(super) bare: bool,
    /// Write the result here as JSON
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the latency distributions here, one .hgrm file each
    #[arg(long, value_name = "DIR")]
    pub(super) hgrm: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ProduceArgs {
    #[command(flatten)]
    target: TargetFlags,
    #[command(flatten)]
    load: ProduceFlags,
    /// Stamp records with stream, number and time, as `e2e` does
    #[arg(long)]
    stamp: bool,
    #[command(flatten)]
    run: RunFlags,
}

#[derive(Debug, Args)]
pub(super) struct ConsumeArgs {
    #[command(flatten)]
    target: TargetFlags,
    /// 10^6 bytes to write beforehand (not with --topic)
    #[arg(long, default_value_t = 1000)]
    store: u64,
    #[command(flatten)]
    load: ConsumeFlags,
    #[command(flatten)]
    run: RunFlags,
}

#[derive(Debug, Args)]
pub(super) struct E2eArgs {
    #[command(flatten)]
    target: TargetFlags,
    #[command(flatten)]
    load: ProduceFlags,
    #[command(flatten)]
    reading: ConsumeFlags,
    #[command(flatten)]
    run: RunFlags,
}

pub(super) fn produce(args: &ProduceArgs) -> Result<()> {
    let workload = args.run.value(Some(args.load.value(args.stamp)), None);
    measure(&args.target, &workload)
}

pub(super) fn consume(args: &ConsumeArgs) -> Result<()> {
    let workload = args.run.value(None, Some(args.load.value(Start::Stored(args.store))));
    measure(&args.target, &workload)
}

pub(super) fn e2e(args: &E2eArgs) -> Result<()> {
    let produce = Some(args.load.value(true));
    let workload = args.run.value(produce, Some(args.reading.value(Start::Tail)));
    measure(&args.target, &workload)
}

impl TargetFlags {
    pub(super) fn target(&self) -> Result<Target> {
        Ok(Target {
            pid: self.pid,
            cpus: self.cpus.as_deref().map_or(Ok(Vec::new()), cpus::parse)?,
            topic: self.topic.clone(),
            bare: self.bare,
            versions: self.bare.then(engine::bare_versions),
            ..Target::at(&self.bootstrap)
        })
    }
}

fn measure(flags: &TargetFlags, workload: &Workload) -> Result<()> {
    let result = engine::run(&flags.target()?, workload, &mut progress())?;
    clear_progress();
    println!("{}", table::run(&result));
    if let Some(path) = &flags.json {
        let text = serde_json::to_string_pretty(&result)?;
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(dir) = &flags.hgrm {
        write_hgrm(dir, &result)?;
    }
    if result.marks.iter().any(|m| matches!(m, Mark::Data(_))) {
        anyhow::bail!("what was read is not what was written");
    }
    Ok(())
}

/// One file a distribution, named after it.
pub(super) fn write_hgrm(dir: &Path, result: &RunResult) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    let mut all = Vec::new();
    if let Some(p) = &result.produce {
        all.extend([("ack", &p.ack), ("service", &p.service), ("slip", &p.slip)]);
    }
    if let Some(c) = &result.consume {
        all.extend([("end-to-end", &c.end_to_end), ("fetch", &c.fetch)]);
        all.extend(c.wake_up.as_ref().map(|l| ("wake-up", l)));
    }
    for (name, latency) in all.into_iter().filter(|(_, l)| l.count > 0) {
        std::fs::write(dir.join(format!("{name}.hgrm")), latency.hgrm())?;
    }
    Ok(())
}

/// Shows how it goes: in place on a terminal, nothing elsewhere.
pub(super) fn progress() -> impl FnMut(&str) {
    let terminal = std::io::stderr().is_terminal();
    move |line: &str| {
        if terminal {
            eprint!("\r\x1b[K{line}");
        }
    }
}

pub(super) fn clear_progress() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
