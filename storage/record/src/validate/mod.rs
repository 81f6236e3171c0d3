//! What a broker checks of a batch that a producer sent, before it is stored.
//!
//! Source: Kafka's `ProduceRequest.validateRecords`, `UnifiedLog.analyzeAndValidateRecords` and
//! `LogValidator`, and stricter where those store what readers stumble over: gaps in the offset
//! deltas, bytes after the batch, negative timestamps.
//!
//! | | uncompressed | compressed | compressed, deep |
//! |---|---|---|---|
//! | header, CRC, producer fields, count against offsets | yes | yes | yes |
//! | framing, offset deltas, keys, timestamps of records | all | the first | all |
//! | max timestamp | from the records | the header's claim | from the records |
//! | end of the compressed data, its checksums | | no | yes |
//!
//! Deep is what the options ask for, what compacted topics need (every record a key), and what a
//! batch gets whose first record is later than the claimed maximum. Nothing is allocated for
//! records; a compressed batch is walked through a fixed buffer.

mod reason;
mod stream;

use crate::compress::Scratch;
use crate::record::take_record;
use crate::{
    BatchHeader, BatchView, Compression, Offset, ProducerId, RecordError, Timestamp, TimestampType,
    header,
};

pub use reason::{Invalid, InvalidRecord, InvalidTimestamp};
use stream::{Fault, Stream};

/// What the topic asks of its batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidateOptions {
    /// Open compressed batches to the end.
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
            deep: false,
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
/// The first reason found; the batch must not be stored.
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
    if batch.is_empty() {
        return Err(InvalidRecord::NoBatch.into());
    }
    let view = BatchView::parse(batch)?;
    let trailing = batch.len() - view.bytes().len();
    if trailing != 0 {
        return Err(InvalidRecord::TrailingBytes(trailing).into());
    }
    // Before the fields are judged: with a wrong CRC they may be anything.
    view.verify_crc()?;
    let codec = validate_header(view.header())?;

    let mut records = RecordChecks::new(view.header(), options, now);
    let all_seen = match codec {
        Compression::None => {
            walk(view.payload(), &mut records)?;
            true
        }
        codec => walk_compressed(codec, view.payload(), options, scratch, &mut records)?,
    };
    records.finish(all_seen)
}

/// All that the header alone can tell. In Kafka's order, so that the same batch gets the same
/// answer.
fn validate_header(header: &BatchHeader) -> Result<Compression, Invalid> {
    if header.base_offset != Offset::ZERO {
        return Err(InvalidRecord::BaseOffset(header.base_offset).into());
    }
    let (last_offset_delta, records_count) = (header.last_offset_delta, header.records_count);
    if records_count <= 0 {
        return Err(InvalidRecord::Count(records_count).into());
    }
    if last_offset_delta != records_count - 1 {
        return Err(InvalidRecord::OffsetRange {
            last_offset_delta,
            records_count,
        }
        .into());
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
    if attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(InvalidTimestamp::LogAppendTime.into());
    }
    for timestamp in [header.base_timestamp, header.max_timestamp] {
        if timestamp < Timestamp::NONE {
            let index = None;
            return Err(InvalidTimestamp::Negative { index, timestamp }.into());
        }
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
        }
    }

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
        if self.options.compacted && !has_key {
            return Err(InvalidRecord::NoKey { index }.into());
        }
        let timestamp = self
            .header
            .base_timestamp
            .checked_add(timestamp_delta)
            .ok_or(InvalidTimestamp::Overflow { index })?;
        self.timestamp(Some(index), timestamp)?;
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_at = index;
        }
        self.index += 1;
        Ok(())
    }

    #[inline]
    fn timestamp(&self, index: Option<i32>, timestamp: Timestamp) -> Result<(), Invalid> {
        if timestamp == Timestamp::NONE {
            return Ok(());
        }
        if timestamp < Timestamp::NONE {
            return Err(InvalidTimestamp::Negative { index, timestamp }.into());
        }
        match self.range {
            Some((from, to)) if timestamp < from || timestamp > to => {
                let now = self.now;
                Err(InvalidTimestamp::OutOfRange {
                    index,
                    timestamp,
                    now,
                }
                .into())
            }
            _ => Ok(()),
        }
    }

    fn framing(&self, error: RecordError) -> Invalid {
        let index = self.index;
        InvalidRecord::Framing { index, error }.into()
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
                (claimed, header.last_offset_delta, Restamp::Keep)
            } else {
                let found = self.max_timestamp;
                let restamp = if found == header.max_timestamp {
                    Restamp::Keep
                } else {
                    Restamp::MaxTimestamp(found)
                };
                (found, self.max_timestamp_at, restamp)
            };
        Ok(Validated {
            header,
            max_timestamp,
            max_timestamp_offset_delta,
            restamp,
        })
    }
}

fn walk(mut payload: &[u8], checks: &mut RecordChecks<'_>) -> Result<(), Invalid> {
    for _ in 0..checks.header.records_count {
        let record = take_record(&mut payload).map_err(|error| checks.framing(error))?;
        checks.record(
            record.offset_delta,
            record.timestamp_delta,
            record.key.is_some(),
        )?;
    }
    if payload.is_empty() {
        Ok(())
    } else {
        Err(checks.framing(RecordError::TrailingBytes))
    }
}

/// True if all records were seen.
fn walk_compressed(
    codec: Compression,
    payload: &[u8],
    options: &ValidateOptions,
    scratch: &mut Scratch,
    checks: &mut RecordChecks<'_>,
) -> Result<bool, Invalid> {
    let deep = options.deep || options.compacted;
    let fault = |checks: &RecordChecks<'_>, fault| match fault {
        Fault::Record(error) => checks.framing(error),
        Fault::Compress(error) => InvalidRecord::Compressed(error).into(),
    };
    let mut stream = Stream::new(codec, payload, options.max_decompressed, scratch)
        .map_err(|error| fault(checks, error))?;
    for _ in 0..checks.header.records_count {
        let record = stream.record().map_err(|error| fault(checks, error))?;
        checks.record(
            record.offset_delta,
            record.timestamp_delta,
            record.key.is_some(),
        )?;
        if !deep && checks.max_timestamp <= checks.header.max_timestamp {
            return Ok(false);
        }
    }
    stream.end().map_err(|error| fault(checks, error))?;
    Ok(true)
}
