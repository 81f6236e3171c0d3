//! Configuration: every key that Kafka 4.3 or Millrace knows, and what is in force.
//!
//! * [`mod@catalogue`] the keys: types, defaults, what is allowed, what a key does here.
//! * [`value`]      reading and showing values.
//! * [`defaults`]   values of broker keys by layer; the ground under every topic.
//! * [`gone`]       keys that Kafka no longer has, and what to do about them.
//! * [`describe`]   what DescribeConfigs says.
//! * [`topic`]      what acts on a topic's partitions.
//!
//! No file is read here: see [`crate::cli`].
pub mod catalogue;
pub mod defaults;
pub mod describe;
pub mod gone;
pub mod topic;
pub mod value;

pub use catalogue::{Key, Kind, catalogue};
pub use defaults::{Defaults, Layered, Source};
pub use topic::TopicConfig;
pub use value::Value;
