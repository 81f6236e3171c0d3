//! `cargo xtask instructions`: how many instructions a core spends on a request, against what is
//! recorded.
//!
//! The counts come from callgrind (`broker/benches/instructions`), so they are the same on a busy
//! machine and on a quiet one. A count above the recorded one by more than [`TOLERANCE_PERCENT`]
//! fails; one that is that much below is told, and recorded by `--record`, so that it stays. Counts
//! hold for one compiler and one C library: whoever changes those records anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::provision::{self, Dirs};

/// Requests that the benchmark counts in one sum (`REQUESTS` there).
const REQUESTS: u64 = 1000;
const TOLERANCE_PERCENT: f64 = 2.5;
/// Below the work tree.
const RATCHET: &str = "broker/benches/ratchet.toml";
const RECORD: &str = "cargo xtask instructions --record";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Writes the counts down as those to compare with.
    #[arg(long)]
    record: bool,
}

/// Instructions of one request, by the benchmark's name for it.
type Counts = BTreeMap<String, u64>;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    if let Some(why) = provision::debian(&dirs, "valgrind")? {
        if provision::must() {
            bail!("{why}, and CI=true forbids a skip");
        }
        println!("SKIPPED instructions: {why}");
        return Ok(());
    }
    let counts = count(&dirs)?;
    let path = dirs.root.join(RATCHET);
    if arguments.record {
        fs::write(&path, written(&counts))?;
        println!("{}", compared(&counts, &Counts::new()).0);
        println!("recorded in {RATCHET}");
        return Ok(());
    }
    let recorded = fs::read_to_string(&path)
        .with_context(|| format!("{} is not there; make it: {RECORD}", path.display()))?;
    let recorded: Counts = toml::from_str(&recorded).with_context(|| path.display().to_string())?;
    let (text, worse) = compared(&counts, &recorded);
    println!("{text}");
    ensure!(!worse, "more instructions a request than recorded; if they are worth it: {RECORD}");
    Ok(())
}

/// Runs the benchmark.
fn count(dirs: &Dirs) -> Result<Counts> {
    // The benchmark looks for its runner on the PATH.
    let mut path = vec![runner(dirs)?];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let home = dirs.cache.join("instructions");
    if home.exists() {
        // What an earlier run has left would be read as this one's.
        fs::remove_dir_all(&home)?;
    }
    fs::create_dir_all(&home)?;
    let status = Command::new("cargo")
        .args(["bench", "--quiet", "--package", "broker", "--bench", "instructions"])
        .args(["--", "--nosummary=true"])
        .env("PATH", std::env::join_paths(path)?)
        .env("GUNGRAUN_HOME", &home)
        .current_dir(&dirs.root)
        .status()?;
    ensure!(status.success(), "the benchmark ended with {status}");
    let mut counts = Counts::new();
    gather(&home, &mut counts)?;
    ensure!(!counts.is_empty(), "the benchmark has left no profile below {}", home.display());
    Ok(counts)
}

/// Where the program is that starts callgrind for the benchmark, of the version that the benchmark
/// is linked with.
fn runner(dirs: &Dirs) -> Result<PathBuf> {
    let lock = dirs.root.join("Cargo.lock");
    let lock: toml::Table = toml::from_str(&fs::read_to_string(lock)?)?;
    let packages = lock.get("package").and_then(toml::Value::as_array);
    let version = packages
        .into_iter()
        .flatten()
        .find(|p| p.get("name").and_then(toml::Value::as_str) == Some("gungraun"))
        .and_then(|p| p.get("version")?.as_str())
        .context("no gungraun in Cargo.lock")?;
    let place = dirs.cache.join(format!("gungraun-{version}"));
    let program = place.join("bin/gungraun-runner");
    if !program.is_file() {
        println!("  gungraun-runner {version}: building ...");
        provision::run(
            Command::new("cargo")
                .args(["install", "gungraun-runner", "--version", version])
                .args(["--locked", "--root"])
                .arg(&place)
                .arg("--target-dir")
                .arg(place.join("target"))
                // It starts valgrind and reads what that has written: built fast is better than
                // fast.
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .current_dir(&dirs.root),
            &dirs.cache.join("gungraun.log"),
        )?;
    }
    Ok(place.join("bin"))
}

/// Profiles below a directory: `.../<function>.<benchmark>/callgrind.<...>.out`.
fn gather(dir: &Path, counts: &mut Counts) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, counts)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with("callgrind.") || !name.ends_with(".out") {
            continue;
        }
        let parent = dir.file_name().unwrap_or_default().to_string_lossy();
        let benchmark = parent.split_once('.').map_or(&*parent, |(_, id)| id);
        let text = fs::read_to_string(&path)?;
        let total = total(&text).with_context(|| format!("no sum in {}", path.display()))?;
        counts.insert(benchmark.to_owned(), total / REQUESTS);
    }
    Ok(())
}

/// The sum at the end of a profile.
fn total(profile: &str) -> Option<u64> {
    let line = profile
        .lines()
        .find_map(|l| l.strip_prefix("totals:").or_else(|| l.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A table, and whether something is worse than recorded.
fn compared(counts: &Counts, recorded: &Counts) -> (String, bool) {
    let mut text =
        format!("{:26} {:>12} {:>12} {:>8}\n", "instructions a request", "counted", "recorded", "");
    let (mut worse, mut better) = (false, false);
    for (name, &count) in counts {
        let Some(&old) = recorded.get(name) else {
            let _ = writeln!(text, "{name:26} {count:>12} {:>12}", "-");
            continue;
        };
        #[allow(clippy::cast_precision_loss)]
        let percent = 100.0 * (count as f64 / old.max(1) as f64 - 1.0);
        let words = if percent > TOLERANCE_PERCENT {
            worse = true;
            "  MORE"
        } else if percent < -TOLERANCE_PERCENT {
            better = true;
            "  less"
        } else {
            ""
        };
        let _ = writeln!(text, "{name:26} {count:>12} {old:>12} {percent:>+7.2} %{words}");
    }
    for name in recorded.keys().filter(|name| !counts.contains_key(*name)) {
        worse = true;
        let _ = writeln!(text, "{name:26} {:>12}  is recorded, and was not counted", "-");
    }
    if better && !worse {
        let _ = writeln!(text, "it has become better; so that it stays: {RECORD}");
    }
    (text, worse)
}

fn written(counts: &Counts) -> String {
    let mut text = format!(
        "# Instructions that a core spends on a request: written by `{RECORD}`, compared by\n\
         # `cargo xtask instructions`, which fails at {TOLERANCE_PERCENT} % more.\n"
    );
    for (name, count) in counts {
        let _ = writeln!(text, "{name} = {count}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect()
    }

    #[test]
    fn more_is_an_error_and_less_is_told() {
        let recorded = counts(&[("a", 1000), ("b", 1000)]);
        let same = compared(&counts(&[("a", 1024), ("b", 976)]), &recorded);
        assert!(!same.1 && !same.0.contains("MORE") && !same.0.contains("less"));
        let better = compared(&counts(&[("a", 900), ("b", 1000)]), &recorded);
        assert!(!better.1 && better.0.contains("--record"), "{}", better.0);
        let worse = compared(&counts(&[("a", 1026), ("b", 500)]), &recorded);
        assert!(worse.1 && worse.0.contains("MORE"), "{}", worse.0);
        assert!(compared(&counts(&[("a", 1000)]), &recorded).1);
        assert!(!compared(&counts(&[("c", 1)]), &Counts::new()).1);
    }

    #[test]
    fn what_is_written_is_read() {
        let all = counts(&[("produce_64k", 123_456), ("x", 1)]);
        assert_eq!(toml::from_str::<Counts>(&written(&all)).unwrap(), all);
        assert_eq!(total("events: Ir\nfn=(1)\n5 7\n\ntotals: 4711\n"), Some(4711));
        assert_eq!(total("events: Ir\n"), None);
    }
}
