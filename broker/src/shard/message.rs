//! What cores and the control thread say to each other. A message is owned and can be sent between
//! threads.
use super::scrape::{GroupCursor, GroupPortion, PartitionPortion, TopicPortion};
use crate::{fetch::session::Wanted, metadata::MetadataRecord, shard::snapshot::Snapshot};
use bytes::Bytes;
use netio::{CoreId, Instant};
use std::{net::IpAddr, sync::Arc};
use storage::{LogId, RecoveredLog};

/// A message to a core.
#[derive(Debug)]
pub enum Message {
    /// A request to be handled on the core that owns its subject; [`Message::Reply`] with `id`
    /// follows.
    Forward { id: u64, request: Forwarded },
    /// The answer, as slices for one send; empty when there is none.
    Reply { id: u64, slices: Vec<Bytes> },
    /// The request could not be answered: its connection is to be closed.
    ForwardFailed { id: u64 },
    /// Partitions of a fetch that another core serves (single-port mode): places in what the fetch
    /// wants.
    FetchPart {
        from: CoreId,
        id: u64,
        wanted: Arc<[Wanted]>,
        places: Vec<u32>,
        max_bytes: usize,
        at_least_one: bool,
    },
    /// What the partitions had.
    FetchedPart { id: u64, parts: Vec<FetchedPart> },
    /// Tell me once when any of these partitions passes its offset.
    Watch { from: CoreId, id: u64, watched: Vec<(LogId, i64)> },
    /// One of them did.
    Woken { id: u64 },
    /// Nobody waits any more.
    Unwatch { from: CoreId, id: u64 },
    /// Committed metadata, in order, up to `through` (exclusive offset in `__cluster_metadata`).
    Metadata { through: i64, records: Arc<Vec<MetadataRecord>> },
    /// This core has applied the metadata and opened its logs.
    Applied { core: CoreId, through: i64 },
    /// Start serving: the whole image, and the logs that recovery found for this core.
    Boot {
        image: Arc<Vec<MetadataRecord>>,
        through: i64,
        logs: Vec<RecoveredLog>,
        cluster_id: Arc<str>,
    },
    /// A core serves.
    Serving { core: CoreId, listening: std::net::SocketAddr },
    /// This core ends: it has flushed everything, or this is left for the next start.
    Stopped { core: CoreId, left: storage::Left },
    /// From the control thread: numbers, please.
    Snapshot { to: tokio::sync::oneshot::Sender<Box<Snapshot>> },
    /// From the control thread: partitions from this slot on, please.
    Partitions { from: usize, to: tokio::sync::oneshot::Sender<PartitionPortion> },
    /// From the control thread: topics from this place on, please.
    Topics { from: usize, to: tokio::sync::oneshot::Sender<TopicPortion> },
    /// From the control thread: groups from there on, please.
    Groups { from: GroupCursor, to: tokio::sync::oneshot::Sender<GroupPortion> },
    /// From the control thread, or from core 0 to the others: stop in order.
    Stop,
}

/// A request that another core received.
#[derive(Debug)]
pub struct Forwarded {
    pub from: CoreId,
    /// Header and body.
    pub frame: Bytes,
    pub host: IpAddr,
    pub at: Instant,
}

/// What one partition of a fetch had.
#[derive(Clone, Debug, Default)]
pub struct FetchedPart {
    /// Its place in what the fetch wants.
    pub index: u32,
    pub error: i16,
    pub high_watermark: i64,
    pub last_stable: i64,
    pub log_start: i64,
    pub leader_epoch: i32,
    /// KIP-320: the largest epoch both know, and its end here.
    pub diverging: Option<(i32, i64)>,
    pub records: Vec<Bytes>,
    /// Less was left of the fetch than the partition may give: more may come where the others leave
    /// some.
    pub cut: bool,
}
