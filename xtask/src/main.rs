//! The one tool of the workspace: `cargo xtask <command>`.
//!
//! One module per command. What a command prints is for people; what it proves is in its exit code.

mod clients;
mod peers;
mod provision;
mod wire;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "The one tool of the workspace")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kafka's messages: schema files and the Rust made from them.
    Wire(wire::Arguments),
    /// Foreign Kafka clients against Millrace or Apache Kafka, and the table of what works.
    Clients(clients::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Wire(arguments) => wire::run(&arguments),
        Command::Clients(arguments) => clients::run(&arguments),
    }
}
