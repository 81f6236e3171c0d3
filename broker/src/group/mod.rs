//! Consumer groups of the classic protocol, and committed offsets, as a pure state machine.
//!
//! [`Coordinator`] holds the groups of one partition of `__consumer_offsets`. An operation changes
//! the state and returns records and answers; [`crate::coordinator::Runtime`] does the rest.
//!
//! In reading order:
//! * [`options`], `versions`   what it runs with; what versions of requests change.
//! * [`request`]     the operations and their answers.
//! * `state`         all groups of a partition; where operations, timers and replay come in.
//! * `classic`, `member`, `subscription`   one group's membership and its rules.
//! * `rebalance`     the course of a rebalance, with its timers and answers.
//! * `join`, `sync`, `heartbeat`, `leave`   membership, one file per API.
//! * `offsets`       one group's committed offsets.
//! * `commit`, `fetch`, `offset_delete`     offsets, one file per API.
//! * `describe`, `list`, `delete`           administration.
//! * [`numbers`]     what metrics tell.
//! * `expiry`        offsets and groups whose time is over.
//! * `records`, `replay`, [`snapshot`]   the state as records, and back.
//!
//! What differs from Kafka on purpose:
//! * a request that is replaced by a later one of the same member is answered (Kafka leaves it
//!   open);
//! * a static member that is replaced is not waited for in SyncGroup (Kafka rebalances for its old
//!   id);
//! * a pending id that comes with an instance id is UNKNOWN_MEMBER_ID (Kafka:
//!   UNKNOWN_SERVER_ERROR);
//! * protocols with as many votes: the first member's wins (Kafka: by the order of a hash table);
//! * everything is bounded ([`options::Limits`]).

mod classic;
mod commit;
mod delete;
mod describe;
mod expiry;
mod fetch;
mod heartbeat;
mod join;
mod leave;
mod list;
mod member;
pub mod numbers;
mod offset_delete;
mod offsets;
pub mod options;
mod rebalance;
mod records;
mod replay;
pub mod request;
pub mod snapshot;
mod state;
mod subscription;
mod sync;
mod timers;
mod versions;

#[cfg(test)]
mod tests;

pub use classic::GroupState;
pub use describe::Membership;
pub use list::Wanted;
pub use options::{Limits, Options};
pub use request::{Request, Response};
pub use state::Coordinator;

/// The same input gives the same table in every run.
type FixedHashMap<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;
type Outcome = crate::coordinator::Outcome<Response>;
