//! OffsetDelete: an administrator removes offsets of topics that the group no longer reads (KIP-496).

use super::classic::GroupState::Empty;
use super::request::owned;
use super::state::Coordinator;
use super::{Outcome, Response, records};
use crate::coordinator::Now;
use wire::ErrorCode;
use wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &OffsetDeleteRequest<'_>,
    now: Now,
    out: &mut Outcome,
) -> Response {
    let deleted = coordinator
        .check_group_id(&request.group_id)
        .and_then(|()| {
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
                        topics.push(OffsetDeleteResponseTopic {
                            name: owned(&topic.name),
                            partitions,
                        });
                    }
                    Ok(topics)
                })
                .unwrap_or(Err(ErrorCode::GroupIdNotFound))
        });
    Response::OffsetDelete(match deleted {
        Ok(topics) => OffsetDeleteResponse {
            topics,
            ..Default::default()
        },
        Err(error) => OffsetDeleteResponse {
            error_code: error.into(),
            ..Default::default()
        },
    })
}
