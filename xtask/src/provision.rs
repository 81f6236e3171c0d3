//! Provisioning of foreign tool chains: what is there, what is fetched once, where it is kept.
//!
//! Everything fetched lies under `target/clients`, next to a stamp that holds the manifest it
//! was made from: a second run does nothing, a changed manifest starts over.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

/// A tool chain's product, or what is missing for it.
#[derive(Debug)]
pub(crate) enum Tool<T> {
    Ready(T),
    Absent(String),
}

/// Where things lie.
#[derive(Debug, Clone)]
pub(crate) struct Dirs {
    /// The work tree.
    pub(crate) root: PathBuf,
    /// `clients/`: manifests and programs, committed.
    pub(crate) clients: PathBuf,
    /// `target/clients/`: fetched and built things, results, logs.
    pub(crate) cache: PathBuf,
}

impl Dirs {
    pub(crate) fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask has no parent directory")?.to_owned();
        let cache = root.join("target/clients");
        fs::create_dir_all(&cache)?;
        Ok(Self { clients: root.join("clients"), cache, root })
    }
}

/// The first of `programs` that is not on the PATH.
pub(crate) fn missing(programs: &[&str]) -> Option<String> {
    programs.iter().find(|name| !on_path(name)).map(|name| format!("no `{name}` on the PATH"))
}

pub(crate) fn on_path(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Makes sure of a program whose Debian package has its name; says why where it can't.
pub(crate) fn debian(dirs: &Dirs, program: &str) -> Result<Option<String>> {
    if on_path(program) {
        return Ok(None);
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !on_path("apt-get") || !root {
        return Ok(Some(format!(
            "no `{program}` on the PATH; `apt-get install {program}` as root gives it"
        )));
    }
    println!("  {program}: installing Debian's package ...");
    let log = dirs.cache.join(format!("{program}.log"));
    apt_get(&["install", "-y", "--no-install-recommends", program], &dirs.root, &log)?;
    Ok(None)
}

/// Runs `apt-get` in `folder`. A machine's package lists may be absent or old: they are fetched
/// only then.
pub(crate) fn apt_get(arguments: &[&str], folder: &Path, log: &Path) -> Result<()> {
    let apt = |arguments: &[&str]| {
        peers::run(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(arguments)
                .current_dir(folder),
            log,
        )
    };
    if apt(arguments).is_err() {
        apt(&["update"])?;
        apt(arguments)?;
    }
    Ok(())
}

/// Whether a tool chain that is absent is an error (`CI=true`) and not a line.
pub(crate) fn must() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Runs `make` unless `stamp` says that it was done with these very `inputs`.
pub(crate) fn once(
    stamp: &Path,
    inputs: &[&Path],
    what: &str,
    make: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut key = Vec::new();
    for input in inputs {
        key.extend(fs::read(input).with_context(|| format!("cannot read {}", input.display()))?);
    }
    if fs::read(stamp).is_ok_and(|old| old == key) {
        return Ok(());
    }
    println!("  {what} ...");
    let start = Instant::now();
    if let Some(parent) = stamp.parent() {
        fs::create_dir_all(parent)?;
    }
    let _ = fs::remove_file(stamp);
    make().with_context(|| what.to_owned())?;
    fs::write(stamp, key)?;
    println!("  {what}: done in {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}
