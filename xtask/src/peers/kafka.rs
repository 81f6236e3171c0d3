//! Apache Kafka 4.3.1 from Maven Central, in KRaft combined mode, as a process on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::{Process, tail};
use super::ready::answers_api_versions;
use crate::provision::{self, Dirs, Tool};

/// A JVM on two busy cores takes its time; a minute is far beyond what was ever seen.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// Any valid id will do: the cluster lives for one run.
const CLUSTER_ID: &str = "TWlsbHJhY2VQZWVyS2Fma2";

#[derive(Debug, Clone)]
pub(crate) struct KafkaOptions {
    /// Directory of jars, from [`kafka_jars`].
    pub(crate) jars: PathBuf,
    /// Log, configuration and data go below it.
    pub(crate) dir: PathBuf,
    /// Client listener on 127.0.0.1; the controller listens on `port + 1`.
    pub(crate) port: u16,
    pub(crate) heap_mib: u32,
    /// Broker properties beyond (or instead of) those of [`Kafka::start`].
    pub(crate) properties: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Kafka {
    process: Process,
    options: KafkaOptions,
}

impl Kafka {
    /// Formats the data directory if it is new, starts the broker, returns when it answers.
    ///
    /// One node: the replication factors of the internal topics are 1. All else is Kafka's
    /// default unless `properties` says otherwise.
    pub(crate) fn start(options: KafkaOptions) -> Result<Self> {
        fs::create_dir_all(&options.dir)?;
        let config = options.dir.join("server.properties");
        fs::write(&config, properties(&options))?;
        if !data_dir(&options).join("meta.properties").exists() {
            let out = java(&options.jars, 256)
                .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
                .arg(&config)
                .output()?;
            if !out.status.success() {
                bail!("StorageTool format failed:\n{}", String::from_utf8_lossy(&out.stderr));
            }
        }
        let mut process = Process::spawn(
            java(&options.jars, options.heap_mib).arg("kafka.Kafka").arg(&config),
            &options.dir.join("kafka.log"),
        )?;
        process
            .wait_until(START, || answers_api_versions(options.port))
            .context("Apache Kafka did not start")?;
        Ok(Self { process, options })
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.options.port)
    }

    pub(crate) fn data(&self) -> PathBuf {
        data_dir(&self.options)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGTERM, and waits for the clean shutdown.
    pub(crate) fn stop(mut self) -> Result<()> {
        // The JVM ends with 143 after a clean shutdown by SIGTERM.
        self.process.terminate(STOP).map(drop)
    }

    /// SIGKILL. The data directory stays and can be started again.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}

fn data_dir(options: &KafkaOptions) -> PathBuf {
    options.dir.join("data")
}

fn properties(options: &KafkaOptions) -> String {
    let (port, controller) = (options.port, options.port + 1);
    let mut all = vec![
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", "1".to_owned()),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
        ("listeners", format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}")),
        ("advertised.listeners", format!("PLAINTEXT://127.0.0.1:{port}")),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned()),
        ("inter.broker.listener.name", "PLAINTEXT".to_owned()),
        ("log.dirs", data_dir(options).display().to_string()),
    ];
    for key in [
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr",
        "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.min.isr",
    ] {
        all.push((key, "1".to_owned()));
    }
    all.retain(|(key, _)| options.properties.iter().all(|(own, _)| own != key));
    let own = options.properties.iter().map(|(key, value)| (key.as_str(), value.clone()));
    all.into_iter().chain(own).map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// `java` with Kafka's jars on its class path, its temporary files and heap bounded.
pub(crate) fn java(jars: &Path, heap_mib: u32) -> Command {
    let mut command = Command::new("java");
    command
        .env("CLASSPATH", format!("{}/*", jars.display()))
        .arg(format!("-Xmx{heap_mib}m"))
        .args(["-XX:+UseG1GC", "-XX:TieredStopAtLevel=4", "-Djava.awt.headless=true"])
        .args([
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        ]);
    command
}

/// The directory of Kafka's jars, fetched from Maven Central on first use (about a minute).
pub(crate) fn kafka_jars(dirs: &Dirs) -> Result<Tool<PathBuf>> {
    if let Some(missing) = provision::missing(&["java", "javac", "mvn"]) {
        return Ok(Tool::Absent(missing));
    }
    let pom = dirs.clients.join("java/pom.xml");
    let cache = dirs.cache.join("java");
    let jars = cache.join("jars");
    provision::once(
        &cache.join("jars.stamp"),
        &[&pom],
        "java: fetching Apache Kafka's jars",
        || {
            if jars.exists() {
                fs::remove_dir_all(&jars)?;
            }
            let log = cache.join("mvn.log");
            provision::run(
                Command::new("mvn")
                    .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
                    .arg(format!("-DoutputDirectory={}", jars.display()))
                    .arg("-f")
                    .arg(&pom),
                &log,
            )?;
            if !jars.join("kafka-clients-4.3.1.jar").exists() {
                bail!("kafka-clients-4.3.1.jar is not there\n{}", tail(&log, 20));
            }
            Ok(())
        },
    )?;
    Ok(Tool::Ready(jars))
}
