//! The numbers of a core at one moment.
use super::{Shard, stats::Snapshot};
use tokio::sync::oneshot;

impl Shard {
    pub(crate) fn on_snapshot(&self, to: oneshot::Sender<Box<Snapshot>>) {
        let snapshot = Snapshot {
            core: self.me.0,
            connections: self.sessions.len(),
            partitions: self.partitions.len(),
            groups: self.coordinators.groups(),
            fetch_sessions: self.fetch_sessions.len(),
            fetch_session_partitions: self.fetch_sessions.partitions(),
            waiting_produces: self.produces.len(),
            waiting_fetches: self.fetches.len(),
            request_memory_bytes: self.memory.used(),
            image_offset: self.image_through,
            stats: self.stats.clone(),
            store: self.store.stats(),
            io: self.io.stats(),
        };
        // Nobody waits any more: fine.
        drop(to.send(Box::new(snapshot)));
    }
}
