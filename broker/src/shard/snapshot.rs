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

    pub(crate) fn on_snapshot(&self, to: oneshot::Sender<Box<Snapshot>>) {
        let snapshot = Snapshot {
            core: self.me.0,
            connections: self.sessions.len(),
            partitions: self.partitions.len(),
            groups: self.coordinators.groups(),
            group_memory_bytes: self.coordinators.memory_bytes(),
            fetch_sessions: self.fetch_sessions.len(),
            fetch_session_partitions: self.fetch_sessions.partitions(),
            waiting_produces: self.produces.len(),
            waiting_fetches: self.fetches.len(),
            request_memory_bytes: self.memory.used(),
            acked_not_durable_ms: self.acked_not_durable_ms(),
            image_offset: self.image_through,
            stats: self.stats.clone(),
            store: self.store.stats(),
            io: self.io.stats(),
        };
        // Nobody waits any more: fine.
        drop(to.send(Box::new(snapshot)));
    }

    /// How long ago the oldest record was acked that a power cut now would take back.
    fn acked_not_durable_ms(&self) -> u64 {
        let weak = self.partitions.iter().filter(|p| !p.acked.is_empty());
        let oldest = weak
            .filter_map(|p| p.acked.oldest(self.store.offsets(p.slot).durable.0))
            .min();
        oldest.map_or(0, |at| self.now.since(at) / 1_000_000)
    }
}
