//! The logs of a core: append, read, recover, retain.
//!
//! One write-ahead log per core makes appends of all its partitions durable together; segments in Kafka's own format are
//! written behind it. The promise (see docs/data-files.md): what was acknowledged in class `device` survives a power cut, and
//! a damaged byte is found, never served. This crate knows nothing of connections, API keys or groups.
//!
//! In reading order:
//! * [`options`]  plain settings of the store and of one log; [`error`] errors by blame.
//! * [`store`]    [`Store`], the owner of everything: what the broker calls; `turn` carries it forward, `reads` answers from
//!   memory and disk (`ahead`: what a reader will ask for next), `dirs` works on the logs' files,
//!   `stop` ends it.
//! * [`log`]      one partition: its offsets ([`watermarks`]), producers, epochs, tail cache and segments.
//! * [`producer_state`]  a log's idempotent producers; `producer_budget` bounds those of all logs.
//! * `wal`        frames, the open group, writer, recycling.
//! * [`disk_log`], `segment`, `index`  Kafka's files; `flush` plans how the WAL's content gets there.
//! * `checkpoint`, [`recover`]  what a start reads.
//! * `retention`  plans as pure functions.
#![forbid(unsafe_code)]
mod ahead;
mod checkpoint;
mod dirs;
pub mod disk_log;
pub mod error;
pub mod files;
mod flush;
mod index;
mod join;
pub mod leader_epoch;
mod lock;
pub mod log;
pub mod options;
mod producer_budget;
pub mod producer_state;
mod reads;
pub mod recover;
pub mod retention;
mod seal;
pub mod segment;
mod space;
mod stop;
pub mod store;
mod turn;
mod wal;
pub mod watermarks;

pub use error::{AppendError, Error, ReadError};
pub use options::{Durability, LogConfig, Options};
pub use recover::{Recovery, RecoveryReport, mark_clean};
pub use stop::Left;
pub use store::{
    Appended, Event, LogId, LogSlot, ProducerView, Read, RecoveredLog, Stats, Store, TimeOffset,
};
pub use wal::writer::{GROUP_BOUNDS, GroupSizes};
pub use watermarks::Offsets;
