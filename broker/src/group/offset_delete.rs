//! OffsetDelete: an administrator removes offsets of topics that the group no longer reads
//! (KIP-496). And what becomes of offsets when their topic is deleted.

use super::classic::GroupState::Empty;
use super::offsets::Commit;
use super::request::owned;
use super::state::Coordinator;
use super::{Outcome, Response, records};
use crate::coordinator::Now;
use wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};
use wire::{ErrorCode, Uuid};

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &OffsetDeleteRequest<'_>,
    now: Now,
    out: &mut Outcome,
) -> Response {
    let deleted = coordinator.check_group_id(&request.group_id).and_then(|()| {
        coordinator
            .turn(&request.group_id, now, out, |turn| {
                let group = &mut *turn.group;
                // Only of consumers is known what they read.
                if !group.classic.is(Empty) && !group.classic.uses_consumer_protocol() {
                    return Err(ErrorCode::NonEmptyGroup);
                }
                let mut topics = Vec::with_capacity(request.topics.len());
                for topic in &request.topics {
                    let is_read = group.classic.is_subscribed_to(&topic.name);
                    let mut partitions = Vec::with_capacity(topic.partitions.len());
                    for partition in &topic.partitions {
                        let index = partition.partition_index;
                        let error = if is_read {
                            ErrorCode::GroupSubscribedToTopic
                        } else {
                            ErrorCode::None
                        };
                        partitions.push(OffsetDeleteResponsePartition {
                            partition_index: index,
                            error_code: error.into(),
                        });
                        if !is_read && group.offsets.remove(&topic.name, index) {
                            turn.out.records.push(records::offset_tombstone(
                                &group.id,
                                &topic.name,
                                index,
                            ));
                        }
                    }
                    topics.push(OffsetDeleteResponseTopic { name: owned(&topic.name), partitions });
                }
                Ok(topics)
            })
            .unwrap_or(Err(ErrorCode::GroupIdNotFound))
    });
    Response::OffsetDelete(match deleted {
        Ok(topics) => OffsetDeleteResponse { topics, ..Default::default() },
        Err(error) => OffsetDeleteResponse { error_code: error.into(), ..Default::default() },
    })
}

/// Removes what all groups have committed for topics that are no more. A commit that does not know
/// its topic's id goes by the name; one for another topic of the same name, made since, stays.
pub(super) fn topics_deleted(
    coordinator: &mut Coordinator,
    topics: &[(&str, Uuid)],
    now: Now,
    out: &mut Outcome,
) {
    let mut ids: Vec<_> = coordinator.groups.keys().cloned().collect();
    ids.sort_unstable();
    for id in ids {
        coordinator.turn(&id, now, out, |turn| {
            for (name, topic_id) in topics {
                let Some(partitions) = turn.group.offsets.topic(name) else {
                    continue;
                };
                let gone = |commit: &Commit| {
                    commit.topic_id == *topic_id || commit.topic_id == Uuid::default()
                };
                let gone: Vec<i32> = partitions
                    .iter()
                    .filter(|(_, commit)| gone(commit))
                    .map(|(partition, _)| *partition)
                    .collect();
                for partition in gone {
                    turn.group.offsets.remove(name, partition);
                    turn.out.records.push(records::offset_tombstone(&id, name, partition));
                }
            }
        });
    }
}
