//! Apache Kafka 4.3.1 from Maven Central: KRaft in combined mode, G1, a heap of 1 GiB, page-cache
//! acks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use peers::{Process, free_ports, kafka};

use super::{About, Peer, Place, STOP, first_ack, spawn};
use crate::engine::Target;
use crate::measure::host::ProcessSample;

const POM: &str = include_str!("../../peers/kafka/pom.xml");
const PATIENCE: Duration = Duration::from_secs(120);

/// A running Kafka.
#[derive(Debug)]
pub(super) struct Kafka {
    process: Process,
    about: About,
    target: Target,
}

impl Kafka {
    pub(super) fn start(place: &Place) -> Result<Self> {
        let jars = jars(&place.cache.join("kafka"))?;
        let dir = place.work.join("kafka");
        let data = dir.join("data");
        fs::create_dir_all(&dir)?;
        let port = free_ports(2)?;
        let settings = settings();
        let config = dir.join("server.properties");
        let own: Vec<_> = settings.clone().into_iter().collect();
        fs::write(&config, kafka::properties(port, &data, &own))?;
        kafka::format(&mut java(&jars, "256m"), &config, &dir.join("format.log"))?;
        let mut process = spawn(
            java(&jars, "1g").arg("-Xms1g").arg("kafka.Kafka").arg(&config),
            &place.broker_cpus,
            &dir.join("kafka.log"),
        )?;
        let target = Target {
            pid: Some(process.id()),
            cpus: place.client_cpus.clone(),
            ..Target::at(&format!("127.0.0.1:{port}"))
        };
        let first_ack_s =
            first_ack(&mut process, &target, PATIENCE).context("Apache Kafka did not start")?;
        let about = About {
            name: "kafka".to_owned(),
            version: format!("Apache Kafka {}", kafka::VERSION),
            ack_means: "in the page cache; written to the device when the kernel likes".to_owned(),
            command: process.command().to_owned(),
            settings,
            first_ack_s: Some(first_ack_s),
            rss_idle_bytes: ProcessSample::of(process.id()).map(|s| s.rss_bytes),
        };
        Ok(Self { process, about, target })
    }
}

impl Peer for Kafka {
    fn about(&self) -> &About {
        &self.about
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.process.terminate(STOP).map(drop)
    }
}

/// See [`super::java_tool`].
pub(super) fn tool(place: &Place, arguments: &[&str]) -> Result<String> {
    let jars = jars(&place.cache.join("kafka"))?;
    let mut command = java(&jars, "1g");
    command.args(arguments);
    command.stdout(std::process::Stdio::piped());
    let out = crate::cpus::spawn_on(&place.client_cpus, &mut command)?.wait_with_output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        bail!("{} ended with {}\n{text}", arguments.join(" "), out.status);
    }
    Ok(text)
}

/// All else is Kafka's default.
fn settings() -> BTreeMap<String, String> {
    let mut settings: BTreeMap<_, _> =
        kafka::REPLICATION.iter().map(|key| ((*key).to_owned(), "1".to_owned())).collect();
    // A topic's files are gone soon after its run, or the disk fills with what nobody reads.
    settings.insert("log.segment.delete.delay.ms".to_owned(), "1000".to_owned());
    settings
}

fn java(jars: &Path, heap: &str) -> Command {
    let mut command = kafka::java(jars, heap);
    command.args([
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]);
    command
}

/// The directory of Kafka's jars; fetched on first use, which takes about a minute.
fn jars(cache: &Path) -> Result<PathBuf> {
    // Maven takes what is relative from the POM's directory.
    let cache = &std::path::absolute(cache)?;
    let jars = cache.join("jars");
    let stamp = cache.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == POM) {
        return Ok(jars);
    }
    for tool in ["java", "mvn"] {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file()));
        if !found {
            bail!("Apache Kafka needs `java` (17 or newer) and `mvn` on the PATH; no {tool} there");
        }
    }
    fs::create_dir_all(cache)?;
    let pom = cache.join("pom.xml");
    fs::write(&pom, POM)?;
    kafka::fetch(&pom, &jars, &cache.join("mvn.log"))?;
    fs::write(stamp, POM)?;
    Ok(jars)
}
