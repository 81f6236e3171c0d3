//! Batches that are stored otherwise than they came (`compression.type`), and those that Kafka does
//! not store at all.
use crate::{
    bed::{Bed, every_mode},
    kafka::{Kafka, NOW, batch, produce_request, with_topic},
};
use bytes::Bytes;
use record::{BatchBuilder, BatchView, Batches, Compression, ProducerEpoch, ProducerId, Records};
use wire::{
    ErrorCode,
    produce::{PartitionProduceData, ProduceRequest, ProduceResponse},
};

const CAP: usize = 1 << 20;

fn packed(codec: Compression, values: &[&str]) -> Bytes {
    let mut batch = BatchBuilder::new().compression(codec);
    for value in values {
        batch.append(None, Some(value.as_bytes()), NOW, &[]).unwrap();
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

/// A batch of one record that belongs to a transaction.
fn of_a_transaction() -> Bytes {
    let mut batch =
        BatchBuilder::new().producer(ProducerId(7), ProducerEpoch(0), 0).transactional(true);
    batch.append(None, Some(b"never"), NOW, &[]).unwrap();
    batch.build_bytes().unwrap()
}

/// Batches for partitions of topic "t", in this order.
fn produce_all(batches: &[(i32, &Bytes)]) -> ProduceRequest<'static> {
    let mut request = produce_request("t", 0, -1, Bytes::new());
    request.topic_data[0].partition_data = batches
        .iter()
        .map(|&(index, records)| PartitionProduceData {
            index,
            records: Some(wire::Records::from(records.clone())),
        })
        .collect();
    request
}

/// Partition, error and base offset of each answer.
fn told(answer: &ProduceResponse<'_>) -> Vec<(i32, ErrorCode, i64)> {
    let all = answer.responses.iter().flat_map(|t| &t.partition_responses);
    all.map(|p| {
        let error = ErrorCode::from_code(p.error_code).unwrap();
        (p.index, error, p.base_offset)
    })
    .collect()
}

#[test]
fn a_transaction_s_batch_without_a_transaction_refuses_its_request() {
    const REFUSED: ErrorCode = ErrorCode::TransactionalIdAuthorizationFailed;
    for how in every_mode(22) {
        let (mut bed, mut kafka, core) = with_topic(how);
        let (never, one) = (of_a_transaction(), batch(&["one"]));
        let answer = kafka.produce(&mut bed, "t", 0, never.clone());
        assert_eq!(answer.error_code, REFUSED.code());
        // Nothing of the request is stored, nor of one with an id what is of the transaction.
        for (id, wanted) in [
            (None, [(0, REFUSED, -1), (1, REFUSED, -1)]),
            (Some("id"), [(0, REFUSED, -1), (1, ErrorCode::UnknownTopicOrPartition, -1)]),
        ] {
            let mut request = produce_all(&[(1, &one), (0, &never)]);
            request.transactional_id = id.map(Into::into);
            let answer = kafka.call(&mut bed, core, &request, 9);
            let mut told = told(&answer);
            told.sort_unstable_by_key(|t| t.0);
            assert_eq!(told, wanted);
        }
        assert!(kafka.read_all(&mut bed, "t", 0, 0).is_empty());
        // An id alone is no transaction.
        let mut request = produce_all(&[(0, &one)]);
        request.transactional_id = Some("id".into());
        for offset in 0..2 {
            let answer = kafka.call(&mut bed, core, &request, 9);
            assert_eq!(told(&answer), [(0, ErrorCode::None, offset)]);
        }
    }
}

#[test]
fn of_a_partition_named_twice_the_last_batch_is_stored() {
    for how in every_mode(24) {
        let (mut bed, mut kafka, core) = with_topic(how);
        let id = kafka.metadata(&mut bed, core, &["t"]).topics[0].topic_id;
        let (one, two) = (batch(&["one"]), batch(&["two"]));
        let twice = produce_all(&[(0, &one), (0, &two)]);
        let mut topics_twice = produce_all(&[(0, &one)]);
        topics_twice.topic_data.extend(produce_all(&[(0, &two)]).topic_data);
        for (offset, (mut request, version)) in
            [(twice, 9), (topics_twice, 13)].into_iter().enumerate()
        {
            if version >= 13 {
                for topic in &mut request.topic_data {
                    (topic.name, topic.topic_id) = ("".into(), id);
                }
            }
            let answer = kafka.call(&mut bed, core, &request, version);
            assert_eq!(told(&answer), [(0, ErrorCode::None, offset as i64)]);
        }
        let stored = kafka.read_all(&mut bed, "t", 0, 0);
        assert_eq!(stored, [(0, b"two".to_vec()), (1, b"two".to_vec())]);
    }
}

/// A producer of version 6 and less cannot know it (KIP-110).
#[test]
fn zstd_of_an_old_producer_is_refused() {
    for how in every_mode(23) {
        let (mut bed, mut kafka, core) = with_topic(how);
        for (version, wanted) in [(6, ErrorCode::UnsupportedCompressionType), (7, ErrorCode::None)]
        {
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
