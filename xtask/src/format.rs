//! `cargo xtask format` and `cargo xtask lint`: rustfmt and clippy over all three workspaces.
//!
//! `fuzz/` and `clients/rust` are workspaces of their own, so cargo's `--workspace` does not see
//! them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::provision::Dirs;
use crate::tools::{WORKSPACES, must_pass};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Changes nothing, and fails where something would be changed.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    all(&Dirs::find()?.root, arguments.check)
}

/// Formats, or checks the format.
pub(crate) fn all(root: &Path, check: bool) -> Result<()> {
    for workspace in WORKSPACES {
        let mut command = Command::new("cargo");
        command.arg("fmt").current_dir(root.join(workspace));
        if workspace == "." {
            // Elsewhere this would format the crates of this workspace once more.
            command.arg("--all");
        }
        if check {
            command.arg("--check");
        }
        must_pass(&mut command, "`cargo xtask format` mends it")?;
    }
    Ok(())
}

/// `cargo xtask lint`: warnings are errors.
pub(crate) fn lint() -> Result<()> {
    let dirs = Dirs::find()?;
    for workspace in WORKSPACES {
        let mut command = clippy(&dirs, workspace);
        command.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
        must_pass(&mut command, &format!("in {workspace}"))?;
    }
    Ok(())
}

/// Clippy in a workspace, with a target directory from which it can take what is built already.
pub(crate) fn clippy(dirs: &Dirs, workspace: &str) -> Command {
    let mut command = Command::new("cargo");
    command.args(["clippy", "--quiet"]).current_dir(dirs.root.join(workspace));
    match workspace {
        // The same crates with the same features as in ours.
        "fuzz" => command.env("CARGO_TARGET_DIR", target(&dirs.root)),
        // Where the stage of clients builds librdkafka.
        "clients/rust" => command.env("CARGO_TARGET_DIR", dirs.cache.join("rust")),
        _ => &mut command,
    };
    command
}

/// Cargo's target directory of our workspace.
pub(crate) fn target(root: &Path) -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into)
}
