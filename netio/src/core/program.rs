//! What runs on a core, and all that can wake it.
use crate::{
    core::{
        io::Io,
        mesh::Mesh,
        net::{CloseReason, ConnId, ListenerId},
    },
    error::Result,
};
use std::{future::Future, net::SocketAddr, pin::Pin};

/// A core of this process, 0-based.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// What the kernel and the clock have to say to a program. Messages of other cores come by
/// [`Mesh::receive`], outcomes of background tasks by [`crate::TaskSet::take`], the end of another
/// core is seen by [`Mesh::has_ended`]; each of them makes the core take a turn.
#[derive(Debug)]
pub enum Event {
    /// A new connection; nothing is received before the program asks (first [`Io::put_back`] or
    /// [`Io::start_receiving`]).
    Accepted { listener: ListenerId, conn: ConnId, peer: SocketAddr },
    /// A connection made by [`Io::connect`] stands.
    Connected { conn: ConnId },
    /// Bytes arrived: take them with [`Io::take`].
    Readable { conn: ConnId },
    /// Only after [`Io::outlive_peer`]: the peer has closed its side for writing, or all of it.
    /// Nothing more arrives; what has arrived can be taken, and what is sent goes out if the peer
    /// still reads. It is for the program to close.
    Finished { conn: ConnId },
    /// Output fell below the low-water mark after it had been congested.
    Writable { conn: ConnId },
    /// The connection is gone; its id will not be seen again.
    Closed { conn: ConnId, why: CloseReason },
    /// A write of [`Io::write`] ended.
    Written { token: u64, result: Result<()> },
    /// A timer of [`Io::timer`] is due.
    Timer { token: u64 },
    /// The process was asked to stop (SIGTERM, SIGINT, or [`crate::core::mesh::Sender`] of the
    /// control thread). A core whose boot still runs does not get it: it ends.
    Stop,
}

/// What a turn says to the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing left to do until the next event.
    Rest,
    /// There is more to do: do not park.
    Again,
    /// The program has ended; the core stops when its output is flushed.
    Done,
}

/// A core's program: gather, apply, settle. Lives and dies on its core.
pub trait Program: 'static {
    /// Applies a bounded batch of events (drains the vector), then settles: submits I/O, sends
    /// replies.
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn;
}

/// Makes the program of a core, on that core. The future may use the core's disk (recovery); events
/// queue until it is ready. Asked to stop meanwhile, the core drops it wherever it waits: what it
/// leaves on the disk is as after a kill.
pub type Boot<M> =
    Box<dyn FnOnce(Io, Mesh<M>) -> Pin<Box<dyn Future<Output = Box<dyn Program>>>> + Send>;
