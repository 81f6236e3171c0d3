//! The logs of a core: append, read, recover, retain.
//!
//! One write-ahead log per core makes appends of all its partitions durable together; segments in
//! Kafka's own format are written behind it. The promise (see docs/data-files.md): what was
//! acknowledged in class `device` survives a power cut, and a damaged byte is found, never served.
//! This crate knows nothing of connections, API keys or groups.
//!
//! In reading order:
//! * [`options`]  plain settings of the store and of one log; [`error`] errors by blame; [`ids`]
//!   names of logs.
//! * [`store`]    [`Store`], the owner of everything: what the broker calls. Its rooms: `turn`
//!   carries it forward, `reads` answers from memory and disk (`ahead`: what a reader will ask for
//!   next), `flush` plans how the write-ahead log's content gets into segments, `work` works on the
//!   logs' files, `space` keeps the reserve, `producer_budget` bounds the producers of all logs,
//!   `stop` ends it.
//! * [`log`]      one partition: its offsets ([`watermarks`]), producers, epochs, tail cache and
//!   segments.
//! * [`producer_state`]  a log's idempotent producers.
//! * `wal`        frames, the open group, writer, recycling.
//! * [`disk_log`], `segment`, `index`  Kafka's files.
//! * `checkpoint`, [`recover`]  what a start reads.
//! * [`retention`]  a plan as a pure function.
//!
//! Modules import only from those that stand below them: nothing but the broker knows the store,
//! and the store knows all.
#![forbid(unsafe_code)]
mod checkpoint;
pub mod disk_log;
pub mod error;
pub mod files;
pub mod ids;
mod index;
mod join;
pub mod leader_epoch;
mod lock;
pub mod log;
pub mod options;
pub mod producer_state;
pub mod recover;
pub mod retention;
mod seal;
pub mod segment;
pub mod store;
mod wal;
pub mod watermarks;

pub use error::{AppendError, Error, ReadError};
pub use ids::{LogId, LogSlot, ProducerView, TimeOffset};
pub use options::{Durability, LogConfig, Options};
pub use recover::{RecoveredLog, Recovery, RecoveryReport, mark_clean};
pub use store::{Appended, Event, Read, Stats, Store, stop::Left};
pub use wal::writer::{GROUP_BOUNDS, GroupSizes};
pub use watermarks::Offsets;
