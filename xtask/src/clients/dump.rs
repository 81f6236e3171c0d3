//! DumpLogSegments over a stopped broker's files: Kafka's own reader finds nothing wrong.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use peers::kafka::java;

use super::results::{CaseResult, Status};

pub(crate) const CASE: &str = "dump_log_segments";

/// What DumpLogSegments prints when it found something; it then still ends with 0.
const COMPLAINTS: [&str; 6] = [
    "Found timestamp mismatch",
    "Found out of order timestamp",
    "Mismatches in",
    " is followed by ",
    "corrupt",
    "Exception",
];

/// Dumps every segment, offset index and time index below `logs`.
pub(crate) fn run(jars: &Path, logs: &Path, output: &Path) -> Result<CaseResult> {
    let start = Instant::now();
    let (status, reason) = match dump(jars, logs, output) {
        Ok(remark) => (Status::Ok, remark),
        Err(error) => (Status::Fail, format!("{error:#}").replace('\n', " | ")),
    };
    let ms = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    println!("  {} {CASE} {ms} ms {reason}", status.word());
    Ok(CaseResult { name: CASE.to_owned(), status, ms, reason })
}

fn dump(jars: &Path, logs: &Path, output: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(logs, Path::new(""), &mut files)?;
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no segment below {}", logs.display());
    fs::write(output, "")?;
    let mut batches = 0;
    for list in lists(&files) {
        batches += dump_list(jars, logs, &list, output)?;
    }
    anyhow::ensure!(batches > 0, "{} files, and not one batch in them", files.len());
    Ok(format!("{} files, {batches} batches", files.len()))
}

/// The files as comma-separated lists: an argument of a process has at most 128 KiB.
fn lists(files: &[String]) -> Vec<String> {
    const LONGEST: usize = 100 * 1024;
    let mut lists: Vec<String> = Vec::new();
    for file in files {
        match lists.last_mut() {
            Some(list) if list.len() + file.len() < LONGEST => {
                list.push(',');
                list.push_str(file);
            }
            _ => lists.push(file.clone()),
        }
    }
    lists
}

/// Dumps one list in one JVM; returns the number of batches.
fn dump_list(jars: &Path, logs: &Path, list: &str, output: &Path) -> Result<usize> {
    let out = java(jars, "512m")
        .args(["org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", list])
        .current_dir(logs)
        .output()?;
    let mut log = fs::File::options().append(true).open(output)?;
    log.write_all(&out.stdout)?;
    log.write_all(&out.stderr)?;
    let text = String::from_utf8_lossy(&out.stdout);
    let errors = String::from_utf8_lossy(&out.stderr);
    anyhow::ensure!(out.status.success(), "ended with {}: {errors}", out.status);
    let complaint = text.lines().chain(errors.lines()).find(|line| is_complaint(line));
    if let Some(line) = complaint {
        anyhow::bail!("{line}");
    }
    Ok(text.lines().filter(|line| line.starts_with("baseOffset:")).count())
}

/// A gap in the offsets is told as "  4 is followed by 9". Of every segment that starts above
/// offset 0 the tool says "-1 is followed by ..": that is its own start value.
fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|word| line.contains(word)) && !line.starts_with("  -1 is followed by")
}

/// All segments and their indexes, relative to `root`; Kafka's metadata log is not a client's
/// business.
fn collect(root: &Path, below: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = below.join(&name);
        if entry.file_type()?.is_dir() {
            if !name.starts_with("__cluster_metadata") && !name.ends_with("-delete") {
                collect(root, &path, files)?;
            }
        } else if [".log", ".index", ".timeindex"].iter().any(|suffix| name.ends_with(suffix))
            && name.starts_with(|first: char| first.is_ascii_digit())
        {
            files.push(path.display().to_string());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints() {
        assert!(is_complaint("  4 is followed by 9"));
        assert!(is_complaint("Mismatches in :/x/00000000000000000000.index"));
        assert!(!is_complaint("Non-consecutive offsets in /x/00000000000000000070.log"));
        assert!(!is_complaint("  -1 is followed by 70"));
        assert!(!is_complaint("baseOffset: 0 lastOffset: 3 isvalid: true"));
    }

    #[test]
    fn lists_stay_below_an_argument_s_limit() {
        let files: Vec<String> = (0..5000).map(|n| format!("a-topic-{n}/000.log")).collect();
        let lists = lists(&files);
        assert!(lists.iter().all(|list| list.len() < 110 * 1024), "too long");
        let all: Vec<&str> = lists.iter().flat_map(|list| list.split(',')).collect();
        assert_eq!(all, files);
    }
}
