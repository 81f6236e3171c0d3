//! Committed offsets of one group.
//!
//! Most of a coordinator's memory: a topic's name is held once per group, a commit without metadata
//! takes 64 bytes. Ordered maps, so that answers and snapshots come in the same order in every run.

use std::{collections::BTreeMap, ops::Bound};
use wire::Uuid;

/// No expiry of its own.
const NEVER: i64 = -1;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) offset: i64,
    /// -1 if not known.
    pub(super) leader_epoch: i32,
    /// Wall clock ms.
    pub(super) commit_ms: i64,
    expire_ms: i64,
    /// All zeros if not known.
    pub(super) topic_id: Uuid,
    metadata: Option<Box<str>>,
}

impl Commit {
    pub(super) fn new(
        offset: i64,
        leader_epoch: i32,
        metadata: &str,
        commit_ms: i64,
        expire_ms: Option<i64>,
        topic_id: Uuid,
    ) -> Self {
        Self {
            offset,
            leader_epoch: leader_epoch.max(-1),
            commit_ms,
            expire_ms: expire_ms.unwrap_or(NEVER),
            topic_id,
            metadata: (!metadata.is_empty()).then(|| metadata.into()),
        }
    }

    pub(super) fn metadata(&self) -> &str {
        self.metadata.as_deref().unwrap_or_default()
    }

    /// When it ends, if the client said so (OffsetCommit up to version 4).
    pub(super) fn expire_ms(&self) -> Option<i64> {
        (self.expire_ms != NEVER).then_some(self.expire_ms)
    }

    /// Whether the time is over. `base_ms` is when its retention began if the client did not set an
    /// end.
    pub(super) fn is_expired(&self, base_ms: i64, retention_ms: i64, now_ms: i64) -> bool {
        match self.expire_ms() {
            Some(end_ms) => now_ms >= end_ms,
            None => now_ms.saturating_sub(base_ms) >= retention_ms,
        }
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.metadata().len()
    }
}

/// Memory of an entry in a map, its share of the map's nodes included.
const ENTRY_BYTES: usize = 96;
const TOPIC_BYTES: usize = 128;

/// By partition.
pub(super) type TopicOffsets = BTreeMap<i32, Commit>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    topics: BTreeMap<Box<str>, TopicOffsets>,
    bytes: usize,
}

impl Offsets {
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that a commit takes more than there is, about.
    pub(super) fn need(&self, topic: &str, partition: i32, metadata: &str) -> usize {
        let Some(partitions) = self.topics.get(topic) else {
            return TOPIC_BYTES + ENTRY_BYTES + topic.len() + metadata.len();
        };
        let before = partitions.get(&partition).map_or(0, Commit::bytes);
        (ENTRY_BYTES + metadata.len()).saturating_sub(before)
    }

    #[cfg(test)]
    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<&Commit> {
        self.topics.get(topic)?.get(&partition)
    }

    pub(super) fn topic(&self, topic: &str) -> Option<&TopicOffsets> {
        self.topics.get(topic)
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = (&str, &TopicOffsets)> {
        self.topics.iter().map(|(topic, partitions)| (&**topic, partitions))
    }

    /// By name.
    pub(super) fn topics_from(
        &self,
        from: Bound<&str>,
    ) -> impl Iterator<Item = (&str, &TopicOffsets)> {
        let topics = self.topics.range::<str, _>((from, Bound::Unbounded));
        topics.map(|(topic, partitions)| (&**topic, partitions))
    }

    pub(super) fn put(&mut self, topic: &str, partition: i32, commit: Commit) {
        self.bytes += commit.bytes();
        // Not `entry`: it would need the topic's name as its own at every commit.
        let partitions = match self.topics.get_mut(topic) {
            Some(partitions) => partitions,
            None => {
                self.bytes += TOPIC_BYTES + topic.len();
                self.topics.entry(topic.into()).or_default()
            }
        };
        if let Some(old) = partitions.insert(partition, commit) {
            self.bytes -= old.bytes();
        }
    }

    pub(super) fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return false;
        };
        let Some(old) = partitions.remove(&partition) else {
            return false;
        };
        self.bytes -= old.bytes();
        if partitions.is_empty() {
            self.topics.remove(topic);
            self.bytes -= TOPIC_BYTES + topic.len();
        }
        true
    }

    /// All commits behind (topic, partition), or from the first.
    pub(super) fn after(
        &self,
        behind: Option<&(Box<str>, i32)>,
    ) -> impl Iterator<Item = (&str, i32, &Commit)> {
        use Bound::{Excluded, Included, Unbounded};
        let topic = behind.map(|(topic, _)| topic.clone());
        let from = topic.clone().map_or(Unbounded, Included);
        let partition = behind.map(|(_, partition)| *partition);
        self.topics.range::<Box<str>, _>((from, Unbounded)).flat_map(move |(name, partitions)| {
            let from = match partition {
                Some(partition) if topic.as_ref() == Some(name) => Excluded(partition),
                _ => Unbounded,
            };
            partitions
                .range((from, Unbounded))
                .map(move |(partition, commit)| (&**name, *partition, commit))
        })
    }

    pub(super) fn check(&self) {
        let bytes: usize = self
            .topics
            .iter()
            .map(|(topic, of)| {
                TOPIC_BYTES + topic.len() + of.values().map(Commit::bytes).sum::<usize>()
            })
            .sum();
        assert_eq!(self.bytes, bytes, "bytes of offsets");
        assert!(
            self.topics.values().all(|partitions| !partitions.is_empty()),
            "a topic without offsets"
        );
    }
}
