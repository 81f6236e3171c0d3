//! Record batches as a producer, a segment or a follower may send them.
//!
//! ```text
//! byte 0: what is made right before the batch is looked at; byte 1: the topic's settings; then the batch
//! ```
//! A random change fails the CRC and sees nothing of what is behind it, so length and CRC can be
//! made right, and the bytes behind the header can be compressed first by the codec that the
//! attributes name.
use crate::meter::peak;
use record::{
    BatchView, Batches, Compression, ControlRecord, HEADER_SIZE, InvalidTimestamp, LOG_OVERHEAD,
    LeaderEpoch, Offset, Records, Restamp, Scratch, Tail, Timestamp, TimestampType,
    ValidateOptions, Validated, compress, header, validate, validate_with, varint,
};
use std::cell::RefCell;

const CAP: usize = 256 << 10;
const NOW: Timestamp = Timestamp(1_750_000_000_000);
/// What walking a batch may hold: the output once and one block again, and the codec's own state.
const HELD_MAX: usize = 2 * CAP + (256 << 10);

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    let [fix, topic, batch @ ..] = data else { return };
    iterate(batch);
    let Some(batch) = prepare(*fix, batch) else { return };
    let options = ValidateOptions {
        deep: topic & 1 != 0,
        compacted: topic & 2 != 0,
        max_decompressed: if topic & 4 == 0 { CAP } else { 100 },
        timestamp_type: if topic & 8 == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        },
        timestamp_before_max_ms: if topic & 16 == 0 { i64::MAX } else { 1_000_000 },
        timestamp_after_max_ms: if topic & 32 == 0 { i64::MAX } else { 3_600_000 },
    };
    judge(&batch, &options);
}

/// Any bytes as batches back to back.
fn iterate(bytes: &[u8]) {
    let mut batches = Batches::new(bytes);
    let mut end = 0;
    for batch in &mut batches {
        end += batch.bytes().len();
        assert_eq!(
            batch.header().to_bytes(),
            batch.bytes()[..HEADER_SIZE],
            "a header that is written as it was read"
        );
        let whole = batch.verify_crc().is_ok();
        assert_eq!(whole, BatchView::parse_verified(batch.bytes()).is_ok());
        if let Some(records) = batch.records() {
            walk(records);
        }
    }
    assert_eq!(batches.position(), end);
    match batches.tail() {
        Tail::More => panic!("an iteration that ended says there is more"),
        Tail::Clean => assert_eq!(end, bytes.len()),
        Tail::Truncated { need, have } => assert!(have < need, "{have} of {need} bytes are all"),
        Tail::Damaged(_) => {}
    }
}

/// Records are at most as many as bytes, and lie inside.
fn walk(records: Records<'_>) -> usize {
    let mut whole = 0;
    for record in records {
        let Ok(record) = record else { break };
        whole += 1;
        let _ = ControlRecord::parse(&record);
        for header in record.headers {
            let _ = header.key_text();
        }
    }
    whole
}

/// The batch with length and CRC made right, as far as `fix` says.
fn prepare(fix: u8, batch: &[u8]) -> Option<Vec<u8>> {
    let mut batch = batch.to_vec();
    if batch.len() < HEADER_SIZE {
        return Some(batch);
    }
    if fix & 1 != 0 {
        batch[16] = 2;
    }
    if fix & 2 != 0
        && let Some(codec) = Compression::from_id(batch[22] & 7)
        && codec != Compression::None
    {
        let records = compress::compress(codec, None, &batch[HEADER_SIZE..]).ok()?;
        batch.truncate(HEADER_SIZE);
        batch.extend_from_slice(&records);
    }
    if fix & 4 != 0 {
        let length = i32::try_from(batch.len() - LOG_OVERHEAD).ok()?;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
    }
    if fix & 8 != 0 {
        batch[..8].fill(0);
    }
    if fix & 16 != 0 {
        // Count and last offset by the records that are there.
        let count = i32::try_from(count(&batch[HEADER_SIZE..])).ok()?;
        batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        batch[57..61].copy_from_slice(&count.to_be_bytes());
    }
    if fix & 32 != 0 {
        header::refresh_crc(&mut batch);
    }
    Some(batch)
}

/// Lengths that chain from the front.
fn count(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(length) = varint::take_varint(&mut bytes) {
        let Some(rest) = usize::try_from(length).ok().and_then(|length| bytes.get(length..)) else {
            break;
        };
        bytes = rest;
        count += 1;
    }
    count
}

fn judge(batch: &[u8], options: &ValidateOptions) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
    }
    let (validated, held) = peak(|| validate(batch, options, NOW));
    assert!(held <= HELD_MAX, "{held} bytes held for {} under a cap of {CAP}", batch.len());
    let again = SCRATCH.with_borrow_mut(|scratch| validate_with(scratch, batch, options, NOW));
    assert_eq!(validated, again, "a used codec judges otherwise");
    if let Ok(validated) = validated {
        stored(batch, options, validated);
    }
}

/// What was let in must be readable, and what is stored must be what a second look lets in.
fn stored(batch: &[u8], options: &ValidateOptions, validated: Validated) {
    let mut kept = batch.to_vec();
    validated.apply(&mut kept);
    let view = BatchView::parse_verified(&kept)
        .unwrap_or_else(|error| panic!("let in, and not readable: {error}"));
    assert_eq!(view.bytes().len(), kept.len());
    assert_eq!(view.max_timestamp, validated.max_timestamp);
    match validated.restamp {
        Restamp::LogAppendTime(now) => {
            assert_eq!(
                (now, view.attributes.timestamp_type()),
                (NOW, TimestampType::LogAppendTime)
            );
            let again = validate(&kept, options, NOW);
            assert_eq!(
                again,
                Err(InvalidTimestamp::LogAppendTime.into()),
                "clients may not send what brokers stamp"
            );
        }
        Restamp::Keep => assert_eq!(kept, batch),
        Restamp::MaxTimestamp(max) => {
            let again = validate(&kept, options, NOW);
            let good = again
                .is_ok_and(|again| again.restamp == Restamp::Keep && again.max_timestamp == max);
            assert!(good, "restamped to {max}: {again:?}");
        }
    }
    let opened = options.deep || options.compacted || view.attributes.codec_id() == 0;
    if opened {
        // An uncompressed batch is bounded by its own size only.
        let cap =
            if view.attributes.codec_id() == 0 { kept.len() } else { options.max_decompressed };
        let bytes = view
            .decompressed(cap)
            .unwrap_or_else(|error| panic!("let in, and does not open: {error}"));
        let mut max = Timestamp::NONE;
        let mut next = 0;
        for record in Records::new(&bytes, view.header()) {
            let record = record
                .unwrap_or_else(|error| panic!("let in, and record {next} does not read: {error}"));
            assert_eq!(record.offset_delta, next);
            assert!(
                !options.compacted || record.key.is_some(),
                "record {next} of a compacted topic has no key"
            );
            max = max.max(record.timestamp(view.header()));
            next += 1;
        }
        assert_eq!((next, next - 1), (view.records_count, view.last_offset_delta));
        if options.timestamp_type == TimestampType::CreateTime {
            assert_eq!(max, validated.max_timestamp);
        }
    }
    header::set_base_offset(&mut kept, Offset(1 << 40));
    header::set_leader_epoch(&mut kept, LeaderEpoch(7));
    let view = BatchView::parse_verified(&kept)
        .unwrap_or_else(|error| panic!("offset and epoch are under no CRC: {error}"));
    assert_eq!(view.next_offset().0 - (1 << 40), i64::from(view.records_count));
}
