//! Does this core lead a partition, in this epoch?
use super::Shard;
use storage::LogSlot;
use wire::ErrorCode;

impl Shard {
    /// The log of a partition that this core leads, and its epoch; the error that Kafka gives otherwise.
    pub(crate) fn led(
        &self,
        topic: &str,
        partition: i32,
        current_leader_epoch: i32,
    ) -> Result<(LogSlot, i32), ErrorCode> {
        let topic = self
            .image
            .topic(topic)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let known = usize::try_from(partition).is_ok_and(|p| p < topic.partitions.len());
        if !known {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let leader = self
            .partitions
            .get(topic.id, partition)
            .ok_or(ErrorCode::NotLeaderOrFollower)?;
        match current_leader_epoch {
            epoch if epoch >= 0 && epoch < leader.epoch => Err(ErrorCode::FencedLeaderEpoch),
            epoch if epoch > leader.epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok((leader.slot, leader.epoch)),
        }
    }
}
