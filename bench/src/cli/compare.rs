//! `compare`: peers, scenarios, rounds, and where the report goes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::one::{clear_progress, progress, write_hgrm};
use crate::compare::{Comparison, Plan, Warm, compare as run};
use crate::cpus;
use crate::measure::manifest::Manifest;
use crate::peer::{KNOWN, Place};
use crate::report::{chart, compared, figure, html};
use crate::scenario::Scenario;

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Names of the standard set, or TOML files; none: the whole standard set
    scenarios: Vec<String>,
    /// Who takes part; ratios are against kafka, or else the last
    #[arg(long, value_delimiter = ',', default_value = "millrace,kafka", help = peers_help())]
    peers: Vec<String>,
    #[command(flatten)]
    pub(super) place: PlaceFlags,
    /// Turns of each peer (default 3, with --quick 2)
    #[arg(long)]
    rounds: Option<usize>,
    /// 10^9 bytes of memory that are written first, so that the page cache of a broker in a virtual
    /// machine does not wait for the host (default: 10, with --quick 3, on a machine of its own 0)
    #[arg(long, value_name = "GB")]
    keep_memory: Option<f64>,
    /// Shorter runs: to see that it works
    #[arg(long)]
    quick: bool,
    /// Seconds that count in each run, in place of what the scenarios say
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
}

/// Where peers live and run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Place")]
pub(super) struct PlaceFlags {
    /// Where the report goes (default: DIR/report)
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Fetched programs, data directories, reports
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    pub(super) dir: PathBuf,
    /// CPUs of the brokers (default: all but the first)
    #[arg(long, value_name = "LIST")]
    broker_cpus: Option<String>,
    /// CPUs of the load generator (default: the first)
    #[arg(long, value_name = "LIST")]
    client_cpus: Option<String>,
    /// The Millrace to measure
    #[arg(long, value_name = "FILE", default_value = "target/release/millrace")]
    millrace_bin: PathBuf,
    /// The floor program, for the peer `floor`
    #[arg(long, value_name = "FILE")]
    floor_bin: Option<PathBuf>,
    /// memory, written, device or flush
    #[arg(long, default_value = "flush")]
    floor_mode: String,
}

fn peers_help() -> String {
    format!("Who takes part: {KNOWN}; ratios are against kafka, or else the last")
}

impl PlaceFlags {
    pub(super) fn place(&self) -> Result<Place> {
        let allowed = cpus::allowed();
        let broker_cpus = match &self.broker_cpus {
            Some(list) => cpus::parse(list)?,
            // One broker CPU: that is what the goals are stated for.
            None => allowed.get(1).copied().into_iter().collect(),
        };
        let client_cpus = match &self.client_cpus {
            Some(list) => cpus::parse(list)?,
            None => allowed.first().copied().into_iter().collect(),
        };
        let work = self.dir.join(format!("work-{}", std::process::id()));
        Ok(Place {
            cache: self.dir.join("cache"),
            work,
            broker_cpus,
            client_cpus,
            millrace: self.millrace_bin.clone(),
            floor: self.floor_bin.clone(),
            floor_mode: self.floor_mode.clone(),
        })
    }

    pub(super) fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| self.dir.join("report"))
    }
}

pub(super) fn compare(args: &CompareArgs) -> Result<()> {
    let mut scenarios = if args.scenarios.is_empty() {
        Scenario::standard()?
    } else {
        let names = args.scenarios.iter();
        names.map(|n| Scenario::load(n)).collect::<Result<_>>()?
    };
    if args.quick {
        scenarios = scenarios.into_iter().map(Scenario::quick).collect();
    }
    if let Some(seconds) = args.seconds {
        for scenario in &mut scenarios {
            scenario.workload.measure_s = seconds;
        }
    }
    let plan = Plan {
        peers: args.peers.clone(),
        scenarios,
        rounds: args.rounds.unwrap_or(if args.quick { 2 } else { 3 }),
        place: args.place.place()?,
        keep_memory_bytes: args
            .keep_memory
            .map_or_else(|| memory(args.quick), |gb| (gb * 1e9) as u64),
        warm: warm(args.quick)?,
    };
    let result = run(&plan, &mut progress(), &mut |line| {
        clear_progress();
        println!("{line}");
    });
    // Gigabytes that nobody will read; the logs of a failed start are in its error.
    let _ = fs::remove_dir_all(&plan.place.work);
    let comparison = result?;
    println!("\n{}", compared::text(&comparison));
    write(&comparison, &args.place.out())
}

/// Large and small requests and readers: what a JIT compiler has not seen it compiles during the
/// first rounds.
fn warm(quick: bool) -> Result<Vec<Warm>> {
    let of = |name: &str, seconds: f64, times_max: usize| -> Result<Warm> {
        let mut scenario = Scenario::load(name)?;
        scenario.workload.warmup_s = 0.0;
        scenario.workload.measure_s = seconds;
        Ok(Warm { scenario, times_max })
    };
    if quick {
        return Ok(vec![
            of("batch-64k", 3.0, 3)?,
            of("one-record", 3.0, 1)?,
            of("latency-50mb", 2.0, 1)?,
        ]);
    }
    Ok(vec![of("batch-64k", 6.0, 6)?, of("one-record", 4.0, 4)?, of("latency-50mb", 4.0, 3)?])
}

/// What a run of the standard set writes through a page cache, at most.
fn memory(quick: bool) -> u64 {
    if !Manifest::read(Path::new(".")).hypervisor {
        return 0;
    }
    if quick { 3_000_000_000 } else { 10_000_000_000 }
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// A report.json
    json: PathBuf,
    /// Where the files go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also put the result into this document, between its two `results` comments
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// Also draw the main figure into this file
    #[arg(long, value_name = "FILE")]
    figure: Option<PathBuf>,
}

pub(super) fn report(args: &ReportArgs) -> Result<()> {
    let text = fs::read_to_string(&args.json)
        .with_context(|| format!("reading {}", args.json.display()))?;
    let comparison: Comparison = serde_json::from_str(&text)?;
    println!("{}", compared::text(&comparison));
    write(&comparison, &args.out)?;
    if let Some(path) = &args.figure {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let drawing = chart::standalone(&figure::main_figure(&comparison));
        fs::write(path, drawing).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.document {
        replace(path, "results", &compared::markdown(&comparison))?;
    }
    Ok(())
}

/// Puts `text` into a document between its comments `<!-- NAME -->` and `<!-- end of NAME -->`.
pub(super) fn replace(path: &Path, name: &str, text: &str) -> Result<()> {
    let (from, to) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let old = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let (head, rest) = old.split_once(&from).with_context(|| from.clone())?;
    let (_, tail) = rest.split_once(&to).with_context(|| to.clone())?;
    fs::write(path, format!("{head}{from}\n{text}{to}{tail}"))
        .with_context(|| path.display().to_string())
}

/// The report's files.
pub(super) fn write(comparison: &Comparison, out: &PathBuf) -> Result<()> {
    fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    fs::write(out.join("report.json"), serde_json::to_string_pretty(comparison)?)?;
    fs::write(out.join("report.md"), compared::markdown(comparison))?;
    fs::write(out.join("report.html"), html::comparison(comparison))?;
    fs::write(out.join("main.svg"), chart::standalone(&figure::main_figure(comparison)))?;
    for scenario in &comparison.scenarios {
        for run in &scenario.runs {
            if let Ok(result) = &run.result {
                let name = format!("{}-{}-{}", scenario.scenario.name, run.peer, run.round);
                write_hgrm(&out.join("hgrm").join(name), result)?;
            }
        }
    }
    println!("report: {}", out.display());
    Ok(())
}
