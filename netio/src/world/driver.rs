//! The simulation's side of the seam: a core's window on the world.
use super::world::{CoreKey, World};
use crate::{
    clock::{Instant, WallTime},
    error::Result,
    seam::{Completion, Handle, Op, Sharing, Slot, Wait, Wake},
};
use std::{
    cell::RefCell,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The driver of one core of one life of a process.
///
/// Its functions stay functions: counts of a core's instructions (`cargo xtask instructions`) leave
/// them out by their names.
#[derive(Debug)]
pub struct SimDriver {
    world: Rc<RefCell<World>>,
    core: CoreKey,
}

impl SimDriver {
    pub(crate) fn new(world: Rc<RefCell<World>>, core: CoreKey) -> Self {
        Self { world, core }
    }
    #[inline(never)]
    pub fn submit(&mut self, slot: Slot, op: Op) {
        self.world.borrow_mut().submit(self.core, slot, op);
    }
    #[inline(never)]
    pub fn cancel(&mut self, slot: Slot) {
        self.world.borrow_mut().cancel(self.core, slot);
    }
    /// Never blocks: `wait` is only noted, for the scheduler of the world to decide when this core
    /// runs next.
    #[inline(never)]
    pub fn reap(&mut self, out: &mut Vec<Completion>, wait: Wait) {
        let mut world = self.world.borrow_mut();
        let core = &mut world.cores[self.core];
        core.woken.store(false, Ordering::Release);
        core.wait = wait;
        out.extend(core.completions.drain(..));
    }
    #[inline(never)]
    pub fn listen(&mut self, addr: SocketAddr, sharing: Sharing) -> Result<(Handle, SocketAddr)> {
        self.world.borrow_mut().listen(self.core, addr, sharing)
    }
    #[inline(never)]
    pub(crate) fn finish_sending(&mut self, socket: Handle) {
        self.world.borrow_mut().finish_core(self.core, socket)
    }
    #[inline(never)]
    pub fn now(&self) -> Instant {
        self.world.borrow().instant()
    }
    #[inline(never)]
    pub fn wall(&self) -> WallTime {
        self.world.borrow().wall(self.core)
    }
    #[inline(never)]
    pub fn random(&mut self) -> u64 {
        self.world.borrow_mut().cores[self.core].rng.next_u64()
    }
}

/// Makes a core of the simulation runnable.
#[derive(Debug)]
pub(crate) struct Waker(pub(crate) Arc<AtomicBool>);

impl Wake for Waker {
    fn wake(&self) {
        self.0.store(true, Ordering::Release);
    }
    fn set_parked(&self, _parked: bool) {}
}
