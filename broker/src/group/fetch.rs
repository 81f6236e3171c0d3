//! OffsetFetch: what a group has committed.
//!
//! Every answer waits until all that was appended before is committed, so what `require_stable`
//! asks for (KIP-447) holds always: there are no transactional commits here yet.

use super::Response;
use super::offsets::{Commit, TopicOffsets};
use super::request::{no_offset, owned};
use super::state::Coordinator;
use wire::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use wire::{ErrorCode, Uuid};

pub(super) fn process(
    coordinator: &Coordinator,
    request: &OffsetFetchRequestGroup<'_>,
) -> Response {
    let offsets = coordinator
        .groups
        .get(&*request.group_id)
        .map(|group| &group.offsets);
    let topics = match &request.topics {
        // All that there is. The broker fills in the ids.
        None => offsets
            .into_iter()
            .flat_map(|offsets| offsets.topics())
            .map(|(name, partitions)| OffsetFetchResponseTopics {
                name: owned(name),
                topic_id: Uuid::default(),
                partitions: partitions
                    .iter()
                    .map(|(partition, commit)| answer(*partition, commit))
                    .collect(),
            })
            .collect(),
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let committed = offsets.and_then(|offsets| offsets.topic(&topic.name));
                OffsetFetchResponseTopics {
                    name: owned(&topic.name),
                    topic_id: topic.topic_id,
                    partitions: topic
                        .partition_indexes
                        .iter()
                        .map(|partition| look_up(committed, topic.topic_id, *partition))
                        .collect(),
                }
            })
            .collect(),
    };
    Response::OffsetFetch(OffsetFetchResponseGroup {
        group_id: owned(&request.group_id),
        topics,
        error_code: ErrorCode::None.into(),
    })
}

fn look_up(
    committed: Option<&TopicOffsets>,
    topic_id: Uuid,
    partition: i32,
) -> OffsetFetchResponsePartitions<'static> {
    let commit = committed.and_then(|partitions| partitions.get(&partition));
    // A topic of the same name that was deleted and made again has another id: its offsets are none.
    let unknown = Uuid::default();
    let is_other = |commit: &&Commit| {
        commit.topic_id != unknown && topic_id != unknown && commit.topic_id != topic_id
    };
    match commit.filter(|commit| !is_other(commit)) {
        Some(commit) => answer(partition, commit),
        None => no_offset(partition, ErrorCode::None),
    }
}

fn answer(partition: i32, commit: &Commit) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: commit.offset,
        committed_leader_epoch: commit.leader_epoch,
        metadata: Some(owned(commit.metadata())),
        error_code: ErrorCode::None.into(),
    }
}
