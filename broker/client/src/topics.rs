//! What Metadata says, by topic and partition.

use record::{LeaderEpoch, NodeId, Partition, TopicId};
use wire::metadata::{MetadataResponseBroker, MetadataResponseTopic};

/// An endpoint that clients connect to: a broker, or one core of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    /// `host:port`; IPv6 addresses are in brackets.
    pub address: String,
}

impl Node {
    pub(crate) fn of(broker: &MetadataResponseBroker<'_>) -> Self {
        let (host, port) = (&broker.host, broker.port);
        Self {
            id: NodeId(broker.node_id),
            address: if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            },
        }
    }
}

/// A topic, with its partitions in rising order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: String,
    /// [`TopicId::ZERO`] from brokers older than topic ids.
    pub id: TopicId,
    pub internal: bool,
    pub partitions: Vec<PartitionInfo>,
}

/// One partition as Metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    pub index: Partition,
    /// [`NodeId::NONE`] while there is none.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<NodeId>,
    pub in_sync: Vec<NodeId>,
}

impl TopicInfo {
    pub(crate) fn of(topic: &MetadataResponseTopic<'_>) -> Self {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect();
        let mut partitions: Vec<_> = topic
            .partitions
            .iter()
            .map(|p| PartitionInfo {
                index: Partition(p.partition_index),
                leader: NodeId(p.leader_id),
                leader_epoch: LeaderEpoch(p.leader_epoch),
                replicas: nodes(&p.replica_nodes),
                in_sync: nodes(&p.isr_nodes),
            })
            .collect();
        partitions.sort_by_key(|p| p.index);
        Self {
            name: topic.name.as_deref().unwrap_or_default().to_owned(),
            id: topic.topic_id,
            internal: topic.is_internal,
            partitions,
        }
    }

    /// True once every one of `count` partitions has a leader.
    #[must_use]
    pub fn is_ready(&self, count: usize) -> bool {
        self.partitions.len() >= count && self.partitions.iter().all(|p| p.leader != NodeId::NONE)
    }

    /// The partition of this index.
    #[must_use]
    pub fn partition(&self, index: Partition) -> Option<&PartitionInfo> {
        self.partitions.iter().find(|p| p.index == index)
    }
}
