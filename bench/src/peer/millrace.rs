//! Millrace as it was built: one core, in one of its durability classes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peers::{MillraceOptions, Process, free_ports};

use super::{About, Peer, Place, STOP, first_ack, spawn};
use crate::engine::Target;
use crate::measure::host::ProcessSample;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running Millrace.
#[derive(Debug)]
pub(super) struct Millrace {
    process: Process,
    about: About,
    target: Target,
    class: &'static str,
}

impl Millrace {
    pub(super) fn start(name: &str, place: &Place) -> Result<Self> {
        ensure!(
            place.millrace.is_file(),
            "{} is not there; build it: cargo build --release",
            place.millrace.display()
        );
        let (class, ack_means) = match name {
            "millrace-memory" => ("memory", "in the broker's memory"),
            "millrace-written" => ("written", "written to the log, without a sync of the device"),
            _ => ("device", "on the device: survives a power cut"),
        };
        let dir = place.work.join(name);
        fs::create_dir_all(&dir)?;
        let cores = place.broker_cpus.len().max(1);
        let ports = free_ports(u16::try_from(cores)? + 1)?;
        let options = MillraceOptions {
            bin: place.millrace.clone(),
            data: dir.join("data"),
            log: dir.join("millrace.log"),
            port: ports + 1,
            admin_port: ports,
            cores: u16::try_from(cores)?,
            single_port: false,
            set: Vec::new(),
        };
        let mut command = options.command();
        if !place.broker_cpus.is_empty() {
            let cpus: Vec<_> = place.broker_cpus.iter().map(usize::to_string).collect();
            command.args(["--cpus", &cpus.join(",")]);
        }
        let mut process = spawn(&mut command, &place.broker_cpus, &options.log)?;
        let target = Target {
            pid: Some(process.id()),
            cpus: place.client_cpus.clone(),
            ..Target::at(&format!("127.0.0.1:{}", ports + 1))
        };
        let first_ack_s =
            first_ack(&mut process, &target, PATIENCE).context("Millrace did not start")?;
        let version = Command::new(&place.millrace).arg("--version").output()?;
        let about = About {
            name: name.to_owned(),
            version: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
            ack_means: ack_means.to_owned(),
            command: process.command().to_owned(),
            settings: BTreeMap::new(),
            first_ack_s: Some(first_ack_s),
            rss_idle_bytes: ProcessSample::of(process.id()).map(|s| s.rss_bytes),
        };
        Ok(Self { process, about, target, class })
    }
}

impl Peer for Millrace {
    fn about(&self) -> &About {
        &self.about
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn topic_configs(&self) -> BTreeMap<String, String> {
        // The default needs no words, and so no topic configuration that the broker must know.
        let class = (self.class != "device").then(|| self.class.to_owned());
        class.into_iter().map(|class| ("millrace.durability".to_owned(), class)).collect()
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.process.terminate(STOP).map(drop)
    }
}
