//! The seam: owned operations in, completions with their buffers out. A driver is a value, chosen when a core starts.
//!
//! Everything below this line differs between io_uring and the simulation; everything above (slots, connections, tasks,
//! timers, mesh) is written once. A buffer belongs to the driver from `submit` until its completion, also after `cancel`.
//!
//! What a driver owes to the core above it:
//! * Every submitted operation completes exactly once with `more: false`, also when it was cancelled or its handle closed.
//! * `CloseSocket` and `CloseFile` are the last operation on their handle. The socket's other operations are cancelled; the
//!   file's are waited for. The descriptor is given back only when none is in flight, so its number cannot be used again
//!   by mistake.
//! * After `finish_sending` the peer gets the end of the stream behind what was sent, and the socket receives on.
//! * At most one `Receive` or `ReceiveInto`, and at most one `Send`, is in flight per socket.
use crate::{AlignedBuf, DirEntry, Instant, Open, Result, Sharing, WallTime, file::Space};
use bytes::Bytes;
use std::{net::SocketAddr, path::PathBuf};

/// Names an operation in flight; chosen above the seam, echoed in the completion. The low 32 bits are a small index, unique
/// among the operations in flight; the high 32 bits are a generation.
pub type Slot = u64;
/// A socket or file of the driver (a descriptor of the ring's table, or an entry of the simulation's tables).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u32);

/// An operation, owning its buffers.
#[derive(Debug)]
pub enum Op {
    /// Multishot: one completion per connection until cancelled or failed.
    Accept {
        listener: Handle,
    },
    Connect {
        addr: SocketAddr,
    },
    /// Multishot into provided buffers, until cancelled, failed, or the peer closed (0 bytes).
    Receive {
        socket: Handle,
    },
    /// One shot into owned memory at `buf[at..buf.len()]`; at least one byte unless the peer closed.
    ReceiveInto {
        socket: Handle,
        buf: Vec<u8>,
        at: usize,
    },
    /// Ordered, vectored; completes when all is sent or failed (a short send is continued by the driver).
    Send {
        socket: Handle,
        slices: Vec<Bytes>,
    },
    CloseSocket {
        socket: Handle,
    },
    /// Reads up to the length of `buf`; fewer only at the end of the file.
    Read {
        file: Handle,
        buf: AlignedBuf,
        offset: u64,
    },
    /// Reads up to the length of `buf`; fewer only at the end of the file.
    ReadVec {
        file: Handle,
        buf: Vec<u8>,
        offset: u64,
    },
    /// All slices in order; short writes are continued, failed ones are not tried again.
    Write {
        file: Handle,
        slices: Vec<Bytes>,
        offset: u64,
        dsync: bool,
    },
    Sync {
        file: Handle,
        data_only: bool,
    },
    Allocate {
        file: Handle,
        offset: u64,
        len: u64,
    },
    Truncate {
        file: Handle,
        len: u64,
    },
    Length {
        file: Handle,
    },
    CloseFile {
        file: Handle,
    },
    OpenFile {
        path: PathBuf,
        how: Open,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    RemoveFile {
        path: PathBuf,
    },
    RemoveDir {
        path: PathBuf,
    },
    /// EEXIST is reported as it is; the core above makes it a success.
    CreateDir {
        path: PathBuf,
    },
    ReadDir {
        path: PathBuf,
    },
    SyncDir {
        path: PathBuf,
    },
    Space {
        path: PathBuf,
    },
}

/// What became of an operation.
#[derive(Debug)]
pub enum Outcome {
    Accepted(Result<(Handle, SocketAddr)>),
    Connected(Result<Handle>),
    /// Bytes of a provided buffer (returned to the driver when dropped); empty = the peer closed.
    Received(Result<Provided>),
    ReceivedInto {
        buf: Vec<u8>,
        result: Result<usize>,
    },
    Sent(Result<usize>),
    Read {
        buf: AlignedBuf,
        result: Result<usize>,
    },
    ReadVec {
        buf: Vec<u8>,
        result: Result<usize>,
    },
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

/// A received buffer of the driver; dropping it gives the memory back.
#[derive(Debug)]
pub struct Provided(Memory);

#[derive(Debug)]
enum Memory {
    Owned(Vec<u8>),
    Lease(crate::ring::Lease),
}

impl Provided {
    /// A buffer of ordinary memory.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Provided(Memory::Owned(bytes))
    }
    /// A buffer of a ring's pool.
    pub(crate) fn from_lease(lease: crate::ring::Lease) -> Self {
        Provided(Memory::Lease(lease))
    }
}

impl std::ops::Deref for Provided {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Owned(bytes) => bytes,
            Memory::Lease(lease) => lease.bytes(),
        }
    }
}

/// What a driver counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// System calls made to submit or wait.
    pub enters: u64,
    pub submitted: u64,
    pub completions: u64,
}

/// The two drivers.
#[derive(Debug)]
pub enum Driver {
    Ring(Box<crate::ring::Ring>),
    Sim(crate::sim::SimDriver),
}

impl Driver {
    pub fn submit(&mut self, slot: Slot, op: Op) {
        match self {
            Driver::Ring(d) => d.submit(slot, op),
            Driver::Sim(d) => d.submit(slot, op),
        }
    }
    /// Asks for an early end; the completion still comes (ECANCELED, or the operation's own result). Unknown slots are
    /// ignored.
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
    /// Would [`Self::reap`] find something without a wait? A cheap look for a spinning core; may be wrong either way.
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
    /// Closes a socket for writing: the end of the stream follows what was sent. No send is in flight, and none follows. A
    /// connection that is broken already says so to its receive.
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
    /// Has a free chunk made where that does not hold the core up; in the simulation pages cost nothing.
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
