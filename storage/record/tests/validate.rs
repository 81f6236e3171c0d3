//! Which batches are stored, which are refused, and for what reason.

mod common;

use bytes::BufMut;
use common::{any_codec, any_records, append_all, small_batch};
use proptest::prelude::*;
use record::compress::{self, zstd_window_log_max};
use record::header::refresh_crc;
use record::validate::BAD_RECORDS_MAX;
use record::varint::{put_varint, put_varlong};
use record::{
    BatchBuilder, BatchView, Compression, Error, Invalid, InvalidRecord, InvalidTimestamp, Offset,
    ProducerEpoch, ProducerId, RecordError, Restamp, Scratch, Timestamp, TimestampType,
    ValidateOptions, refusal, validate, validate_with,
};

const NOW: Timestamp = Timestamp(1_700_000_000_500);

fn check(batch: &[u8]) -> Result<record::Validated, Invalid> {
    validate(batch, &ValidateOptions::default(), NOW)
}

/// Compressed batches opened as far as their first record.
fn check_first(batch: &[u8]) -> Result<record::Validated, Invalid> {
    let options = ValidateOptions { deep: false, ..ValidateOptions::default() };
    validate(batch, &options, NOW)
}

/// A record's bytes, each field as told.
#[derive(Clone)]
struct Raw {
    length: Option<i32>,
    timestamp_delta: i64,
    offset_delta: i32,
    key: i32,
    value: i32,
    headers: i32,
    tail: &'static [u8],
}

const RAW: Raw = Raw {
    length: None,
    timestamp_delta: 0,
    offset_delta: 0,
    key: -1,
    value: -1,
    headers: 0,
    tail: &[],
};

impl Raw {
    fn bytes(&self) -> Vec<u8> {
        let mut body = vec![0];
        put_varlong(&mut body, self.timestamp_delta);
        put_varint(&mut body, self.offset_delta);
        for length in [self.key, self.value] {
            put_varint(&mut body, length);
            body.resize(body.len() + usize::try_from(length.clamp(0, 50)).unwrap(), b'x');
        }
        put_varint(&mut body, self.headers);
        body.put_slice(self.tail);
        let mut out = Vec::new();
        put_varint(&mut out, self.length.unwrap_or(body.len() as i32));
        out.extend(body);
        out
    }
}

/// A batch around these records' bytes, its header and CRC right.
fn batch_of(codec: Compression, count: i32, plain: &[u8]) -> Vec<u8> {
    let mut empty = BatchBuilder::new();
    for _ in 0..count {
        empty.append(None, None, NOW, &[]).unwrap();
    }
    let mut bytes = empty.build().unwrap();
    bytes.truncate(61);
    bytes.extend(compress::compress(codec, None, plain).unwrap());
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[22] = codec as u8;
    refresh_crc(&mut bytes);
    bytes
}

#[test]
fn good_batches_are_kept() {
    for codec in Compression::ALL {
        let bytes = small_batch(codec);
        for result in [check(&bytes), check_first(&bytes)] {
            let valid = result.unwrap();
            assert_eq!(valid.max_timestamp, Timestamp(1_700_000_000_002));
            assert_eq!(valid.max_timestamp_offset_delta, 2);
            assert_eq!(valid.restamp, Restamp::Keep);
            assert_eq!(valid.header, *BatchView::parse(&bytes).unwrap().header());
        }
    }
}

/// What a batch left in the codecs' state says nothing about the next.
#[test]
fn scratch_forgets() {
    let mut scratch = Scratch::new();
    let deep = ValidateOptions { max_decompressed: 300, ..ValidateOptions::default() };
    let options = ValidateOptions { deep: false, ..ValidateOptions::default() };
    let bytes = small_batch(Compression::Zstd);
    let mut damaged = bytes[..bytes.len() - 5].to_vec();
    let length = damaged.len() as i32 - 12;
    damaged[8..12].copy_from_slice(&length.to_be_bytes());
    refresh_crc(&mut damaged);
    for _ in 0..3 {
        // The first leaves a frame half read, the second fails in it.
        assert_eq!(validate_with(&mut scratch, &bytes, &options, NOW), check(&bytes));
        assert!(validate_with(&mut scratch, &damaged, &deep, NOW).is_err());
        assert_eq!(validate_with(&mut scratch, &bytes, &deep, NOW), check(&bytes));
        let lz4 = small_batch(Compression::Lz4);
        assert_eq!(validate_with(&mut scratch, &lz4, &deep, NOW), check(&lz4));
    }
}

/// kafkajs sends epoch 0 and sequence 0 without a producer id, Sarama sequence 0; Kafka takes both.
#[test]
fn plain_producers_may_have_any_epoch_and_sequence() {
    let mut batch = BatchBuilder::new().producer(ProducerId::NONE, ProducerEpoch(0), 0);
    batch.append(None, None, NOW, &[]).unwrap();
    assert!(check(&batch.build().unwrap()).is_ok());
}

/// One wrong header field each, its CRC right.
#[test]
fn wrong_header_fields() {
    type Case = (&'static str, usize, Vec<u8>, Invalid);
    let be32 = |n: i32| n.to_be_bytes().to_vec();
    let be64 = |n: i64| n.to_be_bytes().to_vec();
    let record = Invalid::InvalidRecord;
    let time = Invalid::InvalidTimestamp;
    let range = |last_offset_delta, records_count| {
        record(InvalidRecord::OffsetRange { last_offset_delta, records_count })
    };
    let cases: Vec<Case> = vec![
        ("base offset", 0, be64(1), record(InvalidRecord::BaseOffset(Offset(1)))),
        ("length below a header", 8, be32(48), Invalid::Corrupt(Error::Length(48))),
        ("length zero", 8, be32(0), Invalid::Corrupt(Error::Length(0))),
        ("length negative", 8, be32(-1), Invalid::Corrupt(Error::Length(-1))),
        ("length lowest", 8, be32(i32::MIN), Invalid::Corrupt(Error::Length(i32::MIN))),
        ("magic 0", 16, vec![0], record(InvalidRecord::OldMagic(0))),
        ("magic 1", 16, vec![1], record(InvalidRecord::OldMagic(1))),
        ("magic 3", 16, vec![3], Invalid::Corrupt(Error::Magic(3))),
        ("magic -1", 16, vec![255], Invalid::Corrupt(Error::Magic(-1))),
        ("codec 5", 22, vec![5], Invalid::UnsupportedCompression(5)),
        ("codec 7", 22, vec![7], Invalid::UnsupportedCompression(7)),
        (
            "transactional, no producer",
            22,
            vec![16],
            record(InvalidRecord::TransactionalWithoutProducer),
        ),
        ("control", 22, vec![32], record(InvalidRecord::Control)),
        ("delete horizon", 22, vec![64], record(InvalidRecord::DeleteHorizon)),
        ("last offset delta low", 23, be32(1), range(1, 3)),
        ("last offset delta high", 23, be32(3), range(3, 3)),
        ("last offset delta negative", 23, be32(-1), range(-1, 3)),
        ("count zero", 57, be32(0), record(InvalidRecord::Count(0))),
        ("count negative", 57, be32(-3), record(InvalidRecord::Count(-3))),
        ("count lowest", 57, be32(i32::MIN), record(InvalidRecord::Count(i32::MIN))),
        ("count high", 57, be32(4), range(2, 4)),
        (
            "timestamps overflow",
            27,
            be64(i64::MAX),
            time(InvalidTimestamp::OutOfRange {
                index: Some(0),
                timestamp: Timestamp::MAX,
                now: NOW,
            }),
        ),
        ("producer id", 43, be64(-2), record(InvalidRecord::ProducerId(ProducerId(-2)))),
        ("no epoch", 43, be64(9), record(InvalidRecord::ProducerEpoch(ProducerEpoch(-1)))),
        ("no sequence", 43, [be64(9), vec![0, 0]].concat(), record(InvalidRecord::Sequence(-1))),
    ];
    for (what, at, field, want) in cases {
        let mut bytes = small_batch(Compression::None);
        bytes[at..at + field.len()].copy_from_slice(&field);
        refresh_crc(&mut bytes);
        assert_eq!(check(&bytes), Err(want), "{what}");
        assert_eq!(check_first(&bytes), Err(want), "{what}");
    }
}

#[test]
fn wrong_bytes_around_the_batch() {
    let good = small_batch(Compression::None);
    assert_eq!(check(&[]), Err(Invalid::InvalidRecord(InvalidRecord::NoBatch)));
    let longer = [&good[..], &[0]].concat();
    assert_eq!(check(&longer), Err(Invalid::InvalidRecord(InvalidRecord::TrailingBytes(1))));
    let two = [&good[..], &good[..]].concat();
    assert_eq!(check(&two), Err(Invalid::InvalidRecord(InvalidRecord::TrailingBytes(good.len()))));
    let mut long = good.clone();
    let need = good.len() + 1;
    long[8..12].copy_from_slice(&(need as i32 - 12).to_be_bytes());
    let have = good.len();
    let cut = |need, have| Err(Invalid::InvalidRecord(InvalidRecord::CutShort { need, have }));
    assert_eq!(check(&long), cut(need, have));
    assert_eq!(check(&good[..61]), cut(have, 61));
    assert_eq!(check(&good[..60]), cut(61, 60));
    assert_eq!(check(&good[..16]), cut(61, 16));
    assert_eq!(check(&good[..1]), cut(61, 1));
    // What is there is judged before what is missing is missed.
    let mut no_length = good[..12].to_vec();
    no_length[8..].copy_from_slice(&13i32.to_be_bytes());
    assert_eq!(check(&no_length), Err(Invalid::Corrupt(Error::Length(13))));
    // A length that ends inside of the records: its CRC is wrong before the rest is looked at.
    let mut short = good;
    short[8..12].copy_from_slice(&(have as i32 - 13).to_be_bytes());
    assert!(matches!(check(&short), Err(Invalid::Corrupt(Error::Crc { .. }))));
}

#[test]
fn any_flipped_bit_is_seen() {
    for codec in Compression::ALL {
        let good = small_batch(codec);
        // Base offset and leader epoch are the broker's; a base offset is refused all the same.
        for at in (0..good.len()).filter(|at| !(12..16).contains(at)) {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert!(check(&bytes).is_err(), "{codec:?} byte {at} bit {bit}");
                if at >= 17 {
                    assert!(matches!(check(&bytes), Err(Invalid::Corrupt(Error::Crc { .. }))));
                }
            }
        }
    }
}

/// Records with one fault each: refused where their codec is opened, never a panic.
#[test]
fn wrong_records() {
    let good = RAW.bytes();
    let framing = |error| Invalid::InvalidRecord(InvalidRecord::Framing { index: 0, error });
    let raw = |change: &dyn Fn(&mut Raw)| {
        let mut raw = RAW;
        change(&mut raw);
        raw.bytes()
    };
    let cases = [
        ("no bytes", vec![], framing(RecordError::Truncated)),
        ("length negative", raw(&|r| r.length = Some(-1)), framing(RecordError::Length(-1))),
        ("length zero", raw(&|r| r.length = Some(0)), framing(RecordError::Length(0))),
        ("length short", raw(&|r| r.length = Some(5)), framing(RecordError::Length(5))),
        (
            "length long",
            [raw(&|r| r.length = Some(7)), vec![0]].concat(),
            framing(RecordError::Length(7)),
        ),
        ("length overlong", vec![0xff; 40], framing(RecordError::Varint)),
        ("key length", raw(&|r| r.key = -2), framing(RecordError::FieldLength(-2))),
        ("value length", raw(&|r| r.value = i32::MIN), framing(RecordError::FieldLength(i32::MIN))),
        ("key beyond", raw(&|r| r.key = i32::MAX), framing(RecordError::Length(60))),
        ("value beyond", raw(&|r| r.value = 51), framing(RecordError::Length(56))),
        ("headers negative", raw(&|r| r.headers = -1), framing(RecordError::HeaderCount(-1))),
        (
            "headers many",
            raw(&|r| r.headers = i32::MAX),
            framing(RecordError::HeaderCount(i32::MAX)),
        ),
        ("headers few", raw(&|r| r.tail = &[0, 0]), framing(RecordError::Length(8))),
        (
            "header key null",
            raw(&|r| (r.headers, r.tail) = (1, &[1, 1])),
            framing(RecordError::HeaderKeyLength(-1)),
        ),
        (
            "header value length",
            raw(&|r| (r.headers, r.tail) = (1, &[0, 3])),
            framing(RecordError::FieldLength(-2)),
        ),
        (
            "header beyond",
            raw(&|r| (r.headers, r.tail) = (1, &[8, 8])),
            framing(RecordError::Length(8)),
        ),
        (
            "offset delta",
            raw(&|r| r.offset_delta = 1),
            Invalid::InvalidRecord(InvalidRecord::OffsetDelta { index: 0, delta: 1 }),
        ),
        (
            "offset delta negative",
            raw(&|r| r.offset_delta = -1),
            Invalid::InvalidRecord(InvalidRecord::OffsetDelta { index: 0, delta: -1 }),
        ),
        (
            "timestamp overflow",
            raw(&|r| r.timestamp_delta = i64::MAX),
            Invalid::InvalidTimestamp(InvalidTimestamp::Overflow { index: 0 }),
        ),
    ];
    for codec in Compression::ALL {
        assert!(check(&batch_of(codec, 1, &good)).is_ok());
        for (what, plain, want) in &cases {
            let bytes = batch_of(codec, 1, plain);
            assert_eq!(check(&bytes), Err(*want), "{what} {codec:?}");
            // The first record is looked at in any case.
            assert_eq!(check_first(&bytes), Err(*want), "{what} {codec:?} first");
        }

        // Faults after the first record: seen where all are looked at.
        let second = Raw { offset_delta: 2, ..RAW }.bytes();
        let gap = batch_of(codec, 2, &[&good[..], &second].concat());
        let more = batch_of(codec, 1, &[&good[..], &second].concat());
        let less =
            batch_of(codec, 3, &[&good[..], &Raw { offset_delta: 1, ..RAW }.bytes()].concat());
        let at = |index, error| Invalid::InvalidRecord(InvalidRecord::Framing { index, error });
        for (bytes, want) in [
            (gap, Invalid::InvalidRecord(InvalidRecord::OffsetDelta { index: 1, delta: 2 })),
            (more, at(1, RecordError::TrailingBytes)),
            (less, at(2, RecordError::Truncated)),
        ] {
            assert_eq!(check(&bytes), Err(want), "{codec:?}");
            if codec == Compression::None {
                assert_eq!(check_first(&bytes), Err(want));
            } else {
                assert!(check_first(&bytes).is_ok(), "{codec:?}: only the first is opened");
            }
        }
    }
}

#[test]
fn compressed_data_that_is_none() {
    for codec in &Compression::ALL[1..] {
        let mut bytes = small_batch(Compression::None);
        bytes[22] = *codec as u8;
        refresh_crc(&mut bytes);
        let corrupt = compress::Error::Corrupt(*codec);
        let want = Err(Invalid::InvalidRecord(InvalidRecord::Compressed(corrupt)));
        assert_eq!(check(&bytes), want, "{codec:?}");
    }
}

#[test]
fn compacted_topics_need_keys_in_every_record() {
    let options = ValidateOptions { compacted: true, ..ValidateOptions::default() };
    for codec in Compression::ALL {
        assert!(validate(&small_batch(codec), &options, NOW).is_ok());
        let mut batch = BatchBuilder::new().compression(codec);
        batch.append(Some(b"k"), None, NOW, &[]).unwrap();
        batch.append(Some(b""), None, NOW, &[]).unwrap();
        batch.append(None, Some(b"v"), NOW, &[]).unwrap();
        let bytes = batch.build().unwrap();
        assert!(check(&bytes).is_ok());
        let want = Invalid::InvalidRecord(InvalidRecord::NoKey { index: 2 });
        assert_eq!(validate(&bytes, &options, NOW), Err(want));
    }
}

#[test]
fn timestamps_in_range() {
    let options = ValidateOptions {
        timestamp_before_max_ms: 1000,
        timestamp_after_max_ms: 100,
        ..ValidateOptions::default()
    };
    for codec in Compression::ALL {
        for (timestamp, good) in [
            (NOW.0, true),
            (-1, true),
            (NOW.0 + 100, true),
            (NOW.0 + 101, false),
            (NOW.0 - 1000, true),
            (NOW.0 - 1001, false),
        ] {
            let timestamp = Timestamp(timestamp);
            let mut batch = BatchBuilder::new().compression(codec);
            batch.append(None, None, timestamp, &[]).unwrap();
            let bytes = batch.build().unwrap();
            let want = Err(Invalid::InvalidTimestamp(InvalidTimestamp::OutOfRange {
                index: Some(0),
                timestamp,
                now: NOW,
            }));
            let got = validate(&bytes, &options, NOW).map(|v| v.max_timestamp);
            assert_eq!(got, if good { Ok(timestamp) } else { want });
            // The broker's own stamp replaces it.
            let options =
                ValidateOptions { timestamp_type: TimestampType::LogAppendTime, ..options };
            assert!(validate(&bytes, &options, NOW).is_ok());
        }

        // A later record that is too new: seen in itself, or in the claimed maximum.
        let mut batch = BatchBuilder::new().compression(codec);
        batch.append(None, None, NOW, &[]).unwrap();
        batch.append(None, None, Timestamp(NOW.0 + 101), &[]).unwrap();
        let bytes = batch.build().unwrap();
        let first = ValidateOptions { deep: false, ..options };
        for options in [options, first] {
            assert!(matches!(
                validate(&bytes, &options, NOW),
                Err(Invalid::InvalidTimestamp(InvalidTimestamp::OutOfRange { .. }))
            ));
        }
    }
}

/// Kafka's default range reaches back as far as 64 bits do; only what lies before 1970 has no place
/// in the header's maximum.
#[test]
fn timestamps_before_1970_are_kept() {
    for codec in Compression::ALL {
        for (timestamps, max) in [
            (&[-2, -5][..], -1),
            (&[-5, 7, -5][..], 7),
            (&[i64::MIN + 1 + NOW.0, -1][..], -1),
            (&[0, -9_000_000_000_000][..], 0),
        ] {
            let mut batch = BatchBuilder::new().compression(codec);
            for &timestamp in timestamps {
                batch.append(None, None, Timestamp(timestamp), &[]).unwrap();
            }
            let mut bytes = batch.build().unwrap();
            let valid = check(&bytes).unwrap();
            assert_eq!(valid.max_timestamp, Timestamp(max), "{timestamps:?}");
            valid.apply(&mut bytes);
            let stored = BatchView::parse_verified(&bytes).unwrap();
            assert_eq!(stored.max_timestamp, Timestamp(max));
            let plain = stored.decompressed(1000).unwrap();
            let read: Vec<i64> = record::Records::new(&plain, stored.header())
                .map(|record| record.unwrap().timestamp(stored.header()).0)
                .collect();
            assert_eq!(read, timestamps, "{codec:?}");
        }
        // Beyond: as far from now as 64 bits do not hold.
        let mut batch = BatchBuilder::new().compression(codec);
        let timestamp = Timestamp(i64::MIN + NOW.0);
        batch.append(None, None, timestamp, &[]).unwrap();
        let want = Err(Invalid::InvalidTimestamp(InvalidTimestamp::OutOfRange {
            index: Some(0),
            timestamp,
            now: NOW,
        }));
        assert_eq!(check(&batch.build().unwrap()), want);
    }
}

/// As Kafka: the broker's stamp in a producer's batch passes where the topic has its producers'
/// times, and is taken off; never where the broker stamps, nor without a time.
#[test]
fn a_producer_s_log_append_time() {
    for codec in Compression::ALL {
        let mut bytes = small_batch(codec);
        bytes[22] |= 8;
        refresh_crc(&mut bytes);
        let stamped = ValidateOptions {
            timestamp_type: TimestampType::LogAppendTime,
            ..ValidateOptions::default()
        };
        let refused = Err(Invalid::InvalidTimestamp(InvalidTimestamp::LogAppendTime));
        assert_eq!(validate(&bytes, &stamped, NOW), refused);
        let valid = check(&bytes).unwrap();
        let max = Timestamp(1_700_000_000_002);
        assert_eq!(valid.restamp, Restamp::MaxTimestamp(max));
        assert_eq!(check_first(&bytes).unwrap().restamp, valid.restamp);
        let mut stored = bytes.clone();
        valid.apply(&mut stored);
        assert!(stored == small_batch(codec));
        bytes[35..43].copy_from_slice(&(-1i64).to_be_bytes());
        refresh_crc(&mut bytes);
        assert_eq!(check(&bytes), refused);
    }
}

/// KIP-467: all of them, and the timestamps' code if there is one; a fault of the batch names none.
#[test]
fn all_records_that_are_refused_are_named() {
    let options = ValidateOptions {
        compacted: true,
        timestamp_after_max_ms: 100,
        ..ValidateOptions::default()
    };
    let mut scratch = Scratch::new();
    let mut named = |bytes: &[u8], options: &ValidateOptions| match validate_with(
        &mut scratch,
        bytes,
        options,
        NOW,
    ) {
        Ok(_) => (Ok(()), Vec::new()),
        Err(first) => {
            let refusal = refusal(&mut scratch, bytes, options, NOW, first);
            (Err(refusal.why), refusal.records)
        }
    };
    let late = Timestamp(NOW.0 + 101);
    for codec in Compression::ALL {
        // Key and time each; a record without either is refused for its key.
        let records = [(true, NOW), (false, NOW), (true, late), (false, late)];
        let build = |records: &[(bool, Timestamp)]| {
            let mut batch = BatchBuilder::new().compression(codec);
            for &(has_key, timestamp) in records {
                let key = has_key.then_some(&b"k"[..]);
                batch.append(key, Some(b"v"), timestamp, &[]).unwrap();
            }
            batch.build().unwrap()
        };
        let no_key = |index| Invalid::InvalidRecord(InvalidRecord::NoKey { index });
        let too_late = |index| {
            Invalid::InvalidTimestamp(InvalidTimestamp::OutOfRange {
                index: Some(index),
                timestamp: late,
                now: NOW,
            })
        };
        let (verdict, bad) = named(&build(&records), &options);
        assert_eq!(verdict, Err(too_late(2)), "{codec:?}");
        let bad: Vec<_> = bad.iter().map(|bad| (bad.index, bad.why)).collect();
        let wanted = [(1, no_key(1)), (2, too_late(2)), (3, no_key(3))];
        assert_eq!(bad, wanted, "{codec:?}");

        let (verdict, bad) = named(&build(&records[..2]), &options);
        assert_eq!((verdict, bad.len()), (Err(no_key(1)), 1));
        let (verdict, bad) = named(&build(&records[..1]), &options);
        assert_eq!((verdict, bad.len()), (Ok(()), 0));

        // More than are named.
        let many = build(&vec![(false, NOW); 3 * BAD_RECORDS_MAX]);
        let (verdict, bad) = named(&many, &options);
        assert_eq!((verdict, bad.len()), (Err(no_key(0)), BAD_RECORDS_MAX));

        // The batch's own fault, after records that were refused.
        let late = Raw { timestamp_delta: 101, ..RAW };
        let cut = batch_of(codec, 2, &late.bytes());
        let (verdict, bad) = named(&cut, &options);
        let error = RecordError::Truncated;
        let want = InvalidRecord::Framing { index: 1, error };
        assert_eq!((verdict, bad.len()), (Err(want.into()), 0));
    }
}

#[test]
fn log_append_time_is_stamped() {
    let options = ValidateOptions {
        timestamp_type: TimestampType::LogAppendTime,
        ..ValidateOptions::default()
    };
    for codec in Compression::ALL {
        let mut bytes = small_batch(codec);
        let valid = validate(&bytes, &options, NOW).unwrap();
        assert_eq!(valid.restamp, Restamp::LogAppendTime(NOW));
        assert_eq!((valid.max_timestamp, valid.max_timestamp_offset_delta), (NOW, 2));
        valid.apply(&mut bytes);
        let batch = BatchView::parse_verified(&bytes).unwrap();
        assert_eq!(batch.max_timestamp, NOW);
        assert_eq!(batch.attributes.timestamp_type(), TimestampType::LogAppendTime);
    }
}

/// kafka-go's `Conn.WriteCompressedMessages` writes the last message's time, whatever the others'.
#[test]
fn a_wrong_max_timestamp_is_corrected() {
    let max = Timestamp(1_700_000_000_002);
    for codec in Compression::ALL {
        for claimed in [5, max.0 - 1, max.0 + 1, -1, -2, i64::MIN, i64::MAX] {
            let mut bytes = small_batch(codec);
            bytes[35..43].copy_from_slice(&i64::to_be_bytes(claimed));
            refresh_crc(&mut bytes);
            let valid = check(&bytes).unwrap();
            assert_eq!(valid.restamp, Restamp::MaxTimestamp(max), "{claimed}");
            assert_eq!((valid.max_timestamp, valid.max_timestamp_offset_delta), (max, 2));
            valid.apply(&mut bytes);
            assert!(bytes == small_batch(codec));
            assert_eq!(check(&bytes).unwrap().restamp, Restamp::Keep);
        }
        // Below the first record's: a look at that alone sees it, and then opens all.
        let mut bytes = small_batch(codec);
        bytes[35..43].copy_from_slice(&5i64.to_be_bytes());
        refresh_crc(&mut bytes);
        let valid = check_first(&bytes).unwrap();
        assert_eq!(valid.restamp, Restamp::MaxTimestamp(max));
    }
}

/// 64 MiB of zeros in few bytes: refused at the cap.
#[test]
fn bombs() {
    const CAP: usize = 100_000;
    let zeros = vec![0; 64 << 20];
    for codec in &Compression::ALL[1..] {
        let packed = compress::compress(*codec, None, &zeros).unwrap();
        assert!(packed.len() < zeros.len() / 10);
        let too_large = compress::Error::TooLarge { cap: CAP };
        assert_eq!(
            compress::decompress(*codec, &packed, CAP).map(|o| o.len()),
            Err(too_large),
            "{codec:?}"
        );

        // As one record whose length is honest.
        let mut batch = BatchBuilder::new().compression(*codec);
        batch.append(None, Some(&zeros[..8 << 20]), NOW, &[]).unwrap();
        let options = ValidateOptions { max_decompressed: CAP, ..ValidateOptions::default() };
        let want = Err(Invalid::TooLarge { cap: CAP });
        let bytes = batch.build().unwrap();
        assert_eq!(validate(&bytes, &options, NOW), want, "{codec:?}");

        // As many small ones, and in what comes after the last: refused when opened.
        let one = Raw { value: 50, ..RAW }.bytes();
        let mut plain = Vec::new();
        for n in 0..20_000 {
            plain.extend(Raw { offset_delta: n, value: 50, ..RAW }.bytes());
        }
        let many = batch_of(*codec, 20_000, &plain);
        assert_eq!(validate(&many, &options, NOW), want, "{codec:?}");
        let after = batch_of(*codec, 1, &[&one[..], &zeros].concat());
        let trailing = InvalidRecord::Framing { index: 1, error: RecordError::TrailingBytes };
        let verdict = validate(&after, &options, NOW);
        assert!([want, Err(trailing.into())].contains(&verdict), "{codec:?}");
        // A length that is a lie is no size: clients are not told to split.
        let lie = Raw { length: Some(i32::MAX), ..RAW };
        let verdict = validate(&batch_of(*codec, 1, &lie.bytes()), &options, NOW);
        assert!(matches!(verdict, Err(Invalid::InvalidRecord(_))), "{codec:?}");
    }
    // A raw snappy block that only claims much.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert_eq!(
        compress::decompress(Compression::Snappy, &claim, usize::MAX),
        Err(compress::Error::Corrupt(Compression::Snappy))
    );
    assert_eq!(zstd_window_log_max(0), 23);
    assert_eq!(zstd_window_log_max((8 << 20) + 1), 24);
    assert_eq!(zstd_window_log_max(usize::MAX), 27);
}

#[test]
fn truncation_at_every_byte() {
    for codec in Compression::ALL {
        let good = small_batch(codec);
        for cut in 0..good.len() {
            let bytes = &good[..cut];
            assert!(check(bytes).is_err());
            // With the header made to fit, so that the records' own checks are reached.
            if cut >= 61 {
                let mut bytes = bytes.to_vec();
                bytes[8..12].copy_from_slice(&(cut as i32 - 12).to_be_bytes());
                refresh_crc(&mut bytes);
                assert!(
                    matches!(check(&bytes), Err(Invalid::InvalidRecord(_))),
                    "{codec:?} cut at {cut}"
                );
                let _ = check_first(&bytes);
            }
        }
    }
}

proptest! {
    /// The same records get the same verdict from the slice and from the stream.
    #[test]
    fn compressed_and_plain_are_judged_alike(
        records in any_records(),
        at: proptest::sample::Index,
        change in 0u8..=255,
        codec in any_codec(),
    ) {
        let mut batch = BatchBuilder::new();
        append_all(&mut batch, &records);
        let bytes = batch.build().unwrap();
        let mut plain = BatchView::parse(&bytes).unwrap().payload().to_vec();
        let at = at.index(plain.len());
        plain[at] ^= change;
        let count = records.len() as i32;
        let verdict = |codec| check(&batch_of(codec, count, &plain)).map(|v| (v.max_timestamp, v.restamp));
        let (flat, packed) = (verdict(Compression::None), verdict(codec));
        match (flat, packed) {
            // A length that runs past the end: the slice sees the end, the stream the cap.
            (
                Err(Invalid::InvalidRecord(InvalidRecord::Framing { error: RecordError::Truncated, .. })),
                Err(Invalid::InvalidRecord(_)),
            ) => {}
            _ => prop_assert_eq!(flat, packed),
        }
    }
}
