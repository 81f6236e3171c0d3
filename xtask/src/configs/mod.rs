//! Kafka's configuration keys: the facts about them, read from Kafka's own classes into tables of
//! ours.
//!
//! The tables are committed, so a build needs no Java; another run on the same jars changes
//! nothing. What a key does in Millrace is not here but in the hand-written table beside them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::kafka;
use crate::provision::{Dirs, Tool};

const TABLES: &str = "broker/src/config/tables";

const HEAD: &str = "\
# Written by `cargo xtask configs` from the classes of Apache Kafka 4.3.1; do not edit.
# name type default allowed importance altered synonyms  (see catalogue.rs)
";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments) -> Result<()> {
    let dirs = Dirs::find()?;
    let jars = match kafka::jars(&dirs)? {
        Tool::Ready(jars) => jars,
        Tool::Absent(why) => bail!("Kafka's classes are needed: {why}"),
    };
    let dump = Command::new("java")
        .arg("-cp")
        .arg(jars.join("*"))
        .arg(dirs.root.join("xtask/src/configs/Dump.java"))
        .output()
        .context("`java` is needed to run Kafka's classes: install a JDK")?;
    ensure!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let dump = String::from_utf8(dump.stdout)?;
    for kind in ["topic", "broker"] {
        let mut table = HEAD.to_owned();
        let mut keys = 0;
        for line in dump.lines() {
            if let Some(key) = line.strip_prefix(kind).and_then(|l| l.strip_prefix(' ')) {
                table.push_str(key);
                table.push('\n');
                keys += 1;
            }
        }
        ensure!(keys > 0, "no {kind} configurations in Kafka's classes");
        let path = dirs.root.join(TABLES).join(format!("{kind}.table"));
        fs::write(&path, table).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}: {keys} keys", path.display());
    }
    Ok(())
}
