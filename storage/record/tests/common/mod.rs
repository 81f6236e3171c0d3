//! Records as owned values, and strategies that make them.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use record::{BatchBuilder, Compression, Header, Timestamp};

pub type OwnedHeader = (String, Option<Vec<u8>>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub timestamp: i64,
    pub headers: Vec<OwnedHeader>,
}

pub fn any_record() -> impl Strategy<Value = OwnedRecord> {
    let bytes = || option::of(vec(any::<u8>(), 0..200));
    let timestamp =
        prop_oneof![Just(-1i64), 0i64..4_000_000_000_000, 1_700_000_000_000i64..1_700_000_001_000,];
    let headers = vec(("[a-c]{0,3}", option::of(vec(any::<u8>(), 0..20))), 0..4);
    (bytes(), bytes(), timestamp, headers)
        .prop_map(|(key, value, timestamp, headers)| OwnedRecord { key, value, timestamp, headers })
}

pub fn any_records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    vec(any_record(), 1..40)
}

pub fn any_codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
}

pub fn append_all(batch: &mut BatchBuilder, records: &[OwnedRecord]) {
    for record in records {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| Header::new(key, value.as_deref())).collect();
        batch
            .append(
                record.key.as_deref(),
                record.value.as_deref(),
                Timestamp(record.timestamp),
                &headers,
            )
            .unwrap();
    }
}

/// A batch of three small records with keys.
pub fn small_batch(codec: Compression) -> Vec<u8> {
    let mut batch = BatchBuilder::new().compression(codec);
    for n in 0..3 {
        batch
            .append(
                Some(format!("key-{n}").as_bytes()),
                Some(b"a value, a value, a value"),
                Timestamp(1_700_000_000_000 + n),
                &[Header::new("h", Some(b"1")), Header::new("h", None)],
            )
            .unwrap();
    }
    batch.build().unwrap()
}
