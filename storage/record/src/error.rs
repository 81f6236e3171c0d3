//! What can be wrong with a batch's or a record's bytes. Always the peer's or the disk's fault.

use crate::varint;

/// A batch that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer bytes than the batch needs; with more of them it may be whole.
    #[error("{have} bytes of a batch that needs {need}")]
    Truncated {
        /// Bytes wanted, as far as is known: the header's size, or the whole batch's.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// The length field is below what a header takes.
    #[error("batch length field {0} is less than a header's rest")]
    Length(i32),
    /// Magic 0 or 1, the message sets before Kafka 0.11.
    #[error("message format v{0}; only v2 is served")]
    OldMagic(i8),
    /// A magic that no Kafka ever wrote.
    #[error("magic byte {0}")]
    Magic(i8),
    /// The CRC of the bytes is not the stored one.
    #[error("CRC {stored:#010x} stored, {computed:#010x} computed")]
    Crc {
        /// From the header.
        stored: u32,
        /// From the bytes.
        computed: u32,
    },
    /// Attribute bits 0..=2 name no codec.
    #[error("compression codec {0}")]
    Codec(u8),
}

/// A record whose bytes do not follow the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a record, or before the promised count.
    #[error("the bytes end inside a record")]
    Truncated,
    /// Bytes are left after the promised count of records.
    #[error("bytes after the last record")]
    TrailingBytes,
    /// A variable-length integer that is too long for its type.
    #[error("an integer does not fit its type")]
    Varint,
    /// The record's length is negative, or not what its fields take.
    #[error("record length {0} does not match its fields")]
    Length(i32),
    /// A key or value length below -1.
    #[error("field length {0}")]
    FieldLength(i32),
    /// A negative count of headers, or more than the bytes can hold.
    #[error("count of headers {0}")]
    HeaderCount(i32),
    /// A header without a key.
    #[error("header key length {0}")]
    HeaderKeyLength(i32),
}

impl From<varint::Error> for RecordError {
    fn from(error: varint::Error) -> Self {
        match error {
            varint::Error::Truncated => Self::Truncated,
            varint::Error::Overflow => Self::Varint,
        }
    }
}
