//! Memory for O_DIRECT and its ownership.
//!
//! [`AlignedBuf`] is a plain owned buffer. [`ArenaBuf`] is the writable tail of a large chunk: what has been written is
//! split off as immutable [`Bytes`] without a copy, so that a WAL group is at once the disk's input and the tail cache.
use bytes::Bytes;

/// Alignment of memory, length and offset of every direct read and write.
pub const BLOCK: usize = 4096;

/// Owned memory, aligned to [`BLOCK`], of a length that is a multiple of [`BLOCK`]. Zeroed when made.
#[derive(Debug)]
pub struct AlignedBuf;

impl AlignedBuf {
    /// `bytes` is rounded up to a multiple of [`BLOCK`].
    pub fn zeroed(_bytes: usize) -> Self {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Makes it immutable and shareable without a copy.
    pub fn freeze(self) -> Bytes {
        todo!()
    }
}
impl std::ops::Deref for AlignedBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}
impl std::ops::DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        todo!()
    }
}

/// A pool of chunks of one size; a chunk returns to it when the last [`Bytes`] of it is dropped, on whichever core.
#[derive(Clone, Debug)]
pub struct Arena;

impl Arena {
    /// Chunks of `chunk_bytes` (multiple of [`BLOCK`]); up to `keep` free chunks are kept, more are given back to the system.
    pub fn new(_chunk_bytes: usize, _keep: usize) -> Self {
        todo!()
    }
    /// A writable buffer over a whole chunk.
    pub fn chunk(&self) -> ArenaBuf {
        todo!()
    }
    /// Bytes of chunks alive now (free or in use).
    pub fn bytes_alive(&self) -> usize {
        todo!()
    }
}

/// The writable tail of a chunk. Starts on a [`BLOCK`] boundary.
#[derive(Debug)]
pub struct ArenaBuf;

impl ArenaBuf {
    /// Bytes written since the last split.
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Bytes that can still be written into this chunk.
    pub fn spare(&self) -> usize {
        todo!()
    }
    /// Appends; panics if `bytes` is longer than [`Self::spare`].
    pub fn put(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// What has been written since the last split, for patching headers.
    pub fn written_mut(&mut self) -> &mut [u8] {
        todo!()
    }
    /// Pads with zeros to the next [`BLOCK`], splits off what was written, leaves the rest of the chunk writable.
    pub fn split(&mut self) -> Bytes {
        todo!()
    }
}
