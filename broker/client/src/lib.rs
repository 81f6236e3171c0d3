//! A small blocking Kafka client over plain sockets: for the command line and for the bench.
//!
//! One thread, one request at a time on each connection, no background work: what is asked for is
//! done when the call returns. It follows leaders, so it works against brokers of one node per host
//! (Apache Kafka) and of one node per core (Millrace) alike.
//!
//! In reading order:
//!
//! * [`versions`]: which version of each API both ends speak
//! * [`connection`]: one socket; a request in, its response out
//! * [`topics`]: what Metadata says, by topic and partition
//! * [`cluster`]: connections to all nodes of a cluster, and the calls that need the right one
//! * [`error`]: what can go wrong, by whose fault
//!
//! It has no groups, no transactions, no TLS, no batching: a batch is made with
//! `record::BatchBuilder` and sent as it is. It never retries a produce, because only the caller
//! knows whether a second copy does harm.
#![forbid(unsafe_code)]

pub mod cluster;
pub mod connection;
pub mod error;
pub mod topics;
pub mod versions;

pub use cluster::{Cluster, FetchOptions, Fetched, NewTopic};
pub use connection::{Connection, Options};
pub use error::{Error, Result};
pub use topics::{Node, PartitionInfo, TopicInfo};
pub use versions::Versions;
