//! Kafka's ids, offsets and record batches (format v2). Pure: slices in, values out.
//!
//! No I/O, no clock, no randomness, no API versions. Bytes from outside never panic here and never
//! take more memory than the cap the caller gave.
//!
//! In reading order:
//!
//! * [`ids`], [`offsets`]: newtypes used by every other crate
//! * [`varint`], [`mod@checksum`]: the primitives of the format
//! * [`header`]: the 61 bytes before the records, and the changes that a broker makes to them
//! * [`batches`]: back-to-back batches in a slice
//! * [`record`]: the records of one uncompressed batch
//! * [`builder`], [`control`]: making batches
//! * [`mod@compress`]: gzip, snappy, lz4 and zstd, capped
//! * [`mod@recode`]: a batch in another codec
//! * [`mod@validate`]: what a broker checks of a produced batch
//! * [`error`]: what can be wrong with bytes
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod batches;
pub mod builder;
pub mod checksum;
pub mod compress;
pub mod control;
pub mod error;
pub mod header;
pub mod ids;
pub mod offsets;
pub mod recode;
pub mod record;
pub mod validate;
pub mod varint;

pub use batches::{Batches, Tail};
pub use builder::{BatchBuilder, BuildError};
pub use checksum::{Checksum, checksum};
pub use compress::{Decompressor, Scratch};
pub use control::{ControlRecord, EndTxnMarker, end_txn_batch};
pub use error::{Error, RecordError};
pub use header::{
    Attributes, BatchHeader, BatchView, Compression, HEADER_SIZE, LOG_OVERHEAD, MAGIC,
    TimestampType, restamp_log_append_time, restamp_max_timestamp, set_base_offset,
    set_leader_epoch, size_and_count,
};
pub use ids::{LeaderEpoch, NodeId, Partition, PartitionIndex, ProducerEpoch, ProducerId, TopicId};
pub use offsets::{Offset, Position, Timestamp};
pub use recode::{RecodeError, recode};
pub use record::{Header, Headers, Record, Records};
pub use validate::{
    BadRecord, Invalid, InvalidRecord, InvalidTimestamp, Refusal, Restamp, ValidateOptions,
    Validated, refusal, validate, validate_with,
};
