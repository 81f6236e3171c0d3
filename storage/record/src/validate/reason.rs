//! Why a produced batch is refused, by Kafka's error code.

use crate::{Error, Offset, ProducerEpoch, ProducerId, RecordError, Timestamp, compress};

/// Why a batch is refused; one variant per Kafka error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// CORRUPT_MESSAGE: bytes that no producer made so. Clients try again.
    #[error(transparent)]
    Corrupt(Error),
    /// INVALID_RECORD: made wrong; trying again does not help.
    #[error(transparent)]
    InvalidRecord(InvalidRecord),
    /// INVALID_TIMESTAMP.
    #[error(transparent)]
    InvalidTimestamp(InvalidTimestamp),
    /// UNSUPPORTED_COMPRESSION_TYPE.
    #[error("compression codec {0}")]
    UnsupportedCompression(u8),
}

impl Invalid {
    /// The record at fault, from 0, if it is one: for `record_errors` of the Produce response.
    #[must_use]
    pub const fn record_index(&self) -> Option<i32> {
        match *self {
            Self::InvalidRecord(
                InvalidRecord::Framing { index, .. }
                | InvalidRecord::OffsetDelta { index, .. }
                | InvalidRecord::NoKey { index },
            )
            | Self::InvalidTimestamp(InvalidTimestamp::Overflow { index }) => Some(index),
            Self::InvalidTimestamp(
                InvalidTimestamp::Negative { index, .. }
                | InvalidTimestamp::OutOfRange { index, .. },
            ) => index,
            _ => None,
        }
    }
}

/// Why a batch is an INVALID_RECORD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// No bytes where a batch should be.
    #[error("no record batch")]
    NoBatch,
    /// Magic 0 or 1: message sets, which Produce 3 and later do not carry.
    #[error("message format v{0}; only v2 is accepted")]
    OldMagic(i8),
    /// More bytes than the one batch that a partition's data may be.
    #[error("{0} bytes after the batch; one batch is accepted per partition")]
    TrailingBytes(usize),
    /// Producers count from 0.
    #[error("base offset {0}, not 0")]
    BaseOffset(Offset),
    /// No records, or a negative count.
    #[error("record count {0}")]
    Count(i32),
    /// Offsets and count do not agree.
    #[error("last offset delta {last_offset_delta} with {records_count} records")]
    OffsetRange {
        /// From the header.
        last_offset_delta: i32,
        /// From the header.
        records_count: i32,
    },
    /// Clients do not write control batches.
    #[error("a control batch from a client")]
    Control,
    /// Only compaction writes delete horizons.
    #[error("a delete horizon from a client")]
    DeleteHorizon,
    /// A producer id below -1.
    #[error("producer id {0}")]
    ProducerId(ProducerId),
    /// A producer id without an epoch.
    #[error("producer epoch {0} with a producer id")]
    ProducerEpoch(ProducerEpoch),
    /// A producer id without a sequence number.
    #[error("base sequence {0} with a producer id")]
    Sequence(i32),
    /// A transaction without a producer id.
    #[error("transactional without a producer id")]
    TransactionalWithoutProducer,
    /// A record's bytes do not follow the format, or do not end with the last record.
    #[error("record {index}: {error}")]
    Framing {
        /// The record.
        index: i32,
        /// What is wrong.
        error: RecordError,
    },
    /// Offset deltas must be 0, 1, 2, ...
    #[error("record {index} has offset delta {delta}")]
    OffsetDelta {
        /// The record.
        index: i32,
        /// Its delta.
        delta: i32,
    },
    /// A compacted topic takes only records with keys.
    #[error("record {index} has no key, and the topic is compacted")]
    NoKey {
        /// The record.
        index: i32,
    },
    /// The compressed records cannot be opened, or are too large.
    #[error(transparent)]
    Compressed(compress::Error),
}

/// Why a batch is an INVALID_TIMESTAMP. Without an index it is the header's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// Producers do not stamp for the broker.
    #[error("timestamp type LogAppendTime from a client")]
    LogAppendTime,
    /// Below -1, which alone means "none".
    #[error("timestamp {timestamp}")]
    Negative {
        /// The record, if not the header.
        index: Option<i32>,
        /// Its timestamp.
        timestamp: Timestamp,
    },
    /// Base and delta add up to no 64-bit number.
    #[error("record {index} has a timestamp beyond 64 bits")]
    Overflow {
        /// The record.
        index: i32,
    },
    /// Too far from the broker's clock.
    #[error("timestamp {timestamp} is too far from the broker's time, {now}")]
    OutOfRange {
        /// The record, if not the header.
        index: Option<i32>,
        /// Its timestamp.
        timestamp: Timestamp,
        /// The broker's clock.
        now: Timestamp,
    },
}

impl From<InvalidRecord> for Invalid {
    fn from(reason: InvalidRecord) -> Self {
        Self::InvalidRecord(reason)
    }
}

impl From<InvalidTimestamp> for Invalid {
    fn from(reason: InvalidTimestamp) -> Self {
        Self::InvalidTimestamp(reason)
    }
}

impl From<Error> for Invalid {
    fn from(error: Error) -> Self {
        match error {
            Error::OldMagic(magic) => InvalidRecord::OldMagic(magic).into(),
            Error::Codec(id) => Self::UnsupportedCompression(id),
            Error::Truncated { .. } | Error::Length(_) | Error::Magic(_) | Error::Crc { .. } => {
                Self::Corrupt(error)
            }
        }
    }
}
