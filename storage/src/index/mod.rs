//! The two sparse indexes of a segment, in Kafka's formats (`OffsetIndex`, `TimeIndex`).
//!
//! ```text
//! .index      relative offset i32, position i32     last offset of a batch, and where the batch begins
//! .timeindex  timestamp i64, relative offset i32    largest timestamp so far, and the last offset of its batch
//! ```
//! An entry of each is made for a batch when more than `index.interval.bytes` lie between its
//! beginning and the batch that had one before. Both rise strictly; the time index has no entry
//! where the largest timestamp has not grown, and gets a last one when its segment is closed.
//!
//! Here are the entries and the search in a slice; [`lookup`] searches a file. When entries are
//! made: `segment::facts`.
pub(crate) mod lookup;

use record::Offset;

/// Bytes of an entry of `.index`.
pub(crate) const OFFSET_ENTRY: usize = 8;
/// Bytes of an entry of `.timeindex`.
pub(crate) const TIME_ENTRY: usize = 12;

/// The batch that begins at `position` has `last_offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) last_offset: Offset,
    pub(crate) position: u64,
}

/// Up to and with the batch with `last_offset`, no timestamp is larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) last_offset: Offset,
}

/// An entry of a file: fixed size, sorted by a key.
pub(crate) trait Entry: Copy {
    /// Bytes of it.
    const SIZE: usize;
    fn encode(&self, base: Offset, out: &mut Vec<u8>);
    /// From exactly [`Self::SIZE`] bytes.
    fn decode(base: Offset, bytes: &[u8]) -> Self;
    /// What the file is sorted by.
    fn key(&self) -> i64;
}

/// `offset` as an i32 past `base`. Who appends has made sure that it fits
/// (`can_convert_to_relative_offset`).
fn relative(offset: Offset, base: Offset) -> i32 {
    offset
        .checked_since(base)
        .and_then(|distance| i32::try_from(distance).ok())
        .filter(|&distance| distance >= 0)
        .unwrap_or_else(|| panic!("offset {offset} does not fit a segment that begins at {base}"))
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .unwrap_or_else(|_| panic!("field of {N} bytes at {at} of {}", bytes.len()))
}

impl Entry for OffsetEntry {
    const SIZE: usize = OFFSET_ENTRY;
    fn encode(&self, base: Offset, out: &mut Vec<u8>) {
        let position = i32::try_from(self.position)
            .unwrap_or_else(|_| panic!("position {} in a segment", self.position));
        out.extend_from_slice(&relative(self.last_offset, base).to_be_bytes());
        out.extend_from_slice(&position.to_be_bytes());
    }
    fn decode(base: Offset, bytes: &[u8]) -> Self {
        let relative = i32::from_be_bytes(field(bytes, 0));
        // A negative position is damage; as the largest one it fails every check that follows.
        let position = u64::try_from(i32::from_be_bytes(field(bytes, 4))).unwrap_or(u64::MAX);
        Self { last_offset: base.saturating_add(i64::from(relative)), position }
    }
    fn key(&self) -> i64 {
        self.last_offset.0
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = TIME_ENTRY;
    fn encode(&self, base: Offset, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&relative(self.last_offset, base).to_be_bytes());
    }
    fn decode(base: Offset, bytes: &[u8]) -> Self {
        let timestamp = i64::from_be_bytes(field(bytes, 0));
        Self {
            timestamp,
            last_offset: base.saturating_add(i64::from(i32::from_be_bytes(field(bytes, 8)))),
        }
    }
    fn key(&self) -> i64 {
        self.timestamp
    }
}

/// The bytes of entries, in order.
pub(crate) fn encode<E: Entry>(base: Offset, entries: &[E]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * E::SIZE);
    for entry in entries {
        entry.encode(base, &mut out);
    }
    out
}

/// The last entry with a key <= `key`.
pub(crate) fn floor<E: Entry>(entries: &[E], key: i64) -> Option<E> {
    entries[..entries.partition_point(|entry| entry.key() <= key)].last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_kafka_writes_them() {
        let base = Offset(1_000);
        let bytes = encode(base, &[OffsetEntry { last_offset: Offset(1_009), position: 258 }]);
        assert_eq!(bytes, [0, 0, 0, 9, 0, 0, 1, 2]);
        assert_eq!(
            OffsetEntry::decode(base, &bytes),
            OffsetEntry { last_offset: Offset(1_009), position: 258 }
        );
        let bytes = encode(base, &[TimeEntry { timestamp: 0x0102, last_offset: Offset(1_001) }]);
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1]);
        assert_eq!(
            TimeEntry::decode(base, &bytes),
            TimeEntry { timestamp: 0x0102, last_offset: Offset(1_001) }
        );
    }

    #[test]
    fn floor_of_a_key() {
        let entries =
            [5, 9, 12].map(|n| OffsetEntry { last_offset: Offset(n), position: n as u64 });
        let at = |key| floor(&entries, key).map(|entry| entry.last_offset.0);
        assert_eq!(
            (at(4), at(5), at(8), at(9), at(100)),
            (None, Some(5), Some(5), Some(9), Some(12))
        );
    }

    #[test]
    #[should_panic(expected = "does not fit a segment")]
    fn an_offset_too_far_is_our_fault() {
        let far = OffsetEntry { last_offset: Offset(i64::from(i32::MAX) + 1), position: 0 };
        let _ = encode(Offset(0), &[far]);
    }
}
