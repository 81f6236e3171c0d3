//! What the builder writes, the readers read; also in pieces and back to back.

mod common;

use common::{OwnedRecord, any_codec, any_records, append_all, small_batch};
use proptest::prelude::*;
use record::{
    BatchBuilder, BatchView, Batches, BuildError, Compression, Error, LeaderEpoch, Offset,
    ProducerEpoch, ProducerId, Records, Tail, Timestamp, TimestampType, compress,
    restamp_log_append_time, restamp_max_timestamp, set_base_offset, set_leader_epoch,
};

fn read_all(batch: &BatchView<'_>) -> Vec<OwnedRecord> {
    let bytes = batch.decompressed(1 << 20).unwrap();
    Records::new(&bytes, batch.header())
        .enumerate()
        .map(|(n, record)| {
            let record = record.unwrap();
            assert_eq!(record.offset(batch), batch.base_offset.saturating_add(n as i64));
            OwnedRecord {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                timestamp: record.timestamp(batch).0,
                headers: record
                    .headers
                    .map(|h| (h.key_text().unwrap().to_owned(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
            }
        })
        .collect()
}

proptest! {
    #[test]
    fn builder_to_iterator(
        records in any_records(),
        codec in any_codec(),
        base in 0i64..1 << 40,
        epoch in 0i32..1000,
        transactional: bool,
    ) {
        let mut batch = BatchBuilder::new()
            .base_offset(Offset(base))
            .leader_epoch(LeaderEpoch(epoch))
            .producer(ProducerId(77), ProducerEpoch(3), 11)
            .transactional(transactional)
            .compression(codec);
        append_all(&mut batch, &records);
        let bytes = batch.build().unwrap();
        let batch = BatchView::parse_verified(&bytes).unwrap();
        prop_assert_eq!(batch.size_in_bytes(), bytes.len());
        prop_assert_eq!(batch.base_offset, Offset(base));
        prop_assert_eq!(batch.next_offset(), Offset(base + records.len() as i64));
        prop_assert_eq!(batch.partition_leader_epoch, LeaderEpoch(epoch));
        prop_assert_eq!(batch.attributes.compression(), Ok(codec));
        prop_assert_eq!(batch.attributes.is_transactional(), transactional);
        prop_assert_eq!(batch.producer_id, ProducerId(77));
        prop_assert_eq!(batch.producer_epoch, ProducerEpoch(3));
        prop_assert_eq!(batch.last_sequence(), 10 + records.len() as i32);
        let max = records.iter().map(|r| r.timestamp).max().unwrap();
        prop_assert_eq!(batch.max_timestamp, Timestamp(max));
        prop_assert_eq!(&batch.to_bytes()[..], &bytes[..record::HEADER_SIZE]);
        prop_assert_eq!(read_all(&batch), records);
    }

    #[test]
    fn codecs_round_trip(
        pattern in proptest::collection::vec(any::<u8>(), 0..300),
        times in 0usize..2000,
        codec in any_codec(),
    ) {
        let input = pattern.repeat(times);
        let packed = compress::compress(codec, None, &input).unwrap();
        let out = compress::decompress(codec, &packed, input.len());
        prop_assert!(out.as_ref() == Ok(&input), "{:?}", out.map(|o| o.len()));
        if !input.is_empty() {
            let cap = input.len() - 1;
            let out = compress::decompress(codec, &packed, cap);
            prop_assert_eq!(out.map(|o| o.len()), Err(compress::Error::TooLarge { cap }));
        }
    }

    #[test]
    fn codecs_agree_for_any_read_size(
        input in proptest::collection::vec(0u8..4, 0..5000),
        codec in any_codec(),
        step in 1usize..700,
    ) {
        let packed = compress::compress(codec, None, &input).unwrap();
        let mut reader = compress::Decompressor::new(codec, &packed, 5000).unwrap();
        let mut out = Vec::new();
        let mut piece = vec![0; step];
        loop {
            match reader.read(&mut piece).unwrap() {
                0 => break,
                n => out.extend_from_slice(&piece[..n]),
            }
        }
        prop_assert_eq!(reader.left(), 5000 - input.len());
        prop_assert_eq!(out, input);
    }

    #[test]
    fn random_bytes_never_panic(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..300),
        codec in any_codec(),
        magic: bool,
    ) {
        let _ = compress::decompress(codec, &bytes, 1000);
        let _ = Records::with_count(&bytes, 3).count();
        if magic && bytes.len() > 61 {
            bytes[16] = 2;
            let length = bytes.len() as i32 - 12;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            record::header::refresh_crc(&mut bytes);
        }
        let _ = BatchView::parse(&bytes).map(|b| b.decompressed(1000).map(|b| b.len()));
        for batch in Batches::new(&bytes) {
            let _ = (batch.last_offset(), batch.last_sequence(), batch.verify_crc());
        }
    }
}

#[test]
fn levels() {
    let input = b"level level level level".repeat(50);
    for (codec, good, bad) in [
        (Compression::Gzip, &[1, 9][..], &[0, 10, -1][..]),
        (Compression::Zstd, &[-5, 1, 19, 22], &[23]),
        (Compression::Lz4, &[1, 17], &[]),
        (Compression::Snappy, &[0], &[]),
    ] {
        for &level in good {
            let packed = compress::compress(codec, Some(level), &input).unwrap();
            assert_eq!(compress::decompress(codec, &packed, 2000).unwrap(), input);
        }
        for &level in bad {
            assert_eq!(
                compress::compress(codec, Some(level), &input),
                Err(compress::Error::Level { codec, level })
            );
        }
    }
}

/// Streams of unknown size name the window of their level: Java writes such.
#[test]
fn zstd_streams_of_any_usual_level() {
    let input = b"window window".repeat(10);
    for level in [1, 3, 19] {
        let packed = zstd::stream::encode_all(&input[..], level).unwrap();
        let out = compress::decompress(Compression::Zstd, &packed, 1000).unwrap();
        assert_eq!(out, input);
    }
    let packed = zstd::stream::encode_all(&input[..], 22).unwrap();
    assert_eq!(
        compress::decompress(Compression::Zstd, &packed, 1000),
        Err(compress::Error::Corrupt(Compression::Zstd))
    );
    let out = compress::decompress(Compression::Zstd, &packed, 128 << 20).unwrap();
    assert_eq!(out, input);
}

#[test]
fn snappy_raw_and_xerial() {
    let input = b"snappy snappy snappy".repeat(5000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).unwrap();
    let framed = compress::compress(Compression::Snappy, None, &input).unwrap();
    assert_eq!(&framed[..8], b"\x82SNAPPY\0");
    for packed in [raw, framed] {
        let out = compress::decompress(Compression::Snappy, &packed, 1 << 20).unwrap();
        assert!(out == input);
    }
}

#[test]
fn lz4_forms() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write;
    let input = b"lz4 lz4 lz4 and".repeat(20_000);
    let with = |info: FrameInfo| {
        let mut writer = FrameEncoder::with_frame_info(info, Vec::new());
        writer.write_all(&input).unwrap();
        writer.finish().unwrap()
    };
    let open = |packed: &[u8]| compress::decompress(Compression::Lz4, packed, 1 << 20);
    let full = FrameInfo::new()
        .block_size(BlockSize::Max256KB)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(input.len() as u64));
    let packed = with(full.clone());
    assert!(open(&packed).as_deref() == Ok(&input[..]));
    assert!(
        open(&with(FrameInfo::new().block_size(BlockSize::Max4MB))).as_deref() == Ok(&input[..])
    );
    // Linked blocks: no Java client could read them.
    let corrupt = Err(compress::Error::Corrupt(Compression::Lz4));
    assert_eq!(open(&with(full.block_mode(BlockMode::Linked))), corrupt);
    // Any flipped byte is seen: everything is under one of the checksums.
    for at in (0..packed.len()).filter(|at| at % 7 == 0 || *at < 20) {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x10;
        assert!(open(&damaged).is_err(), "byte {at}");
    }
    let mut longer = packed;
    longer.push(0);
    assert_eq!(open(&longer), corrupt);
}

#[test]
fn broker_fields_are_outside_the_crc() {
    let mut bytes = small_batch(Compression::None);
    set_base_offset(&mut bytes, Offset(1 << 33));
    set_leader_epoch(&mut bytes, LeaderEpoch(9));
    let batch = BatchView::parse_verified(&bytes).unwrap();
    assert_eq!(batch.next_offset(), Offset((1 << 33) + 3));
    assert_eq!(batch.partition_leader_epoch, LeaderEpoch(9));
}

#[test]
fn restamping() {
    let mut bytes = small_batch(Compression::Lz4);
    restamp_log_append_time(&mut bytes, Timestamp(5));
    let batch = BatchView::parse_verified(&bytes).unwrap();
    assert_eq!(batch.attributes.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(batch.attributes.compression(), Ok(Compression::Lz4));
    assert_eq!(batch.max_timestamp, Timestamp(5));
    assert!(read_all(&batch).iter().all(|r| r.timestamp == 5));

    let mut bytes = small_batch(Compression::None);
    restamp_max_timestamp(&mut bytes, Timestamp(6));
    let batch = BatchView::parse_verified(&bytes).unwrap();
    assert_eq!(batch.attributes.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(batch.max_timestamp, Timestamp(6));
    assert_eq!(read_all(&batch)[0].timestamp, 1_700_000_000_000);
}

#[test]
fn back_to_back() {
    let one = small_batch(Compression::None);
    let two = small_batch(Compression::Zstd);
    let bytes = [&one[..], &two[..]].concat();
    let mut batches = Batches::new(&bytes);
    assert_eq!(batches.tail(), Tail::More);
    assert_eq!(batches.by_ref().count(), 2);
    assert_eq!((batches.tail(), batches.position()), (Tail::Clean, bytes.len()));

    for cut in 1..two.len() {
        let mut batches = Batches::new(&bytes[..one.len() + cut]);
        assert_eq!(batches.by_ref().count(), 1);
        assert_eq!(batches.position(), one.len());
        let need = if cut < 61 { 61 } else { two.len() };
        assert_eq!(batches.tail(), Tail::Truncated { need, have: cut });
        assert!(batches.next().is_none());
    }

    let zeros = [&one[..], &[0; 100]].concat();
    let mut batches = Batches::new(&zeros);
    assert_eq!(batches.by_ref().count(), 1);
    assert_eq!(batches.tail(), Tail::Damaged(Error::OldMagic(0)));
}

#[test]
fn compaction_keeps_deltas_and_range() {
    let bytes = small_batch(Compression::None);
    let old = BatchView::parse(&bytes).unwrap();
    let mut batch = BatchBuilder::new()
        .base_offset(Offset(100))
        .delete_horizon(Timestamp(1_800_000_000_000))
        .last_offset_delta(old.last_offset_delta);
    let second = old.records().unwrap().nth(1).unwrap().unwrap();
    batch.append_record(1, second.timestamp(&old), &second).unwrap();
    assert_eq!(
        batch.append_record(1, Timestamp(0), &second),
        Err(BuildError::OffsetOrder { last: 1, delta: 1 })
    );
    let bytes = batch.build().unwrap();
    let new = BatchView::parse_verified(&bytes).unwrap();
    assert_eq!((new.records_count, new.last_offset_delta), (1, 2));
    assert_eq!(new.delete_horizon(), Some(Timestamp(1_800_000_000_000)));
    let kept = new.records().unwrap().next().unwrap().unwrap();
    assert_eq!(kept.offset(&new), Offset(101));
    assert_eq!(kept.timestamp(&new), second.timestamp(&old));
    assert_eq!((kept.key, kept.value), (second.key, second.value));
    assert!(kept.headers.eq(second.headers));
}

#[test]
fn an_empty_batch_keeps_its_sequence() {
    let bytes = BatchBuilder::new()
        .base_offset(Offset(10))
        .producer(ProducerId(1), ProducerEpoch(0), 5)
        .last_offset_delta(4)
        .build_bytes()
        .unwrap();
    let batch = BatchView::parse_verified(&bytes).unwrap();
    assert_eq!((batch.records_count, batch.last_sequence()), (0, 9));
    assert_eq!(batch.next_offset(), Offset(15));
    assert_eq!(batch.records().unwrap().count(), 0);
}

#[test]
fn sequences_wrap_as_kafkas_do() {
    use record::header::next_sequence;
    assert_eq!(next_sequence(0, 1), 1);
    assert_eq!(next_sequence(i32::MAX, 1), 0);
    assert_eq!(next_sequence(i32::MAX - 1, 3), 1);
}
