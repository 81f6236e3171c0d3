//! Deadlines of a coordinator, in order.
//!
//! A heartbeat moves its member's deadline further away some hundred thousand times a second, so a
//! later deadline does not touch the order: the timer stays where it is, and when its time comes it
//! is put where it belongs. The next deadline may therefore be too early, never too late.

use super::FixedHashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What happens at a deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// A member, or one about to become one, has not been heard of for its session timeout.
    Session { group: Arc<str>, member: Arc<str> },
    /// The group has waited long enough for members to join.
    Join { group: Arc<str> },
    /// The group has waited long enough for members to sync.
    Sync { group: Arc<str> },
    /// Time to look for expired offsets.
    Expiry,
}

#[derive(Debug, Clone, Copy)]
struct Armed {
    /// Where the timer is in the order; at most `deadline`.
    at: u64,
    deadline: u64,
}

/// Timers by deadline (monotonic, ms). At most one of each.
#[derive(Debug, Default)]
pub(super) struct Timers {
    armed: FixedHashMap<Timer, Armed>,
    order: BTreeSet<(u64, Timer)>,
}

impl Timers {
    /// Sets `timer` to go off at `deadline`, whatever it was set to before.
    pub(super) fn schedule(&mut self, timer: Timer, deadline: u64) {
        if let Some(armed) = self.armed.get_mut(&timer) {
            if armed.at <= deadline {
                armed.deadline = deadline;
                return;
            }
            self.order.remove(&(armed.at, timer.clone()));
        }
        self.order.insert((deadline, timer.clone()));
        self.armed.insert(timer, Armed { at: deadline, deadline });
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, armed)) = self.armed.remove_entry(timer) {
            self.order.remove(&(armed.at, timer));
        }
    }

    /// Takes a timer that is due.
    pub(super) fn pop_due(&mut self, now: u64) -> Option<Timer> {
        while self.order.first().is_some_and(|(at, _)| *at <= now) {
            let (_, timer) = self.order.pop_first()?;
            let armed = self.armed.get_mut(&timer)?;
            if armed.deadline > now {
                armed.at = armed.deadline;
                self.order.insert((armed.at, timer));
                continue;
            }
            self.armed.remove(&timer);
            return Some(timer);
        }
        None
    }

    /// No timer goes off before.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }

    #[cfg(test)]
    pub(super) fn deadline(&self, timer: &Timer) -> Option<u64> {
        self.armed.get(timer).map(|armed| armed.deadline)
    }

    /// Timers set.
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.armed.len(), self.order.len(), "timers lost from the order");
        self.armed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(group: &str) -> Timer {
        Timer::Join { group: group.into() }
    }

    #[test]
    fn deadlines_move_both_ways() {
        let mut timers = Timers::default();
        timers.schedule(join("a"), 10);
        timers.schedule(join("b"), 20);
        timers.schedule(join("a"), 30);
        assert_eq!(timers.next_deadline(), Some(10), "lazy: never too late");
        assert_eq!(timers.pop_due(20), Some(join("b")));
        assert_eq!(timers.pop_due(20), None);
        assert_eq!(timers.next_deadline(), Some(30));
        timers.schedule(join("a"), 25);
        assert_eq!(timers.deadline(&join("a")), Some(25));
        timers.schedule(Timer::Expiry, 26);
        timers.cancel(&join("a"));
        timers.cancel(&join("a"));
        assert_eq!(timers.pop_due(u64::MAX), Some(Timer::Expiry));
        assert_eq!((timers.pop_due(u64::MAX), timers.len()), (None, 0));
    }
}
