//! Kafka's error codes for our errors: one mapping, each arm with its reason.
use record::validate::Invalid;
use storage::{AppendError, Error, ReadError};
use wire::ErrorCode;

/// An append that was refused, with a message for the client.
pub fn append_error(error: &AppendError) -> (ErrorCode, String) {
    let code = match error {
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::FencedEpoch { .. } => ErrorCode::NotLeaderOrFollower,
        // No try again makes it smaller.
        AppendError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        // The producer tries again; nothing was appended.
        AppendError::Busy => ErrorCode::NotEnoughReplicas,
        AppendError::Storage(error) => storage_error(error),
    };
    (code, error.to_string())
}

/// A fault of the disk. All of them are retriable for clients: another start, or space, may mend
/// it.
pub fn storage_error(error: &Error) -> ErrorCode {
    match error {
        Error::Io(_) | Error::Failed(_) | Error::Full(_) => ErrorCode::KafkaStorageError,
        Error::Damaged { .. } => ErrorCode::CorruptMessage,
        // A newer program's: nothing is wrong with the bytes, but they are not for us.
        Error::Version { .. } => ErrorCode::KafkaStorageError,
    }
}

/// A read that was refused.
pub fn read_error(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // Never served; clients that skip it by seeking past go on.
        ReadError::Damaged { .. } => ErrorCode::CorruptMessage,
        ReadError::Storage(error) => storage_error(error),
    }
}

/// A batch that is never stored.
pub fn invalid_batch(invalid: &Invalid) -> (ErrorCode, String) {
    let code = match invalid {
        Invalid::Corrupt(_) => ErrorCode::CorruptMessage,
        Invalid::InvalidRecord(_) => ErrorCode::InvalidRecord,
        Invalid::InvalidTimestamp(_) => ErrorCode::InvalidTimestamp,
        Invalid::UnsupportedCompression(_) => ErrorCode::UnsupportedCompressionType,
        // Clients split the batch; trying it again as it is helps nothing.
        Invalid::TooLarge { .. } => ErrorCode::MessageTooLarge,
    };
    (code, invalid.to_string())
}
