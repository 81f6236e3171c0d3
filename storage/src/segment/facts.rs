//! What is known of a segment's content, as it grows batch by batch.
//!
//! [`Facts`] is a pure function of the batches: the flush, a scan of the file and a rebuild of an
//! index all go through [`Facts::add`], so they all make the same index entries, and a scan that
//! ends with other facts has found damage. The rules are those of Kafka's `LogSegment.append` and
//! `LogSegment.shouldRoll`.
use crate::{
    index::{OFFSET_ENTRY, OffsetEntry, TIME_ENTRY, TimeEntry},
    options::LogConfig,
};
use record::{BatchHeader, LeaderEpoch, Offset, checksum, checksum::extend, header::HEADER_SIZE};

/// A segment up to some byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Offset in the name of its files.
    pub base: Offset,
    /// Bytes of whole batches.
    pub size: u64,
    /// Offset after the last batch; `base` while there is none.
    pub end: Offset,
    pub batches: u32,
    /// CRC-32C over the 61 header bytes of all batches, in order.
    pub headers_crc: u32,
    /// Epoch of the last batch; -1 while there is none.
    pub last_epoch: LeaderEpoch,
    /// Largest timestamp of the first batch, -1 if it has none or there is no batch.
    pub first_timestamp: i64,
    /// Largest timestamp, -1 while there is none; and the last offset of the first batch that has
    /// it.
    pub max_timestamp: i64,
    pub max_timestamp_offset: Offset,
    /// Wall time when the segment was made, ms; and when it was last written.
    pub created_ms: i64,
    pub modified_ms: i64,
    /// Entries of the indexes so far.
    pub index_entries: u32,
    pub time_entries: u32,
    /// Bytes since the beginning of the last batch that got an index entry.
    pub unindexed: u64,
    /// Timestamp of the last entry of the time index, -1 while there is none.
    pub last_time_entry: i64,
}

/// Index entries that a batch brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    pub(crate) offset: Option<OffsetEntry>,
    pub(crate) time: Option<TimeEntry>,
}

/// Most offsets of a segment, and most bytes: Kafka's indexes hold both as 32 bits from its
/// beginning.
pub(crate) const OFFSETS_MAX: i64 = i32::MAX as i64 + 1;
pub(crate) const POSITION_MAX: u64 = i32::MAX as u64;

/// Why facts cannot be those of any segment.
#[derive(Debug)]
pub(crate) struct FactsDoubt(pub(crate) String);

/// Bytes of [`Facts::to_bytes`].
pub(crate) const FACTS_BYTES: usize = 100;

impl Facts {
    pub(crate) fn new(base: Offset, now: i64) -> Self {
        Self {
            base,
            size: 0,
            end: base,
            batches: 0,
            headers_crc: 0,
            last_epoch: LeaderEpoch::NONE,
            first_timestamp: -1,
            max_timestamp: -1,
            max_timestamp_offset: base,
            created_ms: now,
            modified_ms: now,
            index_entries: 0,
            time_entries: 0,
            unindexed: 0,
            last_time_entry: -1,
        }
    }

    /// Takes in the next batch; its place in the log has been checked.
    pub(crate) fn add(&mut self, header: &BatchHeader, config: &LogConfig) -> Entries {
        let mut entries = Entries::default();
        let last_offset = header.last_offset();
        if self.batches == 0 {
            self.first_timestamp = header.max_timestamp.0;
        }
        if header.max_timestamp.0 > self.max_timestamp {
            self.max_timestamp = header.max_timestamp.0;
            self.max_timestamp_offset = last_offset;
        }
        // A full index has rolled the segment before; a scan of a foreign one must not make more
        // either.
        let room =
            (self.index_entries as usize + 1) * OFFSET_ENTRY <= config.segment_index_bytes as usize;
        if self.unindexed > u64::from(config.index_interval_bytes) && room {
            entries.offset = Some(OffsetEntry { last_offset, position: self.size });
            self.index_entries += 1;
            entries.time = self.time_entry();
            self.unindexed = 0;
        }
        let size = header.size_in_bytes() as u64;
        self.unindexed += size;
        self.size += size;
        self.end = header.next_offset();
        self.last_epoch = header.partition_leader_epoch;
        self.headers_crc = match self.batches {
            0 => checksum(&header.to_bytes()),
            _ => extend(self.headers_crc, &header.to_bytes()),
        };
        self.batches += 1;
        entries
    }

    /// Goes past damaged bytes: what lies between counts as content that no index entry names.
    pub(crate) fn skip_to(&mut self, position: u64, next: Offset) {
        assert!(
            position >= self.size && next >= self.end,
            "back to {position}, {next} from {self:?}"
        );
        self.unindexed += position - self.size;
        self.size = position;
        self.end = next;
    }

    /// The time index's entry for what is in the segment now, if it says more than the last one.
    /// Also the last entry, made when the segment is closed.
    pub(crate) fn time_entry(&mut self) -> Option<TimeEntry> {
        (self.max_timestamp > self.last_time_entry).then(|| {
            self.time_entries += 1;
            self.last_time_entry = self.max_timestamp;
            TimeEntry { timestamp: self.max_timestamp, last_offset: self.max_timestamp_offset }
        })
    }

    /// Bytes of `.index` and of `.timeindex`.
    pub(crate) fn index_bytes(&self) -> (u64, u64) {
        (
            u64::from(self.index_entries) * OFFSET_ENTRY as u64,
            u64::from(self.time_entries) * TIME_ENTRY as u64,
        )
    }

    /// Whether the batch must go to a new segment (`LogSegment.shouldRoll`). An empty segment rolls
    /// only for an offset out of its reach (a log start was raised far): otherwise the batch would
    /// find no more room in the next.
    pub(crate) fn should_roll(&self, batch: &BatchHeader, config: &LogConfig, now: i64) -> bool {
        let far = batch
            .last_offset()
            .checked_since(self.base)
            .is_none_or(|distance| distance > i64::from(i32::MAX));
        if self.size == 0 {
            return far;
        }
        let bytes = batch.size_in_bytes() as u64;
        let waited = if self.first_timestamp >= 0 {
            batch.max_timestamp.0.saturating_sub(self.first_timestamp)
        } else {
            now.saturating_sub(self.created_ms)
        };
        let index_max = u64::from(config.segment_index_bytes) / OFFSET_ENTRY as u64;
        let time_max = u64::from(config.segment_index_bytes) / TIME_ENTRY as u64;
        self.size + bytes > config.segment_bytes.min(i32::MAX as u64)
            || waited > config.segment_ms
            || u64::from(self.index_entries) >= index_max
            // One entry is kept for the last one.
            || u64::from(self.time_entries) + 1 >= time_max
            || far
    }

    /// What no batches could have brought about; `None` if some could.
    pub(crate) fn doubt(&self) -> Option<FactsDoubt> {
        let Facts { base, end, size, batches, .. } = *self;
        let offsets = end.checked_since(base);
        if offsets.is_none_or(|offsets| !(0..=OFFSETS_MAX).contains(&offsets)) {
            return Some(FactsDoubt(format!("begins at {base} and ends at {end}")));
        }
        if size > POSITION_MAX || u64::from(batches) * HEADER_SIZE as u64 > size {
            return Some(FactsDoubt(format!("{batches} batches in {size} bytes")));
        }
        let newest = self.max_timestamp_offset;
        if newest < base
            || (newest >= end && newest != base)
            || self.last_time_entry > self.max_timestamp
        {
            return Some(FactsDoubt(format!(
                "largest timestamp {} at {newest}, {} in the index, of offsets {base}..{end}",
                self.max_timestamp, self.last_time_entry
            )));
        }
        // Each entry was made at a batch of its own.
        if self.index_entries > batches || self.time_entries > batches {
            let (offsets, times) = (self.index_entries, self.time_entries);
            return Some(FactsDoubt(format!(
                "{offsets} and {times} index entries of {batches} batches"
            )));
        }
        if self.unindexed > size {
            let unindexed = self.unindexed;
            return Some(FactsDoubt(format!("{unindexed} bytes without an entry, of {size}")));
        }
        None
    }

    /// For seals and checkpoints: big-endian fields in the order of the struct.
    pub(crate) fn to_bytes(self) -> [u8; FACTS_BYTES] {
        use bytes::BufMut;
        let mut bytes = [0; FACTS_BYTES];
        let mut out = &mut bytes[..];
        out.put_i64(self.base.0);
        out.put_u64(self.size);
        out.put_i64(self.end.0);
        out.put_u32(self.batches);
        out.put_u32(self.headers_crc);
        out.put_i32(self.last_epoch.0);
        out.put_i64(self.first_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.max_timestamp_offset.0);
        out.put_i64(self.created_ms);
        out.put_i64(self.modified_ms);
        out.put_u32(self.index_entries);
        out.put_u32(self.time_entries);
        out.put_u64(self.unindexed);
        out.put_i64(self.last_time_entry);
        assert_eq!(out.len(), 0, "facts take all of their bytes");
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; FACTS_BYTES]) -> Self {
        use bytes::Buf;
        let mut at = &bytes[..];
        Self {
            base: Offset(at.get_i64()),
            size: at.get_u64(),
            end: Offset(at.get_i64()),
            batches: at.get_u32(),
            headers_crc: at.get_u32(),
            last_epoch: LeaderEpoch(at.get_i32()),
            first_timestamp: at.get_i64(),
            max_timestamp: at.get_i64(),
            max_timestamp_offset: Offset(at.get_i64()),
            created_ms: at.get_i64(),
            modified_ms: at.get_i64(),
            index_entries: at.get_u32(),
            time_entries: at.get_u32(),
            unindexed: at.get_u64(),
            last_time_entry: at.get_i64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Attributes, ProducerEpoch, ProducerId, Timestamp};

    fn batch(offset: i64, records: i32, bytes: i32, timestamp: i64) -> BatchHeader {
        BatchHeader {
            base_offset: Offset(offset),
            batch_length: bytes - 12,
            partition_leader_epoch: LeaderEpoch(3),
            crc: 7,
            attributes: Attributes(0),
            last_offset_delta: records - 1,
            base_timestamp: Timestamp(timestamp),
            max_timestamp: Timestamp(timestamp),
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            records_count: records,
        }
    }
    fn config() -> LogConfig {
        LogConfig {
            index_interval_bytes: 1_000,
            segment_bytes: 10_000,
            segment_ms: 500,
            ..LogConfig::default()
        }
    }

    #[test]
    fn index_entries_at_kafkas_interval() {
        let mut facts = Facts::new(Offset(100), 0);
        let mut made = Vec::new();
        for n in 0..8 {
            // Time goes back in the middle: the largest so far counts.
            let timestamp = [10, 20, 30, 25, 25, 40, 40, 40][n as usize];
            made.push(facts.add(&batch(100 + n * 2, 2, 400, timestamp), &config()));
        }
        // 400 and 800 bytes lie before batches 1 and 2; 1,200 before batch 3; then 1,200 more
        // before batch 6.
        let positions: Vec<_> =
            made.iter().map(|e| e.offset.map(|o| (o.last_offset.0, o.position))).collect();
        assert_eq!(
            positions,
            [None, None, None, Some((107, 1_200)), None, None, Some((113, 2_400)), None]
        );
        let times: Vec<_> =
            made.iter().filter_map(|e| e.time.map(|t| (t.timestamp, t.last_offset.0))).collect();
        assert_eq!(times, [(30, 105), (40, 111)]);
        assert_eq!(facts.time_entry(), None, "the last entry says it already");
        assert_eq!((facts.size, facts.end, facts.batches), (3_200, Offset(116), 8));
        assert_eq!(facts.index_bytes(), (16, 24));
        assert_eq!(Facts::from_bytes(&facts.to_bytes()), facts);
    }

    #[test]
    fn the_last_time_entry_of_a_closed_segment() {
        let mut facts = Facts::new(Offset(0), 0);
        assert_eq!(facts.time_entry(), None);
        facts.add(&batch(0, 1, 100, 5), &config());
        assert_eq!(facts.time_entry(), Some(TimeEntry { timestamp: 5, last_offset: Offset(0) }));
        assert_eq!(facts.time_entry(), None);
    }

    #[test]
    fn headers_crc_is_that_of_the_headers_in_a_row() {
        let mut facts = Facts::new(Offset(0), 0);
        let mut all = Vec::new();
        for n in 0..3 {
            let header = batch(n, 1, 100, n);
            facts.add(&header, &config());
            all.extend_from_slice(&header.to_bytes());
        }
        assert_eq!(facts.headers_crc, checksum(&all));
    }

    #[test]
    fn rolls() {
        let filled = |bytes| {
            let mut facts = Facts::new(Offset(0), 1_000);
            facts.add(&batch(0, 1, bytes, 2_000), &config());
            facts
        };
        let rolls =
            |facts: &Facts, next: BatchHeader, now| facts.should_roll(&next, &config(), now);
        assert!(
            !Facts::new(Offset(0), 0).should_roll(&batch(0, 1, 20_000, 0), &config(), i64::MAX),
            "empty"
        );
        let far = batch(i64::from(i32::MAX) + 1, 1, 100, 0);
        assert!(Facts::new(Offset(0), 0).should_roll(&far, &config(), 0));
        assert!(!rolls(&filled(5_000), batch(1, 1, 5_000, 2_000), 9_999_999));
        assert!(rolls(&filled(5_000), batch(1, 1, 5_001, 2_000), 0));
        assert!(
            !rolls(&filled(100), batch(1, 1, 100, 2_500), 0),
            "by the batch's time, not the clock's"
        );
        assert!(rolls(&filled(100), batch(1, 1, 100, 2_501), 0));
        assert!(!rolls(&filled(100), batch(i64::from(i32::MAX), 1, 100, 2_000), 0));
        assert!(rolls(&filled(100), batch(i64::from(i32::MAX) + 1, 1, 100, 2_000), 0));
        // Without timestamps the clock counts, from when the segment was made.
        let mut facts = Facts::new(Offset(0), 1_000);
        facts.add(&batch(0, 1, 100, -1), &config());
        assert!(!rolls(&facts, batch(1, 1, 100, -1), 1_500));
        assert!(rolls(&facts, batch(1, 1, 100, -1), 1_501));
        // A full index.
        let small = LogConfig { segment_index_bytes: 24, ..config() };
        let mut facts = filled(1_001);
        assert!(!facts.should_roll(&batch(1, 1, 100, 2_000), &small, 0));
        facts.add(&batch(1, 1, 100, 2_000), &small);
        assert!(facts.should_roll(&batch(2, 1, 100, 2_000), &small, 0), "{facts:?}");
    }
}
