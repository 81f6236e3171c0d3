//! The numbers of a core at one moment.
use super::{
    Shard,
    stats::{Snapshot, Stats},
};
use tokio::sync::oneshot;

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
