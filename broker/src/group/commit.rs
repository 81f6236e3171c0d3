//! OffsetCommit: by a member of the present generation, or by anyone while the group is empty.

use super::classic::GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
use super::offsets::Commit;
use super::request::{commit_error, owned};
use super::state::{Coordinator, Group};
use super::{Outcome, Response, records, versions};
use crate::coordinator::{Context, Now};
use std::collections::{BTreeMap, btree_map::Entry};
use wire::ErrorCode;
use wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};

/// No retention of its own.
const DEFAULT_RETENTION: i64 = -1;

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &OffsetCommitRequest<'_>,
    context: &Context<'_>,
    now: Now,
    out: &mut Outcome,
) -> Response {
    if let Err(error) = check(coordinator, request, context, now) {
        return Response::OffsetCommit(commit_error(request, error));
    }
    let topics = coordinator.turn(&request.group_id, now, out, |turn| {
        let classic = &turn.group.classic;
        if classic.is(Stable) || classic.is(PreparingRebalance) {
            // Whoever commits is alive.
            turn.renew_session(&request.member_id);
        }
        let end_ms = match request.retention_time_ms {
            DEFAULT_RETENTION => None,
            retention_ms => Some(now.wall_ms.saturating_add(retention_ms)),
        };
        let mut room = turn.room;
        let mut topics = Vec::with_capacity(request.topics.len());
        // Where in this request's records a partition's commit stands: one that is named again
        // takes its place, so records follow the partitions there are and not how often they are
        // named. (Kafka writes them all; the last one counts.)
        let mut written: BTreeMap<(&str, i32), usize> = BTreeMap::new();
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let metadata = partition.committed_metadata.as_deref().unwrap_or_default();
                let index = partition.partition_index;
                let need = turn.group.offsets.need(&topic.name, index, metadata);
                let error = if is_longer_than(metadata, turn.options.offset_metadata_max) {
                    ErrorCode::OffsetMetadataTooLarge
                } else if need > room {
                    *turn.refused += 1;
                    ErrorCode::InvalidCommitOffsetSize
                } else {
                    room -= need;
                    let commit = Commit::new(
                        partition.committed_offset,
                        partition.committed_leader_epoch,
                        metadata,
                        now.wall_ms,
                        end_ms,
                        topic.topic_id,
                    );
                    let record = records::offset(&turn.group.id, &topic.name, index, &commit);
                    match written.entry((&topic.name, index)) {
                        Entry::Occupied(at) => turn.out.records[*at.get()] = record,
                        Entry::Vacant(at) => {
                            at.insert(turn.out.records.len());
                            turn.out.records.push(record);
                        }
                    }
                    turn.group.offsets.put(&topic.name, index, commit);
                    ErrorCode::None
                };
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.into(),
                });
            }
            topics.push(OffsetCommitResponseTopic {
                name: owned(&topic.name),
                topic_id: topic.topic_id,
                partitions,
            });
        }
        topics
    });
    let topics = topics.unwrap_or_default();
    Response::OffsetCommit(OffsetCommitResponse { topics, ..Default::default() })
}

/// Whether the caller may commit; makes the group where it need not exist.
fn check(
    coordinator: &mut Coordinator,
    request: &OffsetCommitRequest<'_>,
    context: &Context<'_>,
    now: Now,
) -> Result<(), ErrorCode> {
    // Unlike for all else, the empty id is a group here (in Kafka too, for clients of old).
    if request.group_id.len() > coordinator.options.limits.group_id_bytes {
        return Err(ErrorCode::InvalidGroupId);
    }
    let Some(group) = coordinator.groups.get(&*request.group_id) else {
        if request.generation_id_or_member_epoch < 0 {
            return coordinator.create(&request.group_id, now);
        }
        return Err(if versions::commit_names_unknown_group(context.api_version) {
            ErrorCode::GroupIdNotFound
        } else {
            ErrorCode::IllegalGeneration
        });
    };
    check_member(group, request)
}

fn check_member(group: &Group, request: &OffsetCommitRequest<'_>) -> Result<(), ErrorCode> {
    let classic = &group.classic;
    let generation = request.generation_id_or_member_epoch;
    let instance_id = request.group_instance_id.as_deref();
    if generation < 0 && classic.is(Empty) {
        return Ok(());
    }
    if generation < 0 && request.member_id.is_empty() && instance_id.is_none() {
        return Err(ErrorCode::UnknownMemberId);
    }
    classic.check_member(&request.member_id, instance_id)?;
    if generation != classic.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    // It has joined the generation and has no assignment of it yet.
    if classic.is(CompletingRebalance) {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

/// In Java's characters.
fn is_longer_than(text: &str, max: usize) -> bool {
    text.len() > max && text.encode_utf16().count() > max
}
