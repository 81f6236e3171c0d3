//! A running hash over everything a simulation decided and did: the proof that a seed replays.
use std::{collections::VecDeque, fmt};

/// The hash, and optionally the last lines that went into it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    keep: usize,
    lines: VecDeque<String>,
}

fn mix(hash: u64, word: u64) -> u64 {
    let x = (hash ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    (x ^ (x >> 32)).rotate_left(17).wrapping_add(word)
}

impl Trace {
    pub(crate) fn new(keep: usize) -> Self {
        Self { hash: 0x6d69_6c6c_7261_6365, keep, lines: VecDeque::new() }
    }
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
    /// `words` go into the hash; `line` is only made when lines are kept.
    pub(crate) fn note(&mut self, words: &[u64], line: impl FnOnce() -> String) {
        for &w in words {
            self.hash = mix(self.hash, w);
        }
        if self.keep > 0 {
            if self.lines.len() == self.keep {
                self.lines.pop_front();
            }
            self.lines.push_back(line());
        }
    }
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.hash = mix(self.hash, digest(bytes));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "trace hash {:016x}", self.hash)
    }
}

/// A quick digest of bytes, for the trace only.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut h = bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for w in words {
        h = mix(h, u64::from_le_bytes(*w));
    }
    for &b in rest {
        h = mix(h, u64::from(b));
    }
    h
}
