//! The seam: owned operations in, completions with their buffers out. A driver is a value, chosen
//! when a core starts.
//!
//! Everything below this line differs between io_uring and the simulation; everything above (slots,
//! connections, tasks, timers, mesh) is written once. A buffer belongs to the driver from `submit`
//! until its completion, also after `cancel`.
//!
//! What a driver owes to the core above it:
//! * Every submitted operation completes exactly once with `more: false`, also when it was
//!   cancelled or its handle closed.
//! * `CloseSocket` and `CloseFile` are the last operation on their handle. The socket's other
//!   operations are cancelled; the file's are waited for. The descriptor is given back only when
//!   none is in flight, so its number cannot be used again by mistake.
//! * After `finish_sending` the peer gets the end of the stream behind what was sent, and the
//!   socket receives on.
//! * At most one `Receive` or `ReceiveInto`, and at most one `Send`, is in flight per socket.
use crate::{
    buffer::{AlignedBuf, Provided},
    clock::Instant,
    error::Result,
};
use bytes::Bytes;
use std::{fmt, net::SocketAddr, path::PathBuf};

/// Names an operation in flight; chosen above the seam, echoed in the completion. The low 32 bits
/// are a small index, unique among the operations in flight; the high 32 bits are a generation.
pub type Slot = u64;
/// A socket or file of the driver (a descriptor of the ring's table, or an entry of the
/// simulation's tables).
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
    /// One shot into owned memory at `buf[at..buf.len()]`; at least one byte unless the peer
    /// closed.
    ReceiveInto {
        socket: Handle,
        buf: Vec<u8>,
        at: usize,
    },
    /// Ordered, vectored; completes when all is sent or failed (a short send is continued by the
    /// driver).
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
    /// Everything of the file system that holds the path.
    SyncAll {
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

/// How long [`crate::driver::Driver::reap`] may wait for the first completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    No,
    Until(Instant),
    Forever,
}

/// What a driver counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// System calls made to submit or wait.
    pub enters: u64,
    pub submitted: u64,
    pub completions: u64,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub write: bool,
    pub create: bool,
    /// Fail if it exists (with `create`).
    pub exclusive: bool,
    pub truncate: bool,
    /// O_DIRECT: memory, length and offset of reads and writes are multiples of
    /// [`crate::buffer::BLOCK`].
    pub direct: bool,
}

/// An entry of a directory listing; listings are sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
    /// Of a file.
    pub bytes: u64,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub available_bytes: u64,
}

/// Whether an address is this listener's alone, or that of several cores of this process
/// (SO_REUSEPORT: the kernel spreads the connections).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    #[default]
    Alone,
    /// The first of the cores: makes sure that no other process has the address.
    First,
    /// After the first.
    Also,
}

/// How a core is woken from its park by another thread.
pub trait Wake: Send + Sync + fmt::Debug {
    /// Ends the core's wait if it is parked; cheap when it is not. What is to be seen must have
    /// been published before.
    fn wake(&self);
    /// Said by the core itself, before its last look at its lanes (`true`) and after its wait
    /// (`false`).
    fn set_parked(&self, parked: bool);
}

/// The small index of an operation in flight.
pub(crate) fn index_of(slot: Slot) -> usize {
    (slot & u64::from(u32::MAX)) as usize
}
