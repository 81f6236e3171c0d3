//! The end of a segment file: batches go in as large aligned direct writes.
//!
//! ```text
//! |........ whole blocks, written ........|tail: 1..4095 bytes|
//!                                         ^ the next write begins here, with the same tail bytes again
//! ```
//! A direct write covers whole blocks, so the last block is written again when more comes. Its
//! flushed bytes are the same again, sector by sector: whichever sectors of a torn write arrive,
//! what was flushed stays readable. Space is taken by allocation before a byte is written, so that
//! a full disk is not a failed write.
use crate::error::Error;
use bytes::Bytes;
use netio::{
    AlignedBuf, File,
    buffer::{Arena, BLOCK},
};

const BLOCK_U64: u64 = BLOCK as u64;
/// Most bytes of one write.
pub(crate) const WRITE_BYTES: usize = 256 << 10;
/// Pieces above this are gathered in memory that is used again: fresh memory costs a page fault
/// every 4 KiB.
const POOLED_BYTES: usize = 64 << 10;
/// Most bytes that a file is extended by beyond what is needed now.
pub(crate) const AHEAD_BYTES_MAX: u64 = 8 << 20;

/// Where a file ends, and the bytes of its last, partial block.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Bytes of content.
    size: u64,
    /// The content past the last whole block; `None` until it has been read.
    bytes: Option<Vec<u8>>,
    /// Length of the file; a multiple of the block size unless it was trimmed. `None`: not asked
    /// yet.
    allocated: Option<u64>,
}

impl Tail {
    /// Of a new, empty file.
    pub(crate) fn empty() -> Self {
        Self { size: 0, bytes: Some(Vec::new()), allocated: Some(0) }
    }
    /// Of a file that has `size` bytes of content.
    pub(crate) fn of(size: u64) -> Self {
        Self { size, bytes: None, allocated: None }
    }
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Takes space for `bytes` more, and for no later ones where space is `tight`. True if the file
    /// became longer: its metadata must be synced with the data.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing has changed.
    pub(crate) async fn reserve(
        &mut self,
        file: &File,
        bytes: u64,
        file_bytes_max: u64,
        tight: bool,
    ) -> Result<bool, Error> {
        let allocated = match self.allocated {
            Some(allocated) => allocated,
            None => file.len().await?,
        };
        if allocated < self.size {
            // Flushed bytes are gone. Extending the file would put zeros in their place and hide
            // it.
            let what = format!("the file has {allocated} bytes of {}", self.size);
            return Err(Error::Damaged { file: String::new(), position: allocated, what });
        }
        self.allocated = Some(allocated);
        let need = (self.size + bytes).next_multiple_of(BLOCK_U64);
        if need <= allocated {
            return Ok(false);
        }
        // Small logs stay small, large ones are extended rarely: as much ahead as there is, within
        // bounds.
        let ahead = if tight { 0 } else { self.size.min(AHEAD_BYTES_MAX) };
        let wish = (need + ahead).next_multiple_of(BLOCK_U64);
        let target = wish.min(file_bytes_max.next_multiple_of(BLOCK_U64)).max(need);
        file.allocate(allocated, target - allocated).await.map_err(full)?;
        self.allocated = Some(target);
        Ok(true)
    }

    /// Writes `batches` at the end, on the device when it returns if it is to be `synced`.
    /// `metadata`: the file became longer (see [`Self::reserve`]). After an error nothing is known
    /// of the file beyond the old end.
    pub(crate) async fn write(
        &mut self,
        file: &File,
        buffers: &Arena,
        batches: &[Bytes],
        metadata: bool,
        synced: bool,
    ) -> Result<(), Error> {
        let start = self.size / BLOCK_U64 * BLOCK_U64;
        let skip = usize::try_from(self.size - start).unwrap_or(BLOCK);
        let tail = match self.bytes.take() {
            Some(tail) => tail,
            None if skip == 0 => Vec::new(),
            None => {
                let (block, read) = file.read_at(AlignedBuf::zeroed(BLOCK), start).await;
                let read = read?;
                if read < skip {
                    return Err(Error::Damaged {
                        file: String::new(),
                        position: start,
                        what: "the file is too short".into(),
                    });
                }
                block[..skip].to_vec()
            }
        };
        assert_eq!(tail.len(), skip, "tail of a file of {} bytes", self.size);

        let total = skip + batches.iter().map(Bytes::len).sum::<usize>();
        // One write can be made durable by itself; several, or a longer file, by one sync behind
        // them.
        let alone = total <= WRITE_BYTES && !metadata;
        let mut input = std::iter::once(&tail[..]).chain(batches.iter().map(|batch| &batch[..]));
        let mut piece: &[u8] = &[];
        let mut written = 0;
        let mut last = Vec::new();
        while written < total {
            let len = (total - written).min(WRITE_BYTES);
            let mut buffer = if len > POOLED_BYTES {
                buffers.chunk()
            } else {
                Arena::new(len.next_multiple_of(BLOCK), 0).chunk()
            };
            let mut at = 0;
            while at < len {
                if piece.is_empty() {
                    piece = input
                        .next()
                        .unwrap_or_else(|| panic!("{written}+{at} of {total} bytes came"));
                    continue;
                }
                let take = piece.len().min(len - at);
                buffer.put(&piece[..take]);
                piece = &piece[take..];
                at += take;
            }
            if written + len == total {
                last = buffer.written_mut()[len / BLOCK * BLOCK..].to_vec();
            }
            file.write_at(buffer.split(), start + written as u64, alone).await?;
            written += len;
        }
        if !alone && synced {
            file.sync(true).await?;
        }
        self.size = start + total as u64;
        self.bytes = Some(last);
        self.allocated =
            self.allocated.map(|allocated| allocated.max(self.size.next_multiple_of(BLOCK_U64)));
        Ok(())
    }

    /// Cuts the file to its content, on the device when it returns if it is to be `synced`. False
    /// if it was so already.
    pub(crate) async fn trim(&mut self, file: &File, synced: bool) -> Result<bool, Error> {
        let len = file.len().await?;
        if len < self.size {
            // Somebody else has cut it: what was flushed is not there any more.
            return Err(Error::Damaged {
                file: String::new(),
                position: len,
                what: format!("the file ends here, and has {} bytes of content", self.size),
            });
        }
        if len > self.size {
            file.truncate(self.size).await?;
            if synced {
                file.sync(false).await?;
            }
        }
        self.allocated = Some(self.size);
        Ok(len > self.size)
    }

    /// Drops the tail's bytes; they are read again when they are needed (the log has been idle).
    pub(crate) fn rest(&mut self) {
        self.bytes = None;
    }
}

/// A full disk is a state, not a fault.
pub(crate) fn full(error: netio::Error) -> Error {
    if error.is_full() { Error::Full(error.to_string()) } else { Error::Io(error) }
}
