//! Since when a partition has had acked records that are not on the device: those of classes
//! `written` and `memory`.
use netio::Instant;
use std::collections::VecDeque;

/// Acks closer to each other than this share an entry.
const GRAIN_NS: u64 = 10_000_000;
/// Most entries; then the last one takes what is new.
const ENTRIES_MAX: usize = 256;

/// Offsets below which records were acked and may not be durable, and when the first of them was;
/// oldest first.
#[derive(Debug, Default)]
pub struct Acked(VecDeque<(i64, Instant)>);

impl Acked {
    /// The high watermark has reached `end`, while `durable` is below it.
    pub fn on_acked(&mut self, end: i64, durable: i64, now: Instant) {
        self.settle(durable);
        let full = self.0.len() >= ENTRIES_MAX;
        match self.0.back_mut() {
            Some((last, at)) if full || now.since(*at) < GRAIN_NS => *last = end.max(*last),
            _ => self.0.push_back((end, now)),
        }
    }

    /// All below `durable` is on the device.
    pub fn settle(&mut self, durable: i64) {
        while self.0.pop_front_if(|e| e.0 <= durable).is_some() {}
    }

    /// Nothing was acked that is not durable, as far as is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the oldest record that is acked and not below `durable` was acked, at the earliest.
    pub fn oldest(&self, durable: i64) -> Option<Instant> {
        self.0.iter().find(|e| e.0 > durable).map(|e| e.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_is_not_durable() {
        let at = |ms| Instant(0).after_ms(ms);
        let mut acked = Acked::default();
        assert_eq!(acked.oldest(0), None);
        acked.on_acked(5, 0, at(100));
        acked.on_acked(7, 0, at(105));
        acked.on_acked(9, 0, at(120));
        assert_eq!(acked.oldest(0), Some(at(100)));
        assert_eq!(acked.oldest(6), Some(at(100)), "close ones share an entry");
        assert_eq!(acked.oldest(7), Some(at(120)));
        assert_eq!(acked.oldest(9), None);
        acked.settle(7);
        assert!(!acked.is_empty());
        acked.settle(9);
        assert!(acked.is_empty());
    }

    #[test]
    fn a_disk_that_hangs_does_not_make_it_grow() {
        let mut acked = Acked::default();
        for n in 0..10_000 {
            acked.on_acked(n + 1, 0, Instant(0).after_ms(20 * n as u64));
        }
        assert_eq!(acked.0.len(), ENTRIES_MAX);
        assert_eq!(acked.oldest(0), Some(Instant(0)));
        acked.settle(10_000);
        assert!(acked.is_empty());
    }
}
