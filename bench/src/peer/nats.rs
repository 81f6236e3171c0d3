//! NATS JetStream 2.15 with file storage, built from its Go module.
//!
//! It speaks its own protocol and has no batches: one message stands for one request, with the
//! bytes of the request's values. One stream stands for one partition.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peers::{Process, free_ports, run};

use super::{About, Peer, Place, STOP, spawn};
use crate::engine::nats::{Talk, producers};
use crate::engine::{Load, Progress, Target, carry};
use crate::measure::host::ProcessSample;
use crate::result::RunResult;
use crate::workload::Workload;

const MODULE: &str = "github.com/nats-io/nats-server/v2";
const VERSION: &str = "v2.15.2";
const PATIENCE: Duration = Duration::from_secs(30);
/// More streams than this are another kind of work than partitions are.
const PARTITIONS_MAX: i32 = 64;
/// The server's default limit of a message.
const MESSAGE_MAX: usize = 1 << 20;

/// A running server.
#[derive(Debug)]
pub(super) struct Nats {
    process: Process,
    about: About,
    target: Target,
    address: String,
    runs: u32,
}

impl Nats {
    pub(super) fn start(place: &Place) -> Result<Self> {
        let binary = binary(&place.cache.join("nats"))?;
        let dir = place.work.join("nats");
        fs::create_dir_all(&dir)?;
        let port = free_ports(1)?;
        let mut command = Command::new(binary);
        command
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(dir.join("data"));
        let mut process = spawn(&mut command, &place.broker_cpus, &dir.join("nats.log"))?;
        let address = format!("127.0.0.1:{port}");
        let took = process
            .wait_until(PATIENCE, || {
                let ask = || -> Result<()> {
                    let mut talk = Talk::connect(&address)?;
                    make_stream(&mut talk, "first", "first.0")?;
                    talk.ask("first.0", "first").map(drop)
                };
                ask().map_err(|e| e.to_string())
            })
            .context("NATS did not start")?;
        let target = Target {
            pid: Some(process.id()),
            cpus: place.client_cpus.clone(),
            ..Target::at(&address)
        };
        let about = About {
            name: "nats".to_owned(),
            version: format!("NATS JetStream {VERSION}, file storage"),
            ack_means: "in the page cache; synced every 2 minutes".to_owned(),
            command: process.command().to_owned(),
            settings: BTreeMap::new(),
            first_ack_s: Some(took.as_secs_f64()),
            rss_idle_bytes: ProcessSample::of(process.id()).map(|s| s.rss_bytes),
        };
        Ok(Self { process, about, target, address, runs: 0 })
    }
}

impl Peer for Nats {
    fn about(&self) -> &About {
        &self.about
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn supports(&self, workload: &Workload) -> Result<()> {
        ensure!(workload.consume.is_none(), "only its acks are measured here");
        ensure!(workload.topic_configs.is_empty(), "it knows no topic configurations");
        ensure!(
            workload.partitions <= PARTITIONS_MAX,
            "a stream is no partition: {PARTITIONS_MAX} at most"
        );
        let produce = workload.produce.as_ref().context("it only publishes here")?;
        ensure!(
            produce.partitions_per_request == 1 && produce.acks != 0 && !produce.idempotent,
            "one message a request, always acknowledged"
        );
        ensure!(produce.request_bytes(1) <= MESSAGE_MAX, "its messages have at most 1 MiB");
        Ok(())
    }

    fn run(&mut self, workload: &Workload, progress: Progress<'_>) -> Result<RunResult> {
        workload.validate()?;
        self.supports(workload)?;
        let produce = workload.produce.as_ref().context("it only publishes here")?;
        self.runs += 1;
        let prefix = format!("bench{}", self.runs);
        let mut talk = Talk::connect(&self.address)?;
        for partition in 0..workload.partitions {
            make_stream(
                &mut talk,
                &format!("{prefix}-{partition}"),
                &format!("{prefix}.{partition}"),
            )?;
        }
        let load = Load {
            workload,
            producers: producers(&self.address, &prefix, workload, produce)?,
            fetchers: Vec::new(),
        };
        let result = carry(&self.target, load, progress)?;
        for partition in 0..workload.partitions {
            talk.ask(&format!("$JS.API.STREAM.DELETE.{prefix}-{partition}"), "")?;
        }
        Ok(result)
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.process.terminate(STOP).map(drop)
    }
}

fn make_stream(talk: &mut Talk, name: &str, subject: &str) -> Result<()> {
    let body = format!(
        "{{\"name\":\"{name}\",\"subjects\":[\"{subject}\"],\"storage\":\"file\",\"num_replicas\":1,\"retention\":\"limits\",\"discard\":\"old\"}}"
    );
    talk.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &body).map(drop)
}

/// The server; built on first use.
fn binary(cache: &Path) -> Result<PathBuf> {
    let binary = cache.join("nats-server");
    if !binary.is_file() {
        fs::create_dir_all(cache)?;
        let cache = cache.canonicalize()?;
        run(
            Command::new("go")
                .env("GOBIN", &cache)
                .args(["install", &format!("{MODULE}@{VERSION}")]),
            &cache.join("go.log"),
        )?;
    }
    Ok(binary)
}
