//! Does this core lead a partition, in this epoch? And where did other epochs end?
use super::Shard;
use record::{LeaderEpoch, Offset};
use storage::LogSlot;
use wire::ErrorCode;

/// `RecordBatch.NO_PARTITION_LEADER_EPOCH`: the caller does not say which epoch it means.
const UNKNOWN_EPOCH: i32 = -1;

impl Shard {
    /// The log of a partition that this core leads, and its epoch; the error that Kafka gives
    /// otherwise.
    pub(crate) fn led(
        &self,
        topic: &str,
        partition: i32,
        current_leader_epoch: i32,
    ) -> Result<(LogSlot, i32), ErrorCode> {
        let topic = self.image.topic(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let known = usize::try_from(partition).is_ok_and(|p| p < topic.partitions.len());
        if !known {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let leader =
            self.partitions.get(topic.id, partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
        match current_leader_epoch {
            UNKNOWN_EPOCH => Ok((leader.slot, leader.epoch)),
            epoch if epoch < leader.epoch => Err(ErrorCode::FencedLeaderEpoch),
            epoch if epoch > leader.epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok((leader.slot, leader.epoch)),
        }
    }

    /// Where the epoch `asked` ended, in a log whose leader's is `leader_epoch`; `None` for an
    /// epoch that has not begun.
    ///
    /// A log knows epochs by their records. The leader's own has begun all the same, at the end of
    /// the log (Kafka: `Partition.makeLeader`, which notes it before the first record), and with it
    /// all before it have ended there:
    ///
    /// 1. a consumer that starts at the end is told that the end is of epoch 5, in which nothing
    ///    was written;
    /// 2. the broker starts again, which makes epoch 6, and the consumer asks where its epoch 5
    ///    ended;
    /// 3. "unknown" would send it to wherever `auto.offset.reset` points: past new records, or back
    ///    to the first.
    pub(crate) fn end_of_epoch(
        &self,
        slot: LogSlot,
        leader_epoch: i32,
        asked: LeaderEpoch,
    ) -> Option<(LeaderEpoch, Offset)> {
        if let Some(known) = self.store.end_of_epoch(slot, asked) {
            return Some(known);
        }
        if !(0..=leader_epoch).contains(&asked.0) {
            return None;
        }
        let end = self.store.offsets(slot).log_end;
        let epoch = match self.store.epoch_at(slot, end) {
            Some(latest) if asked.0 < leader_epoch => latest,
            _ => asked,
        };
        Some((epoch, end))
    }
}
