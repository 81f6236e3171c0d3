//! Which of the two drivers a core has: io_uring, or its window on the simulated world.
use crate::{
    clock::{Instant, WallTime},
    error::Result,
    seam::{Completion, Counters, Handle, Op, Sharing, Slot, Wait},
};
use std::net::SocketAddr;

/// The two drivers.
#[derive(Debug)]
pub enum Driver {
    Ring(Box<crate::ring::Ring>),
    Sim(crate::world::driver::SimDriver),
}

impl Driver {
    pub fn submit(&mut self, slot: Slot, op: Op) {
        match self {
            Driver::Ring(d) => d.submit(slot, op),
            Driver::Sim(d) => d.submit(slot, op),
        }
    }
    /// Asks for an early end; the completion still comes (ECANCELED, or the operation's own
    /// result). Unknown slots are ignored.
    pub fn cancel(&mut self, slot: Slot) {
        match self {
            Driver::Ring(d) => d.cancel(slot),
            Driver::Sim(d) => d.cancel(slot),
        }
    }
    /// Submits what is queued and collects completions, waiting at most `wait` for the first; a
    /// wake ends the wait.
    pub fn reap(&mut self, out: &mut Vec<Completion>, wait: Wait) {
        match self {
            Driver::Ring(d) => d.reap(out, wait),
            Driver::Sim(d) => d.reap(out, wait),
        }
    }
    /// Would [`Self::reap`] find something without a wait? A cheap look for a spinning core; may be
    /// wrong either way.
    pub fn is_ready(&mut self) -> bool {
        match self {
            Driver::Ring(d) => d.is_ready(),
            Driver::Sim(_) => false,
        }
    }
    /// Are there operations that only the next [`Self::reap`] submits?
    pub(crate) fn has_queued(&mut self) -> bool {
        match self {
            Driver::Ring(d) => d.has_queued(),
            Driver::Sim(_) => false,
        }
    }
    /// Binds and listens, synchronously.
    pub fn listen(&mut self, addr: SocketAddr, sharing: Sharing) -> Result<(Handle, SocketAddr)> {
        match self {
            Driver::Ring(d) => d.listen(addr, sharing),
            Driver::Sim(d) => d.listen(addr, sharing),
        }
    }
    /// Closes a socket for writing: the end of the stream follows what was sent. No send is in
    /// flight, and none follows. A connection that is broken already says so to its receive.
    pub(crate) fn finish_sending(&mut self, socket: Handle) {
        match self {
            Driver::Ring(d) => d.finish_sending(socket),
            Driver::Sim(d) => d.finish_sending(socket),
        }
    }
    pub fn now(&self) -> Instant {
        match self {
            Driver::Ring(d) => d.now(),
            Driver::Sim(d) => d.now(),
        }
    }
    pub fn wall(&self) -> WallTime {
        match self {
            Driver::Ring(d) => d.wall(),
            Driver::Sim(d) => d.wall(),
        }
    }
    pub fn random(&mut self) -> u64 {
        match self {
            Driver::Ring(d) => d.random(),
            Driver::Sim(d) => d.random(),
        }
    }
    /// Has a free chunk made where that does not hold the core up; in the simulation pages cost
    /// nothing.
    pub fn make_chunk(&self, arena: &crate::buffer::Arena) {
        match self {
            Driver::Ring(d) => d.make_chunk(arena),
            Driver::Sim(_) => {}
        }
    }
    pub fn counters(&self) -> Counters {
        match self {
            Driver::Ring(d) => d.counters(),
            Driver::Sim(_) => Counters::default(),
        }
    }
}
