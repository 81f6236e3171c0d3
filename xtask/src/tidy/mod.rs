//! `cargo xtask tidy`: what keeps the workspace simple to see, checked. It is a test too
//! (`cargo test -p xtask`).
//!
//! * [`imports`]   edges between our crates, exactly.
//! * [`modules`]   edges between the top-level modules of a crate, exactly, and circles of them.
//! * [`bans`]      calls that are banned above `netio`, leftovers, homes of unsafe code.
//! * [`sizes`]     lines of files and functions.
//! * [`comments`]  columns.
//!
//! It reads the sources and nothing else, so it runs in seconds. What stood against a rule when the
//! rule came is recorded in `xtask/modules.toml` and `xtask/sizes.toml`, and may only become less;
//! `--record` writes down what has.

mod bans;
mod comments;
mod imports;
mod modules;
mod sizes;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use source::Source;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Arguments {
    /// Writes down edges between modules, and what has become smaller.
    #[arg(long)]
    record: bool,
}

/// A crate of ours.
pub(crate) struct Crate {
    pub(crate) folder: &'static str,
    pub(crate) name: &'static str,
    /// The crates of ours that it imports (ARCHITECTURE.md).
    imports: &'static [&'static str],
    /// Those that its tests import beside. A test is a program above everything, so what is here
    /// closes no circle.
    tests: &'static [&'static str],
}

pub(crate) const CRATES: &[Crate] = &[
    Crate { folder: "storage/record", name: "record", imports: &[], tests: &[] },
    Crate { folder: "netio", name: "netio", imports: &[], tests: &["testkit"] },
    Crate { folder: "schema", name: "schema", imports: &[], tests: &[] },
    Crate { folder: "peers", name: "peers", imports: &[], tests: &[] },
    Crate { folder: "broker/wire", name: "wire", imports: &["record"], tests: &["schema"] },
    Crate {
        folder: "storage",
        name: "storage",
        imports: &["record", "netio"],
        tests: &["testkit"],
    },
    Crate { folder: "testkit", name: "testkit", imports: &["record", "storage"], tests: &[] },
    Crate { folder: "tuning", name: "tuning", imports: &["netio"], tests: &[] },
    Crate {
        folder: "broker",
        name: "broker",
        imports: &["record", "netio", "wire", "storage"],
        tests: &["schema", "testkit"],
    },
    Crate { folder: "broker/client", name: "client", imports: &["record", "wire"], tests: &[] },
    Crate {
        folder: "bench",
        name: "millrace-bench",
        imports: &["record", "wire", "client", "peers"],
        tests: &[],
    },
    Crate { folder: "xtask", name: "xtask", imports: &["peers", "schema"], tests: &[] },
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = root();
    let sources = source::all(&root)?;
    if arguments.record {
        modules::record(&root, &sources)?;
        sizes::record(&root, &sources)?;
    }
    let findings = findings(&root, &sources)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy: crates, modules, bans, sizes and comments are as ARCHITECTURE.md says");
    Ok(())
}

fn findings(root: &Path, sources: &[Source]) -> Result<Vec<String>> {
    let mut findings = imports::findings(root)?;
    findings.extend(modules::findings(root, sources)?);
    findings.extend(bans::findings(sources));
    findings.extend(sizes::findings(root, sources)?);
    findings.extend(comments::findings(sources));
    Ok(findings)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let root = root();
        let findings = findings(&root, &source::all(&root).unwrap()).unwrap();
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
