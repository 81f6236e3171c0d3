//! `cargo xtask clients`: unmodified Kafka clients judge a broker.
//!
//! ```text
//! provision tool chains -> start the peer -> each client's program, one after the other
//!     -> stop the peer -> DumpLogSegments over its files -> results, docs/clients.md
//! ```
//!
//! A client program (under `clients/`) is told by environment where the broker is, runs its named
//! cases, several at a time, and prints one line per case; see [`report`] for the lines. What a
//! case proves is written in the program; which features exist is [`features::FEATURES`]. The
//! same programs run against Apache Kafka: a difference is a finding.
//!
//! This module starts no broker of its own kind: the crate [`peers`] does.

mod client;
mod document;
mod dump;
mod features;
mod go;
mod java;
mod kcat;
pub(crate) mod node;
pub(crate) mod python;
mod report;
mod results;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use peers::{Kafka, KafkaOptions, Millrace, MillraceOptions, free_ports};

use crate::kafka;
use crate::provision::{Dirs, Tool};
use client::{CLIENTS, Client, Program, Target};
use results::{ClientResult, Run, Status};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The broker under test.
    #[arg(long, value_enum, default_value_t = Against::Millrace)]
    against: Against,
    /// Millrace's listener mode.
    #[arg(long, value_enum, default_value_t = Mode::Both)]
    mode: Mode,
    /// Only these clients (comma-separated names of the table's columns).
    #[arg(long, value_delimiter = ',', value_name = "CLIENT")]
    only: Vec<String>,
    /// Only cases whose name contains one of these (comma-separated).
    #[arg(long, value_name = "PATTERN", default_value = "")]
    case: String,
    /// Cases that one client runs at the same time.
    #[arg(long, default_value_t = 6)]
    jobs: u16,
    /// The Millrace binary; the default is `target/release/millrace`, built when it is missing.
    #[arg(long, value_name = "PATH")]
    millrace_bin: Option<PathBuf>,
    /// A broker that already runs: nothing is started or stopped, no segment is dumped.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
    /// Keep the broker's data directory, and print where it and the logs are.
    #[arg(long)]
    keep: bool,
    /// Write the results into docs/ (docs/clients.md and its JSON files).
    #[arg(long)]
    docs: bool,
    /// Fetch and build what the clients need, run nothing.
    #[arg(long)]
    provision: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Against {
    Millrace,
    Kafka,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Core,
    Single,
    Both,
}

/// The broker properties that differ from Kafka's defaults, for both peers: a group of one
/// member would otherwise wait 3 s for others at its first join.
const PROPERTIES: [(&str, &str); 1] = [("group.initial.rebalance.delay.ms", "100")];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    let clients = chosen(&arguments.only)?;
    let start = Instant::now();
    let programs = provision(&dirs, &clients)?;
    println!("provisioned in {:.1} s", start.elapsed().as_secs_f32());
    if arguments.provision {
        return Ok(());
    }
    let mut failed = 0;
    for setup in setups(arguments) {
        failed += one_run(arguments, &dirs, setup, &clients, &programs)?;
    }
    if arguments.docs {
        document::write(&dirs)?;
    }
    if failed > 0 {
        bail!("{failed} cases failed");
    }
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Client>> {
    for name in only {
        if CLIENTS.iter().all(|client| client.name != name) {
            let names: Vec<_> = CLIENTS.iter().map(|client| client.name).collect();
            bail!("no client `{name}`; there are: {}", names.join(", "));
        }
    }
    let wanted =
        |client: &&'static Client| only.is_empty() || only.iter().any(|name| name == client.name);
    Ok(CLIENTS.iter().copied().filter(wanted).collect())
}

/// Fetches and builds the programs of all clients.
pub(crate) fn prepare(dirs: &Dirs) -> Result<()> {
    CLIENTS.iter().try_for_each(|client| (client.provision)(dirs).map(drop))
}

/// A program per client, in the same order; `None` where the tool chain is absent.
fn provision(dirs: &Dirs, clients: &[&Client]) -> Result<Vec<Option<Program>>> {
    let must = crate::provision::must();
    let mut programs = Vec::new();
    for client in clients {
        match (client.provision)(dirs).with_context(|| format!("provisioning {}", client.name))? {
            Tool::Ready(program) => programs.push(Some(program)),
            Tool::Absent(why) if must => {
                bail!("{}: {why}, and CI=true forbids a skip", client.name)
            }
            Tool::Absent(why) => {
                println!("SKIPPED {}: {why}", client.name);
                programs.push(None);
            }
        }
    }
    Ok(programs)
}

/// One row of what to run: a peer in a mode. The name is that of its results file.
#[derive(Debug, Clone, Copy)]
struct Setup {
    name: &'static str,
    against: Against,
    single_port: bool,
}

fn setups(arguments: &Arguments) -> Vec<Setup> {
    if arguments.against == Against::Kafka {
        return vec![Setup { name: "kafka", against: Against::Kafka, single_port: false }];
    }
    let mut setups = Vec::new();
    if arguments.mode != Mode::Single {
        setups.push(Setup {
            name: "millrace-core",
            against: Against::Millrace,
            single_port: false,
        });
    }
    if arguments.mode != Mode::Core {
        setups.push(Setup {
            name: "millrace-single",
            against: Against::Millrace,
            single_port: true,
        });
    }
    setups
}

enum Peer {
    Kafka(Kafka),
    Millrace(Millrace),
    /// Somebody else's.
    Foreign,
}

impl Peer {
    /// Stops the broker in order and names the directory of its partition logs.
    fn stop(self, data: &Path) -> Result<Option<PathBuf>> {
        match self {
            Self::Kafka(kafka) => {
                let logs = kafka.data();
                kafka.stop()?;
                Ok(Some(logs))
            }
            Self::Millrace(millrace) => {
                let status = millrace.stop()?;
                if !status.success() {
                    bail!("Millrace ended with {status} after SIGTERM");
                }
                Ok(Some(data.join("kafka")))
            }
            Self::Foreign => Ok(None),
        }
    }
}

/// Runs all clients against one peer; returns the number of failed cases.
fn one_run(
    arguments: &Arguments,
    dirs: &Dirs,
    setup: Setup,
    clients: &[&Client],
    programs: &[Option<Program>],
) -> Result<usize> {
    let work = dirs.cache.join("run").join(setup.name);
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let data = work.join("data");
    let (peer, bootstrap) = start(arguments, dirs, setup, &work, &data)?;
    println!("== {} at {bootstrap}", setup.name);
    let begun = Instant::now();
    let target = Target {
        bootstrap,
        peer: if setup.against == Against::Kafka { "kafka" } else { "millrace" },
        case: arguments.case.clone(),
        jobs: arguments.jobs,
    };
    let mut run = Run::new(setup.name);
    for (client, program) in clients.iter().zip(programs) {
        let Some(program) = program else { continue };
        let log = work.join(format!("{}.log", client.name));
        let result = report::run_client(client, program, &target, &work, &log)?;
        result.print_summary(&log);
        run.clients.push(result);
    }
    let stopped = peer.stop(&data);
    let logs = match stopped {
        Ok(logs) => logs,
        Err(error) => {
            println!("  FAIL stop: {error:#}");
            run.clients.push(ClientResult::harness("stop", format!("{error:#}")));
            None
        }
    };
    if let Some(logs) = logs
        && target.wants(dump::CASE)
        && let Some(java) = run.clients.iter_mut().find(|client| client.name == java::CLIENT.name)
        && let Tool::Ready(jars) = kafka::jars(dirs)?
    {
        java.cases.push(dump::run(&jars, &logs, &work.join("dump.log"))?);
    }
    let failed = run.count(Status::Fail);
    println!(
        "== {}: {} ok, {failed} failed, {} skipped, {:.0} s",
        setup.name,
        run.count(Status::Ok),
        run.count(Status::Skip),
        begun.elapsed().as_secs_f32()
    );
    if arguments.case.is_empty() {
        results::merge(dirs, run, arguments.docs)?;
    }
    if arguments.keep {
        println!("   kept: {}", work.display());
    } else if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    Ok(failed)
}

fn start(
    arguments: &Arguments,
    dirs: &Dirs,
    setup: Setup,
    work: &Path,
    data: &Path,
) -> Result<(Peer, String)> {
    if let Some(bootstrap) = &arguments.bootstrap {
        return Ok((Peer::Foreign, bootstrap.clone()));
    }
    let properties =
        PROPERTIES.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    if setup.against == Against::Kafka {
        let jars = match kafka::jars(dirs)? {
            Tool::Ready(jars) => jars,
            Tool::Absent(why) => bail!("Apache Kafka needs Java: {why}"),
        };
        let kafka = Kafka::start(KafkaOptions {
            jars,
            dir: work.to_owned(),
            port: free_ports(2)?,
            heap_mib: 1024,
            properties,
        })?;
        let bootstrap = kafka.bootstrap();
        return Ok((Peer::Kafka(kafka), bootstrap));
    }
    let port = free_ports(3)?;
    let millrace = Millrace::start(MillraceOptions {
        bin: millrace_binary(arguments.millrace_bin.as_deref(), dirs)?,
        data: data.to_owned(),
        log: work.join("millrace.log"),
        port,
        admin_port: port + 2,
        cores: 2,
        single_port: setup.single_port,
        set: properties,
    })?;
    let bootstrap = millrace.bootstrap();
    Ok((Peer::Millrace(millrace), bootstrap))
}

/// The broker to test: the one that was named, or else a release build.
pub(crate) fn millrace_binary(named: Option<&Path>, dirs: &Dirs) -> Result<PathBuf> {
    if let Some(bin) = named {
        return Ok(bin.to_owned());
    }
    println!("  building Millrace (release) ...");
    let status = std::process::Command::new("cargo")
        .args(["build", "--quiet", "--release", "--bin", "millrace"])
        .current_dir(&dirs.root)
        .status()?;
    if !status.success() {
        bail!("cargo build --release failed: {status}");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| dirs.root.join("target"), PathBuf::from);
    Ok(target.join("release/millrace"))
}
