//! What an operation leaves behind.

use crate::coordinator::ReplyTo;
use record::{BatchBuilder, BuildError, Timestamp};

/// A record for the coordinator's partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Begins with the type of the record, an `i16`.
    pub key: Vec<u8>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A record's framing in a batch, at most.
const RECORD_OVERHEAD: usize = 32;

impl Record {
    /// Bytes that the record takes in a batch, at most.
    pub fn size(&self) -> usize {
        RECORD_OVERHEAD + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// Records to be appended, and answers that are true once these (and all before them) are
/// committed.
#[derive(Debug)]
pub struct Outcome<R> {
    /// In order. The state already holds them.
    pub records: Vec<Record>,
    /// Not only to the caller: a join may answer a whole group.
    pub replies: Vec<(ReplyTo, R)>,
}

impl<R> Default for Outcome<R> {
    fn default() -> Self {
        Self { records: Vec::new(), replies: Vec::new() }
    }
}

impl<R> Outcome<R> {
    /// An answer.
    pub fn reply(&mut self, to: ReplyTo, response: R) {
        self.replies.push((to, response));
    }
}

/// The records as batches of at most `batch_bytes_max` (a larger record gets a batch of its own),
/// stamped `now`, for the leader to give offsets to.
///
/// # Errors
/// A record is larger than the format can hold.
pub fn to_batches(
    records: &[Record],
    batch_bytes_max: usize,
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, BuildError> {
    let mut batches = Vec::new();
    let mut open = BatchBuilder::new();
    for record in records {
        if !open.is_empty() && open.size_in_bytes() + record.size() > batch_bytes_max {
            batches.push(std::mem::take(&mut open).build()?);
        }
        open.append(Some(&record.key), record.value.as_deref(), now, &[])?;
    }
    if !open.is_empty() {
        batches.push(open.build()?);
    }
    Ok(batches)
}
