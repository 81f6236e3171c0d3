//! Bounded lanes between the cores of a process, and from threads outside (the control thread).
//!
//! One lane per ordered pair of cores. A full lane refuses: the sender keeps the message and tries again in its next turn.
use crate::CoreId;
use std::marker::PhantomData;

/// A core's end of all its lanes.
#[derive(Debug)]
pub struct Mesh<M> {
    _m: PhantomData<M>,
}

impl<M: Send + 'static> Mesh<M> {
    pub fn cores(&self) -> u16 {
        todo!()
    }
    pub fn me(&self) -> CoreId {
        todo!()
    }
    /// Hands `message` to core `to` and wakes it; gives it back when the lane is full. `to == me` is allowed.
    pub fn send(&self, _to: CoreId, _message: M) -> Result<(), M> {
        todo!()
    }
    /// Takes the next message from any lane, fair between lanes. `None` sender = from outside.
    pub fn receive(&self) -> Option<(Option<CoreId>, M)> {
        todo!()
    }
}

/// A sender for threads that are not cores (control thread), or for a test that drives a simulation.
#[derive(Debug)]
pub struct Sender<M> {
    _m: PhantomData<M>,
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        todo!()
    }
}

impl<M: Send + 'static> Sender<M> {
    /// Gives the message back when the core's outside lane is full or the core has ended.
    pub fn send(&self, _to: CoreId, _message: M) -> Result<(), M> {
        todo!()
    }
}
