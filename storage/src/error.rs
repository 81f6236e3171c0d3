//! Errors by blame: the peer's (an append that must be refused), the disk's, ours (assertions, not
//! errors).
use record::{LeaderEpoch, Offset};

/// The disk's faults.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Io(#[from] netio::Error),
    /// Bytes that do not pass their checks.
    #[error("damaged: {what} in {file} at byte {position}")]
    Damaged { file: String, position: u64, what: String },
    /// Bytes of a version that is not known here, so probably of a newer program. Nothing was
    /// changed: what they say must not be taken for damage, nor for a torn tail.
    #[error(
        "{file}: {what} of version {found}, and this program knows {known}: start the program that wrote it, or restore \
         the data directory of before; nothing was changed"
    )]
    Version { file: String, what: &'static str, found: String, known: &'static str },
    /// The log or the core's chain is read-only since this first fault.
    #[error("read-only since: {0}")]
    Failed(String),
    /// Space below the reserve.
    #[error("no space: {0}")]
    Full(String),
}

impl Error {
    /// Space is missing, nothing is broken: try again when there is some.
    pub fn is_full(&self) -> bool {
        match self {
            Error::Full(_) => true,
            Error::Io(error) => error.is_full(),
            Error::Damaged { .. } | Error::Version { .. } | Error::Failed(_) => false,
        }
    }
    /// See [`netio::Error::is_transient`].
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Io(error) if error.is_transient())
    }
}

/// Why an append was refused. Kafka's names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// OUT_OF_ORDER_SEQUENCE_NUMBER
    #[error("sequence {got} after {expected} of producer {producer_id}")]
    OutOfOrderSequence { producer_id: i64, expected: i32, got: i32 },
    /// INVALID_PRODUCER_EPOCH
    #[error("producer {producer_id}: epoch {got} is older than {current}")]
    InvalidProducerEpoch { producer_id: i64, current: i16, got: i16 },
    /// UNKNOWN_PRODUCER_ID is no longer used by Kafka for appends; a first batch with a sequence
    /// above 0 is accepted as Kafka does. FENCED_LEADER_EPOCH / NOT_LEADER
    #[error("leader epoch {got}, log is at {current}")]
    FencedEpoch { current: LeaderEpoch, got: LeaderEpoch },
    /// MESSAGE_TOO_LARGE: whatever a topic allows, a batch must fit a file of the write-ahead log.
    #[error("a batch of {bytes} bytes does not fit a file of the write-ahead log of {file_bytes}")]
    TooLarge { bytes: usize, file_bytes: u64 },
    /// Too much unflushed or in flight now: try again when [`crate::Event::Room`] comes. Nothing
    /// was appended.
    #[error("no room in the write-ahead log now")]
    Busy,
    /// KAFKA_STORAGE_ERROR
    #[error(transparent)]
    Storage(#[from] Error),
}

/// Why a read was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// OFFSET_OUT_OF_RANGE
    #[error("offset {offset} is outside {log_start}..={high_watermark}")]
    OutOfRange { offset: Offset, log_start: Offset, high_watermark: Offset },
    /// CORRUPT_MESSAGE: a fenced batch; `next` is where reading can go on.
    #[error("damaged batch at {offset}, next readable {next}")]
    Damaged { offset: Offset, next: Offset },
    #[error(transparent)]
    Storage(#[from] Error),
}
