//! Who waits for a partition's high watermark: produce requests for their ack, fetches for news.
use netio::{CoreId, Instant};
use std::collections::VecDeque;

/// A partition's part of a produce request that waits for its ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckWaiter {
    /// The ack may go when the high watermark is at least this.
    pub end_offset: i64,
    /// The produce operation.
    pub op: u64,
    /// The partition's place in it.
    pub index: u32,
    /// When it was appended.
    pub since: Instant,
}

/// In the order of their offsets, since appends are.
#[derive(Debug, Default)]
pub struct AckWaiters(VecDeque<AckWaiter>);

impl AckWaiters {
    pub fn push(&mut self, waiter: AckWaiter) {
        // A duplicate of an append that is not durable yet waits for an offset that may lie before
        // the last one: it keeps its place behind, which only delays it until the later offset is
        // durable.
        self.0.push_back(waiter);
    }

    /// The next waiter whose offset the high watermark has reached.
    pub fn pop_reached(&mut self, high_watermark: i64) -> Option<AckWaiter> {
        if self.0.front()?.end_offset <= high_watermark { self.0.pop_front() } else { None }
    }

    /// All of them, reached or not: the log has failed.
    pub fn drain(&mut self) -> impl Iterator<Item = AckWaiter> {
        self.0.drain(..)
    }

    pub fn contains(&self, op: u64, index: u32) -> bool {
        self.0.iter().any(|w| w.op == op && w.index == index)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A fetch that waits for news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watcher {
    /// A fetch of a connection of this core.
    Local(u64),
    /// A fetch of another core, by its id there.
    Remote { core: CoreId, id: u64 },
}

/// Watchers with the offset that the high watermark must pass.
#[derive(Debug, Default)]
pub struct Watchers(Vec<(i64, Watcher)>);

impl Watchers {
    pub fn push(&mut self, past: i64, watcher: Watcher) {
        self.0.push((past, watcher));
    }

    /// Takes those whose offset has been passed.
    pub fn take_passed(&mut self, high_watermark: i64) -> Vec<Watcher> {
        if self.0.iter().all(|w| w.0 >= high_watermark) {
            return Vec::new();
        }
        let mut passed = Vec::new();
        self.0.retain(|&(past, watcher)| {
            let keep = past >= high_watermark;
            if !keep {
                passed.push(watcher);
            }
            keep
        });
        passed
    }

    /// All of them: the partition is going away or has failed, each must look again.
    pub fn take_all(&mut self) -> Vec<Watcher> {
        std::mem::take(&mut self.0).into_iter().map(|w| w.1).collect()
    }

    pub fn remove(&mut self, watcher: Watcher) {
        self.0.retain(|w| w.1 != watcher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_go_when_the_watermark_reaches_them() {
        let mut acks = AckWaiters::default();
        acks.push(AckWaiter { end_offset: 5, op: 1, index: 0, since: Instant(0) });
        acks.push(AckWaiter { end_offset: 9, op: 2, index: 0, since: Instant(0) });
        assert_eq!(acks.pop_reached(4), None);
        assert_eq!(acks.pop_reached(8).map(|w| w.op), Some(1));
        assert_eq!(acks.pop_reached(8), None);
        assert_eq!(acks.pop_reached(9).map(|w| w.op), Some(2));
    }

    #[test]
    fn watchers_wake_once_when_their_offset_is_passed() {
        let mut watchers = Watchers::default();
        watchers.push(5, Watcher::Local(1));
        watchers.push(7, Watcher::Local(2));
        assert_eq!(watchers.take_passed(5), []);
        assert_eq!(watchers.take_passed(6), [Watcher::Local(1)]);
        assert_eq!(watchers.take_passed(6), []);
        assert_eq!(watchers.take_all(), [Watcher::Local(2)]);
    }
}
