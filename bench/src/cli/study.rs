//! `curve`, `sweep`, `replay`, `soak`, `floors`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::compare::PlaceFlags;
use super::one::{clear_progress, progress};
use crate::cpus;
use crate::measure::floors::{self, Floors};
use crate::measure::manifest::Manifest;
use crate::peer::{self, Peer};
use crate::report::study as report;
use crate::report::table::Table;
use crate::scenario::Scenario;
use crate::study::{self, Answer, Dimension, Study};
use crate::units::{bytes, short, time};
use crate::workload::Workload;

/// Whom to study, under which load.
#[derive(Debug, Args)]
pub(super) struct StudyFlags {
    /// Peers, as for `compare`; a broker that runs already is `NAME=HOST:PORT[@PID]`
    #[arg(long, value_delimiter = ',', default_value = "millrace")]
    peers: Vec<String>,
    /// Name of the standard set, or a TOML file
    #[arg(long, default_value = "latency-20mb")]
    scenario: String,
    /// Seconds that count in each run
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    #[command(flatten)]
    place: PlaceFlags,
}

#[derive(Debug, Args)]
pub(super) struct CurveArgs {
    #[command(flatten)]
    study: StudyFlags,
    /// Bounds on p99, in ms, for which the highest rate is looked for
    #[arg(long, value_delimiter = ',', default_value = "1,10")]
    bounds_ms: Vec<f64>,
}

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// What is varied
    #[arg(value_enum)]
    dimension: DimensionFlag,
    /// Values in place of the usual ones
    #[arg(long, value_delimiter = ',')]
    values: Vec<u64>,
    #[command(flatten)]
    study: StudyFlags,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// 10^6 bytes of old data
    #[arg(long, default_value_t = 10_000)]
    store: u64,
    /// Empty the page cache of the whole machine before reading (root only)
    #[arg(long)]
    drop_caches: bool,
    #[command(flatten)]
    study: StudyFlags,
}

#[derive(Debug, Args)]
pub(super) struct SoakArgs {
    /// How long, in minutes
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    #[command(flatten)]
    study: StudyFlags,
}

#[derive(Debug, Args)]
pub(super) struct FloorsArgs {
    /// Seconds for each floor
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The program for the round trip through a ring:
    /// `cargo build --release -p netio --example echo`
    #[arg(long, value_name = "FILE", default_value = "target/release/examples/echo")]
    echo_bin: PathBuf,
    #[command(flatten)]
    place: PlaceFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DimensionFlag {
    Connections,
    Record,
    Partitions,
}

impl From<DimensionFlag> for Dimension {
    fn from(flag: DimensionFlag) -> Self {
        match flag {
            DimensionFlag::Connections => Self::Connections,
            DimensionFlag::Record => Self::RecordBytes,
            DimensionFlag::Partitions => Self::Partitions,
        }
    }
}

pub(super) fn curve(args: &CurveArgs) -> Result<()> {
    let bounds: Vec<u64> = args.bounds_ms.iter().map(|ms| (ms * 1e6) as u64).collect();
    run(&args.study, "Latency over load", |peer, load, say| {
        study::curve(peer, load, &bounds, &mut progress(), say).map(Answer::Curve)
    })
}

pub(super) fn sweep(args: &SweepArgs) -> Result<()> {
    let dimension = Dimension::from(args.dimension);
    let values =
        if args.values.is_empty() { dimension.values().to_vec() } else { args.values.clone() };
    let question = format!("What {} cost", dimension.name());
    run(&args.study, &question, |peer, load, say| {
        Ok(Answer::Sweep(study::sweep(peer, load, dimension, &values, &mut progress(), say)))
    })
}

pub(super) fn replay(args: &ReplayArgs) -> Result<()> {
    run(&args.study, "What a reader of old data does to writers", |peer, load, say| {
        let replay = study::replay(peer, load, args.store, args.drop_caches, &mut progress(), say)?;
        Ok(Answer::Replay(Box::new(replay)))
    })
}

pub(super) fn soak(args: &SoakArgs) -> Result<()> {
    run(&args.study, "A long run", |peer, load, _| {
        let mut load = load.clone();
        load.measure_s = args.minutes * 60.0;
        let result = peer.run(&load, &mut progress())?;
        Ok(Answer::Soak(Box::new(result)))
    })
}

/// Starts each peer in turn, asks, stops it; writes what came of it.
fn run(
    flags: &StudyFlags,
    question: &str,
    mut ask: impl FnMut(&mut dyn Peer, &Workload, &mut dyn FnMut(&str)) -> Result<Answer>,
) -> Result<()> {
    let mut scenario = Scenario::load(&flags.scenario)?;
    if let Some(seconds) = flags.seconds {
        scenario.workload.measure_s = seconds;
    }
    let place = flags.place.place()?;
    fs::create_dir_all(&place.work)?;
    let mut study = Study {
        manifest: Manifest::read(&place.work),
        question: format!("{question}: {}", scenario.title),
        peers: Vec::new(),
        answers: Vec::new(),
    };
    let asked = (|| -> Result<()> {
        for name in &flags.peers {
            println!("starting {name}");
            let mut peer = peer::start(name, &place).with_context(|| format!("peer {name}"))?;
            let about = peer.about().clone();
            let load = scenario.for_peer(&about.name)?;
            peer.supports(&load)?;
            study.peers.push(about);
            study.answers.push(ask(&mut *peer, &load, &mut |line| {
                clear_progress();
                println!("{line}");
            })?);
            peer.stop()?;
        }
        Ok(())
    })();
    // Gigabytes that nobody will read.
    let _ = fs::remove_dir_all(&place.work);
    clear_progress();
    asked?;
    println!("\n{}", report::text(&study));
    let out = flags.place.out();
    fs::create_dir_all(&out)?;
    fs::write(out.join("study.json"), serde_json::to_string_pretty(&study)?)?;
    fs::write(out.join("study.html"), report::html(&study))?;
    println!("report: {}", out.display());
    Ok(())
}

pub(super) fn floors(args: &FloorsArgs) -> Result<()> {
    let dir = &args.place.dir;
    fs::create_dir_all(dir)?;
    let echo = args.echo_bin.is_file().then_some(&*args.echo_bin);
    if echo.is_none() {
        println!(
            "no round trip through a ring: {} is not there (cargo build --release -p netio --example echo)",
            args.echo_bin.display()
        );
    }
    let found = floors::measure(
        dir,
        &cpus::allowed(),
        Duration::from_secs_f64(args.seconds),
        echo,
        &mut |line| {
            clear_progress();
            progress()(line);
        },
    )?;
    clear_progress();
    println!("{}", floors_text(&found));
    let out = args.place.out();
    fs::create_dir_all(&out)?;
    let value = serde_json::json!({ "manifest": Manifest::read(dir), "floors": found });
    fs::write(out.join("floors.json"), serde_json::to_string_pretty(&value)?)?;
    Ok(())
}

fn floors_text(f: &Floors) -> String {
    let mut table = Table::default();
    table.row(["floor", "p50", "p99", "p99.9", "max", "rate"]);
    let mut latency = |name: String, l: &crate::measure::latency::Latency, rate: String| {
        table.row([
            name,
            time(l.quantiles[0]),
            time(l.quantiles[2]),
            time(l.quantiles[3]),
            time(l.max),
            rate,
        ]);
    };
    latency("loopback TCP round trip, 64 B".to_owned(), &f.round_trip, String::new());
    if let Some(ring) = &f.ring_round_trip {
        latency("the same through a bare ring".to_owned(), ring, String::new());
    }
    for (size, plain, synced) in &f.disk {
        latency(format!("write {}", bytes(*size as u64)), plain, String::new());
        latency(format!("write {} with dsync", bytes(*size as u64)), synced, String::new());
    }
    for j in &f.jitter {
        let lost = format!("{:.3} % lost", 100.0 * j.lost);
        latency(format!("gaps above 2 us on idle CPU {}", j.cpu), &j.gaps, lost);
    }
    for (name, mb) in [
        ("loopback TCP, one stream", f.loopback_mb_per_s),
        ("memcpy, beyond caches", f.memcpy_mb_per_s),
        ("CRC-32C, 64 KiB", f.crc32c_mb_per_s),
        ("disk, sequential write", f.disk_write_mb_per_s),
        ("disk, sequential read", f.disk_read_mb_per_s),
    ] {
        table.row([name, "", "", "", "", &format!("{} MB/s", short(mb))]);
    }
    table.row(["reading the clock", "", "", "", "", &format!("{:.1} ns", f.clock_ns)]);
    table.text()
}
