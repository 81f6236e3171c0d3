//! The broker under test: started, killed, started again, with the time that each start took.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use peers::{Kafka, KafkaOptions, Millrace, MillraceOptions, free_ports};

use super::{Arguments, Mode};
use crate::clients::{Against, millrace_binary};
use crate::kafka;
use crate::provision::{Dirs, Tool};

/// A group of one member would otherwise wait 3 s for others at its first join.
const PROPERTIES: [(&str, &str); 1] = [("group.initial.rebalance.delay.ms", "100")];

/// What is to be started, and where it will lie.
#[derive(Debug)]
pub(super) struct Launch {
    /// As in the report: broker and mode.
    pub(super) name: String,
    /// Everything of this run lies below it.
    pub(super) work: PathBuf,
    program: Program,
    single_port: bool,
}

#[derive(Debug)]
enum Program {
    Millrace(PathBuf),
    Kafka { jars: PathBuf },
}

impl Launch {
    pub(super) fn prepare(arguments: &Arguments, dirs: &Dirs) -> Result<Self> {
        let single_port = arguments.mode == Mode::Single;
        let (name, program) = match arguments.against {
            Against::Kafka => match kafka::jars(dirs)? {
                Tool::Ready(jars) => ("kafka".to_owned(), Program::Kafka { jars }),
                Tool::Absent(why) => bail!("Apache Kafka needs Java: {why}"),
            },
            Against::Millrace => {
                let mode = if single_port { "single" } else { "core" };
                let bin = millrace_binary(arguments.millrace_bin.as_deref(), dirs)?;
                (format!("millrace-{mode}"), Program::Millrace(bin))
            }
        };
        let own =
            if arguments.keep { format!("{name}-{}", std::process::id()) } else { name.clone() };
        let work = dirs.cache.join("demo/run").join(own);
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        fs::create_dir_all(&work)?;
        Ok(Self { name, work, program, single_port })
    }

    pub(super) fn start(&self) -> Result<Broker> {
        let properties = PROPERTIES
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        match &self.program {
            Program::Kafka { jars } => {
                let options = KafkaOptions {
                    jars: jars.clone(),
                    dir: self.work.clone(),
                    port: free_ports(2)?,
                    heap_mib: 1024,
                    properties,
                };
                let peer = Peer::Kafka(Kafka::start(options.clone())?, options);
                Ok(Broker { peer: Some(peer) })
            }
            Program::Millrace(bin) => {
                let port = free_ports(3)?;
                let millrace = Millrace::start(MillraceOptions {
                    bin: bin.clone(),
                    data: self.work.join("data"),
                    log: self.work.join("millrace.log"),
                    port,
                    admin_port: port + 2,
                    cores: 2,
                    single_port: self.single_port,
                    set: properties,
                })?;
                Ok(Broker { peer: Some(Peer::Millrace(millrace)) })
            }
        }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.work.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        match self.program {
            Program::Millrace(_) => self.work.join("millrace.log"),
            Program::Kafka { .. } => self.work.join("kafka.log"),
        }
    }
}

#[derive(Debug)]
enum Peer {
    Millrace(Millrace),
    Kafka(Kafka, KafkaOptions),
}

/// A running broker. It dies with its handle.
#[derive(Debug)]
pub(super) struct Broker {
    /// None only after a restart that failed.
    peer: Option<Peer>,
}

impl Broker {
    pub(super) fn bootstrap(&self) -> String {
        match self.peer() {
            Peer::Millrace(millrace) => millrace.bootstrap(),
            Peer::Kafka(kafka, _) => kafka.bootstrap(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        match self.peer() {
            Peer::Millrace(millrace) => millrace.id(),
            Peer::Kafka(kafka, _) => kafka.id(),
        }
    }

    /// SIGKILL, and a start on the same data and ports. Returns the time from the start to ready.
    pub(super) fn kill_and_restart(&mut self) -> Result<Duration> {
        match self.peer.take() {
            Some(Peer::Millrace(millrace)) => {
                let millrace = Millrace::start(millrace.kill()?)?;
                let ready_after = millrace.ready_after();
                self.peer = Some(Peer::Millrace(millrace));
                Ok(ready_after)
            }
            Some(Peer::Kafka(kafka, options)) => {
                kafka.kill()?;
                let begun = Instant::now();
                self.peer = Some(Peer::Kafka(Kafka::start(options.clone())?, options));
                Ok(begun.elapsed())
            }
            None => bail!("the broker has not come back after the last kill"),
        }
    }

    /// SIGTERM; the end must be a clean one.
    pub(super) fn stop(mut self) -> Result<()> {
        match self.peer.take() {
            Some(Peer::Millrace(millrace)) => {
                let status = millrace.stop()?;
                if !status.success() {
                    bail!("Millrace ended with {status} after SIGTERM");
                }
                Ok(())
            }
            Some(Peer::Kafka(kafka, _)) => kafka.stop(),
            None => Ok(()),
        }
    }

    fn peer(&self) -> &Peer {
        self.peer.as_ref().expect("the broker has come back after the last kill")
    }
}

/// Bytes of all files below a directory, as the disk holds them (`du`).
pub(super) fn bytes_on_disk(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes +=
            if metadata.is_dir() { bytes_on_disk(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
