//! Which connection carries which partitions.
//!
//! A connection leads to one node and carries partitions that this node leads, so that it works for
//! brokers that are one node and for brokers that are one node per core.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use client::{Node, TopicInfo};
use record::NodeId;

use crate::workload::frames::Stream;

/// One connection to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`.
    pub address: String,
    pub streams: Vec<Stream>,
}

/// `count` connections, dealt over the leaders; with fewer partitions than connections several
/// share one (`share`), or the surplus is not made. There are never fewer than leaders.
///
/// Streams are numbered from 0 through all connections.
///
/// # Errors
/// A partition without leader, or a leader without address.
pub fn connections(
    topic: &TopicInfo,
    nodes: &BTreeMap<NodeId, Node>,
    count: usize,
    share: bool,
) -> Result<Vec<Connection>> {
    let mut by_leader: BTreeMap<NodeId, Vec<i32>> = BTreeMap::new();
    for partition in &topic.partitions {
        by_leader.entry(partition.leader).or_default().push(partition.index.0);
    }
    ensure!(!by_leader.is_empty(), "topic {} has no partitions", topic.name);
    let leaders = by_leader.len();
    let count = count.max(leaders);
    let mut plan: Vec<Connection> = Vec::new();
    let mut next_stream = 0;
    for (n, (leader, partitions)) in by_leader.iter().enumerate() {
        let address = nodes
            .get(leader)
            .with_context(|| format!("node {leader} leads partitions but has no address"))?
            .address
            .clone();
        let mut own = count / leaders + usize::from(n < count % leaders);
        if !share {
            own = own.min(partitions.len());
        }
        for c in 0..own {
            let mine: Vec<i32> = if own <= partitions.len() {
                partitions.iter().skip(c).step_by(own).copied().collect()
            } else {
                vec![partitions[c % partitions.len()]]
            };
            let streams = mine.into_iter().map(|partition| {
                let id = next_stream;
                next_stream += 1;
                Stream { partition, id }
            });
            plan.push(Connection { address: address.clone(), streams: streams.collect() });
        }
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::PartitionInfo;
    use record::{LeaderEpoch, Partition, TopicId};

    fn plan(leaders: &[i32], count: usize, share: bool) -> Vec<(String, Vec<i32>)> {
        let topic = TopicInfo {
            name: "t".to_owned(),
            id: TopicId::ZERO,
            internal: false,
            partitions: (0..)
                .zip(leaders)
                .map(|(index, &leader)| PartitionInfo {
                    index: Partition(index),
                    leader: NodeId(leader),
                    leader_epoch: LeaderEpoch(0),
                    replicas: vec![],
                    in_sync: vec![],
                })
                .collect(),
        };
        let nodes = leaders
            .iter()
            .map(|&id| (NodeId(id), Node { id: NodeId(id), address: format!("h:{id}") }))
            .collect();
        let plan = connections(&topic, &nodes, count, share).unwrap();
        let ids: Vec<u32> = plan.iter().flat_map(|c| &c.streams).map(|s| s.id).collect();
        assert!(ids.iter().copied().eq(0..u32::try_from(ids.len()).unwrap()));
        plan.into_iter()
            .map(|c| (c.address, c.streams.iter().map(|s| s.partition).collect()))
            .collect()
    }

    #[test]
    fn partitions_go_to_connections_of_their_leader() {
        let h = |id: i32| format!("h:{id}");
        assert_eq!(plan(&[1, 1, 1, 1, 1], 2, true), [(h(1), vec![0, 2, 4]), (h(1), vec![1, 3])]);
        assert_eq!(
            plan(&[1, 2, 1, 2], 3, true),
            [(h(1), vec![0]), (h(1), vec![2]), (h(2), vec![1, 3])]
        );
        // Fewer connections than leaders: one each all the same.
        assert_eq!(plan(&[1, 2], 1, true), [(h(1), vec![0]), (h(2), vec![1])]);
        // More connections than partitions: shared, or not made.
        assert_eq!(plan(&[1], 3, true).len(), 3);
        assert_eq!(plan(&[1], 3, false), [(h(1), vec![0])]);
    }
}
