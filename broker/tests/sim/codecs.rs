//! Batches that are stored otherwise than they came (`compression.type`), and those that Kafka does not store at all.
use crate::{
    bed::{Bed, every_mode},
    kafka::{Kafka, NOW, batch, produce_request, with_topic},
};
use bytes::Bytes;
use record::{BatchBuilder, BatchView, Batches, Compression, ProducerEpoch, ProducerId, Records};
use wire::ErrorCode;

const CAP: usize = 1 << 20;

fn packed(codec: Compression, values: &[&str]) -> Bytes {
    let mut batch = BatchBuilder::new().compression(codec);
    for value in values {
        batch
            .append(None, Some(value.as_bytes()), NOW, &[])
            .unwrap();
    }
    batch.build_bytes().unwrap()
}

fn texts(view: &BatchView<'_>) -> Vec<String> {
    let opened = view.decompressed(CAP).unwrap();
    Records::new(&opened, view.header())
        .map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap())
        .collect()
}

#[test]
fn a_topic_s_codec_is_what_its_batches_are_stored_in() {
    for how in every_mode(21) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        let mut offset = 0;
        for (name, wanted) in [
            ("zstd", Compression::Zstd),
            ("gzip", Compression::Gzip),
            ("lz4", Compression::Lz4),
            ("snappy", Compression::Snappy),
            ("uncompressed", Compression::None),
        ] {
            kafka.set_config(&mut bed, "t", "compression.type", name);
            for came in Compression::ALL {
                let values = ["one", "two", "three"];
                let answer = kafka.produce(&mut bed, "t", 0, packed(came, &values));
                assert_eq!((answer.error_code, answer.base_offset), (0, offset));
                let data = kafka.fetch(&mut bed, "t", 0, offset);
                let bytes = data.records.as_ref().unwrap().contiguous();
                let view = Batches::new(&bytes).last().unwrap();
                view.verify_crc().unwrap();
                assert_eq!(view.header().base_offset.0, offset);
                assert_eq!(view.header().attributes.compression(), Ok(wanted));
                assert_eq!(texts(&view), values, "{came:?} stored as {name}");
                offset += 3;
            }
        }
        kafka.set_config(&mut bed, "t", "max.message.bytes", "200");
        let value = "x".repeat(1_000);
        let bomb = packed(Compression::Zstd, &[&value]);
        assert!(bomb.len() < 200);
        let answer = kafka.produce(&mut bed, "t", 0, bomb);
        assert_eq!(answer.error_code, ErrorCode::MessageTooLarge.code());
    }
}

#[test]
fn a_transaction_s_batch_without_a_transaction_is_not_stored() {
    for how in every_mode(22) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        let mut of_a_transaction = BatchBuilder::new()
            .producer(ProducerId(7), ProducerEpoch(0), 0)
            .transactional(true);
        of_a_transaction
            .append(None, Some(b"never"), NOW, &[])
            .unwrap();
        let answer = kafka.produce(&mut bed, "t", 0, of_a_transaction.build_bytes().unwrap());
        assert_eq!(
            answer.error_code,
            ErrorCode::TransactionalIdAuthorizationFailed.code()
        );
        let answer = kafka.produce(&mut bed, "t", 0, batch(&["one"]));
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    }
}

/// A producer of version 6 and less cannot know it (KIP-110).
#[test]
fn zstd_of_an_old_producer_is_refused() {
    for how in every_mode(23) {
        let (mut bed, mut kafka, core) = with_topic(how);
        for (version, wanted) in [
            (6, ErrorCode::UnsupportedCompressionType),
            (7, ErrorCode::None),
        ] {
            let request = produce_request("t", 0, -1, packed(Compression::Zstd, &["one"]));
            let answer = kafka.call(&mut bed, core, &request, version);
            let code = answer.responses[0].partition_responses[0].error_code;
            assert_eq!(code, wanted.code(), "version {version}");
        }
    }
}

#[test]
fn the_records_at_fault_are_named() {
    for how in every_mode(24) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        kafka.set_config(&mut bed, "t", "message.timestamp.after.max.ms", "1000");
        let mut late = BatchBuilder::new();
        for (n, ahead) in [0, 0, 3_600_000, 0].into_iter().enumerate() {
            let value = format!("record {n}");
            let at = record::Timestamp(NOW.0 + ahead);
            late.append(None, Some(value.as_bytes()), at, &[]).unwrap();
        }
        let late = late.build_bytes().unwrap();
        let core = kafka.leader(&mut bed, "t", 0);
        for version in [7, 8, 12] {
            let request = produce_request("t", 0, -1, late.clone());
            let answer = kafka.call(&mut bed, core, &request, version);
            let answer = &answer.responses[0].partition_responses[0];
            assert_eq!(answer.error_code, ErrorCode::InvalidTimestamp.code());
            let named: Vec<i32> = answer.record_errors.iter().map(|e| e.batch_index).collect();
            let wanted: &[i32] = if version < 8 { &[] } else { &[2] };
            assert_eq!(named, wanted, "version {version}");
        }
    }
}
