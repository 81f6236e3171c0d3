//! A child process with its log file: started on its CPUs, watched, stopped by its id alone.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cpus;

const POLL: Duration = Duration::from_millis(10);
const STOP: Duration = Duration::from_secs(60);

/// A running child. Dropping it kills the child and waits for its end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    started: Instant,
    log: PathBuf,
    /// As one would type it.
    pub command: String,
}

impl Process {
    /// Starts `command` on these CPUs with its output in `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, cpus: &[usize], log: &Path) -> Result<Self> {
        if let Some(parent) = log.parent() {
            fs::create_dir_all(parent)?;
        }
        let out = File::create(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let text: Vec<_> = words.map(|w| w.to_string_lossy().into_owned()).collect();
        let started = Instant::now();
        Ok(Self {
            child: cpus::spawn_on(cpus, command)?,
            started,
            log: log.to_owned(),
            command: text.join(" "),
        })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks until there is no error; how long that took since the start.
    ///
    /// # Errors
    /// The process ended, or `patience` did: with the last error and the end of the log.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> Result<(), String>,
    ) -> Result<Duration> {
        loop {
            let error = match ready() {
                Ok(()) => return Ok(self.started.elapsed()),
                Err(error) => error,
            };
            if let Some(status) = self.child.try_wait()? {
                bail!("ended with {status} before it was ready\n{}", self.log_tail());
            }
            if self.started.elapsed() >= patience {
                bail!("not ready within {patience:?}: {error}\n{}", self.log_tail());
            }
            sleep(POLL);
        }
    }

    /// SIGTERM, and waits for the end; after a minute SIGKILL, which is an error.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process without id")?, Signal::TERM)?;
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            sleep(POLL);
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("did not stop within {STOP:?} of SIGTERM; log: {}", self.log.display())
    }

    fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What has ended already is as dead as asked for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, its output in `log`.
///
/// # Errors
/// It failed: with the end of its log.
pub(super) fn run(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent)?;
    }
    let out = File::create(log)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}\n{}", command.get_program().display(), tail(log));
    }
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    format!("--- end of {}\n{}", log.display(), lines[from..].join("\n"))
}

/// The first of `count` neighbouring ports on loopback that nobody listens on, below the ports that
/// the kernel gives to outgoing connections.
///
/// # Errors
/// There are none.
pub(super) fn free_ports(count: u16) -> Result<u16> {
    const FIRST: u16 = 20_000;
    const SPAN: u16 = 12_000;
    let start = u16::try_from(std::process::id() % u32::from(SPAN)).unwrap_or(0);
    for step in 0..SPAN / 16 {
        let base = FIRST + (start + step * 16) % (SPAN - count);
        let held: Vec<_> = (base..base + count)
            .map_while(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .collect();
        if held.len() == usize::from(count) {
            return Ok(base);
        }
    }
    bail!("no {count} free ports on 127.0.0.1")
}
