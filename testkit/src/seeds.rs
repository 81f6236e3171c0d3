//! Which seeds a test runs under: a few, or as the environment says.
//!
//! ```text
//! MILLRACE_SEED=7         seed 7 alone
//! MILLRACE_SEEDS=100      seeds 0..100
//! MILLRACE_SEEDS=7..100   seeds 7..100
//! ```
//! Every seeded test of this workspace reads them here, so the name that a failure prints works
//! wherever it is typed.

use std::env::{self, VarError};
use std::ops::Range;

const ONE: &str = "MILLRACE_SEED";
const MANY: &str = "MILLRACE_SEEDS";

/// Seeds 0 up to `few`, unless the environment asks for others.
///
/// # Panics
/// A variable is set and says nothing that is understood.
pub fn seeds(few: u64) -> Range<u64> {
    seeds_by(MANY, few)
}

/// As [`seeds`], for tests whose runs cost so much that they have a variable of their own.
///
/// # Panics
/// A variable is set and says nothing that is understood.
pub fn seeds_by(many: &str, few: u64) -> Range<u64> {
    if let Some(text) = variable(ONE) {
        let seed = number(&text).unwrap_or_else(|| panic!("{ONE}={text}: one seed, as in 7"));
        return seed..seed + 1;
    }
    let Some(text) = variable(many) else { return 0..few };
    range(&text).unwrap_or_else(|| panic!("{many}={text}: seeds, as in 100 or 7..100"))
}

fn variable(name: &str) -> Option<String> {
    match env::var(name) {
        Ok(text) => Some(text),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(text)) => panic!("{name}={}: no text", text.display()),
    }
}

/// `100` is 0..100.
fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..").unwrap_or(("0", text));
    let range = number(from)?..number(to)?;
    // A test that runs under no seed at all would pass.
    (!range.is_empty()).then_some(range)
}

/// The last number is none: its range would have no end.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|&number| number < u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_ranges() {
        assert_eq!(range("100"), Some(0..100));
        assert_eq!(range("7..8"), Some(7..8));
        for wrong in ["", "0", "x", "8..7", "7..7", "7..", "-1", "18446744073709551615"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
