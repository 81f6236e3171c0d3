//! Edges between our crates, from their manifests: the table and the truth are one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::CRATES;

pub(super) fn findings(root: &Path) -> Result<Vec<String>> {
    let ours: BTreeSet<&str> = CRATES.iter().map(|c| c.name).collect();
    let mut findings = Vec::new();
    for c in CRATES {
        let path = root.join(c.folder).join("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let real: BTreeSet<&str> =
            dependencies(&text).into_iter().filter(|name| ours.contains(name)).collect();
        let allowed: BTreeSet<&str> = c.imports.iter().copied().collect();
        for name in real.difference(&allowed) {
            findings.push(format!(
                "{} imports {name}: ARCHITECTURE.md does not allow this edge",
                c.name
            ));
        }
        for name in allowed.difference(&real) {
            findings.push(format!(
                "{} does not import {name} any more: take the edge out of CRATES in \
                 xtask/src/tidy/mod.rs and out of ARCHITECTURE.md",
                c.name
            ));
        }
    }
    Ok(findings)
}

/// Names in the sections of dependencies.
fn dependencies(manifest: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.contains("dependencies");
        } else if inside {
            names.extend(line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dependencies_are_edges() {
        let text = "[package]\nname = 1\n[dependencies]\na.workspace = true\n\
                    [dev-dependencies]\nb = \"1\"\n[lints]\nworkspace = true\n";
        assert_eq!(dependencies(text), BTreeSet::from(["a", "b"]));
    }
}
