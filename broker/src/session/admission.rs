//! Bounds of a core's connections: how many, from whom, and the memory of requests under way.
use hashbrown::HashMap;
use netio::Instant;
use std::net::IpAddr;

/// Memory of large frames being received, taken before they are received into it.
///
/// Up to half of it, a frame gets all that it announced at once. Above, it gets as much again as
/// has arrived: whoever announces a lot and sends little holds little. What announces and does not
/// go on is closed then, see [`Reserved::pace`].
///
/// ```text
/// 0                        1/2     5/8                 max
/// | all of a frame at once  | begin | go on             | one
/// ```
/// The last part is for frames that have begun: many of them at a time can show that they go on, or
/// do not.
#[derive(Debug)]
pub struct RequestMemory {
    max: usize,
    used: usize,
    /// One frame has more than there is: without it, frames that each have a part could wait for
    /// each other for ever.
    beyond: bool,
}

/// What an unfinished frame has of it.
#[derive(Debug, Default)]
pub struct Reserved {
    bytes: usize,
    beyond: bool,
    /// The frame's length.
    frame: usize,
    /// How much of it was there, and when.
    seen: (Instant, usize),
}

/// The first part of a frame that does not get all at once.
const PART_BYTES: usize = 64 << 10;
/// A frame's progress is looked at this often.
const PACE_NS: u64 = 1_000_000_000;

impl RequestMemory {
    pub fn new(max: usize) -> Self {
        Self { max, used: 0, beyond: false }
    }

    /// Gets `held` memory for more of a frame of `frame` bytes, of which `arrived` are there. False
    /// when there is none now. A frame larger than all memory is let in alone.
    pub fn take(
        &mut self,
        held: &mut Reserved,
        frame: usize,
        arrived: usize,
        now: Instant,
    ) -> bool {
        let part = frame.min(PART_BYTES.max(2 * arrived));
        let fits = |to: usize, max: usize| self.used + to.saturating_sub(held.bytes) <= max;
        let begun = held.bytes > 0;
        let parts_max = if begun { self.max } else { self.max / 8 * 5 };
        let to = if fits(frame, self.max / 2) {
            frame
        } else if fits(part, parts_max) {
            part
        } else if !self.beyond && (begun || self.used == 0) {
            (self.beyond, held.beyond) = (true, true);
            frame
        } else {
            return false;
        };
        self.used += to.saturating_sub(held.bytes);
        held.bytes = held.bytes.max(to);
        (held.frame, held.seen) = (frame, (now, arrived));
        true
    }

    pub fn give_back(&mut self, held: Reserved) {
        assert!(held.bytes <= self.used, "gave back {} of {} request bytes", held.bytes, self.used);
        self.used -= held.bytes;
        self.beyond &= !held.beyond;
    }

    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether what is left is shared out in parts.
    pub fn is_short(&self) -> bool {
        self.used > self.max / 2
    }
}

impl Reserved {
    /// How far the frame may be received now.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_none(&self) -> bool {
        self.bytes == 0
    }

    /// Whether the frame, of which `arrived` bytes are there now, goes on at the pace at which it
    /// would take `frame_ms` in all. Asked again and again; over less than a second it says yes.
    pub fn pace(&mut self, arrived: usize, now: Instant, frame_ms: u64) -> bool {
        let (at, before) = self.seen;
        let passed = now.since(at);
        if passed < PACE_NS {
            return true;
        }
        self.seen = (now, arrived);
        let due =
            self.frame as u128 * u128::from(passed) / (u128::from(frame_ms.max(1)) * 1_000_000);
        arrived.saturating_sub(before) as u128 >= due
    }
}

/// Connections by address.
#[derive(Debug, Default)]
pub struct PerAddress(HashMap<IpAddr, usize, foldhash::fast::FixedState>);

impl PerAddress {
    /// False when `max` connections of `host` are open.
    pub fn enter(&mut self, host: IpAddr, max: usize) -> bool {
        let n = self.0.entry(host).or_insert(0);
        if *n >= max {
            return false;
        }
        *n += 1;
        true
    }

    pub fn leave(&mut self, host: IpAddr) {
        match self.0.get_mut(&host) {
            Some(1) | None => {
                self.0.remove(&host);
            }
            Some(n) => *n -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Instant = Instant(0);

    /// A frame's memory, if it gets any.
    fn begin(memory: &mut RequestMemory, frame: usize) -> Option<Reserved> {
        let mut held = Reserved::default();
        memory.take(&mut held, frame, 4, T).then_some(held)
    }

    #[test]
    fn half_is_given_at_once_and_half_in_parts() {
        const KIB: usize = 1 << 10;
        let mut memory = RequestMemory::new(1024 * KIB);
        let first = begin(&mut memory, 500 * KIB).unwrap();
        assert_eq!((first.bytes(), memory.is_short()), (500 * KIB, false));
        let mut parts: Vec<Reserved> =
            std::iter::from_fn(|| begin(&mut memory, 500 * KIB)).collect();
        assert!(parts.iter().all(|p| p.bytes() == PART_BYTES));
        assert_eq!((parts.len(), memory.is_short()), (2, true));
        // What has arrived is doubled, while there is room for those who have begun.
        for arrived in [1, 2] {
            assert!(memory.take(&mut parts[0], 500 * KIB, arrived * PART_BYTES, T));
            assert_eq!(parts[0].bytes(), 2 * arrived * PART_BYTES);
        }
        assert!(begin(&mut memory, 100 * KIB).is_none());
        // Then one goes beyond, and no other.
        assert!(memory.take(&mut parts[0], 500 * KIB, 4 * PART_BYTES, T));
        assert_eq!(parts[0].bytes(), 500 * KIB);
        assert!(memory.used() > 1024 * KIB && memory.beyond);
        assert!(!memory.take(&mut parts[1], 500 * KIB, PART_BYTES, T));
        memory.give_back(parts.swap_remove(0));
        assert!(memory.take(&mut parts[0], 500 * KIB, PART_BYTES, T));
        assert_eq!(parts[0].bytes(), 2 * PART_BYTES);
        parts.into_iter().for_each(|p| memory.give_back(p));
        memory.give_back(first);
        assert_eq!((memory.used(), memory.beyond), (0, false));
    }

    #[test]
    fn a_frame_larger_than_all_memory_goes_alone() {
        let mut memory = RequestMemory::new(100);
        let large = begin(&mut memory, 400).unwrap();
        assert_eq!(large.bytes(), 400);
        assert!(begin(&mut memory, 1).is_none());
        memory.give_back(large);
        assert!(begin(&mut memory, 1).is_some());
    }

    #[test]
    fn pace_is_that_of_a_frame_in_its_time() {
        let mut memory = RequestMemory::new(1 << 20);
        let mut held = begin(&mut memory, 60_000).unwrap();
        let at = |ms| T.after_ms(ms);
        assert!(held.pace(4, at(999), 60_000));
        assert!(held.pace(2_004, at(2_000), 60_000));
        assert!(!held.pace(4_003, at(4_000), 60_000));
        assert!(held.pace(10_003, at(10_000), 60_000));
        assert!(!held.pace(10_003, at(12_000), 60_000));
        memory.give_back(held);
    }

    #[test]
    fn connections_are_counted_by_address() {
        let mut hosts = PerAddress::default();
        let a: IpAddr = [127, 0, 0, 1].into();
        assert!(hosts.enter(a, 2) && hosts.enter(a, 2));
        assert!(!hosts.enter(a, 2));
        hosts.leave(a);
        assert!(hosts.enter(a, 2));
    }
}
