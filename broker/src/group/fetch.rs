//! OffsetFetch: what a group has committed.
//!
//! Every answer waits until all that was appended before is committed, so what `require_stable`
//! asks for (KIP-447) holds always: there are no transactional commits here yet.

use super::Response;
use super::offsets::Commit;
use super::request::no_offset;
use super::state::Coordinator;
use std::borrow::Cow;
use std::ops::Bound;
use wire::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use wire::{ErrorCode, IntoOwned, Uuid};

impl Coordinator {
    /// What a group committed for a partition, or that it has nothing.
    pub fn committed(
        &self,
        group: &str,
        (topic, topic_id): (&str, Uuid),
        partition: i32,
    ) -> OffsetFetchResponsePartitions<'_> {
        let group = self.groups.get(group);
        let partitions = group.and_then(|group| group.offsets.topic(topic));
        let commit = partitions.and_then(|partitions| partitions.get(&partition));
        // A topic of the same name that was deleted and made again has another id: its offsets are
        // none.
        let unknown = Uuid::default();
        let is_other = |commit: &&Commit| {
            commit.topic_id != unknown && topic_id != unknown && commit.topic_id != topic_id
        };
        match commit.filter(|commit| !is_other(commit)) {
            Some(commit) => answer(partition, commit),
            None => no_offset(partition, ErrorCode::None),
        }
    }

    /// Topics that a group committed for, by name, with the number of partitions: those behind one,
    /// or all.
    pub fn committed_topics(
        &self,
        group: &str,
        behind: Option<&str>,
    ) -> impl Iterator<Item = (&str, usize)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let group = self.groups.get(group);
        let topics = group.map(|group| group.offsets.topics_from(from));
        topics.into_iter().flatten().map(|(name, partitions)| (name, partitions.len()))
    }

    /// What a group committed for a topic, by partition: those behind one, or all.
    pub fn committed_partitions(
        &self,
        group: &str,
        topic: &str,
        behind: Option<i32>,
    ) -> impl Iterator<Item = OffsetFetchResponsePartitions<'_>> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let group = self.groups.get(group);
        let partitions = group.and_then(|group| group.offsets.topic(topic));
        let commits = partitions.map(|partitions| partitions.range((from, Bound::Unbounded)));
        commits.into_iter().flatten().map(|(partition, commit)| answer(*partition, commit))
    }
}

pub(super) fn process(
    coordinator: &Coordinator,
    request: &OffsetFetchRequestGroup<'_>,
) -> Response {
    let group = &*request.group_id;
    let topics = match &request.topics {
        // All that there is. The broker fills in the ids.
        None => coordinator
            .committed_topics(group, None)
            .map(|(name, _)| OffsetFetchResponseTopics {
                name: Cow::Borrowed(name),
                topic_id: Uuid::default(),
                partitions: coordinator.committed_partitions(group, name, None).collect(),
            })
            .collect(),
        Some(topics) => topics
            .iter()
            .map(|topic| {
                let named = (&*topic.name, topic.topic_id);
                let partitions = topic.partition_indexes.iter();
                OffsetFetchResponseTopics {
                    name: Cow::Borrowed(&*topic.name),
                    topic_id: topic.topic_id,
                    partitions: partitions
                        .map(|partition| coordinator.committed(group, named, *partition))
                        .collect(),
                }
            })
            .collect(),
    };
    let answer = OffsetFetchResponseGroup {
        group_id: Cow::Borrowed(group),
        topics,
        error_code: ErrorCode::None.into(),
    };
    Response::OffsetFetch(answer.into_owned())
}

fn answer(partition: i32, commit: &Commit) -> OffsetFetchResponsePartitions<'_> {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: commit.offset,
        committed_leader_epoch: commit.leader_epoch,
        metadata: Some(Cow::Borrowed(commit.metadata())),
        error_code: ErrorCode::None.into(),
    }
}
