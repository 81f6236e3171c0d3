//! Which batches are stored, and what is answered to the others: the code decides whether a client
//! tries again, splits or gives up.
use crate::{
    bed::{Bed, How, SECOND_NS, every_mode},
    kafka::{Kafka, NOW, batch, produce_request, with_topic},
};
use bytes::Bytes;
use record::{
    BatchBuilder, BatchView, Batches, Compression, ProducerEpoch, ProducerId, Records, Timestamp,
    header::refresh_crc,
};
use wire::{
    ErrorCode,
    produce::{PartitionProduceData, PartitionProduceResponse},
};

const DAY_MS: i64 = 86_400_000;

/// A batch with these times in its records, and this one in its header.
fn claiming(codec: Compression, max: i64, times: &[i64]) -> Bytes {
    let mut batch = BatchBuilder::new().compression(codec);
    for &time in times {
        batch.append(None, Some(b"value"), Timestamp(time), &[]).unwrap();
    }
    let mut bytes = batch.build().unwrap();
    bytes[35..43].copy_from_slice(&max.to_be_bytes());
    refresh_crc(&mut bytes);
    bytes.into()
}

/// Offset and time of every record that is stored, and what the batches' headers claim.
fn times(kafka: &mut Kafka, bed: &mut Bed) -> (Vec<(i64, i64)>, Vec<i64>) {
    let data = kafka.fetch(bed, "t", 0, 0);
    let bytes = data.records.as_ref().unwrap().contiguous();
    let (mut records, mut claims) = (Vec::new(), Vec::new());
    for view in Batches::new(&bytes) {
        view.verify_crc().unwrap();
        claims.push(view.max_timestamp.0);
        let plain = view.decompressed(1 << 20).unwrap();
        for record in Records::new(&plain, view.header()) {
            let record = record.unwrap();
            records.push((record.offset(view.header()).0, record.timestamp(view.header()).0));
        }
    }
    (records, claims)
}

/// A fault in what a producer sends, by what is done to a good batch of two records.
type Fault = (&'static str, fn(&mut Vec<u8>), ErrorCode);

fn set<const N: usize>(batch: &mut [u8], at: usize, field: [u8; N]) {
    batch[at..at + N].copy_from_slice(&field);
    refresh_crc(batch);
}

/// Kafka 4.3's codes, as read (`ProduceRequest.validateRecords`,
/// `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`) and as 4.3.1 answers to the same bytes,
/// but where a comment says otherwise.
const FAULTS: &[Fault] = {
    use ErrorCode::{CorruptMessage, InvalidRecord, InvalidTimestamp, UnsupportedCompressionType};
    &[
        ("nothing", Vec::clear, InvalidRecord),
        ("one byte", |b| b.truncate(1), InvalidRecord),
        ("no length", |b| b.truncate(11), InvalidRecord),
        ("no magic", |b| b.truncate(16), InvalidRecord),
        ("the header alone", |b| b.truncate(61), InvalidRecord),
        ("one byte short", |b| b.truncate(b.len() - 1), InvalidRecord),
        (
            "a length that is 1 too long",
            |b| {
                let length = b.len() as i32 - 11;
                b[8..12].copy_from_slice(&length.to_be_bytes());
            },
            InvalidRecord,
        ),
        (
            "a length that is 1 too short",
            |b| {
                let length = b.len() as i32 - 13;
                b[8..12].copy_from_slice(&length.to_be_bytes());
            },
            CorruptMessage,
        ),
        ("a length of 0", |b| b[8..12].fill(0), CorruptMessage),
        ("a length below 0", |b| b[8..12].fill(0xff), CorruptMessage),
        (
            "a length below a header's",
            |b| b[8..12].copy_from_slice(&48i32.to_be_bytes()),
            CorruptMessage,
        ),
        ("magic 0", |b| b[16] = 0, InvalidRecord),
        ("magic 1", |b| b[16] = 1, InvalidRecord),
        ("magic 3", |b| b[16] = 3, CorruptMessage),
        ("magic -1", |b| b[16] = 0xff, CorruptMessage),
        ("a wrong CRC", |b| b[20] ^= 1, CorruptMessage),
        ("two batches", |b| b.extend_from_within(..), InvalidRecord),
        // Kafka drops what is no whole batch without a word, and acknowledges the first.
        ("bytes behind", |b| b.push(0), InvalidRecord),
        ("a base offset", |b| set(b, 0, 7i64.to_be_bytes()), InvalidRecord),
        (
            "a base offset and a wrong CRC",
            |b| {
                set(b, 0, 7i64.to_be_bytes());
                b[20] ^= 1;
            },
            InvalidRecord,
        ),
        ("a count of 0", |b| set(b, 57, 0i32.to_be_bytes()), InvalidRecord),
        ("a count of 3", |b| set(b, 57, 3i32.to_be_bytes()), InvalidRecord),
        ("a last offset delta of 5", |b| set(b, 23, 5i32.to_be_bytes()), InvalidRecord),
        (
            "count and delta above the records",
            |b| {
                set(b, 57, 3i32.to_be_bytes());
                set(b, 23, 2i32.to_be_bytes());
            },
            InvalidRecord,
        ),
        (
            "count and delta below the records",
            |b| {
                set(b, 57, 1i32.to_be_bytes());
                set(b, 23, 0i32.to_be_bytes());
            },
            InvalidRecord,
        ),
        ("a control batch", |b| set(b, 22, [32]), InvalidRecord),
        (
            "a producer id without a sequence",
            |b| {
                set(b, 43, 9i64.to_be_bytes());
                set(b, 51, 0i16.to_be_bytes());
            },
            InvalidRecord,
        ),
        (
            "records that are none",
            |b| {
                b[61..].fill(0xff);
                refresh_crc(b);
            },
            InvalidRecord,
        ),
        // UNKNOWN_SERVER_ERROR in Kafka, as for integers that do not end in the case before.
        ("codec 5", |b| set(b, 22, [5]), UnsupportedCompressionType),
        ("gzip that is none", |b| set(b, 22, [1]), InvalidRecord),
        (
            "the broker's stamp, and no time",
            |b| {
                set(b, 22, [8]);
                set(b, 35, (-1i64).to_be_bytes());
            },
            InvalidTimestamp,
        ),
        (
            "a time in two hours",
            |b| {
                let time = NOW.0 + 7_200_000;
                set(b, 27, time.to_be_bytes());
            },
            InvalidTimestamp,
        ),
    ]
};

#[test]
fn every_fault_has_its_code() {
    for how in every_mode(61) {
        let (mut bed, mut kafka, _) = with_topic(how);
        for (fault, make, wanted) in FAULTS {
            let mut bytes = batch(&["one", "two"]).to_vec();
            make(&mut bytes);
            let answer = kafka.produce(&mut bed, "t", 0, bytes.into());
            assert_eq!(answer.error_code, wanted.code(), "{fault}");
            assert_eq!(answer.base_offset, -1, "{fault}");
        }
        let answer = kafka.produce(&mut bed, "t", 0, batch(&["one"]));
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
    }
}

/// Clients split a batch on this code, and try a smaller one.
#[test]
fn a_batch_that_decompresses_to_too_much_is_too_large() {
    for how in every_mode(62) {
        let (mut bed, mut kafka, _) = with_topic(how);
        let name = "max.decompressed.message.bytes";
        kafka.set_config(&mut bed, "t", name, "1048576");
        for codec in &Compression::ALL[1..] {
            for records in [1, 3] {
                let value = vec![b'x'; (2 << 20) / records];
                let mut large = BatchBuilder::new().compression(*codec);
                for _ in 0..records {
                    large.append(None, Some(&value), NOW, &[]).unwrap();
                }
                let answer = kafka.produce(&mut bed, "t", 0, large.build_bytes().unwrap());
                let wanted = ErrorCode::MessageTooLarge.code();
                assert_eq!(answer.error_code, wanted, "{codec:?} {records}");
            }
        }
    }
}

/// kafka-go's `Conn.WriteCompressedMessages` writes the last message's time into the header:
/// 1. a record stamped now comes in front of one of last week's;
/// 2. the header says last week;
/// 3. retention of a week goes by the header, and deletes both; a look-up by time passes over them.
#[test]
fn retention_and_look_ups_go_by_the_records_and_not_by_the_header_s_word() {
    for (n, codec) in Compression::ALL.into_iter().enumerate() {
        let mut how = How::new(63 + n as u64, 1);
        how.storage.retention_check_ms = 1_000;
        let (mut bed, mut kafka, _) = with_topic(how);
        let week = (7 * DAY_MS).to_string();
        kafka.set_config(&mut bed, "t", "retention.ms", &week);
        let old = NOW.0 - 8 * DAY_MS;
        let answer = kafka.produce(&mut bed, "t", 0, claiming(codec, old, &[old, NOW.0, old]));
        assert_eq!((answer.error_code, answer.base_offset), (0, 0), "{codec:?}");
        // Flushed, and looked at by retention, more than once.
        bed.sim.run_for(10 * SECOND_NS);
        assert_eq!(kafka.list_offset(&mut bed, "t", 0, -2).offset, 0);
        let stored = (vec![(0, old), (1, NOW.0), (2, old)], vec![NOW.0]);
        assert_eq!(times(&mut kafka, &mut bed), stored, "{codec:?}");
        for (asked, wanted) in [(NOW.0, 1), (old + 1, 1), (old, 0), (-3, 1), (NOW.0 + 1, -1)] {
            let found = kafka.list_offset(&mut bed, "t", 0, asked);
            assert_eq!(found.offset, wanted, "{codec:?} asked for {asked}");
        }
        // A claim that is too late would keep a segment for ever.
        let answer = kafka.produce(&mut bed, "t", 0, claiming(codec, NOW.0 + 1, &[NOW.0]));
        assert_eq!((answer.error_code, answer.base_offset), (0, 3));
        assert_eq!(times(&mut kafka, &mut bed).1, [NOW.0, NOW.0]);
    }
}

/// All that a topic's limits are for, in a compressed batch as in any.
#[test]
fn a_topic_s_limits_reach_every_record_of_a_compressed_batch() {
    for how in every_mode(68) {
        let (mut bed, mut kafka, _) = with_topic(how);
        kafka.set_config(&mut bed, "t", "message.timestamp.before.max.ms", "1000000");
        for codec in Compression::ALL {
            let bytes = claiming(codec, NOW.0, &[NOW.0, NOW.0 - DAY_MS, NOW.0]);
            let answer = kafka.produce(&mut bed, "t", 0, bytes);
            assert_eq!(answer.error_code, ErrorCode::InvalidTimestamp.code());
            assert_eq!(named(&answer), [1], "{codec:?}");
        }
        // The producer's word, where the topic is told to take it.
        kafka.set_config(&mut bed, "t", "millrace.record.validation", "header");
        let bytes = claiming(Compression::Gzip, NOW.0, &[NOW.0, NOW.0 - DAY_MS, NOW.0]);
        assert_eq!(kafka.produce(&mut bed, "t", 0, bytes).error_code, 0);
    }
}

/// Kafka's default range reaches back before 1970.
#[test]
fn times_before_1970_are_stored_and_read() {
    for codec in Compression::ALL {
        let mut how = How::new(69, 1);
        how.storage.retention_check_ms = 1_000;
        let (mut bed, mut kafka, _) = with_topic(how);
        let moon = -14_182_940_000;
        for (offset, times) in [(0, [moon, -2]), (2, [-5, 7])] {
            let answer = kafka.produce(&mut bed, "t", 0, claiming(codec, times[1], &times));
            assert_eq!((answer.error_code, answer.base_offset), (0, offset));
        }
        let wanted = (
            vec![(0, moon), (1, -2), (2, -5), (3, 7)],
            // Kafka's leader counts from -1 on.
            vec![-1, 7],
        );
        assert_eq!(times(&mut kafka, &mut bed), wanted, "{codec:?}");
        // All of them are older than any retention.
        kafka.set_config(&mut bed, "t", "retention.ms", "-1");
        bed.sim.run_for(5 * SECOND_NS);
        for (asked, offset) in [(0, 3), (7, 3), (8, -1), (-3, 3), (-2, 0)] {
            let found = kafka.list_offset(&mut bed, "t", 0, asked);
            assert_eq!((found.error_code, found.offset), (0, offset), "{asked}");
        }
        bed.sim.kill(bed.node);
        bed.restart();
        assert_eq!(times(&mut kafka, &mut bed), wanted, "{codec:?}");
    }
}

fn named(answer: &PartitionProduceResponse<'_>) -> Vec<i32> {
    answer.record_errors.iter().map(|e| e.batch_index).collect()
}

/// KIP-467, for each codec; and never an answer without a bound.
#[test]
fn all_records_that_are_refused_are_named_within_a_bound() {
    for how in every_mode(70) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 8).unwrap();
        kafka.set_config(&mut bed, "t", "message.timestamp.after.max.ms", "1000");
        let late = NOW.0 + 3_600_000;
        for codec in Compression::ALL {
            let bytes = claiming(codec, late, &[NOW.0, late, NOW.0, late + 1, late]);
            let core = kafka.leader(&mut bed, "t", 0);
            for version in [7, 8, 12] {
                let request = produce_request("t", 0, -1, bytes.clone());
                let answer = kafka.call(&mut bed, core, &request, version);
                let answer = &answer.responses[0].partition_responses[0];
                assert_eq!(answer.error_code, ErrorCode::InvalidTimestamp.code());
                let wanted: &[i32] = if version < 8 { &[] } else { &[1, 3, 4] };
                assert_eq!(named(answer), wanted, "{codec:?} version {version}");
                let told = answer.record_errors.iter();
                assert!(told.clone().all(|e| e.batch_index_error_message.is_some()));
            }
        }
        // Some 40 KiB that hold 100,000 bad records each, for all partitions of a core.
        let many = claiming(Compression::Zstd, late, &vec![late; 100_000]);
        assert!(many.len() < 64 << 10, "{}", many.len());
        let core = kafka.leader(&mut bed, "t", 0);
        let mut request = produce_request("t", 0, -1, many.clone());
        for index in 1..8 {
            if kafka.leader(&mut bed, "t", index) == core {
                let records = Some(wire::Records::from(many.clone()));
                request.topic_data[0].partition_data.push(PartitionProduceData { index, records });
            }
        }
        let partitions = request.topic_data[0].partition_data.len();
        let answer = kafka.call(&mut bed, core, &request, 12);
        let answers = &answer.responses[0].partition_responses;
        assert_eq!(answers.len(), partitions);
        let errors = answers.iter().flat_map(|a| &a.record_errors);
        let text: usize = errors
            .clone()
            .filter_map(|e| e.batch_index_error_message.as_ref())
            .map(|text| text.len())
            .sum();
        assert!((500..=1_000).contains(&errors.count()));
        assert!(text < 20 << 10, "{text} bytes");
        for answer in answers {
            assert_eq!(answer.error_code, ErrorCode::InvalidTimestamp.code());
            assert!(answer.error_message.is_some());
        }
    }
}

/// The broker's own stamp in a producer's batch, in a topic with the producers' times: taken off,
/// as Kafka does.
#[test]
fn a_stamp_that_is_the_broker_s_is_taken_off() {
    let (mut bed, mut kafka, _) = with_topic(How::new(71, 1));
    for codec in Compression::ALL {
        let mut stamped = BatchBuilder::new().compression(codec).producer(
            ProducerId(7),
            ProducerEpoch(codec as i16),
            0,
        );
        for time in [NOW.0 - 5, NOW.0, NOW.0 - 9] {
            stamped.append(None, None, Timestamp(time), &[]).unwrap();
        }
        let mut bytes = stamped.build().unwrap();
        let attributes = bytes[22] | 8;
        set(&mut bytes, 22, [attributes]);
        let answer = kafka.produce(&mut bed, "t", 0, bytes.into());
        assert_eq!(answer.error_code, 0, "{codec:?}");
        let base = answer.base_offset;
        let data = kafka.fetch(&mut bed, "t", 0, base);
        let bytes = data.records.as_ref().unwrap().contiguous();
        let view = Batches::new(&bytes).last().unwrap();
        assert_eq!((view.base_offset.0, view.max_timestamp), (base, NOW));
        assert!(BatchView::parse_verified(view.bytes()).is_ok());
        let kind = view.attributes.timestamp_type();
        assert_eq!(kind, record::TimestampType::CreateTime);
    }
}
