//! Millrace as a process on loopback.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::Process;
use super::ready::{answers_api_versions, answers_readyz};

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct MillraceOptions {
    pub(crate) bin: PathBuf,
    /// Passed as `--data`.
    pub(crate) data: PathBuf,
    /// Output is appended here, over all starts.
    pub(crate) log: PathBuf,
    /// First client port on 127.0.0.1; core n listens on `port + n` unless `single_port`.
    pub(crate) port: u16,
    pub(crate) admin_port: u16,
    pub(crate) cores: u16,
    pub(crate) single_port: bool,
    /// `--set key=value` each.
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Millrace {
    process: Process,
    options: MillraceOptions,
    ready_after: Duration,
}

impl Millrace {
    /// Starts the broker and returns when `/readyz` says 200 and the first port answers.
    pub(crate) fn start(options: MillraceOptions) -> Result<Self> {
        let mut command = Command::new(&options.bin);
        command
            .arg("--data")
            .arg(&options.data)
            .args(["--listen", &format!("127.0.0.1:{}", options.port)])
            .args(["--admin", &format!("127.0.0.1:{}", options.admin_port)])
            .args(["--cores", &options.cores.to_string()]);
        if options.single_port {
            command.arg("--single-port");
        }
        for (key, value) in &options.set {
            command.args(["--set", &format!("{key}={value}")]);
        }
        let mut process = Process::spawn(&mut command, &options.log)?;
        let ready_after = process
            .wait_until(START, || {
                answers_readyz(options.admin_port) && answers_api_versions(options.port)
            })
            .context("Millrace did not start")?;
        Ok(Self { process, options, ready_after })
    }

    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.options.port)
    }

    /// From spawn to ready.
    pub(crate) fn ready_after(&self) -> Duration {
        self.ready_after
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn options(&self) -> &MillraceOptions {
        &self.options
    }

    /// SIGTERM, and waits for the clean stop.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        self.process.terminate(STOP)
    }

    /// SIGKILL. The data directory stays: `Millrace::start(options)` is the restart.
    pub(crate) fn kill(mut self) -> Result<MillraceOptions> {
        self.process.kill()?;
        Ok(self.options.clone())
    }
}
