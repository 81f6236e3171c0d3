//! The values and keys of records, made before a run.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::Keys;
use crate::rng::Rng;

/// At most so much of a payload file is kept.
const FILE_BYTES_MAX: usize = 256 << 20;

/// Where values come from.
#[derive(Debug)]
pub enum Payload {
    /// Random bytes of this length, which no codec makes smaller.
    Random { record_bytes: usize, rng: Rng },
    /// The lines of a file, over and over.
    Lines { lines: Vec<Vec<u8>>, next: usize },
}

impl Payload {
    /// Random values.
    #[must_use]
    pub const fn random(record_bytes: usize, rng: Rng) -> Self {
        Self::Random { record_bytes, rng }
    }

    /// Values from a file's lines.
    ///
    /// # Errors
    /// The file cannot be read, or holds no line.
    pub fn file(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("payload {}", path.display()))?;
        let mut lines = Vec::new();
        let mut size = 0;
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            size += line.len();
            if size > FILE_BYTES_MAX {
                break;
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
        ensure!(!lines.is_empty(), "payload {}: no lines", path.display());
        Ok(Self::Lines { lines, next: 0 })
    }

    /// Another value, behind `room` bytes that the caller fills.
    pub fn next(&mut self, room: usize) -> Vec<u8> {
        match self {
            Payload::Random { record_bytes, rng } => {
                let mut value = vec![0; *record_bytes];
                rng.fill(&mut value);
                value
            }
            Payload::Lines { lines, next } => {
                let line = &lines[*next];
                *next = (*next + 1) % lines.len();
                let mut value = vec![0; room];
                value.extend_from_slice(line);
                value
            }
        }
    }
}

/// The next key, if records have any; `count` is how many were made before.
pub fn key(keys: Keys, count: u64, rng: &mut Rng) -> Option<Vec<u8>> {
    let number = match keys {
        Keys::None => return None,
        Keys::Random(of) => rng.next_u64() % u64::from(of.max(1)),
        Keys::RoundRobin(of) => count % u64::from(of.max(1)),
    };
    Some(format!("key-{number:010}").into_bytes())
}
