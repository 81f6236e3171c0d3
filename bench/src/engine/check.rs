//! Whether what is read back is what was written: nothing missing, doubled, out of order or
//! changed.

use std::collections::BTreeMap;

use record::{BatchView, Batches, Offset, Records, Tail};

use crate::result::Findings;
use crate::stamp::{Stamp, body_crc};
use crate::workload::Check;

/// A compressed batch may become so large.
const BATCH_MAX: usize = 128 << 20;

/// The reading side's memory: of its partitions and of the streams in them.
#[derive(Debug)]
pub struct Checker {
    depth: Check,
    run: u32,
    /// By (partition, stream): the sequence number that comes next.
    next: BTreeMap<(i32, u32), u64>,
    pub findings: Findings,
}

/// What one fetch of one partition held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Content {
    pub records: u64,
    /// Of keys and values; with shallow checks, of batches.
    pub bytes: u64,
    /// Where the next fetch begins.
    pub next_offset: Offset,
}

impl Checker {
    #[must_use]
    pub const fn new(depth: Check, run: u32) -> Self {
        Self {
            depth,
            run,
            next: BTreeMap::new(),
            findings: Findings {
                records: 0,
                batches: 0,
                missing: 0,
                duplicates: 0,
                offset_errors: 0,
                damaged: 0,
                lost: 0,
                unread: 0,
                examples: Vec::new(),
            },
        }
    }

    /// Forgets a partition's streams: it is read again from its start.
    pub fn restart(&mut self, partition: i32) {
        self.next.retain(|&(p, _), _| p != partition);
    }

    /// By (partition, stream): how many records have come in order from the first on.
    #[must_use]
    pub const fn streams(&self) -> &BTreeMap<(i32, u32), u64> {
        &self.next
    }

    /// Checks the batches that a fetch at `offset` brought; `seen` is told of the stamped records:
    /// rows of one batch with the same intended time, by the first of each.
    pub fn check(
        &mut self,
        partition: i32,
        offset: Offset,
        bytes: &[u8],
        mut seen: impl FnMut(&Stamp, u64),
    ) -> Content {
        let mut content = Content { next_offset: offset, ..Default::default() };
        let mut batches = Batches::new(bytes);
        for batch in &mut batches {
            self.check_batch(partition, &batch, &mut content, &mut seen);
        }
        if let Tail::Damaged(_) = batches.tail() {
            let at = batches.position();
            self.damaged(|| format!("partition {partition}: no batch at byte {at} of a response"));
        }
        self.findings.records += content.records;
        content
    }

    fn check_batch(
        &mut self,
        partition: i32,
        batch: &BatchView<'_>,
        content: &mut Content,
        seen: &mut impl FnMut(&Stamp, u64),
    ) {
        let expected = content.next_offset;
        // A fetch inside a batch returns the whole of it, which only the first may be.
        let inside =
            content.records == 0 && batch.base_offset < expected && batch.last_offset() >= expected;
        if batch.base_offset != expected && !inside {
            self.findings.offset_errors += 1;
            let (base, last) = (batch.base_offset, batch.last_offset());
            self.findings.example(|| {
                format!("partition {partition}: offsets {base}..={last} where {expected} was due")
            });
        }
        content.next_offset = batch.next_offset();
        self.findings.batches += 1;
        if let Err(error) = batch.verify_crc() {
            let base = batch.base_offset;
            self.damaged(|| format!("partition {partition}, batch {base}: {error}"));
            return;
        }
        if batch.attributes.is_control() {
            return;
        }
        if self.depth == Check::Batches {
            content.records += u64::try_from(batch.records_count).unwrap_or(0);
            content.bytes += batch.bytes().len() as u64;
            return;
        }
        let open = match batch.decompressed(BATCH_MAX) {
            Ok(open) => open,
            Err(error) => {
                let base = batch.base_offset;
                self.damaged(|| format!("partition {partition}, batch {base}: {error}"));
                return;
            }
        };
        // Records of one request have one intended time: they are reported together.
        let mut row: Option<(Stamp, u64)> = None;
        for record in Records::new(&open, batch.header()) {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let base = batch.base_offset;
                    self.damaged(|| format!("partition {partition}, batch {base}: {error}"));
                    return;
                }
            };
            content.records += 1;
            let value = record.value.unwrap_or_default();
            content.bytes += (value.len() + record.key.map_or(0, <[u8]>::len)) as u64;
            let Some(stamp) = Stamp::read(value).filter(|s| s.run == self.run) else {
                continue;
            };
            self.check_stamp(partition, &stamp, value);
            match &mut row {
                Some((first, count)) if first.intended == stamp.intended => *count += 1,
                _ => {
                    if let Some((first, count)) = row {
                        seen(&first, count);
                    }
                    row = Some((stamp, 1));
                }
            }
        }
        if let Some((first, count)) = row {
            seen(&first, count);
        }
    }

    fn check_stamp(&mut self, partition: i32, stamp: &Stamp, value: &[u8]) {
        let (stream, sequence) = (stamp.stream, stamp.sequence);
        if stamp.body_crc != body_crc(value) {
            self.damaged(|| {
                format!("partition {partition}, stream {stream}, record {sequence}: other bytes")
            });
        }
        let next = self.next.entry((partition, stream)).or_default();
        let expected = *next;
        if sequence >= expected {
            *next = sequence + 1;
        }
        if sequence > expected {
            self.findings.missing += sequence - expected;
        } else if sequence < expected {
            self.findings.duplicates += 1;
        } else {
            return;
        }
        self.findings.example(|| {
            format!(
                "partition {partition}, stream {stream}: record {sequence} where {expected} was due"
            )
        });
    }

    fn damaged(&mut self, text: impl FnOnce() -> String) {
        self.findings.damaged += 1;
        self.findings.example(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{BatchBuilder, Timestamp};

    const RUN: u32 = 5;

    fn batch(base: i64, records: &[(u32, u64)]) -> Vec<u8> {
        let mut batch = BatchBuilder::new().base_offset(Offset(base));
        for &(stream, sequence) in records {
            let mut value = vec![9; 50];
            Stamp { stream, sequence, intended: 100, run: RUN, body_crc: body_crc(&value) }
                .write(&mut value);
            batch.append(None, Some(&value), Timestamp(1), &[]).unwrap();
        }
        batch.build().unwrap()
    }

    fn check(checker: &mut Checker, offset: i64, bytes: &[u8]) -> Content {
        checker.check(0, Offset(offset), bytes, |_, _| ())
    }

    #[test]
    fn good_data_is_clean_and_timed() {
        let mut checker = Checker::new(Check::Full, RUN);
        let bytes = [batch(0, &[(1, 0), (2, 0)]), batch(2, &[(1, 1), (2, 1)])].concat();
        let mut seen = Vec::new();
        let content = checker.check(0, Offset(0), &bytes, |s, n| seen.push((s.intended, n)));
        assert_eq!(content.next_offset, Offset(4));
        assert_eq!((content.records, content.bytes), (4, 200));
        assert_eq!(seen, [(100, 2), (100, 2)]);
        assert!(checker.findings.is_clean());
        // A fetch inside a batch brings the whole batch again; its first records are repeated.
        assert_eq!(checker.streams()[&(0, 1)], 2);
        // A cut batch at the end is no finding.
        let cut = batch(4, &[(1, 2)]);
        let content = check(&mut checker, 4, &cut[..cut.len() - 1]);
        assert_eq!((content.records, content.next_offset), (0, Offset(4)));
        assert!(checker.findings.is_clean());
    }

    #[test]
    fn gaps_duplicates_and_disorder_are_found() {
        let mut checker = Checker::new(Check::Full, RUN);
        check(&mut checker, 0, &batch(0, &[(1, 0), (1, 3), (1, 2), (1, 4)]));
        assert_eq!((checker.findings.missing, checker.findings.duplicates), (2, 1));
        assert!(!checker.findings.is_clean() && !checker.findings.examples.is_empty());
    }

    #[test]
    fn offsets_that_do_not_follow_are_found() {
        let mut checker = Checker::new(Check::Batches, RUN);
        check(&mut checker, 0, &batch(1, &[(1, 0)]));
        assert_eq!(checker.findings.offset_errors, 1);
        let twice = [batch(2, &[(1, 1)]), batch(2, &[(1, 1)])].concat();
        check(&mut checker, 2, &twice);
        assert_eq!(checker.findings.offset_errors, 2);
    }

    #[test]
    fn changed_bytes_are_found() {
        let mut checker = Checker::new(Check::Full, RUN);
        let mut bytes = batch(0, &[(1, 0)]);
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        check(&mut checker, 0, &bytes);
        assert_eq!(checker.findings.damaged, 1);
        // A broker that changes a record and mends the CRC is found by the stamp.
        record::header::refresh_crc(&mut bytes);
        check(&mut checker, 1, &bytes);
        assert_eq!(checker.findings.damaged, 2);
    }
}
