//! What a broker checks of a batch that a producer sent, before it is stored.
//!
//! Source: Kafka's `ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords` and
//! `LogValidator`, in their order. Which fault gets which of Kafka's codes:
//!
//! | fault | code |
//! |---|---|
//! | no bytes; cut short; a second batch | INVALID_RECORD |
//! | length below the least of any format, magic below 0 or above 2 | CORRUPT_MESSAGE |
//! | magic 0 or 1 | INVALID_RECORD |
//! | base offset not 0 | INVALID_RECORD |
//! | length below a v2 header, wrong CRC | CORRUPT_MESSAGE |
//! | count against offsets, a control batch, a producer id without a sequence | INVALID_RECORD |
//! | records that do not follow the format, or of another count | INVALID_RECORD |
//! | a record without a key in a compacted topic | INVALID_RECORD, names the records |
//! | a timestamp out of the topic's range | INVALID_TIMESTAMP, names the records |
//! | more decompressed than `max.decompressed.message.bytes` | MESSAGE_TOO_LARGE |
//!
//! Kafka has no such last limit. It answers UNKNOWN_SERVER_ERROR to codecs that do not exist, to
//! compressed data that is damaged and to integers that do not end, which here are
//! UNSUPPORTED_COMPRESSION_TYPE and INVALID_RECORD.
//! Stricter than Kafka where that stores what readers stumble over: gaps in the offset deltas,
//! delete horizons; or drops what a producer has sent: bytes after the batch.
//!
//! Every record is looked at, and the header's max timestamp made theirs, as retention and the time
//! index go by it. With `deep` off a compressed batch is opened as far as its first record only:
//! the rest, and the max timestamp, are then the producer's word.
//!
//! Nothing is allocated for records that are good; a compressed batch is walked piece by piece.

mod reason;
mod stream;

use crate::compress::Scratch;
use crate::header::{LENGTH_AT, MAGIC_AT};
use crate::record::take_record;
use crate::{
    BatchHeader, BatchView, Compression, Error, HEADER_SIZE, LOG_OVERHEAD, MAGIC, Offset,
    ProducerId, RecordError, Timestamp, TimestampType, header,
};

pub use reason::{BadRecord, Invalid, InvalidRecord, InvalidTimestamp};
use stream::{Fault, Stream};

/// Most records that are named as the reason of a refusal.
///
/// Kafka names all, however many: a batch of 1 MiB can hold millions. Clients fail the records that
/// are not named for being beside the others.
pub const BAD_RECORDS_MAX: usize = 1_000;

/// What a length field says at least, in any format (`LegacyRecord.RECORD_OVERHEAD_V0`).
const LENGTH_MIN: i32 = 14;

/// What the topic asks of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidateOptions {
    /// Look at every record of a compressed batch, and not only at its first.
    pub deep: bool,
    /// `cleanup.policy` has `compact`: every record needs a key. Implies `deep`.
    pub compacted: bool,
    /// Most bytes that a batch's records may take uncompressed, if they are compressed.
    pub max_decompressed: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`; only for [`TimestampType::CreateTime`].
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`; only for [`TimestampType::CreateTime`].
    pub timestamp_after_max_ms: i64,
}

impl Default for ValidateOptions {
    /// Kafka 4's defaults (an hour into the future), and 64 MiB decompressed.
    fn default() -> Self {
        Self {
            deep: true,
            compacted: false,
            max_decompressed: 64 << 20,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
        }
    }
}

/// A batch that may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validated {
    /// Its header, as it came.
    pub header: BatchHeader,
    /// Largest record timestamp, or the log append time: for the time index.
    pub max_timestamp: Timestamp,
    /// Offset delta of the record that has it first. Where it is not known (a compressed batch that
    /// was not opened; log append time): of the last.
    pub max_timestamp_offset_delta: i32,
    /// What to change under the CRC before storing.
    pub restamp: Restamp,
}

impl Validated {
    /// Carries out [`restamp`](Self::restamp) on the batch that was validated: another pass for the
    /// CRC, unless there is nothing to do.
    pub fn apply(&self, batch: &mut [u8]) {
        match self.restamp {
            Restamp::Keep => {}
            Restamp::MaxTimestamp(max) => header::restamp_max_timestamp(batch, max),
            Restamp::LogAppendTime(now) => header::restamp_log_append_time(batch, now),
        }
    }
}

/// What the leader writes into a batch's timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restamp {
    /// Nothing: the usual case.
    Keep,
    /// The header claimed another max timestamp than the records have.
    MaxTimestamp(Timestamp),
    /// The topic's records are stamped by the broker.
    LogAppendTime(Timestamp),
}

/// Checks `batch`, all of a partition's data in a Produce request, at the broker's time `now`. The
/// CRC is computed once.
///
/// # Errors
/// The first reason found, which [`refusal`] completes; the batch must not be stored.
pub fn validate(
    batch: &[u8],
    options: &ValidateOptions,
    now: Timestamp,
) -> Result<Validated, Invalid> {
    validate_with(&mut Scratch::new(), batch, options, now)
}

/// As [`validate`], with the codecs' state of a core: for whoever does it often.
///
/// # Errors
/// As [`validate`].
pub fn validate_with(
    scratch: &mut Scratch,
    batch: &[u8],
    options: &ValidateOptions,
    now: Timestamp,
) -> Result<Validated, Invalid> {
    let view = BatchView::parse(batch).map_err(|_| not_a_batch(batch))?;
    let rest = batch.get(view.bytes().len()..).unwrap_or_default();
    if !rest.is_empty() && next_batch(rest)?.is_some() {
        return Err(InvalidRecord::TrailingBytes(rest.len()).into());
    }
    if view.base_offset != Offset::ZERO {
        return Err(InvalidRecord::BaseOffset(view.base_offset).into());
    }
    // Before other fields are judged: with a wrong CRC they may be anything.
    view.verify_crc()?;
    if !rest.is_empty() {
        return Err(InvalidRecord::TrailingBytes(rest.len()).into());
    }
    let codec = validate_header(view.header(), options)?;

    let mut records = RecordChecks::new(view.header(), options, now);
    let all_seen = match codec {
        Compression::None => walk(view.payload(), &mut records).map(|()| true),
        codec => walk_compressed(codec, view.payload(), scratch, &mut records),
    }?;
    records.finish(all_seen)
}

/// What a producer is told of a batch that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of the whole batch.
    pub why: Invalid,
    /// The records at fault, in order, at most [`BAD_RECORDS_MAX`]; none if it is the batch's
    /// fault.
    pub records: Vec<BadRecord>,
}

/// All that is wrong with a batch that [`validate_with`] has refused for `first`. As Kafka: a batch
/// that is not well made is refused as a whole; any refused timestamp gives the code, and so goes
/// before missing keys (`LogValidator.processRecordErrors`).
///
/// Where a record was the reason this is another walk: the usual one stops there and keeps no list.
#[cold]
pub fn refusal(
    scratch: &mut Scratch,
    batch: &[u8],
    options: &ValidateOptions,
    now: Timestamp,
    first: Invalid,
) -> Refusal {
    let whole = |why| Refusal { why, records: Vec::new() };
    let Ok(view) = BatchView::parse(batch) else {
        return whole(first);
    };
    let Ok(codec) = view.attributes.compression() else {
        return whole(first);
    };
    if !first.is_of_records() {
        return whole(first);
    }
    let mut bad = Bad::default();
    let mut records = RecordChecks::new(view.header(), options, now);
    records.bad = Some(&mut bad);
    let walked = match codec {
        Compression::None => walk(view.payload(), &mut records),
        codec => walk_compressed(codec, view.payload(), scratch, &mut records).map(|_| ()),
    };
    match walked {
        Err(why) => whole(why),
        Ok(()) => Refusal { why: bad.first_time.unwrap_or(first), records: bad.records },
    }
}

/// Why `bytes` do not begin with a whole batch.
#[cold]
fn not_a_batch(bytes: &[u8]) -> Invalid {
    if bytes.is_empty() {
        return InvalidRecord::NoBatch.into();
    }
    match next_batch(bytes) {
        Err(invalid) => invalid,
        Ok(None) => {
            let need = BatchHeader::parse(bytes).map_or(HEADER_SIZE, |h| h.size_in_bytes());
            let have = bytes.len();
            InvalidRecord::CutShort { need, have }.into()
        }
        Ok(Some(_)) => match BatchView::parse(bytes) {
            Err(error) => error.into(),
            Ok(_) => InvalidRecord::NoBatch.into(),
        },
    }
}

/// Bytes of the batch at the front, of any format; `None` where it is cut short
/// (`ByteBufferLogInputStream.nextBatch`).
fn next_batch(bytes: &[u8]) -> Result<Option<usize>, Invalid> {
    let Some(&length) = bytes.get(LENGTH_AT..).and_then(|b| b.first_chunk()) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(length);
    if length < LENGTH_MIN {
        return Err(Error::Length(length).into());
    }
    let Some(&magic) = bytes.get(MAGIC_AT) else {
        return Ok(None);
    };
    let magic = magic.cast_signed();
    if !(0..=MAGIC).contains(&magic) {
        return Err(Error::Magic(magic).into());
    }
    let size = usize::try_from(length).unwrap_or(usize::MAX) + LOG_OVERHEAD;
    Ok((size <= bytes.len()).then_some(size))
}

/// All that the header alone can tell. In Kafka's order, so that the same batch gets the same
/// answer.
fn validate_header(
    header: &BatchHeader,
    options: &ValidateOptions,
) -> Result<Compression, Invalid> {
    let (last_offset_delta, records_count) = (header.last_offset_delta, header.records_count);
    if records_count <= 0 {
        return Err(InvalidRecord::Count(records_count).into());
    }
    if last_offset_delta != records_count - 1 {
        return Err(InvalidRecord::OffsetRange { last_offset_delta, records_count }.into());
    }
    let attributes = header.attributes;
    if attributes.is_control() {
        return Err(InvalidRecord::Control.into());
    }
    if attributes.has_delete_horizon() {
        return Err(InvalidRecord::DeleteHorizon.into());
    }
    if header.producer_id.is_some() {
        if header.producer_epoch.0 < 0 {
            return Err(InvalidRecord::ProducerEpoch(header.producer_epoch).into());
        }
        if header.base_sequence < 0 {
            return Err(InvalidRecord::Sequence(header.base_sequence).into());
        }
    } else {
        // Epoch and sequence are not looked at: kafkajs sends 0 and 0 with producer id -1, Sarama
        // sequence 0, and Kafka takes both.
        if header.producer_id != ProducerId::NONE {
            return Err(InvalidRecord::ProducerId(header.producer_id).into());
        }
        if attributes.is_transactional() {
            return Err(InvalidRecord::TransactionalWithoutProducer.into());
        }
    }
    // Kafka: each record's time is then the header's max timestamp, which passes where a topic has
    // its producers' times and is within range; the bit is taken off
    // (`LogValidator.validateTimestamp`).
    if attributes.timestamp_type() == TimestampType::LogAppendTime
        && (options.timestamp_type == TimestampType::LogAppendTime
            || header.max_timestamp == Timestamp::NONE)
    {
        return Err(InvalidTimestamp::LogAppendTime.into());
    }
    Ok(attributes.compression()?)
}

/// What is checked of every record, and what is learnt from them.
struct RecordChecks<'o> {
    header: BatchHeader,
    options: &'o ValidateOptions,
    now: Timestamp,
    /// Smallest and largest timestamp allowed, if the topic asks.
    range: Option<(Timestamp, Timestamp)>,
    /// Index of the next record.
    index: i32,
    max_timestamp: Timestamp,
    max_timestamp_at: i32,
    /// Where records at fault are noted; without it the first ends the walk.
    bad: Option<&'o mut Bad>,
}

#[derive(Default)]
struct Bad {
    /// The first that is refused for its timestamp.
    first_time: Option<Invalid>,
    records: Vec<BadRecord>,
}

impl<'o> RecordChecks<'o> {
    fn new(header: &BatchHeader, options: &'o ValidateOptions, now: Timestamp) -> Self {
        let range = (options.timestamp_type == TimestampType::CreateTime).then(|| {
            (
                now.saturating_sub(options.timestamp_before_max_ms),
                now.saturating_add(options.timestamp_after_max_ms),
            )
        });
        Self {
            header: *header,
            options,
            now,
            range,
            index: 0,
            max_timestamp: Timestamp::NONE,
            max_timestamp_at: 0,
            bad: None,
        }
    }

    /// Takes in the next record.
    ///
    /// # Errors
    /// What is wrong with the batch, or with the record if there is nowhere to note it.
    #[inline]
    fn record(
        &mut self,
        offset_delta: i32,
        timestamp_delta: i64,
        has_key: bool,
    ) -> Result<(), Invalid> {
        let index = self.index;
        if offset_delta != index {
            let delta = offset_delta;
            return Err(InvalidRecord::OffsetDelta { index, delta }.into());
        }
        self.index += 1;
        if self.options.compacted && !has_key {
            return self.refuse(index, InvalidRecord::NoKey { index }.into());
        }
        let Some(timestamp) = self.header.base_timestamp.checked_add(timestamp_delta) else {
            return self.refuse(index, InvalidTimestamp::Overflow { index }.into());
        };
        if let Err(why) = self.timestamp(Some(index), timestamp) {
            return self.refuse(index, why);
        }
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_at = index;
        }
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, index: i32, why: Invalid) -> Result<(), Invalid> {
        let Some(bad) = &mut self.bad else {
            return Err(why);
        };
        if matches!(why, Invalid::InvalidTimestamp(_)) {
            bad.first_time.get_or_insert(why);
        }
        if bad.records.len() < BAD_RECORDS_MAX {
            bad.records.push(BadRecord { index, why });
        }
        Ok(())
    }

    #[inline]
    fn timestamp(&self, index: Option<i32>, timestamp: Timestamp) -> Result<(), Invalid> {
        match self.range {
            Some((from, to))
                if (timestamp < from || timestamp > to) && timestamp != Timestamp::NONE =>
            {
                let now = self.now;
                Err(InvalidTimestamp::OutOfRange { index, timestamp, now }.into())
            }
            _ => Ok(()),
        }
    }

    fn framing(&self, error: RecordError) -> Invalid {
        let index = self.index;
        InvalidRecord::Framing { index, error }.into()
    }

    /// What it takes for a header of a topic with its producers' times to say `max`.
    fn restamp_to(&self, max: Timestamp) -> Restamp {
        let is_right = max == self.header.max_timestamp
            && self.header.attributes.timestamp_type() == TimestampType::CreateTime;
        if is_right { Restamp::Keep } else { Restamp::MaxTimestamp(max) }
    }

    fn finish(self, all_seen: bool) -> Result<Validated, Invalid> {
        let header = self.header;
        let (max_timestamp, max_timestamp_offset_delta, restamp) =
            if self.options.timestamp_type == TimestampType::LogAppendTime {
                let restamp = Restamp::LogAppendTime(self.now);
                (self.now, header.last_offset_delta, restamp)
            } else if !all_seen {
                self.timestamp(None, header.max_timestamp)?;
                let claimed = header.max_timestamp;
                (claimed, header.last_offset_delta, self.restamp_to(claimed))
            } else {
                // -1 if all lie before 1970: Kafka's leader counts from there, too.
                let found = self.max_timestamp;
                (found, self.max_timestamp_at, self.restamp_to(found))
            };
        Ok(Validated { header, max_timestamp, max_timestamp_offset_delta, restamp })
    }
}

#[inline(always)]
fn walk(mut payload: &[u8], checks: &mut RecordChecks<'_>) -> Result<(), Invalid> {
    for _ in 0..checks.header.records_count {
        let record = take_record(&mut payload).map_err(|error| checks.framing(error))?;
        checks.record(record.offset_delta, record.timestamp_delta, record.key.is_some())?;
    }
    if payload.is_empty() { Ok(()) } else { Err(checks.framing(RecordError::TrailingBytes)) }
}

/// True if all records were seen.
fn walk_compressed(
    codec: Compression,
    payload: &[u8],
    scratch: &mut Scratch,
    checks: &mut RecordChecks<'_>,
) -> Result<bool, Invalid> {
    let walked = walk_stream(codec, payload, scratch, checks).map_err(|fault| match fault {
        Stop::Fault(Fault::Record(error)) => checks.framing(error),
        Stop::Fault(Fault::Compress(error)) => error.into(),
        Stop::Refused(why) => why,
    });
    scratch.trim();
    walked
}

enum Stop {
    Fault(Fault),
    Refused(Invalid),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn walk_stream(
    codec: Compression,
    payload: &[u8],
    scratch: &mut Scratch,
    checks: &mut RecordChecks<'_>,
) -> Result<bool, Stop> {
    let options = checks.options;
    let deep = options.deep || options.compacted;
    let mut stream = Stream::new(codec, payload, options.max_decompressed, deep, scratch)?;
    for _ in 0..checks.header.records_count {
        let record = stream.record()?;
        checks
            .record(record.offset_delta, record.timestamp_delta, record.has_key)
            .map_err(Stop::Refused)?;
        if !deep && checks.max_timestamp <= checks.header.max_timestamp {
            return Ok(false);
        }
    }
    stream.end()?;
    Ok(true)
}
