//! `cargo xtask tidy`: what keeps the workspace simple to see, checked. It is a test too (`cargo test -p xtask`).
//!
//! The import graph of our crates, calls that are banned above `netio`, leftovers, and words that a finished line of code does
//! not hold. Text only: it runs in a second and needs nothing but the sources.
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which of our crates a crate may import (ARCHITECTURE.md). Development dependencies count too.
const GRAPH: &[(&str, &str, &[&str])] = &[
    ("storage/record", "record", &[]),
    ("netio", "netio", &[]),
    ("broker/wire", "wire", &["record"]),
    ("storage", "storage", &["record", "netio"]),
    ("tuning", "tuning", &["netio", "storage"]),
    ("broker", "broker", &["record", "netio", "wire", "storage", "tuning"]),
    ("broker/client", "client", &["record", "wire"]),
    ("bench", "millrace-bench", &["record", "wire", "client"]),
    ("xtask", "xtask", &[]),
];

/// Our crates by the name they are imported by.
const OURS: &[&str] =
    &["record", "netio", "wire", "storage", "tuning", "broker", "client", "bench"];

struct Ban {
    text: &'static str,
    /// Folders in which it is banned.
    folders: &'static [&'static str],
    instead: &'static str,
}

/// Above `netio`, time, chance and I/O come from it, and nothing may differ between two runs of one seed.
const SHARD: &[&str] = &[
    "storage/src",
    "broker/src/shard",
    "broker/src/session",
    "broker/src/api",
    "broker/src/fetch",
    "broker/src/produce",
    "broker/src/partition",
    "broker/src/group",
    "broker/src/coordinator",
    "broker/src/controller",
    "broker/src/metadata",
];
const PURE: &[&str] = &["storage/record/src", "broker/wire/src"];
const ALL: &[&str] = &["netio/src", "storage", "broker", "tuning", "bench", "xtask/src"];

const BANS: &[Ban] = &[
    Ban { text: "std::time::Instant", folders: SHARD, instead: "netio::Io::now" },
    Ban { text: "SystemTime::now", folders: SHARD, instead: "netio::Io::wall" },
    Ban { text: "std::fs::", folders: SHARD, instead: "netio::File and netio::Io" },
    Ban { text: "std::net::Tcp", folders: SHARD, instead: "netio::Io::listen and connect" },
    Ban { text: "std::thread::", folders: SHARD, instead: "netio::start, or a background task" },
    Ban {
        text: "thread_local!",
        folders: SHARD,
        instead: "a field of the shard: in the simulation all cores share a thread",
    },
    Ban { text: "static mut", folders: ALL, instead: "a field of its owner" },
    Ban { text: "RandomState", folders: SHARD, instead: "foldhash::fast::FixedState" },
    Ban {
        text: "std::collections::HashMap",
        folders: SHARD,
        instead: "BTreeMap, or hashbrown::HashMap with FixedState",
    },
    Ban {
        text: "std::collections::HashSet",
        folders: SHARD,
        instead: "BTreeSet, or hashbrown with FixedState",
    },
    Ban { text: "std::fs", folders: PURE, instead: "slices in, values out" },
    Ban {
        text: "io_uring::",
        folders: &["storage", "broker/src", "broker/wire", "broker/client", "tuning", "bench"],
        instead: "netio",
    },
    Ban {
        text: "libc::",
        folders: &["storage", "broker", "tuning", "bench", "xtask/src"],
        instead: "netio, or rustix",
    },
    Ban { text: concat!("dbg", "!("), folders: ALL, instead: "tracing" },
    Ban {
        text: concat!("print", "ln!("),
        folders: &["broker/src", "storage/src", "netio/src"],
        instead: "broker::output, or tracing: it panics when its reader is gone",
    },
    Ban { text: concat!("to", "do!("), folders: ALL, instead: "the code" },
    Ban {
        text: concat!("unimpl", "emented!("),
        folders: ALL,
        instead: "the code, or an error that names the cure",
    },
];

/// Files that may name a banned thing, with the reason.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("xtask/src/tidy.rs", "", "the list itself"),
    (
        "netio/src/sim/scheduler.rs",
        concat!("print", "ln!("),
        "says seed and time when a test panics",
    ),
];

pub(crate) fn run() -> Result<()> {
    let root = root();
    let mut findings = imports(&root)?;
    findings.extend(bans(&root)?);
    findings.extend(unsafe_homes(&root)?);
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: import graph, bans and unsafe code are as ARCHITECTURE.md says");
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Edges between our crates, from their manifests.
fn imports(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (folder, name, allowed) in GRAPH {
        let path = root.join(folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut in_dependencies = false;
        for line in text.lines() {
            if let Some(section) = line.strip_prefix('[') {
                in_dependencies = section.contains("dependencies");
                continue;
            }
            let dependency = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if in_dependencies && OURS.contains(&dependency) && !allowed.contains(&dependency) {
                findings.push(format!(
                    "{name} imports {dependency}: ARCHITECTURE.md does not allow this edge"
                ));
            }
        }
    }
    Ok(findings)
}

fn bans(root: &Path) -> Result<Vec<String>> {
    let mut findings = BTreeSet::new();
    for ban in BANS {
        for folder in ban.folders {
            for file in sources(&root.join(folder))? {
                let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
                if EXEMPT
                    .iter()
                    .any(|(f, text, _)| *f == shown && (text.is_empty() || *text == ban.text))
                {
                    continue;
                }
                let text = fs::read_to_string(&file).with_context(|| shown.clone())?;
                for (number, line) in code_lines(&text) {
                    if line.contains(ban.text) {
                        findings.insert(format!(
                            "{shown}:{number}: {} is banned here; use {}",
                            ban.text, ban.instead
                        ));
                    }
                }
            }
        }
    }
    Ok(findings.into_iter().collect())
}

/// Every crate but netio forbids unsafe code.
fn unsafe_homes(root: &Path) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (folder, name, _) in GRAPH.iter().filter(|(_, name, _)| *name != "netio") {
        let source = root.join(folder).join("src");
        let main = ["lib.rs", "main.rs"].iter().map(|f| source.join(f)).filter(|f| f.exists());
        for file in main {
            let text = fs::read_to_string(&file)?;
            if !text.contains("#![forbid(unsafe_code)]") {
                findings.push(format!("{name}: {} lacks #![forbid(unsafe_code)]", file.display()));
            }
        }
    }
    Ok(findings)
}

/// Lines of code with their numbers: no comments, nothing behind the tests at a file's end.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .take_while(|(_, line)| !line.starts_with("mod tests"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Rust files below a folder, sorted; tests, benches and generated files are left out.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            let skipped = ["tests", "benches", "examples", "target"].contains(&name.as_str())
                || name.contains("tests");
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if name.ends_with(".rs") && !skipped {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let root = root();
        let mut findings = imports(&root).unwrap();
        findings.extend(bans(&root).unwrap());
        findings.extend(unsafe_homes(&root).unwrap());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }

    #[test]
    fn comments_and_tests_do_not_count() {
        let text = "// std::fs::\nuse x;\nmod tests {\n std::fs::\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(2, "use x;")]);
    }
}
