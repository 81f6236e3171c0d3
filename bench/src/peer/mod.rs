//! Peers: brokers that are fetched, started on CPUs of their own, measured and stopped.
//!
//! A peer is one small file with a type that implements [`Peer`], and a line in [`start`]. One that
//! does not speak Kafka overrides [`Peer::run`] and makes the same load with its own client.

mod floor;
mod kafka;
mod millrace;
mod nats;
mod running;
mod tansu;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use peers::Process;
use serde::{Deserialize, Serialize};

use crate::cpus;
use crate::engine::{self, Progress, Target};
use crate::result::RunResult;
use crate::workload::Workload;

/// Runs a class of Kafka's jars to its end, on the generator's CPUs; what it said.
///
/// # Errors
/// The jars cannot be fetched; the class failed.
pub fn java_tool(place: &Place, arguments: &[&str]) -> Result<String> {
    kafka::tool(place, arguments)
}

/// Names that [`start`] knows, for messages.
pub const KNOWN: &str =
    "millrace, millrace-written, millrace-memory, kafka, tansu, nats, floor, NAME=HOST:PORT[@PID]";

/// Where peers live, and what they may use.
#[derive(Debug, Clone)]
pub struct Place {
    /// Fetched things, kept from run to run.
    pub cache: PathBuf,
    /// Data directories and logs of this comparison; must not exist yet.
    pub work: PathBuf,
    /// CPUs of the brokers; empty: all.
    pub broker_cpus: Vec<usize>,
    /// CPUs of the load generator.
    pub client_cpus: Vec<usize>,
    /// The Millrace to measure.
    pub millrace: PathBuf,
    /// The floor program, and its mode: `memory`, `written`, `device` or `flush`.
    pub floor: Option<PathBuf>,
    pub floor_mode: String,
}

/// What a reader must know of a peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// As on the command line.
    pub name: String,
    /// Product and version.
    pub version: String,
    /// What has happened when a produce is acknowledged.
    pub ack_means: String,
    /// The command that started it.
    pub command: String,
    /// Settings beyond its defaults.
    pub settings: BTreeMap<String, String>,
    /// From the start of the process to the first acknowledged record, s.
    pub first_ack_s: Option<f64>,
    /// Resident memory before any load, bytes.
    pub rss_idle_bytes: Option<u64>,
}

/// A broker that runs. Dropping it kills it.
pub trait Peer {
    fn about(&self) -> &About;

    /// For measuring, and for [`run`](Self::run).
    fn target(&self) -> Target;

    /// Topic configurations that this peer's form of the promise needs.
    fn topic_configs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Whether it can do this at all; if not, why.
    ///
    /// # Errors
    /// The reason.
    fn supports(&self, workload: &Workload) -> Result<()> {
        let _ = workload;
        Ok(())
    }

    /// Puts the load on it.
    ///
    /// # Errors
    /// Those of [`engine::run`].
    fn run(&mut self, workload: &Workload, progress: Progress<'_>) -> Result<RunResult> {
        let mut workload = workload.clone();
        workload.topic_configs.extend(self.topic_configs());
        engine::run(&self.target(), &workload, progress)
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It had to be killed.
    fn stop(self: Box<Self>) -> Result<()>;
}

/// Fetches, starts and waits for a peer.
///
/// # Errors
/// Nobody knows it; a tool chain is missing; it does not start.
pub fn start(name: &str, place: &Place) -> Result<Box<dyn Peer>> {
    if let Some((name, address)) = name.split_once('=') {
        return Ok(Box::new(running::Running::new(name, address, place)?));
    }
    Ok(match name {
        "kafka" => Box::new(kafka::Kafka::start(place)?),
        "millrace" | "millrace-written" | "millrace-memory" => {
            Box::new(millrace::Millrace::start(name, place)?)
        }
        "tansu" => Box::new(tansu::Tansu::start(place)?),
        "nats" => Box::new(nats::Nats::start(place)?),
        "floor" => Box::new(floor::Floor::start(place)?),
        _ => bail!("no peer {name}; there are: {KNOWN}"),
    })
}

/// Time for a broker to end after SIGTERM.
const STOP: Duration = Duration::from_secs(60);

/// Starts a broker's process on these CPUs with its output in `log`.
fn spawn(command: &mut Command, cpus: &[usize], log: &Path) -> Result<Process> {
    Process::spawn_by(command, log, |command| cpus::spawn_on(cpus, command))
}

/// Waits until a broker takes a record; returns how long it took since the process was started.
///
/// # Errors
/// It ended, or did not answer within `patience`.
fn first_ack(process: &mut Process, target: &Target, patience: Duration) -> Result<f64> {
    use client::{Cluster, NewTopic, Options};
    use record::{BatchBuilder, Timestamp};
    let mut batch = BatchBuilder::new();
    batch.append(None, Some(b"first"), Timestamp(0), &[])?;
    let batch = batch.build()?;
    let took = process.wait_until(patience, || {
        let options = Options {
            timeout: Duration::from_secs(5),
            versions: target.versions.clone(),
            ..Default::default()
        };
        let ask = || -> client::Result<()> {
            if target.bare {
                let mut cluster = Cluster::unconnected(&target.bootstrap, options);
                return cluster.produce("first", 0.into(), &batch, -1).map(drop);
            }
            let mut cluster = Cluster::connect(&target.bootstrap, options)?;
            let topic = NewTopic {
                name: "first".to_owned(),
                partitions: 1,
                replication_factor: 1,
                configs: BTreeMap::new(),
            };
            match cluster.create_topic(&topic) {
                Err(e) if e.code() != Some(wire::ErrorCode::TopicAlreadyExists) => return Err(e),
                _ => {}
            }
            cluster.produce("first", 0.into(), &batch, -1).map(drop)
        };
        ask().map_err(|e| e.to_string())
    })?;
    Ok(took.as_secs_f64())
}
