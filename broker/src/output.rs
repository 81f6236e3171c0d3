//! Standard output and standard error of a process whose reader may be gone, full, or not reading.
//! `println!` panics then, and a broker that serves must not end for a line that nobody reads.
//!
//! Lines of a broker that runs go through a thread of their own: the control thread, which sees
//! signals, never waits for a reader.
use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};

/// Writes what a command was asked for. A reader that has read enough (`| head`) is no error.
pub fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format_args!("standard output takes no more: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// One line of this program on standard error, if somebody takes it.
pub fn complain(what: &dyn fmt::Display) {
    let _ = writeln!(io::stderr(), "millrace: {what}");
}

/// Both streams of a broker that runs. What they do not take is dropped; the rest is written when
/// this is dropped, for about a second at most.
#[derive(Debug)]
pub struct Streams {
    out: NonBlocking,
    error: NonBlocking,
    _written: [WorkerGuard; 2],
}

impl Streams {
    pub fn open() -> Self {
        let (out, out_written) = tracing_appender::non_blocking(Out);
        let (error, error_written) = tracing_appender::non_blocking(io::stderr());
        Self { out, error, _written: [out_written, error_written] }
    }

    /// Where lines of the log go.
    pub fn log(&self) -> NonBlocking {
        self.error.clone()
    }

    /// To standard output.
    pub fn announce(&self, text: &str) {
        let _ = self.out.clone().write_all(format!("{text}\n").as_bytes());
    }

    /// To standard error: why the process ends.
    pub fn complain(&self, what: &dyn fmt::Display) {
        let line = format!("millrace: {what}\n");
        let _ = self.error.clone().write_all(line.as_bytes());
    }
}

/// Standard output; that it takes nothing is said in the log.
struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
            tracing::warn!(%error, "standard output does not take the lines of the start");
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
