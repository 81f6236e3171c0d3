//! The one tool of the workspace: `cargo xtask <command>`.
//!
//! One module per command. What a command prints is for people; what it proves is in its exit code.
#![forbid(unsafe_code)]

mod check;
mod clients;
mod commits;
mod configs;
mod demo;
mod format;
mod fuzz;
mod instructions;
mod kafka;
mod monitoring;
mod prepare;
mod provision;
mod screenshots;
mod test;
mod tidy;
mod tools;
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
    /// Everything that is tested, stage by stage.
    Test(test::Arguments),
    /// Fetches and builds what later stages of `test` need; `test` runs it beside the first ones.
    Prepare(prepare::Arguments),
    /// The inner loop, below a minute: format, tidy, clippy and unit tests of what was changed.
    Check(check::Arguments),
    /// rustfmt over all three workspaces.
    Format(format::Arguments),
    /// clippy over all three workspaces; warnings are errors.
    Lint,
    /// Import graph, banned calls, homes of unsafe code, sizes of files, columns of comments.
    Tidy(tidy::Arguments),
    /// Words that are spelled wrong, as typos knows them.
    Spelling,
    /// Dependencies that no source uses.
    Unused,
    /// Licences, banned crates, sources; advisories where their database is in reach.
    Deny,
    /// Messages of commits, in the history or in a file.
    Commits(commits::Arguments),
    /// Makes git ask `commits` before it takes a message.
    Hooks,
    /// Kafka's messages: schema files and the Rust made from them.
    Wire(wire::Arguments),
    /// Facts about Kafka's configuration keys, imported from its classes.
    Configs(configs::Arguments),
    /// Foreign Kafka clients against Millrace or Apache Kafka, and the table of what works.
    Clients(clients::Arguments),
    /// Bytes from outside: corpora replayed, every fuzz target for a while.
    Fuzz(fuzz::Arguments),
    /// Instructions of a core for each kind of request, against what is recorded.
    Instructions(instructions::Arguments),
    /// Metrics, alert rules and dashboard, as promtool judges them.
    Monitoring(monitoring::Arguments),
    /// A page as a browser shows it: light and dark, wide and narrow.
    Screenshots(screenshots::Arguments),
    /// A year of real events through several clients, with the broker killed meanwhile.
    Demo(demo::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Prepare(arguments) => prepare::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Format(arguments) => format::run(&arguments),
        Command::Lint => format::lint(),
        Command::Tidy(arguments) => tidy::run(&arguments),
        Command::Spelling => tools::spelling(),
        Command::Unused => tools::unused(),
        Command::Deny => tools::deny(),
        Command::Commits(arguments) => commits::run(&arguments),
        Command::Hooks => commits::install(),
        Command::Wire(arguments) => wire::run(&arguments),
        Command::Configs(arguments) => configs::run(&arguments),
        Command::Clients(arguments) => clients::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Instructions(arguments) => instructions::run(&arguments),
        Command::Monitoring(arguments) => monitoring::run(&arguments),
        Command::Screenshots(arguments) => screenshots::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
