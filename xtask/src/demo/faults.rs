//! What went wrong, counted by kind, with the first examples of each.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

const EXAMPLES: usize = 3;

/// A million faults are one line each kind.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kinds: BTreeMap<&'static str, (u64, Vec<String>)>,
}

impl Faults {
    pub(super) fn add(&mut self, kind: &'static str, example: impl FnOnce() -> String) {
        let (count, examples) = self.kinds.entry(kind).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    /// An error that names every kind, if there is one.
    pub(super) fn verdict(&self) -> Result<()> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self
            .kinds
            .iter()
            .map(|(kind, (count, examples))| {
                format!("  {count} x {kind}:\n    {}", examples.join("\n    "))
            })
            .collect();
        bail!("what came out is not what went in:\n{}", lines.join("\n"))
    }

    #[cfg(test)]
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        self.kinds.keys().copied().collect()
    }
}
