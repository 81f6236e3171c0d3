//! `cargo xtask instructions`: how many instructions a core spends on a request, against what is
//! recorded.
//!
//! The counts come from callgrind, below which each case of `broker/benches/instructions` runs, so
//! they are the same on a busy machine and on a quiet one. A count above the recorded one by more
//! than [`TOLERANCE_PERCENT`] fails; one that is that much below is told, and recorded by
//! `--record`, so that it stays. Counts hold for one compiler and one C library: whoever changes
//! those records anew.
//!
//! The profiles stay in `target/clients/instructions`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::provision::{self, Dirs};

/// Requests that are counted in one sum: as many as have a few background flushes among them.
const REQUESTS: u64 = 1000;
const TOLERANCE_PERCENT: f64 = 2.5;
/// Below the work tree.
const RATCHET: &str = "broker/benches/ratchet.toml";
const RECORD: &str = "cargo xtask instructions --record";

/// Collection is on inside of a core's step, and off again inside of the simulation's driver; what
/// was collected before the counted requests is thrown away.
const CALLGRIND: [&str; 6] = [
    "--tool=callgrind",
    "--collect-atstart=no",
    "--toggle-collect=*netio::core::turn::Core::step*",
    "--toggle-collect=*netio::world::driver::SimDriver*",
    "--zero-before=*Load::counted_requests*",
    "--cache-sim=no",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Writes the counts down as those to compare with.
    #[arg(long)]
    record: bool,
}

/// Instructions of one request, by the name of the case.
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

/// Runs all cases, as many at a time as there are processors.
fn count(dirs: &Dirs) -> Result<Counts> {
    let program = build(dirs)?;
    let home = dirs.cache.join("instructions");
    fs::create_dir_all(&home)?;
    let names = Command::new(&program).output()?;
    ensure!(names.status.success(), "{} ended with {}", program.display(), names.status);
    let names = String::from_utf8(names.stdout)?;
    let left = Mutex::new(names.lines());
    let next = || left.lock().ok()?.next();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let counts = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    std::iter::from_fn(next)
                        .map(|case| Ok((case.to_owned(), counted(&program, &home, case)?)))
                        .collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker ends")).collect::<Vec<_>>()
    });
    let mut all = Counts::new();
    for counts in counts {
        all.extend(counts?);
    }
    ensure!(!all.is_empty(), "{} has no cases", program.display());
    Ok(all)
}

/// Builds the program of the cases, of the libraries of `cargo build --release`. Gives where it is.
fn build(dirs: &Dirs) -> Result<PathBuf> {
    let out = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--package", "broker"])
        .args(["--example", "instructions", "--message-format=json-render-diagnostics"])
        .current_dir(&dirs.root)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(out.status.success(), "the build ended with {}", out.status);
    let text = String::from_utf8(out.stdout)?;
    executable(&text).context("cargo has named no program that it built")
}

/// The last program in cargo's messages, one a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let named = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        value.get("executable")?.as_str().map(PathBuf::from)
    };
    messages.lines().rev().find_map(named)
}

/// Runs one case below callgrind.
fn counted(program: &Path, home: &Path, case: &str) -> Result<u64> {
    let profile = home.join(format!("{case}.out"));
    if profile.exists() {
        // What an earlier run has left would be read as this one's.
        fs::remove_file(&profile)?;
    }
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(&profile);
    peers::run(
        Command::new("valgrind")
            .args(CALLGRIND)
            .arg(out_file)
            .arg(program)
            .args([case, &REQUESTS.to_string()])
            .current_dir(home),
        &home.join(format!("{case}.log")),
    )?;
    let text = fs::read_to_string(&profile).with_context(|| profile.display().to_string())?;
    let total = total(&text).with_context(|| format!("no sum in {}", profile.display()))?;
    ensure!(
        total > 0,
        "nothing was counted: a function that callgrind is told of has another name"
    );
    Ok(total / REQUESTS)
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

    #[test]
    fn the_program_is_found_in_the_messages_of_cargo() {
        let text = concat!(
            r#"{"reason":"compiler-artifact","executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","executable":"/t/examples/x"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executable(text), Some(PathBuf::from("/t/examples/x")));
        assert_eq!(executable("{}"), None);
    }
}
