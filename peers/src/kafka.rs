//! Apache Kafka 4.3.1 from Maven Central, in KRaft combined mode, as a process on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::{Process, run, tail};
use crate::ready::answers_api_versions;

/// Of the jars that the callers' POMs name.
pub const VERSION: &str = "4.3.1";

/// Keys that say 1 where there is one node.
pub const REPLICATION: [&str; 5] = [
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
];

/// Its console log tells when.
const LOG_DATES: [&str; 2] = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
];

/// A JVM on two busy cores takes its time; a minute is far beyond what was ever seen.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);

/// Any valid id will do: the cluster lives for one run.
const CLUSTER_ID: &str = "TWlsbHJhY2VQZWVyS2Fma2";

/// How it is started.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Directory of jars, from [`fetch`].
    pub jars: PathBuf,
    /// Log, configuration and data go below it.
    pub dir: PathBuf,
    /// Client listener on 127.0.0.1; the controller listens on `port + 1`.
    pub port: u16,
    pub heap_mib: u32,
    /// Broker properties beyond (or instead of) those of [`Kafka::start`].
    pub properties: Vec<(String, String)>,
}

/// A running Kafka. Dropping it kills it.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    options: KafkaOptions,
}

impl Kafka {
    /// Formats the data directory if it is new, starts the broker, returns when it answers.
    ///
    /// One node: the replication factors of the internal topics are 1. All else is Kafka's
    /// default unless `properties` says otherwise.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer in time.
    pub fn start(options: KafkaOptions) -> Result<Self> {
        fs::create_dir_all(&options.dir)?;
        let config = options.dir.join("server.properties");
        fs::write(&config, properties(options.port, &data_dir(&options), &options.properties))?;
        if !data_dir(&options).join("meta.properties").exists() {
            format(&mut java(&options.jars, "256m"), &config, &options.dir.join("format.log"))?;
        }
        let heap = format!("{}m", options.heap_mib);
        let mut process = Process::spawn(
            java(&options.jars, &heap).args(LOG_DATES).arg("kafka.Kafka").arg(&config),
            &options.dir.join("kafka.log"),
        )?;
        process
            .wait_until(START, || answers_api_versions(options.port))
            .context("Apache Kafka did not start")?;
        Ok(Self { process, options })
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.options.port)
    }

    /// Where its logs are.
    pub fn data(&self) -> PathBuf {
        data_dir(&self.options)
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGTERM, and waits for the clean shutdown.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(mut self) -> Result<()> {
        // The JVM ends with 143 after a clean shutdown by SIGTERM.
        self.process.terminate(STOP).map(drop)
    }

    /// SIGKILL. The data directory stays and can be started again.
    ///
    /// # Errors
    /// The kernel does not say that it ended.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}

fn data_dir(options: &KafkaOptions) -> PathBuf {
    options.dir.join("data")
}

/// A file of properties for one node on loopback, whose controller listens on `port + 1`: with what
/// such a node needs, and `own` beyond or instead of that.
pub fn properties(port: u16, data: &Path, own: &[(String, String)]) -> String {
    let controller = port + 1;
    let mut all = vec![
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
    all.extend(REPLICATION.map(|key| (key, "1".to_owned())));
    all.retain(|(key, _)| own.iter().all(|(other, _)| other != key));
    let own = own.iter().map(|(key, value)| (key.as_str(), value.clone()));
    all.into_iter().chain(own).map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// Lays a new data directory out for one run, as `config` says.
///
/// # Errors
/// Kafka's tool failed: with the end of `log`.
pub fn format(java: &mut Command, config: &Path, log: &Path) -> Result<()> {
    run(java.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(config), log)
        .context("Kafka's directory cannot be formatted")
}

/// `java` with Kafka's jars on its class path and its heap bounded (`1g`); G1 as Kafka's own
/// scripts have it. More flags are the caller's.
pub fn java(jars: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    command
        .env("CLASSPATH", format!("{}/*", jars.display()))
        .arg(format!("-Xmx{heap}"))
        .args(["-XX:+UseG1GC", "-Djava.awt.headless=true"]);
    command
}

/// Lays the jars that `pom` names side by side in `jars`, from Maven Central; about a minute.
///
/// # Errors
/// Maven failed, or did not bring Kafka.
pub fn fetch(pom: &Path, jars: &Path, log: &Path) -> Result<()> {
    if jars.exists() {
        fs::remove_dir_all(jars)?;
    }
    run(
        Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(format!("-DoutputDirectory={}", jars.display()))
            .arg("-f")
            .arg(pom),
        log,
    )?;
    let clients = jars.join(format!("kafka-clients-{VERSION}.jar"));
    ensure!(clients.exists(), "{} is not there\n{}", clients.display(), tail(log));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_properties_take_the_place_of_others() {
        let own = [("node.id", "7"), ("own", "x")];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let text = properties(9000, Path::new("/data"), &own);
        let ids: Vec<_> = text.lines().filter(|line| line.starts_with("node.id")).collect();
        assert_eq!(ids, ["node.id=7"]);
        assert!(text.contains("own=x\n") && text.contains("log.dirs=/data\n"), "{text}");
        assert!(text.contains("offsets.topic.replication.factor=1\n"), "{text}");
        assert!(text.contains("CONTROLLER://127.0.0.1:9001\n"), "{text}");
    }
}
