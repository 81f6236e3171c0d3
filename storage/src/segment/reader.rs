//! Batches out of a segment file: direct reads with bounded read-ahead, each batch checked before
//! anyone sees it.
//!
//! Two checks. [`Reader::batch_at`] looks at the bytes of one batch: header, length, CRC.
//! [`Expected::judge`] looks at its place: the CRC covers neither base offset, length nor leader
//! epoch, so those are compared with the neighbours, the end of the segment and the epoch history.
use crate::{error::Error, leader_epoch::EpochHistory};
use bytes::Bytes;
use netio::{AlignedBuf, File, buffer::BLOCK};
use record::{BatchHeader, BatchView, Offset, header::HEADER_SIZE};

/// The block size as a position.
const BLOCK_U64: u64 = BLOCK as u64;

/// Bytes of one read while scanning.
pub(crate) const SCAN_BYTES: usize = 1 << 20;
/// Least bytes of one read.
pub(crate) const READ_BYTES_MIN: usize = 64 << 10;

/// Whole batches at a place of a chunk, without a copy.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    chunk: Bytes,
    start: usize,
    end: usize,
}

impl Piece {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.chunk[self.start..self.end]
    }
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }
    /// Takes `next` in if it lies right behind in the same chunk.
    pub(crate) fn join(&mut self, next: &Piece) -> bool {
        let joins = self.chunk.as_ptr() == next.chunk.as_ptr() && self.end == next.start;
        if joins {
            self.end = next.end;
        }
        joins
    }
    pub(crate) fn into_bytes(self) -> Bytes {
        self.chunk.slice(self.start..self.end)
    }
}

/// What is at a position.
#[derive(Debug)]
pub(crate) enum At {
    /// A whole batch whose CRC holds.
    Batch(BatchHeader, Piece),
    /// No batch, and why. With the length its header claims, if it fits before the end.
    Bad { why: String, length: Option<u64> },
    /// The end of the content.
    End,
}

/// Reads batches of one segment file, mostly forward.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    /// Bytes of content.
    size: u64,
    /// Bytes of a read.
    window: usize,
    chunk: Bytes,
    chunk_at: u64,
    /// Bytes read from the file so far.
    pub(crate) bytes_read: u64,
}

impl Reader {
    /// Over the first `size` bytes of a file opened `direct`; `window` bytes a read, read-ahead
    /// included.
    pub(crate) fn new(file: File, size: u64, window: usize) -> Self {
        Self { file, size, window, chunk: Bytes::new(), chunk_at: 0, bytes_read: 0 }
    }

    /// Bytes of content.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The header at `position`, without a look at the rest of its batch. `None` if there is none,
    /// or at the end.
    pub(crate) async fn header_at(&mut self, position: u64) -> Result<Option<BatchHeader>, Error> {
        if position + HEADER_SIZE as u64 > self.size {
            return Ok(None);
        }
        self.fill(position, HEADER_SIZE as u64).await?;
        Ok(BatchHeader::parse(self.have(position)).ok())
    }

    /// Can [`Self::batch_at`] answer without a read?
    pub(crate) fn has_batch(&self, position: u64) -> bool {
        let have = self.have(position);
        let left = self.size.saturating_sub(position);
        have.len() as u64 == left
            || BatchHeader::parse(have).is_ok_and(|header| {
                header.size_in_bytes() <= have.len() || header.size_in_bytes() as u64 > left
            })
    }

    /// The batch at `position`.
    pub(crate) async fn batch_at(&mut self, position: u64) -> Result<At, Error> {
        if position >= self.size {
            return Ok(At::End);
        }
        let left = self.size - position;
        self.fill(position, left.min(HEADER_SIZE as u64)).await?;
        let header = match BatchHeader::parse(self.have(position)) {
            Ok(header) => header,
            Err(error) => {
                return Ok(At::Bad { why: error.to_string(), length: None });
            }
        };
        let bytes = header.size_in_bytes() as u64;
        if bytes > left {
            return Ok(At::Bad {
                why: format!("a batch of {bytes} bytes where {left} are left"),
                length: None,
            });
        }
        self.fill(position, bytes).await?;
        let have = self.have(position);
        match BatchView::parse_verified(have) {
            Ok(_) => {
                let start = usize::try_from(position - self.chunk_at).unwrap_or(usize::MAX);
                let end = start + header.size_in_bytes();
                Ok(At::Batch(header, Piece { chunk: self.chunk.clone(), start, end }))
            }
            Err(error) => Ok(At::Bad { why: error.to_string(), length: Some(bytes) }),
        }
    }

    /// True if only zeros follow from `position` to the end of the content.
    pub(crate) async fn zeros_from(&mut self, mut position: u64) -> Result<bool, Error> {
        while position < self.size {
            self.fill(position, 1).await?;
            let have = self.have(position);
            if have.is_empty() || have.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
            position += have.len() as u64;
        }
        Ok(true)
    }

    /// All content from `position` on.
    pub(crate) async fn bytes_from(&mut self, position: u64) -> Result<Bytes, Error> {
        self.fill(position, self.size - position).await?;
        let start = usize::try_from(position - self.chunk_at).unwrap_or(usize::MAX);
        let len = self.have(position).len();
        Ok(self.chunk.slice(start..start + len))
    }

    /// What the chunk has from `position` on, up to the end of the content.
    fn have(&self, position: u64) -> &[u8] {
        let Some(skip) =
            position.checked_sub(self.chunk_at).and_then(|skip| usize::try_from(skip).ok())
        else {
            return &[];
        };
        let content =
            usize::try_from(self.size - self.chunk_at).unwrap_or(usize::MAX).min(self.chunk.len());
        self.chunk.get(skip..content).unwrap_or_default()
    }

    /// Makes the chunk hold `bytes` from `position` on, or all there is.
    async fn fill(&mut self, position: u64, bytes: u64) -> Result<(), Error> {
        if self.have(position).len() as u64 >= bytes {
            return Ok(());
        }
        let from = position / BLOCK_U64 * BLOCK_U64;
        let until =
            self.size.min(position + bytes.max(self.window as u64)).next_multiple_of(BLOCK_U64);
        let len = usize::try_from(until - from)
            .unwrap_or_else(|_| panic!("a read of {} bytes", until - from));
        let (buffer, read) = self.file.read_at(AlignedBuf::zeroed(len), from).await;
        let read = read?;
        self.bytes_read += read as u64;
        self.chunk = buffer.freeze().slice(..read);
        self.chunk_at = from;
        Ok(())
    }
}

/// What a batch's place demands of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// Least base offset: the end of the batch before.
    pub(crate) next: Offset,
    /// Offset at which the segment ends.
    pub(crate) end: Offset,
}

impl Expected {
    /// Judges a batch whose own bytes are right, by its place and the header that follows it, if
    /// one does.
    ///
    /// Offsets rise but may have gaps (compaction leaves them), so a base offset that was damaged
    /// upwards shows only where it collides with the batch behind.
    pub(crate) fn judge(
        &self,
        header: &BatchHeader,
        follower: Option<&BatchHeader>,
        epochs: &EpochHistory,
    ) -> Result<(), String> {
        let (base, end) = (header.base_offset, header.next_offset());
        if header.last_offset_delta < 0 {
            return Err(format!("last offset delta {}", header.last_offset_delta));
        }
        if base < self.next {
            return Err(format!("base offset {base} where at least {} is expected", self.next));
        }
        if end > self.end {
            return Err(format!("offsets up to {end} in a segment that ends at {}", self.end));
        }
        if base > self.next
            && let Some(follower) = follower
            && follower.base_offset < end
        {
            return Err(format!(
                "offsets {base}..{end} before a batch at {}",
                follower.base_offset
            ));
        }
        match epochs.epoch_at(base) {
            Some(epoch) if epoch != header.partition_leader_epoch => Err(format!(
                "leader epoch {} at offset {base}, which is of epoch {epoch}",
                header.partition_leader_epoch
            )),
            _ => Ok(()),
        }
    }
}
