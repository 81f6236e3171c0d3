//! What `/metrics` tells of groups: how many are in which state, and a portion of the committed
//! offsets at a time.
use super::classic::GroupState;
use super::state::Coordinator;
use std::sync::Arc;

/// Groups by state, in the order of [`GroupState::ALL`].
pub type ByState = [usize; GroupState::ALL.len()];

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
}

/// A group, or what follows of one whose offsets are more than a portion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupNumbers {
    pub id: Arc<str>,
    pub members: usize,
    pub offsets: Vec<CommittedOffset>,
}

/// The last offset of a group that was told.
pub type Behind = Option<(Box<str>, i32)>;

impl Coordinator {
    /// All groups, in no order.
    pub fn group_ids(&self) -> Vec<Arc<str>> {
        self.groups.keys().cloned().collect()
    }

    /// A group and at most `max` of its offsets, those after `behind`, which is moved on; `None`
    /// there at the end of the group. `None` if the group has gone.
    pub fn group_numbers(&self, id: &str, behind: &mut Behind, max: usize) -> Option<GroupNumbers> {
        let group = self.groups.get(id)?;
        let mut offsets: Vec<CommittedOffset> = Vec::new();
        let after = behind.take();
        let mut commits = group.offsets.after(after.as_ref());
        for (topic, partition, commit) in commits.by_ref().take(max) {
            let topic = match offsets.last() {
                Some(last) if *last.topic == *topic => last.topic.clone(),
                _ => topic.into(),
            };
            offsets.push(CommittedOffset { topic, partition, offset: commit.offset });
        }
        *behind = match (commits.next(), offsets.last()) {
            (Some(_), Some(last)) => Some((Box::from(&*last.topic), last.partition)),
            _ => None,
        };
        Some(GroupNumbers { id: Arc::clone(&group.id), members: group.classic.len(), offsets })
    }
}
