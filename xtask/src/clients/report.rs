//! Runs one client program and reads its report.
//!
//! ```text
//! CLIENT <name and version, free text>
//! PLAN <case>                         every case that will run, before the first runs
//! CASE <case> ok|fail|skip <ms> <reason or remark, free text>
//! ```
//! Other lines go to the log only. A planned case without a result has failed: the program
//! crashed, or the whole program's time was over.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::client::{Client, Program, Target};
use super::features;
use super::results::{CaseResult, ClientResult, Status};

/// Longest life of a client program. Each case has its own, shorter time.
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) fn run_client(
    client: &Client,
    program: &Program,
    target: &Target,
    work: &Path,
    log: &Path,
) -> Result<ClientResult> {
    println!("-- {}", client.name);
    let scratch = work.join(format!("{}.tmp", client.name));
    std::fs::create_dir_all(&scratch)?;
    let start = Instant::now();
    let mut lines = File::create(log)?;
    let mut child = program
        .command(target, &scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(lines.try_clone()?)
        .spawn()
        .with_context(|| format!("cannot start {}", program.path.display()))?;
    let mut report = Report::default();
    let ended = read(&mut child, &mut lines, &mut report, start + PATIENCE)?;
    let why = if ended {
        format!("no result; the program ended with {}", child.wait()?)
    } else {
        child.kill()?;
        child.wait()?;
        format!("no result within {PATIENCE:?}, the program's time")
    };
    report.close(&why);
    std::fs::remove_dir_all(&scratch)?;
    Ok(ClientResult {
        name: client.name.to_owned(),
        version: report.version,
        ms: start.elapsed().as_millis().try_into().unwrap_or(u64::MAX),
        cases: report.cases,
    })
}

/// Feeds the program's lines into the report; false when the deadline came first.
fn read(child: &mut Child, log: &mut File, report: &mut Report, deadline: Instant) -> Result<bool> {
    let stdout = child.stdout.take().context("stdout was piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        while stdout.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                writeln!(log, "{line}")?;
                report.line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(true),
            Err(RecvTimeoutError::Timeout) => return Ok(false),
        }
    }
}

#[derive(Debug, Default)]
struct Report {
    version: String,
    planned: Vec<String>,
    cases: Vec<CaseResult>,
}

impl Report {
    fn line(&mut self, line: &str) {
        let Some((word, rest)) = line.split_once(' ') else {
            return;
        };
        match word {
            "CLIENT" => rest.clone_into(&mut self.version),
            "PLAN" => self.planned.push(rest.trim().to_owned()),
            "CASE" => match parse_case(rest) {
                Some(case) => self.add(case),
                None => println!("  not a CASE line: {line}"),
            },
            _ => {}
        }
    }

    fn add(&mut self, mut case: CaseResult) {
        if !features::known(&case.name) {
            case.status = Status::Fail;
            case.reason = "features.rs does not list this case".to_owned();
        }
        if case.status != Status::Ok {
            println!("  {} {} {} ms {}", case.status.word(), case.name, case.ms, case.reason);
        }
        self.cases.push(case);
    }

    /// Fails every planned case that has no result.
    fn close(&mut self, why: &str) {
        let silent: Vec<String> = self
            .planned
            .iter()
            .filter(|name| self.cases.iter().all(|case| case.name != **name))
            .cloned()
            .collect();
        for name in silent {
            self.add(CaseResult { name, status: Status::Fail, ms: 0, reason: why.to_owned() });
        }
        if self.planned.is_empty() && self.version.is_empty() {
            let name = "program".to_owned();
            self.add(CaseResult { name, status: Status::Fail, ms: 0, reason: why.to_owned() });
        }
    }
}

fn parse_case(rest: &str) -> Option<CaseResult> {
    let mut words = rest.splitn(4, ' ');
    Some(CaseResult {
        name: words.next()?.to_owned(),
        status: Status::parse(words.next()?)?,
        ms: words.next()?.parse().ok()?,
        reason: words.next().unwrap_or("").trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_case_has_failed() {
        let mut report = Report::default();
        for line in [
            "CLIENT x 1.0",
            "PLAN timestamps",
            "PLAN seek",
            "noise",
            "CASE timestamps ok 12",
            "CASE nobody_knows_this ok 1",
        ] {
            report.line(line);
        }
        report.close("it crashed");
        let got: Vec<_> = report
            .cases
            .iter()
            .map(|case| (case.name.as_str(), case.status, case.reason.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                ("timestamps", Status::Ok, ""),
                ("nobody_knows_this", Status::Fail, "features.rs does not list this case"),
                ("seek", Status::Fail, "it crashed"),
            ]
        );
    }

    #[test]
    fn case_lines() {
        let case = parse_case("seek fail 30 expected 3, got 4").expect("a good line");
        assert_eq!((case.ms, case.reason.as_str()), (30, "expected 3, got 4"));
        assert_eq!(parse_case("seek maybe 30"), None);
        assert_eq!(parse_case("seek ok x"), None);
    }
}
