//! How long the stages took: `target/ci-times.json` after each run, and the page `docs/ci.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::stages::STAGES;
use crate::provision::Dirs;

const DOCUMENT: &str = "docs/ci.md";
const BEGIN: &str = "<!-- times: written by `cargo xtask test --docs` -->\n";
const END: &str = "<!-- end of times -->\n";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StageTime {
    pub(super) name: String,
    pub(super) seconds: f64,
    pub(super) passed: bool,
    /// It ran with the lowest priority while others ran.
    pub(super) beside: bool,
}

/// A run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Times {
    /// The day of its beginning, in UTC.
    date: String,
    commit: String,
    cores: usize,
    memory_gib: u64,
    /// From the beginning to the end: what is waited for between stages is in it.
    pub(super) seconds: f64,
    pub(super) stages: Vec<StageTime>,
    #[serde(skip, default = "Instant::now")]
    began: Instant,
}

impl Times {
    pub(super) fn begin() -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok();
            let output = output.filter(|output| output.status.success());
            output.map_or_else(
                || "?".to_owned(),
                |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            )
        };
        Self {
            date: said("date", &["-u", "+%F"]),
            commit: said("git", &["rev-parse", "--short=12", "HEAD"]),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib().unwrap_or(0),
            seconds: 0.0,
            stages: Vec::new(),
            began: Instant::now(),
        }
    }

    /// Whether a stage has failed.
    pub(super) fn failed(&self) -> bool {
        self.stages.iter().any(|stage| !stage.passed)
    }

    pub(super) fn end(&mut self) {
        self.seconds = self.began.elapsed().as_secs_f64();
    }

    /// For the terminal.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{:12} {:>8}\n", "stage", "seconds");
        for StageTime { name, seconds, passed, beside } in &self.stages {
            let end = if *passed { "ok" } else { "FAILED" };
            let beside = if *beside { ", beside the others" } else { "" };
            let _ = writeln!(text, "{name:12} {seconds:>8.1}  {end}{beside}");
        }
        let _ = writeln!(text, "{:12} {:>8.1}", "in all", self.seconds);
        text
    }

    pub(super) fn write(&self, dirs: &Dirs) -> Result<()> {
        let path = dirs.root.join("target/ci-times.json");
        fs::write(&path, serde_json::to_string_pretty(self)?)
            .with_context(|| path.display().to_string())
    }

    /// For the page.
    fn markdown(&self) -> String {
        let mut text = format!(
            "{} at commit {}, {} cores, {} GiB of memory: {:.0} s in all.\n\n\
             | stage | seconds | what it is |\n|---|---|---|\n",
            self.date, self.commit, self.cores, self.memory_gib, self.seconds
        );
        for StageTime { name, seconds, beside, .. } in &self.stages {
            let about = STAGES.iter().find(|s| s.name == name).map_or("", |s| s.about);
            let beside = if *beside { ", beside the others" } else { "" };
            let _ = writeln!(text, "| {name} | {seconds:.0}{beside} | {about} |");
        }
        text
    }
}

/// Puts the last run into the page. A run of some stages, or one that failed, is no record.
pub(super) fn write_document(dirs: &Dirs) -> Result<()> {
    let path = dirs.root.join("target/ci-times.json");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("{}: `cargo xtask test` writes it", path.display()))?;
    let times: Times = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let names: BTreeSet<&str> = times.stages.iter().map(|stage| stage.name.as_str()).collect();
    ensure!(
        names == STAGES.iter().map(|stage| stage.name).collect::<BTreeSet<_>>(),
        "the last run was not of all stages: {}",
        names.into_iter().collect::<Vec<_>>().join(", ")
    );
    ensure!(times.stages.iter().all(|stage| stage.passed), "a stage of the last run failed");
    let page = fs::read_to_string(dirs.root.join(DOCUMENT)).context(DOCUMENT)?;
    let page = replaced(&page, &times.markdown())
        .with_context(|| format!("{DOCUMENT} lacks the line {}", BEGIN.trim()))?;
    fs::write(dirs.root.join(DOCUMENT), page).context(DOCUMENT)
}

fn replaced(page: &str, times: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{times}\n{END}{after}"))
}

fn memory_gib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    // What the firmware keeps for itself is missing: 24 GiB are shown as 23.4.
    Some(kib.div_ceil(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_page_is_replaced_and_the_rest_stays() {
        let page = format!("# CI\n\n{BEGIN}old\n{END}\nmore\n");
        let new = replaced(&page, "| a | 1 |\n").unwrap();
        assert_eq!(new, format!("# CI\n\n{BEGIN}\n| a | 1 |\n\n{END}\nmore\n"));
        assert_eq!(replaced(&new, "| a | 1 |\n").unwrap(), new);
        assert_eq!(replaced("# CI\n", ""), None);
    }

    #[test]
    fn names_of_stages_are_their_own() {
        let mut names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
    }
}
