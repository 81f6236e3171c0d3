//! A test's own connection into the simulation: from outside of all nodes, driven by hand.
use super::{net::EndId, world::World};
use bytes::Bytes;
use std::{cell::RefCell, net::SocketAddr, rc::Rc};

/// One connection. What arrives is taken from the network at once; nothing happens but while the
/// simulation runs.
#[derive(Debug)]
pub struct Client {
    world: Rc<RefCell<World>>,
    end: EndId,
}

impl Client {
    pub(crate) fn connect(world: Rc<RefCell<World>>, addr: SocketAddr) -> Self {
        let end = world.borrow_mut().connect_client(addr);
        Self { world, end }
    }
    pub fn is_connected(&self) -> bool {
        self.world.borrow().net.ends.get(&self.end).is_some_and(|e| e.connected)
    }
    /// Queues bytes, also before the connection stands. They go as the peer's window lets them.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        self.world.borrow_mut().send_client(self.end, bytes.into());
    }
    /// Bytes that have arrived and were not taken.
    pub fn available(&self) -> usize {
        self.world.borrow().net.ends.get(&self.end).map_or(0, |e| e.arrived.len())
    }
    /// Takes all that has arrived.
    pub fn take(&self) -> Vec<u8> {
        self.world
            .borrow_mut()
            .net
            .ends
            .get_mut(&self.end)
            .map(|e| std::mem::take(&mut e.arrived))
            .unwrap_or_default()
    }
    /// How it ended, if it did: `Some(None)` = closed in order, `Some(Some(errno))` = refused,
    /// reset or timed out. Bytes that arrived before can still be taken.
    pub fn ended(&self) -> Option<Option<i32>> {
        self.world.borrow().net.ends.get(&self.end).map_or(Some(None), |e| e.ended())
    }
    /// Closes for writing, behind what was sent (shutdown(2) with SHUT_WR); what arrives is still
    /// taken.
    pub fn finish(&self) {
        self.world.borrow_mut().finish(self.end);
    }
    /// Closes: in order, or by a reset.
    pub fn close(&self, reset: bool) {
        self.world.borrow_mut().drop_end(self.end, reset);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A panicking test may be inside the world.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.drop_end(self.end, false);
        }
    }
}
