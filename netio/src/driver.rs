//! The seam: owned operations in, completions with their buffers out. A driver is a value, chosen when a core starts.
//!
//! Everything below this line differs between io_uring and the simulation; everything above (slots, connections, tasks,
//! timers, mesh) is written once. A buffer belongs to the driver from `submit` until its completion, also after `cancel`.
use crate::{AlignedBuf, DirEntry, Instant, Open, Result, WallTime, file::Space};
use bytes::Bytes;
use std::{net::SocketAddr, path::PathBuf};

/// Names an operation in flight; chosen above the seam, echoed in the completion. Carries a generation.
pub type Slot = u64;
/// A socket or file of the driver (a registered descriptor, or an entry of the simulation's tables).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

/// An operation, owning its buffers.
#[derive(Debug)]
pub enum Op {
    /// Multishot: one completion per connection until cancelled or failed.
    Accept { listener: Handle },
    Connect { addr: SocketAddr },
    /// Multishot into provided buffers, until cancelled, failed, or the peer closed (0 bytes).
    Receive { socket: Handle },
    /// One shot into owned memory at `buf[at..]`.
    ReceiveInto { socket: Handle, buf: Vec<u8>, at: usize },
    /// Ordered, vectored; completes when all is sent or failed (a short send is continued by the driver).
    Send { socket: Handle, slices: Vec<Bytes> },
    CloseSocket { socket: Handle },
    Read { file: Handle, buf: AlignedBuf, offset: u64 },
    ReadVec { file: Handle, buf: Vec<u8>, offset: u64 },
    Write { file: Handle, slices: Vec<Bytes>, offset: u64, dsync: bool },
    Sync { file: Handle, data_only: bool },
    Allocate { file: Handle, offset: u64, len: u64 },
    Truncate { file: Handle, len: u64 },
    Length { file: Handle },
    CloseFile { file: Handle },
    OpenFile { path: PathBuf, how: Open },
    Rename { from: PathBuf, to: PathBuf },
    RemoveFile { path: PathBuf },
    RemoveDir { path: PathBuf },
    CreateDir { path: PathBuf },
    ReadDir { path: PathBuf },
    SyncDir { path: PathBuf },
    Space { path: PathBuf },
}

/// What became of an operation.
#[derive(Debug)]
pub enum Outcome {
    Accepted(Result<(Handle, SocketAddr)>),
    Connected(Result<Handle>),
    /// Bytes of a provided buffer (returned to the driver when dropped); empty = the peer closed.
    Received(Result<Provided>),
    ReceivedInto { buf: Vec<u8>, result: Result<usize> },
    Sent(Result<usize>),
    Read { buf: AlignedBuf, result: Result<usize> },
    ReadVec { buf: Vec<u8>, result: Result<usize> },
    Opened(Result<Handle>),
    Length(Result<u64>),
    Dir(Result<Vec<DirEntry>>),
    Space(Result<Space>),
    /// Everything else.
    Done(Result<()>),
}

/// A completion. `more`: the operation is multishot and goes on.
#[derive(Debug)]
pub struct Completion {
    pub slot: Slot,
    pub outcome: Outcome,
    pub more: bool,
}

/// How long [`Driver::reap`] may wait for the first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    No,
    Until(Instant),
    Forever,
}

/// A received buffer of the driver.
#[derive(Debug)]
pub struct Provided {
    // ring: the buffer ring's memory and id, given back on drop; sim: a plain vector
    pub(crate) bytes: Vec<u8>,
}

/// The two drivers.
#[derive(Debug)]
pub enum Driver {
    Ring(crate::ring::Ring),
    Sim(crate::sim::SimDriver),
}

impl Driver {
    pub fn submit(&mut self, slot: Slot, op: Op) {
        match self {
            Driver::Ring(d) => d.submit(slot, op),
            Driver::Sim(d) => d.submit(slot, op),
        }
    }
    /// Asks for an early end; the completion still comes (ECANCELED, or the operation's own result).
    pub fn cancel(&mut self, slot: Slot) {
        match self {
            Driver::Ring(d) => d.cancel(slot),
            Driver::Sim(d) => d.cancel(slot),
        }
    }
    /// Submits what is queued and collects completions, waiting at most `wait` for the first; a wake ends the wait.
    pub fn reap(&mut self, out: &mut Vec<Completion>, wait: Wait) {
        match self {
            Driver::Ring(d) => d.reap(out, wait),
            Driver::Sim(d) => d.reap(out, wait),
        }
    }
    /// Binds and listens, synchronously.
    pub fn listen(&mut self, addr: SocketAddr) -> Result<(Handle, SocketAddr)> {
        match self {
            Driver::Ring(d) => d.listen(addr),
            Driver::Sim(d) => d.listen(addr),
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
}
