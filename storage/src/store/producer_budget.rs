//! One bound for the producers of all logs of a core (`Options::producer_ids_max`).
//!
//! A log alone may have as many; above the bound, the log with the most forgets the one of its
//! producers that appended longest ago. So a client that takes id after id on one log costs the
//! producers of other logs nothing, and what is forgotten is what Kafka forgets first: a producer
//! that comes back is then taken at any sequence, as after `producer.id.expiration.ms`.
//!
//! Counts change with a producer's first batch in a log, and when it is forgotten: batches in
//! between pay nothing here. Not counted: what a log's files know of producers
//! ([`crate::disk_log::DiskLog`]); it follows, see `Store::follow_producers`.
use crate::{ids::LogSlot, log::Dir, producer_state::ProducerStates, store::Store};
use std::collections::BTreeSet;

/// Producers that a log's files may know beside twice those in memory.
const PRODUCERS_BEYOND: usize = 256;

/// How many producers each log of the core has.
#[derive(Debug)]
pub(crate) struct ProducerBudget {
    max: usize,
    total: usize,
    /// Logs that have any, by how many.
    by_count: BTreeSet<(usize, LogSlot)>,
    /// Producers forgotten for the bound, ever.
    pub(crate) evicted: u64,
}

impl ProducerBudget {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, total: 0, by_count: BTreeSet::new(), evicted: 0 }
    }

    /// Producers of all logs.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// A log had `before` producers and has `now`.
    pub(crate) fn change(&mut self, slot: LogSlot, before: usize, now: usize) {
        if before == now {
            return;
        }
        if before > 0 {
            let known = self.by_count.remove(&(before, slot));
            assert!(known, "{slot:?} was not counted with {before} producers");
        }
        if now > 0 {
            self.by_count.insert((now, slot));
        }
        self.total = self.total - before + now;
    }

    /// The log that is to forget a producer: none while the bound holds. `grown` has a new one,
    /// which is not to be that.
    pub(crate) fn victim(&self, grown: Option<LogSlot>) -> Option<LogSlot> {
        if self.total <= self.max {
            return None;
        }
        let mut largest = self.by_count.iter().rev();
        let (count, slot) = *largest.next()?;
        if count == 1 && Some(slot) == grown {
            return largest.next().map(|(_, slot)| *slot);
        }
        Some(slot)
    }
}

impl Store {
    /// Changes a log's producers and keeps the core's count right.
    pub(crate) fn change_producers(
        &mut self,
        slot: LogSlot,
        change: impl FnOnce(&mut ProducerStates),
    ) {
        let log = self.log_mut(slot);
        let before = log.producers.len();
        change(&mut log.producers);
        let now = log.producers.len();
        self.producer_budget.change(slot, before, now);
    }

    /// The last append was its producer's first in this log, which had so many producers and had
    /// forgotten so many before.
    #[cold]
    pub(crate) fn on_new_producer(&mut self, slot: LogSlot, (before, evicted): (usize, u64)) {
        let producers = &self.log(slot).producers;
        let (now, gone) = (producers.len(), producers.evicted() - evicted);
        self.producer_budget.change(slot, before, now);
        self.producer_budget.evicted += gone;
        self.keep_producer_budget(Some(slot));
    }

    /// Forgets producers until the core's bound holds; `grown` is the log that has a new one.
    pub(crate) fn keep_producer_budget(&mut self, grown: Option<LogSlot>) {
        while let Some(victim) = self.producer_budget.victim(grown) {
            self.change_producers(victim, |producers| {
                producers.evict_oldest();
            });
            self.producer_budget.evicted += 1;
        }
    }

    /// What a log's files know of producers follows what is known in memory, as soon as it is twice
    /// as much: those that expired or had to go stay there until then.
    pub(crate) fn follow_producers(&mut self, slot: LogSlot) {
        let Some(log) = self.any_log(slot) else {
            return;
        };
        if let Dir::Open(disk) = &log.dir {
            let producers = &log.producers;
            let kept_max = 2 * producers.len() + PRODUCERS_BEYOND;
            disk.forget_producers(kept_max, |id| producers.contains(id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_with_the_most_pays() {
        let mut budget = ProducerBudget::new(6);
        let [a, b, c] = [LogSlot(0), LogSlot(1), LogSlot(2)];
        budget.change(a, 0, 4);
        budget.change(b, 0, 2);
        assert_eq!((budget.total(), budget.victim(Some(b))), (6, None));
        budget.change(c, 0, 1);
        assert_eq!(budget.victim(Some(c)), Some(a));
        budget.change(a, 4, 3);
        assert_eq!(budget.victim(Some(c)), None);
        budget.change(a, 3, 0);
        budget.change(b, 2, 0);
        assert_eq!(budget.total(), 1);
    }

    #[test]
    fn a_log_with_one_producer_keeps_the_new_one() {
        let mut budget = ProducerBudget::new(2);
        for slot in 0..3 {
            budget.change(LogSlot(slot), 0, 1);
        }
        assert_eq!(budget.victim(Some(LogSlot(2))), Some(LogSlot(1)));
        assert_eq!(budget.victim(Some(LogSlot(0))), Some(LogSlot(2)));
        // Nobody else has any.
        let mut alone = ProducerBudget::new(0);
        alone.change(LogSlot(7), 0, 1);
        assert_eq!(alone.victim(Some(LogSlot(7))), None);
    }
}
