//! `cargo xtask test`: everything that is tested, stage by stage, with the time that each took.
//!
//! It installs what the tests need from the package registries. A tool chain that is absent is skipped with a line that says
//! so, or is an error when CI=true.
use anyhow::{Result, bail};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only the stages whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Leaves out the stages whose name contains this.
    #[arg(long)]
    skip: Vec<String>,
    /// Shows the stages and ends.
    #[arg(long)]
    list: bool,
}

/// A stage: its name, what it is for, and the command line.
struct Stage {
    name: &'static str,
    about: &'static str,
    command: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const STAGES: &[Stage] = &[
    Stage {
        name: "format",
        about: "rustfmt",
        command: &["cargo", "fmt", "--all", "--check"],
        environment: &[],
    },
    Stage {
        name: "lint",
        about: "clippy, warnings are errors",
        command: &[
            "cargo",
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        environment: &[],
    },
    Stage {
        name: "tidy",
        about: "import graph, bans, unsafe code",
        command: &["cargo", "xtask", "tidy"],
        environment: &[],
    },
    Stage {
        name: "rust",
        about: "tests of every crate, on the ring and in the simulation",
        command: &["cargo", "test", "--workspace", "--no-fail-fast"],
        environment: &[],
    },
    Stage {
        name: "instructions",
        about: "instructions of a request, counted by callgrind, against what is recorded",
        command: &["cargo", "xtask", "instructions"],
        environment: &[],
    },
    Stage {
        name: "monitoring",
        about: "metrics, alert rules and dashboard, as promtool judges them",
        command: &["cargo", "xtask", "monitoring"],
        environment: &[],
    },
    Stage {
        name: "release",
        about: "the binary that the next stages run",
        command: &["cargo", "build", "--release"],
        environment: &[],
    },
    Stage {
        name: "seeds",
        about: "1,000 storage runs with crashes in the simulation, each twice",
        command: &["cargo", "test", "--release", "-p", "storage", "--test", "conformance"],
        environment: &[("MILLRACE_SEEDS", "1000")],
    },
    Stage {
        name: "fuzz",
        about: "corpora replayed, every target for 15 s",
        command: &["cargo", "xtask", "fuzz", "--seconds", "15"],
        environment: &[],
    },
    Stage {
        name: "clients",
        about: "foreign clients, both listener modes",
        command: &["cargo", "xtask", "clients"],
        environment: &[],
    },
    Stage {
        name: "demo",
        about: "a year of flights through two languages, with kills",
        command: &["cargo", "xtask", "demo"],
        environment: &[],
    },
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let chosen = STAGES.iter().filter(|stage| {
        arguments.only.as_ref().is_none_or(|only| stage.name.contains(only.as_str()))
            && !arguments.skip.iter().any(|skip| stage.name.contains(skip.as_str()))
    });
    if arguments.list {
        chosen.for_each(|stage| println!("{:12} {}", stage.name, stage.about));
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."));
    let mut times: Vec<(&str, Duration, bool)> = Vec::new();
    for stage in chosen {
        println!("\n==> {}: {} ({})", stage.name, stage.about, stage.command.join(" "));
        let began = Instant::now();
        let mut command = Command::new(stage.command[0]);
        command.args(&stage.command[1..]).envs(stage.environment.iter().copied()).current_dir(root);
        let passed = command.status()?.success();
        times.push((stage.name, began.elapsed(), passed));
    }
    println!("\n{:12} {:>8}", "stage", "seconds");
    for (name, time, passed) in &times {
        println!(
            "{name:12} {:>8.1}  {}",
            time.as_secs_f64(),
            if *passed { "ok" } else { "FAILED" }
        );
    }
    let failed = times.iter().filter(|t| !t.2).count();
    println!("{} passed, {failed} failed", times.len() - failed);
    if failed > 0 {
        bail!("{failed} of {} stages failed", times.len());
    }
    Ok(())
}
