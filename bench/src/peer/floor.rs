//! The floor program, a limit and not a broker: receives, checks, copies, writes, acknowledges.
//!
//! Not part of this project; a binary of it is given by option. Its arguments are a port, a file, a
//! mode and a number of writes in flight; it pins itself to CPU 1.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peers::{Process, free_ports};

use super::{About, Peer, Place, STOP, first_ack, spawn};
use crate::engine::{Target, bare_versions};
use crate::measure::host::ProcessSample;
use crate::workload::Workload;

const PATIENCE: Duration = Duration::from_secs(60);
const WRITES_IN_FLIGHT: &str = "2";
const PARTITIONS_MAX: i32 = 2000;

/// The running program.
#[derive(Debug)]
pub(super) struct Floor {
    process: Process,
    about: About,
    target: Target,
}

impl Floor {
    pub(super) fn start(place: &Place) -> Result<Self> {
        let binary = place.floor.as_ref().context("the floor program is given by --floor-bin")?;
        let dir = place.work.join("floor");
        fs::create_dir_all(&dir)?;
        let port = free_ports(1)?;
        let mut command = Command::new(binary);
        command
            .arg(port.to_string())
            .arg(dir.join("wal"))
            .args([&place.floor_mode, WRITES_IN_FLIGHT]);
        let mut process = spawn(&mut command, &place.broker_cpus, &dir.join("floor.log"))?;
        let target = Target {
            pid: Some(process.id()),
            cpus: place.client_cpus.clone(),
            bare: true,
            versions: Some(bare_versions()),
            ..Target::at(&format!("127.0.0.1:{port}"))
        };
        let first_ack_s = first_ack(&mut process, &target, PATIENCE)?;
        let mode = place.floor_mode.as_str();
        let about = About {
            name: "floor".to_owned(),
            version: format!("the floor program, mode {mode}"),
            ack_means: match mode {
                "memory" => "received and checked".to_owned(),
                "written" => "written without a sync of the device".to_owned(),
                _ => "on the device".to_owned(),
            },
            command: process.command().to_owned(),
            settings: BTreeMap::new(),
            first_ack_s: Some(first_ack_s),
            rss_idle_bytes: ProcessSample::of(process.id()).map(|s| s.rss_bytes),
        };
        Ok(Self { process, about, target })
    }
}

impl Peer for Floor {
    fn about(&self) -> &About {
        &self.about
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn supports(&self, workload: &Workload) -> Result<()> {
        ensure!(workload.consume.is_none(), "it cannot read");
        ensure!(workload.partitions <= PARTITIONS_MAX, "it has {PARTITIONS_MAX} partitions");
        let produce = workload.produce.as_ref();
        ensure!(
            produce.is_some_and(|p| p.acks != 0 && !p.idempotent),
            "it acknowledges, and knows no producer ids"
        );
        Ok(())
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.process.terminate(STOP).map(drop)
    }
}
