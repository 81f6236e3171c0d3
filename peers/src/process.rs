//! A child process with its log file: started, watched, stopped or killed by its id alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often a process is looked at while somebody waits for it.
const POLL: Duration = Duration::from_millis(10);
/// Lines of a log that an error shows.
const TAIL: usize = 20;

/// A running child. Dropping it kills the child and waits for its end, so no test leaves a
/// broker behind when it fails.
#[derive(Debug)]
pub struct Process {
    child: Child,
    started: Instant,
    log: PathBuf,
    command: String,
}

impl Process {
    /// Starts `command` with stdout and stderr appended to `log` and an empty stdin.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        Self::spawn_by(command, log, |command| Ok(command.spawn()?))
    }

    /// As [`spawn`](Self::spawn), by a caller's way to start a command: on some CPUs, say.
    ///
    /// The log is appended to because a broker that is killed and started again is one story.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn_by(
        command: &mut Command,
        log: &Path,
        spawn: impl FnOnce(&mut Command) -> Result<Child>,
    ) -> Result<Self> {
        if let Some(parent) = log.parent() {
            fs::create_dir_all(parent)?;
        }
        let out = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let text: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        let started = Instant::now();
        let child = spawn(command)
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, started, log: log.to_owned(), command: text.join(" ") })
    }

    /// Of the child.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// As one would type it.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The exit status, if the process has ended by itself.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// The kernel does not say that it ended.
    pub fn kill(&mut self) -> Result<()> {
        // A process that has ended already is as dead as asked for.
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits for the end. After `patience` it is killed and the stop is an error.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let sent = kill_process(pid.context("a process without id")?, Signal::TERM);
        if let Err(error) = sent
            && self.ended()?.is_none()
        {
            bail!("cannot send SIGTERM to process {}: {error}", self.id());
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

    /// Asks `ready` until there is no error; how long that took since the start.
    ///
    /// # Errors
    /// The process ended first, or `patience` did: with the last answer and the end of the log.
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
            if let Some(status) = self.ended()? {
                bail!("ended with {status} before it was ready\n{}", tail(&self.log));
            }
            if self.started.elapsed() >= patience {
                bail!("not ready within {patience:?}: {error}\n{}", tail(&self.log));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Runs a command to its end, with its output in `log`.
///
/// # Errors
/// It failed: with the end of its log.
pub fn run(command: &mut Command, log: &Path) -> Result<()> {
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
        bail!("{command:?} ended with {status}\n{}", tail(log));
    }
    Ok(())
}

/// The last lines of a log, headed by its name.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    format!("--- end of {}\n{}", log.display(), lines[from..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("millrace-peers-{}-{name}.log", std::process::id()))
    }

    #[test]
    fn sigterm_ends_it() {
        use std::os::unix::process::ExitStatusExt;
        let log = log("sleep");
        let mut process = Process::spawn(Command::new("sleep").arg("600"), &log).unwrap();
        assert_eq!(process.command(), "sleep 600");
        assert_eq!(process.ended().unwrap(), None);
        let status = process.terminate(Duration::from_secs(60)).unwrap();
        assert_eq!(status.signal(), Some(Signal::TERM.as_raw()));
        fs::remove_file(log).unwrap();
    }

    #[test]
    fn what_ends_early_says_its_last_words() {
        let log = log("early");
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let mut process = Process::spawn(&mut command, &log).unwrap();
        let error = process.wait_until(Duration::from_secs(60), || Err("no answer".to_owned()));
        let text = error.unwrap_err().to_string();
        assert!(text.contains("ended with exit status: 3"), "{text}");
        assert!(text.contains("the reason"), "{text}");
        let error = run(&mut command, &log).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("the reason"), "{error}");
        fs::remove_file(log).unwrap();
    }
}
