//! Kafka's own classes judge what the schemas and the generated code make of Kafka's messages.
//!
//! The tests of the crate `wire` write samples of every message and version; Kafka's classes read
//! each, and must write the same bytes. What they wrote is committed and read by a test that needs
//! no Java.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::import::KAFKA;

/// Where the judged samples go.
const GOLDEN: &str = "broker/wire/tests/wire/kafka-4.3.1.txt";

const JARS: &[&str] = &[
    "kafka-clients",
    "kafka-metadata",
    "kafka-group-coordinator",
    "kafka-transaction-coordinator",
    "kafka-storage",
    "kafka-server-common",
];

pub(crate) fn run(home: &Path, scratch: &Path) -> Result<()> {
    fs::create_dir_all(scratch)?;
    let samples = scratch.join("samples.txt");
    let tested = Command::new("cargo")
        .current_dir(home)
        .args(["test", "-q", "-p", "wire", "--test", "wire"])
        .args(["--", "--ignored", "--exact", "golden::write_samples"])
        .env("WIRE_SAMPLES", &samples)
        .status()?;
    ensure!(tested.success(), "no samples");
    for jar in JARS {
        let copied = Command::new("mvn")
            .current_dir(scratch)
            .args(["-q", "-B", "dependency:copy"])
            .arg(format!("-Dartifact=org.apache.kafka:{jar}:{KAFKA}"))
            .arg(format!("-DoutputDirectory={}", scratch.display()))
            .status()
            .context("`mvn` is needed to fetch Kafka's jars: install Maven and a JDK")?;
        ensure!(copied.success(), "mvn could not fetch {jar}:{KAFKA}");
    }
    let judged = Command::new("java")
        .arg("-cp")
        .arg(scratch.join("*"))
        .arg(home.join("xtask/src/wire/Judge.java"))
        .arg(&samples)
        .output()
        .context("`java` is needed to run Kafka's classes: install a JDK")?;
    ensure!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    let golden = String::from_utf8(judged.stdout)?;
    fs::write(home.join(GOLDEN), &golden)?;
    println!("{} samples are to Kafka what they are to us", golden.lines().count());
    Ok(())
}
