//! A child process with its log file: started, watched, stopped or killed by its id alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a process is looked at while somebody waits for it.
const POLL: Duration = Duration::from_millis(20);

/// A running child. Dropping it kills the child and waits for its end, so no test leaves a
/// broker behind when it fails.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with stdout and stderr appended to `log` and an empty stdin.
    ///
    /// The log is appended to because a broker that is killed and started again is one story.
    pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        if let Some(parent) = log.parent() {
            fs::create_dir_all(parent)?;
        }
        let out = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended by itself.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        // A process that has ended already is as dead as asked for.
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end. After `patience` it is killed and the stop is an error.
    pub(crate) fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        // The standard library can only send SIGKILL, and this crate forbids unsafe code.
        let sent = Command::new("kill").arg("-TERM").arg(self.id().to_string()).status()?;
        if !sent.success() && self.ended()?.is_none() {
            bail!("cannot send SIGTERM to process {}", self.id());
        }
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                self.kill()?;
                bail!("did not stop within {patience:?} of SIGTERM; log: {}", self.log.display());
            }
            std::thread::sleep(POLL);
        }
    }

    /// Waits until `ready` says so; fails when the process ends first or `patience` is over.
    pub(crate) fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<Duration> {
        let start = Instant::now();
        loop {
            if ready() {
                return Ok(start.elapsed());
            }
            if let Some(status) = self.ended()? {
                bail!("ended with {status} before it was ready\n{}", self.log_tail());
            }
            if start.elapsed() >= patience {
                bail!("not ready within {patience:?}\n{}", self.log_tail());
            }
            std::thread::sleep(POLL);
        }
    }

    /// The last lines of the log, for an error message.
    pub(crate) fn log_tail(&self) -> String {
        tail(&self.log, 20)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The last `lines` lines of a file, headed by its name.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    format!("--- end of {}\n{}", path.display(), all[from..].join("\n"))
}
