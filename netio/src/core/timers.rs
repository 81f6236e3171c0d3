//! Timers of one core: one-shot, cancellable, in order of time and then of creation.
use crate::{
    clock::Instant,
    core::net::{ConnId, ListenerId},
};
use slab::Slab;
use std::{collections::BTreeMap, task::Waker};

/// What a timer does when it is due.
#[derive(Debug)]
pub(crate) enum Due {
    /// `Event::Timer` with this token.
    Program(u64),
    Task(Waker),
    /// A closing connection did not get rid of its output.
    FlushOver(ConnId),
    /// A closed connection's peer did not close its side.
    LingerOver(ConnId),
    /// Look for connections that rest with a large buffer.
    SweepLarge,
    /// Accepting failed (no descriptors left); try again.
    Accept(ListenerId),
}

#[derive(Default, Debug)]
pub(crate) struct Timers {
    entries: Slab<(u64, Instant)>,
    order: BTreeMap<(Instant, u64), (usize, Due)>,
    sequence: u64,
}

impl Timers {
    /// Returns an id that is never used again.
    pub(crate) fn insert(&mut self, at: Instant, due: Due) -> u64 {
        self.sequence += 1;
        let index = self.entries.insert((self.sequence, at));
        self.order.insert((at, self.sequence), (index, due));
        // 2^32 timers alive at once, and a timer's number wraps only after 2^32 timers in the same
        // slot.
        (self.sequence << 32) | index as u64
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<Due> {
        let index = (id & u64::from(u32::MAX)) as usize;
        let &(sequence, at) = self
            .entries
            .get(index)
            .filter(|(sequence, _)| sequence << 32 == id & !u64::from(u32::MAX))?;
        self.entries.remove(index);
        self.order.remove(&(at, sequence)).map(|(_, due)| due)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first_key_value().map(|(&(at, _), _)| at)
    }

    /// Takes the first timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Due> {
        if self.next()? > now {
            return None;
        }
        let (_, (index, due)) = self.order.pop_first()?;
        self.entries.remove(index);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(timers: &mut Timers, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| timers.pop(Instant(now)))
            .map(|due| match due {
                Due::Program(token) => token,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn in_order_of_time_and_creation_not_before_and_once() {
        let mut timers = Timers::default();
        for (at, token) in [(30, 3), (10, 1), (20, 2), (10, 11)] {
            timers.insert(Instant(at), Due::Program(token));
        }
        assert_eq!(timers.next(), Some(Instant(10)));
        assert_eq!(due(&mut timers, 9), []);
        assert_eq!(due(&mut timers, 20), [1, 11, 2]);
        assert_eq!(due(&mut timers, 100), [3]);
        assert_eq!((timers.next(), timers.entries.len()), (None, 0));
    }

    #[test]
    fn a_cancelled_timer_is_gone_and_its_id_never_hits_another() {
        let mut timers = Timers::default();
        let a = timers.insert(Instant(1), Due::Program(1));
        assert!(timers.remove(a).is_some());
        let b = timers.insert(Instant(1), Due::Program(2));
        assert!(timers.remove(a).is_none());
        assert_eq!(due(&mut timers, 1), [2]);
        assert!(timers.remove(b).is_none());
    }
}
