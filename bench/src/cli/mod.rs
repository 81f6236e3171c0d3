//! The command line: flags to values, values to calls.

mod compare;
mod load;
mod one;

pub(crate) use one::bare_versions;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures any Kafka broker.
#[derive(Debug, Parser)]
#[command(name = "millrace-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Produce, in an open loop (with a rate) or a closed one (without).
    Produce(one::ProduceArgs),
    /// Read what is stored, over and over, as fast as it comes.
    Consume(one::ConsumeArgs),
    /// Produce and read at the tail: end-to-end latency, every record checked.
    E2e(one::E2eArgs),
    /// Several brokers, the same scenarios, turn by turn; fetches and starts them
    Compare(compare::CompareArgs),
}

/// Parses the arguments of the process and does what they say.
///
/// # Errors
/// What went wrong, for the user.
pub fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Produce(args) => one::produce(&args),
        Command::Consume(args) => one::consume(&args),
        Command::E2e(args) => one::e2e(&args),
        Command::Compare(args) => compare::compare(&args),
    }
}
