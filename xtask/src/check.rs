//! `cargo xtask check`: the inner loop, below a minute: format, tidy, then clippy and unit tests of
//! the crates that were changed.
//!
//! It ends at the first finding. What it leaves out, `cargo xtask test` does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::commits::git;
use crate::provision::Dirs;
use crate::tools::must_pass;
use crate::{format, tidy};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Changed since this commit; the default is where the branch has left `main`.
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    let began = Instant::now();
    let since = match &arguments.since {
        Some(since) => since.clone(),
        None => branch_point(&dirs.root),
    };
    let changed = changed(&dirs.root, &since)?;
    let step = |what: &str| println!("{:>5.1} s  {what}", began.elapsed().as_secs_f64());
    step("format");
    format::all(&dirs.root, true)?;
    step("tidy");
    tidy::run(&tidy::Arguments::default())?;
    let packages: Vec<&str> =
        tidy::CRATES.iter().filter(|c| changed.contains(c.folder)).map(|c| c.name).collect();
    if !packages.is_empty() {
        let of: Vec<&str> = packages.iter().flat_map(|package| ["--package", package]).collect();
        step(&format!("clippy: {}", packages.join(", ")));
        let mut clippy = format::clippy(&dirs, ".");
        clippy.args(&of).args(["--all-targets", "--", "-D", "warnings"]);
        must_pass(&mut clippy, "warnings are errors")?;
        step("unit tests");
        for c in tidy::CRATES.iter().filter(|c| packages.contains(&c.name)) {
            // Cargo takes `--lib` without a library for a mistake.
            let lib = dirs.root.join(c.folder).join("src/lib.rs").exists();
            let mut tests = Command::new("cargo");
            tests.args(["test", "--quiet", "--package", c.name, "--bins"]);
            tests.args(lib.then_some("--lib")).current_dir(&dirs.root);
            must_pass(&mut tests, &format!("unit tests of {}", c.name))?;
        }
    }
    for workspace in ["fuzz", "clients/rust"] {
        if changed.contains(workspace) {
            step(&format!("clippy: {workspace}"));
            let mut clippy = format::clippy(&dirs, workspace);
            clippy.args(["--all-targets", "--", "-D", "warnings"]);
            must_pass(&mut clippy, "warnings are errors")?;
        }
    }
    step("done");
    Ok(())
}

/// Where HEAD has left `main`; HEAD where there is no such branch.
fn branch_point(root: &Path) -> String {
    ["main", "origin/main"]
        .iter()
        .find_map(|main| git(root, &["merge-base", "HEAD", main]))
        .map_or_else(|| "HEAD".to_owned(), |commit| commit.trim().to_owned())
}

/// Folders of crates and workspaces in which a file differs from `since`, new files included.
fn changed(root: &Path, since: &str) -> Result<BTreeSet<&'static str>> {
    let files = git(root, &["diff", "--name-only", since, "--"])
        .with_context(|| format!("git diff {since}: there is no such commit"))?;
    let new = git(root, &["ls-files", "--others", "--exclude-standard"]).unwrap_or_default();
    Ok(files.lines().chain(new.lines()).filter_map(folder_of).collect())
}

/// The innermost crate or workspace that a file lies in.
fn folder_of(file: &str) -> Option<&'static str> {
    let crates = tidy::CRATES.iter().map(|c| c.folder);
    crates
        .chain(["fuzz", "clients/rust"])
        .filter(|folder| file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
        .max_by_key(|folder| folder.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_innermost_crate() {
        assert_eq!(folder_of("broker/wire/src/lib.rs"), Some("broker/wire"));
        assert_eq!(folder_of("broker/src/lib.rs"), Some("broker"));
        assert_eq!(folder_of("clients/rust/src/main.rs"), Some("clients/rust"));
        assert_eq!(folder_of("clients/python/a.py"), None);
        assert_eq!(folder_of("brokers/x"), None);
        assert_eq!(folder_of("README.md"), None);
    }
}
