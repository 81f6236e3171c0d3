//! Bounds of a core's connections: how many, from whom, and the memory of requests under way.
use hashbrown::HashMap;
use std::net::IpAddr;

/// Memory of requests being received. Taken before the body is, and for the whole frame at once.
#[derive(Debug)]
pub struct RequestMemory {
    max: usize,
    used: usize,
}

impl RequestMemory {
    pub fn new(max: usize) -> Self {
        Self { max, used: 0 }
    }

    /// False when there is no room now. A frame larger than all memory is let in alone.
    pub fn take(&mut self, bytes: usize) -> bool {
        if self.used > 0 && self.used + bytes > self.max {
            return false;
        }
        self.used += bytes;
        true
    }

    pub fn give_back(&mut self, bytes: usize) {
        assert!(
            bytes <= self.used,
            "gave back {bytes} of {} request bytes",
            self.used
        );
        self.used -= bytes;
    }

    pub fn used(&self) -> usize {
        self.used
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

    #[test]
    fn memory_is_bounded_but_never_deadlocks_on_one_large_frame() {
        let mut memory = RequestMemory::new(100);
        assert!(memory.take(400), "alone");
        assert!(!memory.take(1));
        memory.give_back(400);
        assert!(memory.take(60) && memory.take(40));
        assert!(!memory.take(1));
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
