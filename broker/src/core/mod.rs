//! The ground floor: what every room of a core may have. It imports nothing above it.
//!
//! * [`request`]   a request under way: where its answer goes, and what became of it.
//! * [`placement`] which core owns what.
//! * [`timer`]     tokens of timers.
//! * [`stats`], [`latency`]  what a core counts; [`refusals`] log lines about peers, bounded.
//! * [`error_map`] Kafka's error codes for our errors.
//! * [`plan`]      what a core is started with, and what it says of its start.
pub mod error_map;
pub mod latency;
pub mod placement;
pub mod plan;
pub mod refusals;
pub mod request;
pub mod stats;
pub mod timer;
