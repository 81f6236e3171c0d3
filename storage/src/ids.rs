//! What names a log and what stands in it: known to every part of the store.
use record::{LeaderEpoch, Offset, TopicId};

/// A log's identity: never the topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    pub topic: TopicId,
    pub partition: i32,
}

/// A log of this store, for fast access; valid until the log is deleted or leaves the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogSlot(pub u32);

/// An offset found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    pub offset: Offset,
    pub timestamp: i64,
    pub leader_epoch: LeaderEpoch,
}

/// A producer's state, as DescribeProducers shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerView {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    pub last_timestamp: i64,
    pub coordinator_epoch: i32,
    pub current_txn_start: Option<Offset>,
}

/// No log gets this far: a billion records a second for 146 years. Sums of offsets stay in range
/// below it.
pub(crate) const OFFSET_MAX: Offset = Offset(1 << 62);
