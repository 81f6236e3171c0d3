//! `cargo xtask demo`: the broker's main job on real input, with the broker killed meanwhile.
//!
//! ```text
//! flights of a year  ──┐  confluent-kafka, zstd         ┌─► Java group of two members
//! flights of a year  ──┼► franz-go, lz4    ──► broker ──┤
//! weather of a year  ──┘  franz-go, snappy       ▲      └─► kafkajs group of two members
//!                                        SIGKILL, N times
//! then: kill, restart, read everything from the beginning, compare
//! ```
//!
//! Every event has a key, a sequence number within its key, and a sum over all of it. A producer
//! writes a ledger of what was acknowledged, and where; a group's member writes what it saw and
//! what commits were acknowledged. What must hold in the end is in [`contents`] and [`group`];
//! both are plain comparisons of files, with tests that a lost, doubled, moved or altered event
//! fails them.
//!
//! Apache Kafka with `--kills` is a way to try the programs, and fails for a reason of its own: it
//! forgets a producer whose newest batch is a day old by its time stamp
//! (`producer.id.expiration.ms`, in `ProducerStateManager` when state is loaded), these events are
//! of 2013, and so it takes a retry after an unclean start for something new.
//!
//! Programs and harness speak over pipes; see [`worker`]. This module judges no speed but that
//! of the restart: a broker that is ready later than [`READY_WITHIN`] fails.

mod broker;
mod contents;
mod faults;
mod group;
mod input;
mod kills;
mod numbers;
mod programs;
mod run;
mod worker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::clients::Against;
use crate::provision::{Dirs, Tool};

/// From the start of a killed broker to its first answer.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The broker under test.
    #[arg(long, value_enum, default_value_t = Against::Millrace)]
    against: Against,
    /// Millrace's listener mode.
    #[arg(long, value_enum, default_value_t = Mode::Core)]
    mode: Mode,
    /// How often the broker is killed while events go in; the default is 10, for Kafka 0.
    #[arg(long)]
    kills: Option<usize>,
    /// Decides the moments of the kills; the default is taken from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// The Millrace binary; the default is `target/release/millrace`, built when it is missing.
    #[arg(long, value_name = "PATH")]
    millrace_bin: Option<PathBuf>,
    /// Use a directory that no later run replaces.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Core,
    Single,
}

/// Fetches and builds its programs and its input.
pub(crate) fn prepare(dirs: &Dirs) -> Result<()> {
    programs::provision(dirs).map(drop)
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    let begun = Instant::now();
    let programs = match programs::provision(&dirs)? {
        Tool::Ready(programs) => programs,
        Tool::Absent(why) if crate::provision::must() => {
            bail!("{why}, and CI=true forbids a skip")
        }
        Tool::Absent(why) => {
            println!("SKIPPED demo: {why}");
            return Ok(());
        }
    };
    let launch = broker::Launch::prepare(arguments, &dirs)?;
    println!("provisioned in {:.1} s", begun.elapsed().as_secs_f32());
    run::run(arguments, &programs, &launch)
}
