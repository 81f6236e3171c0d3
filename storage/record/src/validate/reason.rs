//! Why a produced batch is refused, by Kafka's error code.

use crate::{Error, Offset, ProducerEpoch, ProducerId, RecordError, Timestamp, compress};

/// Why a batch is refused; one variant per Kafka error code.
///
/// Which of them a fault gets is Kafka's choice wherever it has made one: `validate/mod.rs` has the
/// table, and the broker's simulation holds it (`broker/tests/sim/batches.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// CORRUPT_MESSAGE: bytes that no producer made so. Clients try again, so this is only for what
    /// may have happened on the way.
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
    /// MESSAGE_TOO_LARGE: clients split the batch and try again, or fail its only record.
    #[error(
        "the records take more than {cap} bytes when decompressed, max.decompressed.message.bytes"
    )]
    TooLarge {
        /// Bytes allowed.
        cap: usize,
    },
}

impl Invalid {
    /// True for what a record is refused for while its batch may be well made.
    pub(super) const fn is_of_records(&self) -> bool {
        matches!(
            self,
            Self::InvalidRecord(InvalidRecord::NoKey { .. })
                | Self::InvalidTimestamp(
                    InvalidTimestamp::Overflow { .. }
                        | InvalidTimestamp::OutOfRange { index: Some(_), .. }
                )
        )
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
    /// Fewer bytes than the batch's length says, or than a header has. Retrying sends the same.
    #[error("a batch of {need} bytes is cut short after {have}")]
    CutShort {
        /// Bytes that the batch, or its header, takes.
        need: usize,
        /// Bytes that came.
        have: usize,
    },
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
    /// The compressed records cannot be opened.
    #[error(transparent)]
    Compressed(compress::Error),
}

/// Why a batch is an INVALID_TIMESTAMP. Without an index it is the header's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// Producers do not stamp for the broker.
    #[error("timestamp type LogAppendTime from a client")]
    LogAppendTime,
    /// Base and delta add up to no 64-bit number.
    #[error("record {index} has a timestamp beyond 64 bits")]
    Overflow {
        /// The record.
        index: i32,
    },
    /// Too far from the broker's clock.
    #[error(
        "timestamp {timestamp} is farther from the broker's time, {now}, than \
         message.timestamp.before.max.ms and message.timestamp.after.max.ms allow"
    )]
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
            Error::Truncated { need, have } => InvalidRecord::CutShort { need, have }.into(),
            Error::Length(_) | Error::Magic(_) | Error::Crc { .. } => Self::Corrupt(error),
        }
    }
}

impl From<compress::Error> for Invalid {
    fn from(error: compress::Error) -> Self {
        match error {
            compress::Error::TooLarge { cap } => Self::TooLarge { cap },
            error => InvalidRecord::Compressed(error).into(),
        }
    }
}

/// A record that alone is reason enough to refuse its batch (KIP-467).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadRecord {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub why: Invalid,
}
