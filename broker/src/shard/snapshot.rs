//! The numbers of a core at one moment.
use super::Shard;
use crate::{core::stats::Stats, group::numbers::ByState, partition::traffic::Totals};
use tokio::sync::oneshot;

/// The numbers of a core at one moment, for the control thread.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub core: u16,
    pub connections: usize,
    pub partitions: usize,
    /// Those that take no records until another start.
    pub failed_partitions: usize,
    /// By state.
    pub groups: ByState,
    pub group_memory_bytes: usize,
    pub fetch_sessions: usize,
    pub fetch_session_partitions: usize,
    pub waiting_produces: usize,
    pub waiting_fetches: usize,
    pub request_memory_bytes: usize,
    /// Of answers that are written and have not left.
    pub answer_memory_bytes: usize,
    pub image_offset: i64,
    /// What topics without counters of their own have together.
    pub shared_topics: Totals,
    /// How many those are.
    pub sharing_topics: usize,
    pub stats: Stats,
    pub store: storage::store::Stats,
    pub io: netio::stats::Stats,
}

impl Shard {
    /// Its totals, for who drives it by hand.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    pub(crate) fn on_snapshot(&mut self, to: oneshot::Sender<Box<Snapshot>>) {
        // For the next one: a core at rest looks at nothing.
        self.store.look_at_space();
        let (shared_topics, sharing_topics) = self.traffic.shared();
        let snapshot = Snapshot {
            core: self.me.0,
            connections: self.sessions.len(),
            partitions: self.partitions.len(),
            failed_partitions: self.partitions.iter().filter(|p| p.failed.is_some()).count(),
            groups: self.coordinators.groups(),
            group_memory_bytes: self.coordinators.memory_bytes(),
            fetch_sessions: self.fetch_sessions.len(),
            fetch_session_partitions: self.fetch_sessions.partitions(),
            waiting_produces: self.produces.len(),
            waiting_fetches: self.fetches.len(),
            request_memory_bytes: self.memory.used(),
            answer_memory_bytes: self.answers.memory_bytes(),
            image_offset: self.image_through,
            shared_topics,
            sharing_topics,
            stats: self.stats.clone(),
            store: self.store.stats(),
            io: self.io.stats(),
        };
        // Nobody waits any more: fine.
        drop(to.send(Box::new(snapshot)));
    }
}
