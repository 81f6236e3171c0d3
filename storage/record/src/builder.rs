//! Making a batch: settings, records, bytes.
//!
//! Used by whoever writes records of its own: coordinators, the metadata log, compaction, the
//! client, tests. Batches from producers are stored as they came and never pass here.

use bytes::{BufMut, Bytes};

use crate::header::{Attributes, HEADER_SIZE, LOG_OVERHEAD, refresh_crc};
use crate::varint::{put_varint, put_varlong, varint_len, varlong_len};
use crate::{
    BatchHeader, Compression, Header, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Record,
    Timestamp, TimestampType, compress,
};

/// Why a batch cannot be made: the caller asked for what the format cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A record, or the batch, is longer than an `i32` says.
    #[error("a batch or record takes more than 2 GiB")]
    TooLong,
    /// More records, or a larger offset delta, than an `i32` holds.
    #[error("offset deltas do not fit 32 bits")]
    OffsetDelta,
    /// Offset deltas must rise from record to record.
    #[error("offset delta {delta} after {last}")]
    OffsetOrder {
        /// Of the record before.
        last: i32,
        /// Of the record refused.
        delta: i32,
    },
    /// Two timestamps are further apart than an `i64` says.
    #[error("timestamps are further apart than 64 bits hold")]
    TimestampDelta,
    /// The codec refused its settings or its input.
    #[error("{} failed to compress", .0.name())]
    Compress(Compression),
}

/// Builds one batch.
///
/// ```
/// use record::{BatchBuilder, BatchView, Offset, Timestamp};
/// let mut batch = BatchBuilder::new().base_offset(Offset(7));
/// batch.append(Some(b"key"), Some(b"value"), Timestamp(1_700_000_000_000), &[])?;
/// let bytes = batch.build()?;
/// assert_eq!(BatchView::parse_verified(&bytes).unwrap().next_offset(), Offset(8));
/// # Ok::<_, record::BuildError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    header: BatchHeader,
    codec: Compression,
    level: Option<i32>,
    log_append_time: Option<Timestamp>,
    /// Offset delta of the last record; -1 before the first.
    last_delta: i32,
    last_delta_at_least: i32,
    /// Room for the header, then the records.
    out: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An uncompressed batch at offset 0 of no producer and no leader.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// As [`new`](Self::new), with room for `records` bytes of records.
    #[must_use]
    pub fn with_capacity(records: usize) -> Self {
        let mut out = Vec::with_capacity(HEADER_SIZE + records);
        out.resize(HEADER_SIZE, 0);
        Self {
            header: BatchHeader {
                base_offset: Offset::ZERO,
                batch_length: 0,
                partition_leader_epoch: LeaderEpoch::NONE,
                crc: 0,
                attributes: Attributes::default(),
                last_offset_delta: -1,
                base_timestamp: Timestamp::NONE,
                max_timestamp: Timestamp::NONE,
                producer_id: ProducerId::NONE,
                producer_epoch: ProducerEpoch::NONE,
                base_sequence: -1,
                records_count: 0,
            },
            codec: Compression::None,
            level: None,
            log_append_time: None,
            last_delta: -1,
            last_delta_at_least: -1,
            out,
        }
    }

    /// Offset of the first record.
    #[must_use]
    pub fn base_offset(mut self, offset: Offset) -> Self {
        self.header.base_offset = offset;
        self
    }

    /// Epoch of the leader that appends it.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> Self {
        self.header.partition_leader_epoch = epoch;
        self
    }

    /// The idempotent producer it is of.
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    /// Part of a transaction.
    #[must_use]
    pub fn transactional(mut self, on: bool) -> Self {
        self.header.attributes = self.header.attributes.with_transactional(on);
        self
    }

    /// A control batch.
    #[must_use]
    pub fn control(mut self, on: bool) -> Self {
        self.header.attributes = self.header.attributes.with_control(on);
        self
    }

    /// Codec of the records, at its default level.
    #[must_use]
    pub fn compression(mut self, codec: Compression) -> Self {
        self.codec = codec;
        self.level = None;
        self
    }

    /// Codec of the records, at a level of the codec's own scale (gzip 1..=9, zstd 1..=22; the
    /// others have none).
    #[must_use]
    pub fn compression_level(mut self, codec: Compression, level: i32) -> Self {
        self.codec = codec;
        self.level = Some(level);
        self
    }

    /// Stamped by the broker: the records keep their deltas, readers see `now`.
    #[must_use]
    pub fn log_append_time(mut self, now: Timestamp) -> Self {
        self.log_append_time = Some(now);
        self
    }

    /// Marks when tombstones may go (KIP-534), in place of the base timestamp. Before any append.
    #[must_use]
    pub fn delete_horizon(mut self, horizon: Timestamp) -> Self {
        assert!(
            self.header.records_count == 0,
            "delete horizon {horizon} set after {} records",
            self.header.records_count
        );
        self.header.attributes = self.header.attributes.with_delete_horizon(true);
        self.header.base_timestamp = horizon;
        self
    }

    /// Keeps a batch's offset range when its last records were compacted away.
    #[must_use]
    pub fn last_offset_delta(mut self, delta: i32) -> Self {
        self.last_delta_at_least = delta;
        self
    }

    /// Appends a record at the next offset.
    ///
    /// # Errors
    /// [`BuildError`]; the builder is then as before.
    pub fn append(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: &[Header<'_>],
    ) -> Result<(), BuildError> {
        let delta = self.last_delta.checked_add(1).ok_or(BuildError::OffsetDelta)?;
        self.push(delta, timestamp, 0, key, value, headers.iter().copied())
    }

    /// Copies a record of another batch to `offset_delta`, which must be above all before. Its own
    /// delta is relative to its own batch and is not looked at.
    ///
    /// # Errors
    /// [`BuildError`]; the builder is then as before.
    pub fn append_record(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        record: &Record<'_>,
    ) -> Result<(), BuildError> {
        if offset_delta <= self.last_delta {
            return Err(BuildError::OffsetOrder { last: self.last_delta, delta: offset_delta });
        }
        self.push(
            offset_delta,
            timestamp,
            record.attributes,
            record.key,
            record.value,
            record.headers,
        )
    }

    fn push<'h>(
        &mut self,
        offset_delta: i32,
        timestamp: Timestamp,
        attributes: i8,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = Header<'h>> + Clone,
    ) -> Result<(), BuildError> {
        let first = self.header.records_count == 0;
        let base = if first && !self.header.attributes.has_delete_horizon() {
            timestamp
        } else {
            self.header.base_timestamp
        };
        let timestamp_delta = timestamp.checked_since(base).ok_or(BuildError::TimestampDelta)?;
        let header_count = i32::try_from(headers.len()).map_err(|_| BuildError::TooLong)?;

        let mut size = 1
            + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + nullable_len(key)?
            + nullable_len(value)?
            + varint_len(header_count);
        for header in headers.clone() {
            size += nullable_len(Some(header.key))? + nullable_len(header.value)?;
        }
        let length = i32::try_from(size).map_err(|_| BuildError::TooLong)?;
        let total = self.out.len() + varint_len(length) + size;
        if i32::try_from(total).is_err() {
            return Err(BuildError::TooLong);
        }

        self.out.reserve(varint_len(length) + size);
        put_varint(&mut self.out, length);
        self.out.put_i8(attributes);
        put_varlong(&mut self.out, timestamp_delta);
        put_varint(&mut self.out, offset_delta);
        put_nullable(&mut self.out, key);
        put_nullable(&mut self.out, value);
        put_varint(&mut self.out, header_count);
        for header in headers {
            put_nullable(&mut self.out, Some(header.key));
            put_nullable(&mut self.out, header.value);
        }
        assert!(
            self.out.len() == total,
            "a record of {size} bytes was written as {}, batch {total}",
            self.out.len()
        );

        self.header.base_timestamp = base;
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        self.header.records_count += 1;
        self.last_delta = offset_delta;
        Ok(())
    }

    /// Records so far.
    #[must_use]
    pub const fn records_count(&self) -> i32 {
        self.header.records_count
    }

    /// True before the first record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.header.records_count == 0
    }

    /// Bytes of the batch so far, before compression.
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        self.out.len()
    }

    /// The batch's bytes. Without records it is an empty batch, which only compaction writes (to
    /// keep a producer's last sequence); never send one to a broker.
    ///
    /// # Errors
    /// [`BuildError::Compress`], [`BuildError::TooLong`].
    pub fn build(self) -> Result<Vec<u8>, BuildError> {
        let Self {
            mut header,
            codec,
            level,
            log_append_time,
            last_delta,
            last_delta_at_least,
            mut out,
        } = self;
        if codec != Compression::None {
            let records = out.split_off(HEADER_SIZE);
            compress::compress_into(codec, level, &records, &mut out)
                .map_err(|_| BuildError::Compress(codec))?;
        }
        header.attributes = header.attributes.with_compression(codec);
        header.last_offset_delta = last_delta.max(last_delta_at_least);
        if let Some(now) = log_append_time {
            header.max_timestamp = now;
            header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
        }
        header.batch_length =
            i32::try_from(out.len() - LOG_OVERHEAD).map_err(|_| BuildError::TooLong)?;
        if let Some(place) = out.first_chunk_mut() {
            *place = header.to_bytes();
        }
        refresh_crc(&mut out);
        Ok(out)
    }

    /// As [`build`](Self::build), shared.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_bytes(self) -> Result<Bytes, BuildError> {
        self.build().map(Bytes::from)
    }
}

fn nullable_len(field: Option<&[u8]>) -> Result<usize, BuildError> {
    let Some(field) = field else { return Ok(1) };
    let length = i32::try_from(field.len()).map_err(|_| BuildError::TooLong)?;
    Ok(varint_len(length) + field.len())
}

/// `field` was measured by [`nullable_len`].
fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(field) => {
            put_varint(out, i32::try_from(field.len()).unwrap_or(i32::MAX));
            out.put_slice(field);
        }
    }
}
