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
//! * [`store`]    [`Store`], the owner of everything: what the broker calls. Its rooms: `room` (is
//!   an append taken now), `turn` (what goes on in a turn), `advance` (what the chain has made
//!   durable), `flush` and `flushing` (the plan, and from the chain to the segments), `reads`
//!   and `ahead`, `checkpoints`, `wal_files`, `work` and `next_work` (changes of a log's
//!   files), `space` (the reserve), `producer_budget`, `stop`.
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
