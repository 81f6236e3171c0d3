//! Whether what a checkpoint says can be.
//!
//! Its checksum says that these are the bytes that were written, not that a sound store wrote them:
//! a checkpoint may have been made by hand, or by a program with a bug. What follows from a
//! position that cannot be (an index entry past its segment, an offset that runs over) is an
//! assertion deep inside a flush, on every start again. So it is refused at the door, by name.
//!
//! Looked at are bounds and the order of numbers, not files: a segment that is shorter than its
//! checkpoint says is found when it is opened or read. Producers are checked where they are parsed.
use super::{Checkpoint, LogState};
use crate::{
    disk_log::FlushedState,
    ids::OFFSET_MAX,
    segment::facts::{FactsDoubt, OFFSETS_MAX, POSITION_MAX},
};
use record::{Offset, header::HEADER_SIZE};
use std::collections::BTreeSet;

/// The same for numbers that count starts, frames and files.
const NUMBER_MAX: u64 = 1 << 62;

/// What cannot be, in the words of an error; `None` if all of it can.
pub(super) fn doubt(checkpoint: &Checkpoint) -> Option<String> {
    let head = &checkpoint.head;
    for (number, name) in [
        (head.start, "start"),
        (head.first_live, "first live frame"),
        (head.first_file, "first file"),
    ] {
        if number >= NUMBER_MAX {
            return Some(format!("{name} {number}"));
        }
    }
    let mut ids = BTreeSet::new();
    for log in &checkpoint.logs {
        if !ids.insert(log.id) {
            return Some(format!("{:?} twice", log.id));
        }
        if let Some(what) = doubt_log(log) {
            return Some(format!("{:?}: {what}", log.id));
        }
    }
    None
}

fn doubt_log(log: &LogState) -> Option<String> {
    if log.id.partition < 0 {
        return Some("a partition below 0".into());
    }
    if !is_offset(log.log_start) {
        return Some(format!("log start {}", log.log_start));
    }
    if log.epoch.0 < 0 || log.epochs.latest().is_some_and(|latest| latest > log.epoch) {
        let latest = log.epochs.latest();
        return Some(format!("leader epoch {}, and {latest:?} in its history", log.epoch));
    }
    if let Some(entry) = log.epochs.entries().iter().find(|entry| !is_offset(entry.start)) {
        return Some(format!("{entry:?}"));
    }
    let fence =
        log.fenced.iter().find(|(from, to)| !(is_offset(*from) && is_offset(*to) && from < to));
    if let Some((from, to)) = fence {
        return Some(format!("damage from {from} to {to}"));
    }
    log.disk.as_ref().and_then(doubt_disk)
}

fn doubt_disk(disk: &FlushedState) -> Option<String> {
    let FlushedState { segment_base: base, position, flushed, log_start, synced, chain: _ } = *disk;
    if !is_offset(base) || !is_offset(flushed) || !is_offset(log_start) {
        return Some(format!("segment {base}, flushed up to {flushed}, log start {log_start}"));
    }
    // Kafka's indexes hold offsets and positions of a segment as 32 bits.
    let offsets = flushed.0 - base.0;
    if !(0..=OFFSETS_MAX).contains(&offsets) {
        return Some(format!("segment {base} flushed up to offset {flushed}"));
    }
    if position > POSITION_MAX || (offsets > 0 && position < HEADER_SIZE as u64) {
        return Some(format!("segment {base} has {offsets} offsets in {position} bytes"));
    }
    if synced.base != base || synced.size > position || synced.end > flushed {
        return Some(format!(
            "indexes of segment {} up to offset {} in {} bytes, of segment {base} up to {flushed} in {position}",
            synced.base, synced.end, synced.size
        ));
    }
    synced.doubt().map(|FactsDoubt(what)| format!("segment {base}: {what}"))
}

fn is_offset(offset: Offset) -> bool {
    offset.is_valid() && offset <= OFFSET_MAX
}

#[cfg(test)]
mod tests {
    use super::super::{Bad, decode, encode, tests::sample};
    use super::*;
    use crate::segment::facts::Facts;
    use bytes::Bytes;
    use record::LeaderEpoch;

    /// The error for the sample with a change, its checksum right.
    fn refused(change: impl FnOnce(&mut Checkpoint)) -> String {
        let (head, logs, deleted) = sample();
        let mut checkpoint = Checkpoint { head, logs, deleted };
        change(&mut checkpoint);
        let encoded: Vec<Bytes> = checkpoint.logs.iter().map(LogState::encode).collect();
        match decode(&encode(&checkpoint.head, &encoded, &checkpoint.deleted)) {
            Err(Bad::Damaged(what)) => what,
            other => panic!("not refused as damaged: {other:?}"),
        }
    }

    fn on_log(change: impl FnOnce(&mut LogState)) -> String {
        refused(|checkpoint| change(&mut checkpoint.logs[0]))
    }

    fn on_disk(change: impl FnOnce(&mut FlushedState)) -> String {
        on_log(|log| change(log.disk.as_mut().expect("the sample has segments")))
    }

    fn on_synced(change: impl FnOnce(&mut Facts)) -> String {
        on_disk(|disk| {
            disk.synced = Facts {
                size: 1_000,
                end: Offset(30),
                batches: 5,
                max_timestamp: 7,
                max_timestamp_offset: Offset(29),
                index_entries: 1,
                time_entries: 1,
                unindexed: 10,
                last_time_entry: 7,
                ..disk.synced
            };
            assert!(disk.synced.doubt().is_none(), "sound before the change");
            change(&mut disk.synced);
        })
    }

    #[test]
    fn numbers_of_the_head() {
        assert!(refused(|checkpoint| checkpoint.head.start = u64::MAX).contains("start"));
        assert!(refused(|checkpoint| checkpoint.head.first_live = u64::MAX).contains("live"));
        assert!(refused(|checkpoint| checkpoint.head.first_file = u64::MAX).contains("file"));
    }

    #[test]
    fn logs() {
        let twice = |checkpoint: &mut Checkpoint| checkpoint.logs[1].id = checkpoint.logs[0].id;
        assert!(refused(twice).contains("twice"));
        assert!(on_log(|log| log.id.partition = -1).contains("partition"));
        assert!(on_log(|log| log.log_start = Offset(-1)).contains("log start -1"));
        assert!(on_log(|log| log.log_start = Offset::MAX).contains("log start"));
        assert!(on_log(|log| log.epoch = LeaderEpoch(-1)).contains("leader epoch"));
        assert!(on_log(|log| log.epoch = LeaderEpoch(3)).contains("leader epoch 3"));
        let far = |log: &mut LogState| {
            log.epochs.assign(LeaderEpoch(4), Offset(7));
            log.epoch = LeaderEpoch(9);
            log.epochs.assign(LeaderEpoch(9), Offset::MAX);
        };
        assert!(on_log(far).contains("EpochStart"));
        for (from, to) in [(8, 6), (6, 6), (-1, 6), (6, i64::MAX)] {
            let fence = |log: &mut LogState| log.fenced = vec![(Offset(from), Offset(to))];
            assert!(on_log(fence).contains("damage"), "{from}..{to}");
        }
    }

    #[test]
    fn an_epoch_history_that_does_not_rise() {
        let (head, logs, _) = sample();
        let good = encode(&head, &[logs[0].encode()], &[]);
        // Epochs 3 at 5 and 4 at 11: the second start becomes 5.
        let second = [&4u32.to_le_bytes()[..], &11u64.to_le_bytes()[..]].concat();
        let at = good.windows(12).position(|bytes| bytes == second).expect("the entry");
        let mut bad = good[..good.len() - 4].to_vec();
        bad[at + 4] = 5;
        let crc = record::checksum(&bad);
        bad.extend_from_slice(&crc.to_le_bytes());
        assert!(decode(&good).is_ok() && decode(&bad).is_err());
    }

    #[test]
    fn what_is_flushed() {
        let far = i64::from(i32::MAX);
        assert!(on_disk(|disk| disk.flushed = Offset(4)).contains("flushed up to offset 4"));
        assert!(on_disk(|disk| disk.flushed = Offset(5 + far + 2)).contains("flushed up to"));
        assert!(on_disk(|disk| disk.flushed = Offset(-1)).contains("flushed up to -1"));
        assert!(on_disk(|disk| disk.segment_base = Offset(-1)).contains("segment -1"));
        assert!(on_disk(|disk| disk.log_start = Offset(i64::MIN)).contains("log start"));
        assert!(on_disk(|disk| disk.position = 1 << 31).contains("2147483648 bytes"));
        assert!(on_disk(|disk| disk.position = 60).contains("35 offsets in 60 bytes"));
    }

    #[test]
    fn what_the_indexes_reach() {
        assert!(on_synced(|facts| facts.base = Offset(6)).contains("indexes"));
        assert!(on_synced(|facts| facts.size = 1_235).contains("indexes"));
        assert!(on_synced(|facts| facts.end = Offset(41)).contains("indexes"));
        assert!(on_synced(|facts| facts.end = Offset(4)).contains("ends at 4"));
        assert!(on_synced(|facts| facts.batches = 17).contains("17 batches"));
        assert!(on_synced(|facts| facts.max_timestamp_offset = Offset(4)).contains("timestamp"));
        assert!(on_synced(|facts| facts.max_timestamp_offset = Offset(30)).contains("timestamp"));
        assert!(on_synced(|facts| facts.index_entries = 6).contains("entries"));
        assert!(on_synced(|facts| facts.time_entries = 6).contains("entries"));
        assert!(on_synced(|facts| facts.unindexed = 1_001).contains("1001 bytes"));
        assert!(on_synced(|facts| facts.last_time_entry = 8).contains("timestamp"));
    }
}
