//! Apache Kafka 4.3.1 from Maven Central: KRaft in combined mode, G1, a heap of 1 GiB, page-cache
//! acks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::{Process, free_ports, run};
use super::{About, Peer, Place, first_ack};
use crate::engine::Target;
use crate::measure::host::ProcessSample;

const VERSION: &str = "4.3.1";
const POM: &str = include_str!("../../peers/kafka/pom.xml");
/// Any valid id will do: the cluster lives for one comparison.
const CLUSTER_ID: &str = "TWlsbHJhY2VQZWVyS2Fma2";
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
        fs::write(&config, properties(port, &data, &settings))?;
        run(
            java(&jars, "256m")
                .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                .arg(&config),
            &dir.join("format.log"),
        )?;
        let mut process = Process::start(
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
            version: format!("Apache Kafka {VERSION}"),
            ack_means: "in the page cache; written to the device when the kernel likes".to_owned(),
            command: process.command.clone(),
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
        self.process.stop()
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
    let mut settings = BTreeMap::new();
    for key in [
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr",
        "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.min.isr",
    ] {
        settings.insert(key.to_owned(), "1".to_owned());
    }
    // A topic's files are gone soon after its run, or the disk fills with what nobody reads.
    settings.insert("log.segment.delete.delay.ms".to_owned(), "1000".to_owned());
    settings
}

fn properties(port: u16, data: &Path, settings: &BTreeMap<String, String>) -> String {
    let controller = port + 1;
    let fixed = [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("log.dirs", data.display().to_string()),
    ];
    let own = settings.iter().map(|(k, v)| (k.as_str(), v.clone()));
    let all = fixed.into_iter().chain(own);
    all.map(|(key, value)| format!("{key}={value}\n")).collect()
}

fn java(jars: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    command.env("CLASSPATH", format!("{}/*", jars.display())).arg(format!("-Xmx{heap}")).args([
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-Djava.awt.headless=true",
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
    if jars.exists() {
        fs::remove_dir_all(&jars)?;
    }
    fs::create_dir_all(cache)?;
    let pom = cache.join("pom.xml");
    fs::write(&pom, POM)?;
    run(
        Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .arg("-f")
            .arg(&pom),
        &cache.join("mvn.log"),
    )?;
    if !jars.join(format!("kafka-clients-{VERSION}.jar")).exists() {
        bail!("Maven is done, but Kafka's jars are not in {}", jars.display());
    }
    fs::write(stamp, POM)?;
    Ok(jars)
}
