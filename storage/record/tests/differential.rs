//! Against an independent implementation: what one writes, the other reads.

mod common;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use common::{OwnedRecord, any_codec, any_records, append_all};
use kafka_protocol::records::{
    Compression as TheirCompression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType as TheirTimestampType,
};
use proptest::prelude::*;
use record::{
    BatchBuilder, BatchView, Compression, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Records,
    Timestamp, ValidateOptions, validate,
};

fn theirs(codec: Compression) -> TheirCompression {
    match codec {
        Compression::None => TheirCompression::None,
        Compression::Gzip => TheirCompression::Gzip,
        Compression::Snappy => TheirCompression::Snappy,
        Compression::Lz4 => TheirCompression::Lz4,
        Compression::Zstd => TheirCompression::Zstd,
    }
}

/// Their headers are a map: keep one per key.
fn unique_headers(mut records: Vec<OwnedRecord>) -> Vec<OwnedRecord> {
    for record in &mut records {
        let map: BTreeMap<_, _> = record.headers.drain(..).collect();
        record.headers = map.into_iter().collect();
    }
    records
}

proptest! {
    #[test]
    fn they_read_ours(records in any_records(), codec in any_codec(), base in 0i64..1 << 30) {
        let records = unique_headers(records);
        let mut batch = BatchBuilder::new()
            .base_offset(Offset(base))
            .leader_epoch(LeaderEpoch(4))
            .producer(ProducerId(5), ProducerEpoch(6), 7)
            .transactional(true)
            .compression(codec);
        append_all(&mut batch, &records);
        let mut bytes = batch.build_bytes().unwrap();
        let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
        prop_assert_eq!(set.compression, theirs(codec));
        prop_assert_eq!(set.records.len(), records.len());
        for (n, (read, wrote)) in set.records.iter().zip(&records).enumerate() {
            prop_assert_eq!(read.offset, base + n as i64);
            prop_assert_eq!(read.sequence, 7 + n as i32);
            prop_assert_eq!(read.timestamp, wrote.timestamp);
            prop_assert_eq!((read.producer_id, read.producer_epoch), (5, 6));
            prop_assert_eq!(read.partition_leader_epoch, 4);
            prop_assert!(read.transactional && !read.control);
            prop_assert_eq!(read.key.as_deref(), wrote.key.as_deref());
            prop_assert_eq!(read.value.as_deref(), wrote.value.as_deref());
            let headers: Vec<_> = read
                .headers
                .iter()
                .map(|(k, v)| (k.to_string(), v.as_ref().map(|v| v.to_vec())))
                .collect();
            prop_assert_eq!(&headers, &wrote.headers);
        }
    }

    #[test]
    fn we_read_theirs(records in any_records(), codec in any_codec(), deep: bool) {
        let records = unique_headers(records);
        let input: Vec<_> = records
            .iter()
            .enumerate()
            .map(|(n, record)| TheirRecord {
                transactional: false,
                control: false,
                delete_horizon: false,
                partition_leader_epoch: -1,
                producer_id: -1,
                producer_epoch: -1,
                timestamp_type: TheirTimestampType::Creation,
                offset: n as i64,
                sequence: n as i32 - 1,
                timestamp: record.timestamp,
                key: record.key.clone().map(Bytes::from),
                value: record.value.clone().map(Bytes::from),
                headers: record
                    .headers
                    .iter()
                    .map(|(k, v)| (k.clone().into(), v.clone().map(Bytes::from)))
                    .collect(),
            })
            .collect();
        let options = RecordEncodeOptions { version: 2, compression: theirs(codec) };
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &input, &options).unwrap();

        let options = ValidateOptions {
            deep,
            timestamp_after_max_ms: i64::MAX,
            ..ValidateOptions::default()
        };
        let valid = validate(&bytes, &options, Timestamp(1)).unwrap();
        let max = records.iter().map(|r| r.timestamp).max().unwrap();
        prop_assert_eq!(valid.max_timestamp, Timestamp(max));

        let batch = BatchView::parse_verified(&bytes).unwrap();
        prop_assert_eq!(batch.size_in_bytes(), bytes.len());
        prop_assert_eq!(batch.next_offset(), Offset(records.len() as i64));
        let plain = batch.decompressed(1 << 20).unwrap();
        let mut count = 0;
        for (read, wrote) in Records::new(&plain, &batch).zip(&records) {
            let read = read.unwrap();
            prop_assert_eq!(read.offset_delta, count);
            prop_assert_eq!(read.timestamp(&batch), Timestamp(wrote.timestamp));
            prop_assert_eq!(read.key, wrote.key.as_deref());
            prop_assert_eq!(read.value, wrote.value.as_deref());
            let headers: Vec<_> = read
                .headers
                .map(|h| (h.key_text().unwrap().to_owned(), h.value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(&headers, &wrote.headers);
            count += 1;
        }
        prop_assert_eq!(count as usize, records.len());
    }
}
