//! Millrace as a process on loopback.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Process;
use crate::ready::{answers_api_versions, answers_readyz};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);

/// How it is started.
#[derive(Debug, Clone)]
pub struct MillraceOptions {
    pub bin: PathBuf,
    /// Passed as `--data`.
    pub data: PathBuf,
    /// Output is appended here, over all starts.
    pub log: PathBuf,
    /// First client port on 127.0.0.1; core n listens on `port + n` unless `single_port`.
    pub port: u16,
    pub admin_port: u16,
    pub cores: u16,
    pub single_port: bool,
    /// `--set key=value` each.
    pub set: Vec<(String, String)>,
}

impl MillraceOptions {
    /// What starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.bin);
        command
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .args(["--admin", &format!("127.0.0.1:{}", self.admin_port)])
            .args(["--cores", &self.cores.to_string()]);
        if self.single_port {
            command.arg("--single-port");
        }
        for (key, value) in &self.set {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command
    }
}

/// A running Millrace. Dropping it kills it.
#[derive(Debug)]
pub struct Millrace {
    process: Process,
    options: MillraceOptions,
    ready_after: Duration,
}

impl Millrace {
    /// Starts the broker and returns when `/readyz` says 200 and the first port answers.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer in time.
    pub fn start(options: MillraceOptions) -> Result<Self> {
        let mut command = options.command();
        let mut process = Process::spawn(&mut command, &options.log)?;
        let ready_after = process
            .wait_until(START, || {
                answers_readyz(options.admin_port)?;
                answers_api_versions(options.port)
            })
            .context("Millrace did not start")?;
        Ok(Self { process, options, ready_after })
    }

    /// `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.options.port)
    }

    /// From spawn to ready.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// As it was started.
    pub fn options(&self) -> &MillraceOptions {
        &self.options
    }

    /// SIGTERM, and waits for the clean stop.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.process.terminate(STOP)
    }

    /// SIGKILL. The data directory stays: `Millrace::start(options)` is the restart.
    ///
    /// # Errors
    /// The kernel does not say that it ended.
    pub fn kill(mut self) -> Result<MillraceOptions> {
        self.process.kill()?;
        Ok(self.options.clone())
    }
}
