//! Files. All operations are asynchronous; a [`File`] may be used by several operations at once.
//!
//! An operation that is dropped before it ends is cancelled if the kernel still can; its buffer stays with the driver until
//! the kernel has given it back.
use crate::{AlignedBuf, Result};
use bytes::Bytes;
use std::rc::Rc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub write: bool,
    pub create: bool,
    /// Fail if it exists (with `create`).
    pub exclusive: bool,
    pub truncate: bool,
    /// O_DIRECT: memory, length and offset of reads and writes are multiples of [`crate::buffer::BLOCK`].
    pub direct: bool,
}

/// An entry of a directory listing; listings are sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// Space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub total_bytes: u64,
    pub available_bytes: u64,
}

/// An open file of this core. Clones share the descriptor; it is closed when the last is dropped.
#[derive(Clone, Debug)]
pub struct File {
    _inner: Rc<()>,
}

impl File {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file. Returns the buffer and the count.
    pub async fn read_at(&self, _buf: AlignedBuf, _offset: u64) -> (AlignedBuf, Result<usize>) {
        todo!()
    }
    /// Reads into ordinary memory (not for `direct` files).
    pub async fn read_vec(&self, _offset: u64, _len: usize) -> Result<Vec<u8>> {
        todo!()
    }
    /// Writes all of `bytes` (its memory aligned if the file is `direct`). With `dsync` it is on the device when this returns
    /// (RWF_DSYNC): this write only, not earlier ones.
    pub async fn write_at(&self, _bytes: Bytes, _offset: u64, _dsync: bool) -> Result<()> {
        todo!()
    }
    /// fsync, or fdatasync.
    pub async fn sync(&self, _data_only: bool) -> Result<()> {
        todo!()
    }
    /// fallocate: reserves space and extends the file; the new range reads as zeros.
    pub async fn allocate(&self, _offset: u64, _len: u64) -> Result<()> {
        todo!()
    }
    pub async fn truncate(&self, _len: u64) -> Result<()> {
        todo!()
    }
    pub async fn len(&self) -> Result<u64> {
        todo!()
    }
}
