//! A client program at work: told by its input, heard by its output, watched by its end.
//!
//! ```text
//! harness -> producer   UPTO <share>                     send no more than this share of the events
//! harness -> reader     (end of input)                   leave the group and end
//! producer -> harness   ACKED <events>
//! reader -> harness     READ <events>, re-read ones too
//! reader -> harness     AT <topic> <partition> <offset>  a commit was acknowledged
//! either -> harness     CLIENT <name and version>
//! ```
//!
//! What a program has to prove is in its files, not in these lines: they pace the work and tell
//! when it is done.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A partition of a topic.
pub(super) type Partition = (String, i32);

/// The newest of each line.
#[derive(Debug, Default, Clone)]
pub(super) struct Said {
    pub(super) client: String,
    pub(super) acked: u64,
    pub(super) read: u64,
    pub(super) committed: HashMap<Partition, i64>,
}

impl Said {
    fn hear(&mut self, line: &str) -> Option<()> {
        let (word, rest) = line.split_once(' ')?;
        match word {
            "CLIENT" => rest.clone_into(&mut self.client),
            "ACKED" => self.acked = rest.parse().ok()?,
            "READ" => self.read = rest.parse().ok()?,
            "AT" => {
                let mut fields = rest.split(' ');
                let topic = fields.next()?.to_owned();
                let partition = fields.next()?.parse().ok()?;
                let offset = fields.next()?.parse().ok()?;
                self.committed.insert((topic, partition), offset);
            }
            _ => return None,
        }
        Some(())
    }
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    log: PathBuf,
    done: bool,
}

impl Worker {
    /// Starts the program with its stderr in `<dir>/<name>.log`.
    pub(super) fn start(name: &'static str, command: &mut Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let output = child.stdout.take().context("no pipe from the program")?;
        let said = Arc::new(Mutex::new(Said::default()));
        let heard = Arc::clone(&said);
        // It ends with the program's output.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                if said.hear(&line).is_none() {
                    eprintln!("  {name}: {line}");
                }
            }
        });
        Ok(Self { name, input: child.stdin.take(), child, said, log, done: false })
    }

    pub(super) fn said<T>(&self, look: impl FnOnce(&Said) -> T) -> T {
        look(&self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets a producer go up to this share of its events.
    pub(super) fn let_go(&mut self, share: f64) -> Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        let sent = writeln!(input, "UPTO {share:.4}").and_then(|()| input.flush());
        if let Err(error) = sent {
            // It may have ended, well or badly: the next look tells.
            self.done()?;
            if !self.done {
                return Err(error).with_context(|| format!("cannot speak to {}", self.name));
            }
        }
        Ok(())
    }

    /// Whether it has ended, and ended well; ending badly is an error.
    pub(super) fn done(&mut self) -> Result<bool> {
        if !self.done
            && let Some(status) = self.child.try_wait()?
        {
            if !status.success() {
                bail!("{} ended with {status}\n{}", self.name, self.log_tail());
            }
            self.done = true;
        }
        Ok(self.done)
    }

    /// Ends its input and waits for its end, which must be a good one.
    pub(super) fn finish(&mut self, patience: Duration) -> Result<()> {
        self.input = None;
        let deadline = Instant::now() + patience;
        while !self.done()? {
            if Instant::now() >= deadline {
                bail!("{} did not end\n{}", self.name, self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(super) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(20);
        format!("--- end of {}\n{}", self.log.display(), lines[from..].join("\n"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
