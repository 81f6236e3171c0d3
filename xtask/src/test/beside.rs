//! What runs beside the stages, with the lowest priority: `cargo xtask prepare`, then stages whose
//! outcome does not depend on how long they take.
//!
//! Compilers leave a core idle where one crate is compiled alone, and foreign clients wait more
//! than they work. This fills those gaps. Output goes to files, so that it is not mixed with that
//! of the stage in front.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use anyhow::{Context, Result};

use super::stages::Stage;
use super::times::StageTime;
use crate::provision::{Dirs, on_path};

/// A thread that does one after the other. When this program ends, `prepare` ends, and so does a
/// stage when it is done.
#[derive(Debug)]
pub(super) struct Beside {
    began: Instant,
    prepared: Option<Receiver<Result<ExitStatus>>>,
    stages: Receiver<Result<(StageTime, PathBuf)>>,
}

impl Beside {
    /// Starts `cargo xtask prepare`, and then those of `stages`.
    pub(super) fn start(dirs: &Dirs, stages: Vec<&'static Stage>) -> Result<Self> {
        let own = std::env::current_exe()?;
        let (prepare_ended, prepared) = channel();
        let (stage_ended, ended) = channel();
        let (root, logs) = (dirs.root.clone(), dirs.root.join("target/ci"));
        fs::create_dir_all(&logs)?;
        std::thread::spawn(move || {
            let log = logs.join("prepare.log");
            let arguments = [own.into_os_string(), "prepare".into(), "--watched".into()];
            // Nobody listens where the runner has ended.
            let _ = prepare_ended.send(low(&arguments, &[], &root, &log));
            for stage in stages {
                let log = logs.join(format!("{}.log", stage.name));
                let arguments: Vec<OsString> = stage.command.iter().map(OsString::from).collect();
                let began = Instant::now();
                let outcome = low(&arguments, stage.environment, &root, &log).map(|status| {
                    let time = StageTime {
                        name: stage.name.to_owned(),
                        seconds: began.elapsed().as_secs_f64(),
                        passed: status.success(),
                        beside: true,
                    };
                    (time, log)
                });
                let _ = stage_ended.send(outcome);
            }
        });
        Ok(Self { began: Instant::now(), prepared: Some(prepared), stages: ended })
    }

    /// Returns when all is prepared, or cannot be: the stage that needs it will say why.
    pub(super) fn wait_for_packages(&mut self) -> Result<()> {
        let Some(prepared) = self.prepared.take() else { return Ok(()) };
        let from = Instant::now();
        let status = prepared.recv().context("the thread beside has ended")??;
        println!(
            "\n==> prepared beside the stages ({status}) in {:.1} s, and waited for {:.1} s of them",
            self.began.elapsed().as_secs_f64(),
            from.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// The next stage that has ended, with its output; `None` when there is no other.
    pub(super) fn next(&mut self) -> Option<Result<(StageTime, PathBuf)>> {
        self.stages.recv().ok()
    }
}

/// Runs a command with the lowest priority, its output in `log`.
fn low(
    arguments: &[OsString],
    environment: &[(&str, &str)],
    root: &Path,
    log: &Path,
) -> Result<ExitStatus> {
    let nice: &[OsString] =
        if on_path("nice") { &["nice".into(), "-n".into(), "19".into()] } else { &[] };
    let line: Vec<&OsString> = nice.iter().chain(arguments).collect();
    let out = File::create(log).with_context(|| log.display().to_string())?;
    let mut child = Command::new(line[0])
        .args(&line[1..])
        .envs(environment.iter().copied())
        .current_dir(root)
        // Ends when this program ends; `prepare` does so too.
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("cannot start {line:?}"))?;
    // Waiting would close its input.
    let input = child.stdin.take();
    let status = child.wait()?;
    drop(input);
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::super::stages::PLAIN;
    use super::*;

    #[test]
    fn stages_come_back_in_order_with_their_output_and_outcome() {
        static SAYS: Stage = Stage { name: "test-says", command: &["echo", "hello"], ..PLAIN };
        static FAILS: Stage = Stage { name: "test-fails", command: &["false"], ..PLAIN };
        // Here the program is the test harness, which refuses these arguments.
        let mut beside = Beside::start(&Dirs::find().unwrap(), vec![&SAYS, &FAILS]).unwrap();
        beside.wait_for_packages().unwrap();
        beside.wait_for_packages().unwrap();
        let (says, log) = beside.next().unwrap().unwrap();
        assert!(says.passed && says.beside && says.name == "test-says");
        assert_eq!(fs::read_to_string(&log).unwrap(), "hello\n");
        let (fails, _) = beside.next().unwrap().unwrap();
        assert!(!fails.passed && fails.name == "test-fails");
        assert!(beside.next().is_none());
    }
}
