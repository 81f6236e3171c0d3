//! The io_uring driver: production.
use crate::{Instant, Result, WallTime, driver::{Completion, Handle, Op, Slot, Wait}};
use std::net::SocketAddr;

/// The driver.
#[derive(Debug)]
pub struct Ring;

impl Ring {
    pub fn submit(&mut self, _slot: Slot, _op: Op) {
        todo!()
    }
    pub fn cancel(&mut self, _slot: Slot) {
        todo!()
    }
    pub fn reap(&mut self, _out: &mut Vec<Completion>, _wait: Wait) {
        todo!()
    }
    pub fn listen(&mut self, _addr: SocketAddr) -> Result<(Handle, SocketAddr)> {
        todo!()
    }
    pub fn now(&self) -> Instant {
        todo!()
    }
    pub fn wall(&self) -> WallTime {
        todo!()
    }
    pub fn random(&mut self) -> u64 {
        todo!()
    }
}
