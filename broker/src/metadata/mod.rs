//! What the cluster knows of itself: the records of `__cluster_metadata`, and the image that they
//! make.
//!
//! Records are Kafka's own (KRaft), in Kafka's frame, so that Kafka's tools read the log. They
//! speak of hosts (`node.id`); which core of a host leads a partition is not metadata.
pub mod image;
pub mod records;

pub use image::{Configs, Image, PartitionImage, TopicImage};
pub use records::MetadataRecord;

/// Kafka's `ConfigResource.Type` codes, as `ConfigRecord` and the configuration APIs carry them.
pub mod resource {
    pub const TOPIC: i8 = 2;
    pub const BROKER: i8 = 4;
    pub const BROKER_LOGGER: i8 = 8;
    pub const CLIENT_METRICS: i8 = 16;
    pub const GROUP: i8 = 32;
}
