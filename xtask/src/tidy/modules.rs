//! Edges between the top-level modules of a crate: `xtask/modules.toml` and the truth are one.
//!
//! An edge is a path from the crate's root (`crate::a`) in a file of another top-level module; what
//! `lib.rs` exports counts for the module that it comes from. Tests may import what they like.
//!
//! A circle of modules cannot be understood, tested or moved but as a whole. The largest of each
//! crate is recorded and may only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::source::Source;

const FILE: &str = "xtask/modules.toml";
/// Crates with enough modules to get lost in, by folder.
const JUDGED: [&str; 4] = ["bench", "broker", "netio", "storage"];

/// What each module imports, by its name.
type Edges = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Recorded {
    /// Modules in the largest circle; 1 is none.
    largest_circle: usize,
    imports: Edges,
}

pub(super) fn findings(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let recorded = read(root)?;
    let mut findings = paths(sources);
    for folder in JUDGED {
        let Some(recorded) = recorded.get(folder) else {
            findings.push(format!("{FILE} has nothing of {folder}; `cargo xtask tidy --record`"));
            continue;
        };
        findings.extend(compared(folder, recorded, &edges(folder, sources)));
    }
    Ok(findings)
}

/// Writes the edges down. A larger circle is not written down.
pub(super) fn record(root: &Path, sources: &[Source]) -> Result<()> {
    let old = read(root).unwrap_or_default();
    let mut text = String::from(
        "# Which top-level module of a crate imports which, and how many are in the largest circle.\n\
         # Written by `cargo xtask tidy --record`, compared by `cargo xtask tidy`.\n",
    );
    let mut new = BTreeMap::new();
    for folder in JUDGED {
        let imports = edges(folder, sources);
        let circle = largest_circle(&imports);
        if let Some(old) = old.get(folder)
            && circle.len() > old.largest_circle
        {
            bail!("{}", grown(folder, old.largest_circle, &circle));
        }
        new.insert(folder, Recorded { largest_circle: circle.len(), imports });
    }
    text.push_str(&toml::to_string(&new)?);
    fs::write(root.join(FILE), text).context(FILE)
}

fn read(root: &Path) -> Result<BTreeMap<String, Recorded>> {
    let text = fs::read_to_string(root.join(FILE)).context(FILE)?;
    toml::from_str(&text).context(FILE)
}

fn compared(folder: &str, recorded: &Recorded, real: &Edges) -> Vec<String> {
    let mut findings = Vec::new();
    let names: BTreeSet<&String> = recorded.imports.keys().chain(real.keys()).collect();
    let none = BTreeSet::new();
    for name in names {
        let allowed = recorded.imports.get(name).unwrap_or(&none);
        let real = real.get(name).unwrap_or(&none);
        for new in real.difference(allowed) {
            findings.push(format!(
                "{folder}: module {name} imports {new}, which is a new edge; if it is meant: \
                 `cargo xtask tidy --record`, and the reason in the commit"
            ));
        }
        for gone in allowed.difference(real) {
            findings.push(format!(
                "{folder}: module {name} does not import {gone} any more; so that it stays: \
                 `cargo xtask tidy --record`"
            ));
        }
    }
    let circle = largest_circle(real);
    if circle.len() > recorded.largest_circle {
        findings.push(grown(folder, recorded.largest_circle, &circle));
    } else if circle.len() < recorded.largest_circle {
        findings.push(format!(
            "{folder}: the largest circle of modules has {} and not {} any more; so that it stays: \
             `cargo xtask tidy --record`",
            circle.len(),
            recorded.largest_circle
        ));
    }
    findings
}

fn grown(folder: &str, before: usize, circle: &BTreeSet<&str>) -> String {
    let names: Vec<&str> = circle.iter().copied().collect();
    format!(
        "{folder}: {} modules import each other in a circle, and before {before}: {}; move what \
         they share below them",
        circle.len(),
        names.join(", ")
    )
}

/// What the modules of the crate in `folder` import. `lib.rs` and `main.rs` are the root itself.
fn edges(folder: &str, sources: &[Source]) -> Edges {
    let below = format!("{folder}/src/");
    let inside = |source: &Source| {
        source.path.strip_prefix(&below).map(|rest| rest.trim_end_matches(".rs").to_owned())
    };
    let mut exports = BTreeMap::new();
    let mut files = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        match inside(source).as_deref() {
            None | Some("main") => {}
            Some("lib") => exports.extend(source.exports()),
            Some(path) => {
                let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
                if parts.last().is_some_and(|last| last == "mod") {
                    parts.pop();
                }
                files.push((parts, source));
            }
        }
    }
    let mut edges: Edges =
        files.iter().map(|(parts, _)| (parts[0].clone(), BTreeSet::new())).collect();
    let modules: BTreeSet<String> = edges.keys().cloned().collect();
    for (parts, source) in files {
        for name in source.rooted_names(parts.len()) {
            let module = if modules.contains(&name) { Some(&name) } else { exports.get(&name) };
            if let Some(module) = module.filter(|module| **module != parts[0]) {
                edges.entry(parts[0].clone()).or_default().insert(module.clone());
            }
        }
    }
    edges
}

/// The largest set of modules each of which reaches all others of it.
fn largest_circle(edges: &Edges) -> BTreeSet<&str> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        edges.keys().map(|from| (from.as_str(), reached(from, edges))).collect();
    let circle = |name: &str| -> BTreeSet<&str> {
        let back = reached.iter().filter(|(_, to)| to.contains(name)).map(|(from, _)| *from);
        back.filter(|from| reached[name].contains(from)).collect()
    };
    // A module that is in no circle reaches itself only because it begins there.
    reached.keys().map(|name| circle(name)).max_by_key(BTreeSet::len).unwrap_or_default()
}

fn reached<'e>(from: &'e str, edges: &'e Edges) -> BTreeSet<&'e str> {
    let mut reached = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for next in edges.get(name).into_iter().flatten() {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}

/// `#[path]` to a file of another crate: an import that no graph shows.
fn paths(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for source in sources {
        for (line, path) in source.path_attributes() {
            if crate_of(&source.path) != crate_of(&joined(&source.path, path)) {
                findings.push(format!(
                    "{}:{line}: #[path] to another crate; make what both need a crate",
                    source.path
                ));
            }
        }
    }
    findings
}

/// The path that `relative` means in a file.
fn joined(file: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn crate_of(path: &str) -> Option<&'static str> {
    let folders = super::CRATES.iter().map(|c| c.folder).chain(["fuzz", "clients/rust"]);
    folders
        .filter(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
        .max_by_key(|folder| folder.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<Source> {
        let new = |(path, text): &(&str, &str)| {
            Source::new((*path).to_owned(), (*text).to_owned()).unwrap()
        };
        files.iter().map(new).collect()
    }

    fn graph(edges: &[(&str, &[&str])]) -> Edges {
        let set = |to: &[&str]| to.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(from, to)| ((*from).to_owned(), set(to))).collect()
    }

    #[test]
    fn an_export_counts_for_its_module() {
        let sources = sources(&[
            ("storage/src/lib.rs", "pub use store::LogId;"),
            ("storage/src/store.rs", "use crate::wal::Wal;"),
            ("storage/src/wal/mod.rs", "use crate::LogId; use super::store;"),
            ("storage/src/wal/frame.rs", "use super::Frame; use super::super::flush;"),
            ("storage/src/flush.rs", "#[cfg(test)] mod tests { use crate::store; }"),
            ("storage/src/wal/tests.rs", "use crate::flush;"),
        ]);
        let wanted = graph(&[("flush", &[]), ("store", &["wal"]), ("wal", &["flush", "store"])]);
        assert_eq!(edges("storage", &sources), wanted);
    }

    #[test]
    fn the_largest_circle_is_found() {
        let none = graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
        assert_eq!(largest_circle(&none).len(), 1);
        let two = graph(&[("a", &["b"]), ("b", &["a", "c"]), ("c", &["d"]), ("d", &["e"])]);
        assert_eq!(largest_circle(&two), BTreeSet::from(["a", "b"]));
        let three = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]);
        assert_eq!(largest_circle(&three), BTreeSet::from(["a", "b", "c"]));
    }

    #[test]
    fn new_edges_lost_edges_and_circles_are_findings() {
        let recorded = |largest_circle, edges| Recorded { largest_circle, imports: graph(edges) };
        let one = recorded(1, &[("a", &["b"]), ("b", &[])]);
        assert!(compared("x", &one, &one.imports).is_empty());
        let circle = graph(&[("a", &["b"]), ("b", &["a"])]);
        let found = compared("x", &one, &circle).join("\n");
        assert!(found.contains("module b imports a") && found.contains("in a circle"), "{found}");
        let found = compared("x", &recorded(2, &[("a", &["b"]), ("b", &["a"])]), &one.imports);
        let found = found.join("\n");
        assert!(found.contains("does not import a any more") && found.contains("not 2 any more"));
    }

    #[test]
    fn a_path_to_another_crate_is_a_finding() {
        let text = "#[path = \"../../wire/src/x.rs\"]\nmod x;\n#[path = \"y.rs\"]\nmod y;\n";
        let sources = sources(&[("broker/src/a/b.rs", text)]);
        let found = paths(&sources);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("broker/src/a/b.rs:1:"));
    }
}
