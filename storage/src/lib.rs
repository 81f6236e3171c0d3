//! The logs of a core: append, read, recover, retain.
//!
//! One write-ahead log per core makes appends of all its partitions durable together; segments in Kafka's own format are
//! written behind it. The promise (see docs/data-files.md): what was acknowledged in class `device` survives a power cut, and
//! a damaged byte is found, never served. This crate knows nothing of connections, API keys or groups.
//!
//! In reading order:
//! * [`options`]  plain settings of the store and of one log; [`error`] errors by blame.
//! * [`store`]    [`Store`], the owner of everything: what the broker calls.
//! * [`log`]      one partition: its offsets ([`watermarks`]), producers, epochs, tail cache and segments.
//! * `wal`        frames, the open group, writer, recycling.
//! * `segment`, `index`  Kafka's files; `flush` moves the WAL's content there.
//! * `checkpoint`, `recover`  what a start reads.
//! * `retention`  plans as pure functions.
pub mod error;
pub mod leader_epoch;
pub mod log;
pub mod options;
pub mod producer_state;
pub mod store;
pub mod watermarks;

pub use error::{AppendError, Error, ReadError};
pub use options::{Durability, LogConfig, Options};
pub use store::{Appended, Event, LogId, LogSlot, Read, Store};
pub use watermarks::Offsets;
