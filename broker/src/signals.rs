//! What signals mean to a broker that runs. Kafka's habits, where it has some: its JVM stops in
//! order on SIGHUP, SIGINT and SIGTERM, leaves SIGHUP alone under `nohup`, and lives on after a
//! `kill -QUIT`, which operators of Kafka use to look inside.
//!
//! SIGPIPE is ignored by Rust's runtime before `main`. A signal that is not named here keeps its
//! default.
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Of signal(7), on every architecture that io_uring is used on: a file would pass `ulimit -f`.
/// Caught, the write fails with EFBIG, which is an error of the disk like others; by default the
/// process ends.
const SIGXFSZ: i32 = 25;
const SIGHUP: u32 = 1;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// End in order.
    Stop(&'static str),
    /// Nothing: it must not end the process.
    Nothing(&'static str),
}

/// Signals of the process, caught from here on. Lives on the control thread.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` when whoever started us wants it ignored.
    hangup: Option<Signal>,
    quit: Signal,
    user_1: Signal,
    user_2: Signal,
    file_size: Signal,
}

impl Signals {
    /// Catches them. To be called inside the control runtime, before a core starts: from then on an
    /// unclean end costs a recovery.
    ///
    /// # Errors
    /// The kernel's, or a runtime without a driver for signals.
    pub fn catch() -> io::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: match is_ignored(&status, SIGHUP) {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            quit: signal(SignalKind::quit())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            file_size: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// The next signal. Several of a kind may be one.
    pub async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = hangup => Asked::Stop("SIGHUP"),
            _ = self.quit.recv() => Asked::Nothing("SIGQUIT"),
            _ = self.user_1.recv() => Asked::Nothing("SIGUSR1"),
            _ = self.user_2.recv() => Asked::Nothing("SIGUSR2"),
            _ = self.file_size.recv() => Asked::Nothing("SIGXFSZ (ulimit -f)"),
        }
    }
}

/// Whether a signal was ignored when the process began, by the text of `/proc/self/status`.
fn is_ignored(status: &str, number: u32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_bits_from_one() {
        let status = "SigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        let ignored: Vec<u32> = (1..=64).filter(|n| is_ignored(status, *n)).collect();
        assert_eq!(ignored, [1, 13]);
        assert!(!is_ignored("", 1));
    }
}
