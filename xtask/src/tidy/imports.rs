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
        let real = dependencies(&text);
        for (kind, real, allowed) in
            [("", &real.imports, c.imports), ("in tests ", &real.tests, c.tests)]
        {
            let real: BTreeSet<&str> = real.intersection(&ours).copied().collect();
            let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
            for name in real.difference(&allowed) {
                findings.push(format!(
                    "{} {kind}imports {name}: ARCHITECTURE.md does not allow this edge",
                    c.name
                ));
            }
            for name in allowed.difference(&real) {
                findings.push(format!(
                    "{} {kind}does not import {name} any more: take the edge out of CRATES in \
                     xtask/src/tidy/mod.rs and out of ARCHITECTURE.md",
                    c.name
                ));
            }
        }
    }
    Ok(findings)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Dependencies<'m> {
    imports: BTreeSet<&'m str>,
    /// In the sections of dev-dependencies.
    tests: BTreeSet<&'m str>,
}

/// Names in the sections of dependencies.
fn dependencies(manifest: &str) -> Dependencies<'_> {
    let mut all = Dependencies::default();
    let mut section = "";
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header;
        } else if section.contains("dependencies") {
            let names = if section.contains("dev-") { &mut all.tests } else { &mut all.imports };
            names.extend(line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dependencies_are_edges() {
        let text = "[package]\nname = 1\n[dependencies]\na.workspace = true\n\
                    [dev-dependencies]\nb = \"1\"\n[lints]\nworkspace = true\n";
        let wanted = Dependencies { imports: BTreeSet::from(["a"]), tests: BTreeSet::from(["b"]) };
        assert_eq!(dependencies(text), wanted);
    }
}
