//! The partitions that this core leads.
pub mod acked;
pub mod leader;
pub mod traffic;
pub mod waiters;

use hashbrown::HashMap;
pub use leader::Leader;
use record::TopicId;
use storage::LogSlot;

/// All leaders of a core, by log slot and by identity.
#[derive(Debug, Default)]
pub struct Partitions {
    by_slot: Vec<Option<Leader>>,
    by_id: HashMap<(TopicId, i32), LogSlot, foldhash::fast::FixedState>,
}

impl Partitions {
    pub fn insert(&mut self, leader: Leader) {
        let (slot, id) = (leader.slot, (leader.topic, leader.partition));
        let at = slot.0 as usize;
        if self.by_slot.len() <= at {
            self.by_slot.resize_with(at + 1, || None);
        }
        assert!(self.by_slot[at].is_none(), "{id:?} takes slot {at}, which is in use");
        self.by_slot[at] = Some(leader);
        self.by_id.insert(id, slot);
    }

    pub fn remove(&mut self, topic: TopicId, partition: i32) -> Option<Leader> {
        let slot = self.by_id.remove(&(topic, partition))?;
        self.by_slot[slot.0 as usize].take()
    }

    pub fn slot(&self, topic: TopicId, partition: i32) -> Option<LogSlot> {
        self.by_id.get(&(topic, partition)).copied()
    }

    pub fn get(&self, topic: TopicId, partition: i32) -> Option<&Leader> {
        self.at(self.slot(topic, partition)?)
    }

    pub fn at(&self, slot: LogSlot) -> Option<&Leader> {
        self.by_slot.get(slot.0 as usize)?.as_ref()
    }

    pub fn at_mut(&mut self, slot: LogSlot) -> Option<&mut Leader> {
        self.by_slot.get_mut(slot.0 as usize)?.as_mut()
    }

    /// In slot order.
    pub fn iter(&self) -> impl Iterator<Item = &Leader> {
        self.by_slot.iter().flatten()
    }

    /// From a slot on, in slot order.
    pub fn from(&self, slot: usize) -> impl Iterator<Item = &Leader> {
        let rest = self.by_slot.get(slot..).unwrap_or_default();
        rest.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Leader> {
        self.by_slot.iter_mut().flatten()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
