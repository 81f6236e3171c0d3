//! DumpLogSegments over a stopped broker's files: Kafka's own reader finds nothing wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;

use super::results::{CaseResult, Status};
use crate::peers::java;

pub(crate) const CASE: &str = "dump_log_segments";

/// What DumpLogSegments prints when it found something; it then still ends with 0.
const COMPLAINTS: [&str; 6] = [
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "Mismatches in",
    "Non-consecutive offsets",
    "corrupt",
    "Exception",
];

/// Dumps every segment, offset index and time index below `logs` in one JVM.
pub(crate) fn run(jars: &Path, logs: &Path, output: &Path) -> Result<CaseResult> {
    let start = Instant::now();
    let (status, reason) = match dump(jars, logs, output) {
        Ok(remark) => (Status::Ok, remark),
        Err(error) => (Status::Fail, format!("{error:#}").replace('\n', " | ")),
    };
    let ms = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    println!("  {} {CASE} {ms} ms {reason}", status.word());
    Ok(CaseResult {
        name: CASE.to_owned(),
        status,
        ms,
        reason,
    })
}

fn dump(jars: &Path, logs: &Path, output: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(logs, &mut files)?;
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no segment below {}", logs.display());
    let list: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let out = java(jars, 512)
        .args([
            "org.apache.kafka.tools.DumpLogSegments",
            "--deep-iteration",
            "--files",
        ])
        .arg(list.join(","))
        .output()?;
    fs::write(
        output,
        [out.stdout.as_slice(), out.stderr.as_slice()].concat(),
    )?;
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    anyhow::ensure!(out.status.success(), "ended with {}: {errors}", out.status);
    let complaint = text
        .lines()
        .chain(errors.lines())
        .find(|line| COMPLAINTS.iter().any(|word| line.contains(word)));
    if let Some(line) = complaint {
        anyhow::bail!("{line}");
    }
    let batches = text
        .lines()
        .filter(|line| line.starts_with("baseOffset:"))
        .count();
    anyhow::ensure!(
        batches > 0,
        "{} files, and not one batch in them",
        files.len()
    );
    Ok(format!("{} files, {batches} batches", files.len()))
}

/// All closed segments and their indexes; Kafka's metadata log is not a client's business.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !name.starts_with("__cluster_metadata") && !name.ends_with("-delete") {
                collect(&path, files)?;
            }
        } else if [".log", ".index", ".timeindex"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
            && name.starts_with(|first: char| first.is_ascii_digit())
        {
            files.push(path);
        }
    }
    Ok(())
}
