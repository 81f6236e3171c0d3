//! Records of Kafka's own topics, as a start replays them.
//!
//! ```text
//! byte 0: what follows. 0..=n: one message of that type, after a byte of version
//!         0x80: a log of group records:    (key length, key, value length + 1 or 0 for null, value) ...
//!         0x81: a log of metadata records: (length, value) ...           lengths are u16, big-endian
//! ```
use crate::api::{check, decode_again};
use broker::{
    coordinator::{Now, Record},
    group::{Coordinator, Options},
    metadata::{Image, MetadataRecord},
};
use wire::{
    Message, VersionRange, for_each_data_message, for_each_group_message,
    for_each_metadata_message, for_each_transaction_message,
    record_frame::{
        RecordSet, decode_key, decode_metadata, decode_value, encode_key, encode_metadata,
        encode_value,
    },
    records::{
        group::{GroupKey, GroupValue},
        metadata,
        transaction::{TransactionKey, TransactionValue},
    },
};

pub const GROUP_LOG: u8 = 0x80;
pub const METADATA_LOG: u8 = 0x81;
const NOW: Now = Now { monotonic_ms: 1_000_000, wall_ms: 1_750_000_000_000 };

/// A type of message.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub versions: VersionRange,
    pub check: fn(&[u8], i16) -> bool,
}

/// All of them.
pub fn kinds() -> Vec<Kind> {
    macro_rules! table {
        ($($type:ty;)*) => {
            [$(Kind {
                name: <$type as Message>::NAME,
                versions: <$type as Message>::VERSIONS,
                check: |bytes, version| check::<$type>(bytes, version, |bytes, version, left| decode_again::<$type>(bytes, version, left)),
            },)*]
        };
    }
    let mut kinds = Vec::new();
    kinds.extend(for_each_group_message!(table));
    kinds.extend(for_each_metadata_message!(table));
    kinds.extend(for_each_transaction_message!(table));
    kinds.extend(for_each_data_message!(table));
    kinds
}

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    match data {
        [GROUP_LOG, log @ ..] => group_log(log),
        [METADATA_LOG, log @ ..] => metadata_log(log),
        [kind, version, body @ ..] => {
            let kinds = kinds();
            let kind = kinds[usize::from(*kind) % kinds.len()];
            (kind.check)(body, i16::from(version.cast_signed()));
        }
        _ => {}
    }
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
    let (taken, after) = after.split_at(length);
    *rest = after;
    Some(taken)
}

/// As [`take`], one less; 0 is null.
fn take_opt<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let Some(length) = usize::from(u16::from_be_bytes(*length)).checked_sub(1) else {
        *rest = after;
        return Some(None);
    };
    let (taken, after) = after.split_at(length.min(after.len()));
    *rest = after;
    Some(Some(taken))
}

fn group_log(mut rest: &[u8]) {
    let mut coordinator = Coordinator::new(Options::default());
    while let Some(key) = take(&mut rest) {
        let Some(value) = take_opt(&mut rest) else { break };
        frames(key, value);
        let _ = coordinator.replay(key, value, NOW.wall_ms);
    }
    coordinator.check();
    // What a snapshot keeps is the state: replayed, it makes the same snapshot.
    let records = snapshot(&coordinator);
    let mut again = Coordinator::new(Options::default());
    for record in &records {
        let served = again.replay(&record.key, record.value.as_deref(), NOW.wall_ms);
        assert_eq!(served, Ok(true), "our own record {record:?}");
    }
    again.check();
    assert!(snapshot(&again) == records, "a snapshot that is replayed gives another");
    // And it serves: all timers of its members go off.
    coordinator.activate(NOW);
    coordinator.check();
    for _ in 0..1_000 {
        let Some(due) = coordinator.next_deadline() else { break };
        if due > NOW.monotonic_ms.saturating_add(1 << 33) {
            break;
        }
        let wall_ms = NOW.wall_ms.saturating_add((due - NOW.monotonic_ms.min(due)).cast_signed());
        coordinator.tick(Now { monotonic_ms: due, wall_ms });
        coordinator.check();
    }
}

fn snapshot(coordinator: &Coordinator) -> Vec<Record> {
    let mut snapshot = coordinator.snapshot();
    let mut records = Vec::new();
    loop {
        let next = coordinator.snapshot_next(&mut snapshot, 300);
        if next.is_empty() {
            return records;
        }
        records.extend(next);
    }
}

/// The frames around a key and a value: what is read and written again reads the same.
fn frames(key: &[u8], value: Option<&[u8]>) {
    if let Ok(read) = decode_key::<GroupKey<'_>>(key) {
        let bytes = encode_key(&read).unwrap_or_else(|error| panic!("{read:?}: {error}"));
        assert!(decode_key::<GroupKey<'_>>(&bytes).is_ok_and(|again| again == read), "{read:?}");
        if let Some(value) = value
            && let Ok(found) = decode_value::<GroupValue<'_>>(read.id(), value)
        {
            let version = i16::from_be_bytes([value[0], value[1]]);
            let bytes =
                encode_value(&found, version).unwrap_or_else(|error| panic!("{found:?}: {error}"));
            assert!(
                decode_value::<GroupValue<'_>>(read.id(), &bytes).is_ok_and(|again| again == found),
                "{found:?}"
            );
        }
    }
    if let Ok(read) = decode_key::<TransactionKey<'_>>(key)
        && let Some(value) = value
    {
        let _ = decode_value::<TransactionValue<'_>>(read.id(), value);
    }
}

fn metadata_log(mut rest: &[u8]) {
    let mut image = Image::default();
    while let Some(bytes) = take(&mut rest) {
        if let Ok((read, version)) = decode_metadata::<metadata::MetadataRecord<'_>>(bytes) {
            let again =
                encode_metadata(&read, version).unwrap_or_else(|error| panic!("{read:?}: {error}"));
            let same = decode_metadata::<metadata::MetadataRecord<'_>>(&again)
                .is_ok_and(|again| again == (read.clone(), version));
            assert!(same || format!("{read:?}").contains("NaN"), "{read:?}");
        }
        if let Ok(Some(record)) = MetadataRecord::decode(bytes) {
            image.apply(&record);
        }
    }
    assert_eq!(image.partition_count(), image.topics().map(|topic| topic.partitions.len()).sum());
    assert_eq!(image.topic_count(), image.topics().count());
    for topic in image.topics() {
        assert_eq!(image.topic(&topic.name).map(|found| found.id), Some(topic.id));
        assert_eq!(image.topic_by_id(topic.id).map(|found| &found.name), Some(&topic.name));
    }
    // A snapshot makes the same image, from the bytes on.
    let records = image.to_records();
    let mut again = Image::default();
    for record in &records {
        let bytes = record.encode();
        let read =
            MetadataRecord::decode(&bytes).unwrap_or_else(|error| panic!("{record:?}: {error}"));
        let read = read.unwrap_or_else(|| panic!("{record:?} has no meaning"));
        assert_eq!(read, *record);
        assert!(again.apply(&read), "{record:?} of a snapshot does not apply");
    }
    assert!(again.to_records() == records, "a snapshot that is applied gives another");
}
