//! The controller: requests in, metadata records and responses out.
//!
//! It lives on core 0 and does no I/O: no clock, no randomness of its own, nothing is written here.
//! Its image is ahead of the cores': a record is applied as soon as it is appended, so that the
//! next request sees it, while the response waits until the record is committed and every core has
//! it. A request makes one batch of records, all or nothing.
//!
//! * [`topics`]       CreateTopics, automatic creation, names.
//! * [`delete`]       DeleteTopics.
//! * [`partitions`]   CreatePartitions.
//! * [`replicas`]     how many replicas, and where; AlterPartitionReassignments.
//! * [`configs`]      IncrementalAlterConfigs, AlterConfigs.
//! * [`producer_ids`] InitProducerId.
//! * [`refuse`]       answers when records could not be written.
//! * [`start`]        what a start writes.
pub mod configs;
pub mod delete;
pub mod partitions;
pub mod producer_ids;
pub mod refuse;
pub mod replicas;
pub mod start;
pub mod topics;

use crate::{
    config::Defaults,
    metadata::{Image, MetadataRecord},
    settings::Settings,
};
use replicas::Clipped;
use std::{borrow::Cow, cell::Cell, ops::Range};
use wire::{ErrorCode, Str};

/// What a request leads to. The response goes out when the records are in force on every core;
/// without records, when what the controller has seen before is.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<T> {
    pub records: Vec<MetadataRecord>,
    pub response: T,
    /// Replicas that are not kept although the response is a success: for the log.
    pub clipped: Vec<Clipped>,
}

impl<T> Outcome<T> {
    pub fn new(records: Vec<MetadataRecord>, response: T) -> Self {
        Self { records, response, clipped: Vec::new() }
    }

    /// An answer that changes nothing.
    pub fn unchanged(response: T) -> Self {
        Self::new(Vec::new(), response)
    }
}

/// Why a part of a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: ErrorCode,
    pub message: Cow<'static, str>,
}

impl Refusal {
    pub fn new(error: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { error, message: message.into() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        Self::new(error, error.message())
    }
}

/// The code and message of a part's result, as responses carry them.
fn code_and_message<T>(result: &Result<T, Refusal>) -> (i16, Option<Str<'static>>) {
    match result {
        Ok(_) => (0, None),
        Err(refusal) => (refusal.error.code(), Some(refusal.message.clone())),
    }
}

/// The controller's state.
#[derive(Debug)]
pub struct Controller {
    image: Image,
    settings: Settings,
    defaults: Defaults,
    /// Producer ids that a record has reserved and nobody has got.
    ids: Range<i64>,
    /// Suggestions that may still be made to the request that is decided.
    hints: Cell<u32>,
}

/// Unknown configuration keys of a request for which the one that may be meant is looked for: that
/// is more work than all else.
const HINTS_MAX: u32 = 10;

/// Records of one request, which are one batch (Kafka: `QuorumController.MAX_RECORDS_PER_USER_OP`).
/// What names more things than that is refused before any of them is looked at, also where they
/// would have led to nothing: the decision is one piece of work.
pub const RECORDS_MAX: usize = 10_000;
/// Why a request for more is refused.
pub(crate) const TOO_MANY: &str =
    "Unable to perform excessively large batch operation: split the request.";
/// Why a request for more partitions than that is refused.
pub(crate) const TOO_MANY_PARTITIONS: &str = "Excessively large number of partitions per request.";
/// Their bytes, which must fit into one group of the write-ahead log.
const RECORD_BYTES_MAX: usize = 768 << 10;

impl Controller {
    /// The controller over all metadata that the log holds.
    pub fn new(image: Image, settings: Settings, defaults: Defaults) -> Self {
        Self { image, settings, defaults, ids: 0..0, hints: Cell::new(0) }
    }

    /// All metadata, what is appended and not committed included.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// `num.partitions`
    pub fn default_partitions(&self) -> usize {
        usize::try_from(self.settings.default_partitions).unwrap_or(1).max(1)
    }

    /// A record was appended.
    pub fn apply(&mut self, record: &MetadataRecord) {
        self.image.apply(record);
    }

    /// Defaults with what the image says of this host.
    fn defaults(&self) -> Defaults {
        self.defaults.with(&self.image, self.settings.node_id)
    }

    /// Hosts that can take replicas, in order.
    fn hosts(&self) -> Vec<i32> {
        self.image.brokers().values().filter(|b| !b.fenced).map(|b| b.broker_id).collect()
    }

    /// The host behind a node id that a client names: an id of one of its cores, or of the host
    /// with one port.
    fn host_of(&self, client_id: i32) -> Option<i32> {
        let host = self.settings.host_of(client_id)?;
        self.image.brokers().contains_key(&host).then_some(host)
    }
}

/// Whether a request names more things than one may change.
pub(crate) fn is_too_much(named: usize) -> bool {
    named > RECORDS_MAX
}

/// Records under way to one batch.
#[derive(Debug, Default)]
struct Batch {
    records: Vec<MetadataRecord>,
    bytes: usize,
}

impl Batch {
    /// Takes all of `records`, or none if the batch would become too large.
    fn add(&mut self, records: Vec<MetadataRecord>) -> Result<(), Refusal> {
        let bytes: usize = records.iter().map(|r| r.encode().len() + 16).sum();
        if self.records.len() + records.len() > RECORDS_MAX || self.bytes + bytes > RECORD_BYTES_MAX
        {
            return Err(Refusal::new(ErrorCode::PolicyViolation, TOO_MANY));
        }
        self.bytes += bytes;
        self.records.extend(records);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        limits::Limits,
        settings::{GroupSettings, Settings},
    };

    pub(crate) fn settings() -> Settings {
        Settings {
            node_id: 1,
            id_stride: 1000,
            cores: 2,
            single_port: false,
            listen: "127.0.0.1:9092".parse().unwrap(),
            advertised_host: "localhost".into(),
            advertised_port: 9092,
            rack: None,
            limits: Limits::default(),
            auto_create_topics: true,
            default_partitions: 1,
            offsets_partitions: 50,
            group: GroupSettings::default(),
            metrics: Default::default(),
            delete_topic_enable: true,
        }
    }

    /// A controller after its first start.
    pub(crate) fn controller() -> Controller {
        controller_with(settings())
    }

    pub(crate) fn controller_with(settings: Settings) -> Controller {
        let mut controller = Controller::new(Image::default(), settings, Defaults::default());
        for record in controller.start_records(1, 2) {
            controller.apply(&record);
        }
        controller
    }

    /// Applies an outcome as the shard does, and returns its response.
    pub(crate) fn done<T>(controller: &mut Controller, outcome: Outcome<T>) -> T {
        for record in &outcome.records {
            // Through bytes: what is written is what is read.
            assert_eq!(MetadataRecord::decode(&record.encode()).unwrap().as_ref(), Some(record));
            controller.apply(record);
        }
        outcome.response
    }

    /// Numbers that repeat from run to run.
    pub(crate) fn numbers() -> impl FnMut() -> u64 {
        let mut state = 7u64;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state
        }
    }
}
