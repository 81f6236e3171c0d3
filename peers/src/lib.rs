//! Brokers as processes: Apache Kafka and Millrace, started on loopback for a test or a
//! measurement.
//!
//! A peer is started with its data directory and ports, is ready when [`Kafka::start`] or
//! [`Millrace::start`] returns, writes its output to a log file, and dies with its handle. Both
//! can be stopped in order (SIGTERM) or killed (SIGKILL). What is done to a peer is the caller's
//! business: nothing here speaks Kafka beyond the one ApiVersions request that asks "are you up?".
//!
//! The tool (`xtask`) and the load generator (`bench`) share it. It imports nothing of ours, so
//! neither comes to know the server by it.
//!
//! * [`process`]: a child with its log file, and a command run to its end.
//! * [`kafka`], [`millrace`]: the two brokers. A caller with other flags and another idea of
//!   "ready" takes their parts.
//! * [`ready`]: free ports, and whether a broker is up.
#![forbid(unsafe_code)]

pub mod kafka;
pub mod millrace;
pub mod process;
pub mod ready;

pub use kafka::{Kafka, KafkaOptions};
pub use millrace::{Millrace, MillraceOptions};
pub use process::{Process, run, tail};
pub use ready::free_ports;
