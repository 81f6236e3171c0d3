//! What the control thread is told of topics, partitions and groups for `/metrics`, a portion a
//! message.
//!
//! They are many, and clients wait meanwhile. So a core keeps nothing between two portions: the
//! next message says where to go on, what comes and goes in between is seen or not, and a scraper
//! that loses interest stops asking.
use super::Shard;
use crate::{
    coordinator::Status,
    group::numbers::{Behind, GroupNumbers},
    partition::traffic::Totals,
};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A portion ends when it has taken as long as a few requests,
const PORTION_NS: u64 = 100_000;
/// or has this much.
const PORTION_ROWS: usize = 512;
/// The clock is read after as many partitions.
const PARTITIONS_PER_LOOK: usize = 16;

/// A partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    pub topic: Arc<str>,
    pub partition: i32,
    /// On disk and not yet flushed.
    pub log_bytes: u64,
    pub log_start: i64,
    pub log_end: i64,
    pub high_watermark: i64,
}

/// Some partitions that a core leads, in the order of their slots.
#[derive(Clone, Debug, Default)]
pub struct PartitionPortion {
    pub rows: Vec<PartitionRow>,
    /// Acknowledged and not on the device: how much, and for how long at most.
    pub acked_not_durable_bytes: u64,
    pub acked_not_durable_ns: u64,
    /// Where to go on.
    pub next: Option<usize>,
}

/// Some topics with counters of their own.
#[derive(Clone, Debug, Default)]
pub struct TopicPortion {
    pub rows: Vec<(Arc<str>, Totals)>,
    /// Where to go on.
    pub next: Option<usize>,
}

/// Where a look at the groups of a core stands. `Default` is the beginning.
#[derive(Clone, Debug, Default)]
pub struct GroupCursor {
    /// The partition of `__consumer_offsets` whose groups are looked at, and those to come.
    partition: i32,
    groups: Vec<Arc<str>>,
    behind: Behind,
}

/// Some groups that a core coordinates.
#[derive(Clone, Debug, Default)]
pub struct GroupPortion {
    pub rows: Vec<GroupNumbers>,
    /// Where to go on.
    pub next: Option<GroupCursor>,
}

impl Shard {
    pub(crate) fn on_partitions_asked(&self, from: usize, to: oneshot::Sender<PartitionPortion>) {
        let begun = self.io.read_clock();
        let mut portion = PartitionPortion::default();
        for (n, leader) in self.partitions.from(from).enumerate() {
            let late = n % PARTITIONS_PER_LOOK == PARTITIONS_PER_LOOK - 1
                && self.io.read_clock().since(begun) > PORTION_NS;
            if n == PORTION_ROWS || late {
                portion.next = Some(leader.slot.0 as usize);
                break;
            }
            let offsets = self.store.offsets(leader.slot);
            if offsets.high_watermark > offsets.durable {
                portion.acked_not_durable_bytes += self.store.acked_not_durable(leader.slot);
                if let Some(at) = leader.acked.oldest(offsets.durable.0) {
                    let ns = self.now.since(at);
                    portion.acked_not_durable_ns = portion.acked_not_durable_ns.max(ns);
                }
            }
            portion.rows.push(PartitionRow {
                topic: leader.name.clone(),
                partition: leader.partition,
                log_bytes: self.store.size_bytes(leader.slot),
                log_start: offsets.log_start.0,
                log_end: offsets.log_end.0,
                high_watermark: offsets.high_watermark.0,
            });
        }
        // Nobody waits any more: fine.
        drop(to.send(portion));
    }

    pub(crate) fn on_topics_asked(&self, from: usize, to: oneshot::Sender<TopicPortion>) {
        let mut portion = TopicPortion::default();
        for (at, name, totals) in self.traffic.own_from(from) {
            if portion.rows.len() == PORTION_ROWS {
                portion.next = Some(at);
                break;
            }
            portion.rows.push((name.clone(), totals));
        }
        drop(to.send(portion));
    }

    pub(crate) fn on_groups_asked(
        &self,
        mut cursor: GroupCursor,
        to: oneshot::Sender<GroupPortion>,
    ) {
        let begun = self.io.read_clock();
        let mut portion = GroupPortion::default();
        let mut left = PORTION_ROWS;
        while let Some((partition, runtime)) = self.coordinators.from(cursor.partition) {
            let serves = runtime.status() == Status::Active;
            if partition != cursor.partition || cursor.groups.is_empty() {
                cursor.partition = partition;
                cursor.behind = None;
                cursor.groups = if serves { runtime.state().group_ids() } else { Vec::new() };
            }
            while let Some(id) = cursor.groups.last() {
                if left == 0 || self.io.read_clock().since(begun) > PORTION_NS {
                    break;
                }
                let found = runtime.state().group_numbers(id, &mut cursor.behind, left);
                if let Some(found) = found {
                    left = left.saturating_sub(found.offsets.len().max(1));
                    portion.rows.push(found);
                }
                if cursor.behind.is_none() {
                    cursor.groups.pop();
                }
            }
            let done = cursor.groups.is_empty();
            if done {
                cursor.partition = partition + 1;
            }
            // A partition with groups ends the portion, since the next one's list is as long as
            // this one's may be.
            if !done || !portion.rows.is_empty() || self.io.read_clock().since(begun) > PORTION_NS {
                portion.next = Some(cursor);
                break;
            }
        }
        drop(to.send(portion));
    }
}
