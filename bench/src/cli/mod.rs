//! The command line: flags to values, values to calls.

mod compare;
mod crosscheck;
mod load;
mod one;
mod study;

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
    /// Latency at 5 to 95 % of the measured maximum, the knee, the highest rate within a bound
    Curve(study::CurveArgs),
    /// What connections, record sizes or partitions cost
    Sweep(study::SweepArgs),
    /// Writers alone, and beside a reader of old data
    Replay(study::ReplayArgs),
    /// One long run
    Soak(study::SoakArgs),
    /// What the machine does without a broker
    Floors(study::FloorsArgs),
    /// The same load on Kafka from this generator and from Kafka's own tool
    Crosscheck(crosscheck::CrosscheckArgs),
    /// Makes the pages and drawings of a comparison anew from its report.json
    Report(compare::ReportArgs),
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
        Command::Curve(args) => study::curve(&args),
        Command::Sweep(args) => study::sweep(&args),
        Command::Replay(args) => study::replay(&args),
        Command::Soak(args) => study::soak(&args),
        Command::Floors(args) => study::floors(&args),
        Command::Crosscheck(args) => crosscheck::crosscheck(&args),
        Command::Report(args) => compare::report(&args),
    }
}
