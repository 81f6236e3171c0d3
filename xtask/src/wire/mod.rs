//! `cargo xtask wire`: from Kafka's published schemas to the Rust of the crate `wire`, in two
//! steps.
//!
//! `import` needs Maven and the network and is run when the Kafka version changes; `generate` needs
//! neither. What both write is committed, so a build needs nothing of this.

mod generate;
mod import;
mod judge;
mod names;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    step: Step,
}

#[derive(Debug, Subcommand)]
enum Step {
    /// Read the schemas in Kafka's jars (by Maven) and write broker/wire/schema.
    Import,
    /// Write broker/wire/src/{messages,records} from broker/wire/schema.
    Generate,
    /// Fail unless the committed Rust is what `generate` would write.
    Check,
    /// Have Kafka's own classes (by Maven and Java) read and write samples of every message, and
    /// keep what they wrote as golden bytes.
    Judge,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let home = home();
    match arguments.step {
        Step::Import => {
            let files = import::schemas(&home.join("target/kafka-schemas"))?;
            report(write_tree(&home, SCHEMA_ROOTS, &files)?);
        }
        Step::Generate => {
            let files = generate::rust(&read_schemas(&home)?)?;
            report(write_tree(&home, RUST_ROOTS, &files)?);
        }
        Step::Check => check(&home)?,
        Step::Judge => judge::run(&home, &home.join("target/kafka-judge"))?,
    }
    Ok(())
}

/// Directories of which the importer owns every file.
const SCHEMA_ROOTS: &[&str] = &["broker/wire/schema"];
/// Directories of which the generator owns every file.
const RUST_ROOTS: &[&str] = &["broker/wire/src/messages", "broker/wire/src/records"];

/// Text files by path from the workspace's root.
type Files = BTreeMap<PathBuf, String>;

/// The workspace's root.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn check(home: &Path) -> Result<()> {
    let wanted = generate::rust(&read_schemas(home)?)?;
    let found = read_tree(home, RUST_ROOTS)?;
    let mut different: Vec<_> = wanted
        .iter()
        .filter(|(path, text)| found.get(*path) != Some(*text))
        .map(|(path, _)| path)
        .chain(found.keys().filter(|path| !wanted.contains_key(*path)))
        .collect();
    different.sort();
    if !different.is_empty() {
        bail!(
            "not what the schemas say: {different:?}; run `cargo xtask wire generate` and commit"
        );
    }
    println!("{} generated files are what the schemas say", wanted.len());
    Ok(())
}

fn read_schemas(home: &Path) -> Result<BTreeMap<PathBuf, Vec<schema::Message>>> {
    let mut schemas = BTreeMap::new();
    for (path, text) in read_tree(home, SCHEMA_ROOTS)? {
        let messages = schema::Message::parse_all(&text)
            .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        schemas.insert(path, messages);
    }
    Ok(schemas)
}

fn read_tree(home: &Path, roots: &[&str]) -> Result<Files> {
    let mut files = Files::new();
    let mut directories: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(home.join(&directory)) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            let path = directory.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else {
                let text =
                    fs::read_to_string(entry.path()).with_context(|| path.display().to_string())?;
                files.insert(path, text);
            }
        }
    }
    Ok(files)
}

/// Makes the files below `roots` exactly `files`; returns how many of them changed.
fn write_tree(home: &Path, roots: &[&str], files: &Files) -> Result<(usize, usize)> {
    let before = read_tree(home, roots)?;
    let mut changed = 0;
    for path in before.keys().filter(|path| !files.contains_key(*path)) {
        fs::remove_file(home.join(path))?;
        changed += 1;
    }
    for (path, text) in files {
        if before.get(path) == Some(text) {
            continue;
        }
        let target = home.join(path);
        fs::create_dir_all(target.parent().context("a file has a directory")?)?;
        fs::write(&target, text).with_context(|| path.display().to_string())?;
        changed += 1;
    }
    Ok((files.len(), changed))
}

fn report((files, changed): (usize, usize)) {
    println!("{files} files, {changed} changed");
}

#[cfg(test)]
mod tests {
    #[test]
    fn generated_code_is_what_the_schemas_say() {
        super::check(&super::home()).unwrap();
    }
}
