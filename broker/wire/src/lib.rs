//! Kafka's requests and responses: pure, no I/O, no clock.
//!
//! Bytes come in as slices and messages borrow from them; messages go out as lists of slices, so
//! that records of a Fetch response are never copied. This crate is the only one that knows
//! versions: its structs hold the fields of all versions, and what a version does not carry has its
//! default.
//!
//! In reading order:
//! * [`frame`]: the 4 bytes in front of everything.
//! * [`header`]: what precedes a message in its frame.
//! * [`codec`]: the traits, and whole frames from messages.
//! * [`reader`], [`writer`]: Kafka's primitive types, bounded.
//! * [`types`]: strings, bytes, records and ids as messages hold them.
//! * [`api_key`], [`error_code`]: Kafka's numbers and their names.
//! * [`messages`]: one module per API, generated from `schema/api` (re-exported here:
//!   `wire::produce`).
//! * [`records`]: what Kafka keeps in its own topics, generated from the rest of `schema`.
//! * [`record_frame`]: the few bytes around those in a record's key and value.
//! * [`Error`]: by blame.
//!
//! It does not decide which versions are served: that is the broker's table.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod api_key;
pub mod codec;
mod error;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod messages;
pub mod reader;
pub mod record_frame;
pub mod records;
pub mod types;
pub mod writer;

pub use api_key::ApiKey;
pub use codec::{
    ApiMessage, Around, Decode, Encode, Message, RecordMessage, Request, VersionRange, decode,
    encode_answer, encode_request, encode_request_around, encode_response, encode_response_around,
    write_request, write_response,
};
pub use error::Error;
pub use error_code::ErrorCode;
pub use frame::{Frame, FrameError};
pub use header::{RequestHeader, ResponseHeader};
pub use messages::*;
pub use reader::Reader;
pub use record_frame::RecordSet;
pub use types::{Blob, IntoOwned, Records, Str, Uuid};
pub use writer::Writer;
