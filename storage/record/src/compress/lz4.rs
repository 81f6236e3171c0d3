//! LZ4's frame format, the part of it that Kafka reads.
//!
//! Source: `lz4_Frame_format.md`, version 1.6, and Kafka's `Lz4BlockInputStream`: version 1,
//! independent blocks only (a frame with linked blocks is refused by every Java broker and
//! consumer, so it is here), no dictionary, one frame. Unlike Kafka, all checksums that are there
//! are checked, and the content size too. Header checksums are the format's own; the wrong ones of
//! message format v0 do not occur in batches v2.
//!
//! Our own reader, and not the one of `lz4_flex`, because that one takes memory by what the frame's
//! header claims (up to 4 MiB a block) before any data is seen.

use std::io::Write;

use lz4_flex::block::DecompressError;
use xxhash_rust::xxh32::{Xxh32, xxh32};

use super::{Block, Error};
use crate::Compression;

const MAGIC: u32 = 0x184d_2204;
const CORRUPT: Error = Error::Corrupt(Compression::Lz4);

const FLAG_DICTIONARY: u8 = 1;
const FLAG_RESERVED: u8 = 1 << 1;
const FLAG_CONTENT_CHECKSUM: u8 = 1 << 2;
const FLAG_CONTENT_SIZE: u8 = 1 << 3;
const FLAG_BLOCK_CHECKSUM: u8 = 1 << 4;
const FLAG_INDEPENDENT: u8 = 1 << 5;
const VERSION_SHIFT: u8 = 6;
/// Set in a block's size if it is stored as it is.
const STORED: u32 = 1 << 31;
/// LZ4 makes at most 255 bytes of one.
const RATIO_MAX: usize = 255;

pub(super) struct Reader<'a> {
    input: &'a [u8],
    flags: u8,
    block_size_max: usize,
    content_size: Option<u64>,
    /// Bytes out so far.
    content: u64,
    content_sum: Xxh32,
    pub(super) block: Block<'a>,
    ended: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], block: Block<'a>) -> Result<Self, Error> {
        let mut rest = input;
        if take_u32(&mut rest)? != MAGIC {
            return Err(CORRUPT);
        }
        let descriptor = rest;
        let [flags, sizes] = take(&mut rest)?;
        if flags >> VERSION_SHIFT != 1
            || flags & FLAG_INDEPENDENT == 0
            || flags & (FLAG_DICTIONARY | FLAG_RESERVED) != 0
        {
            return Err(CORRUPT);
        }
        let block_size_max = match sizes {
            0x40 => 64 << 10,
            0x50 => 256 << 10,
            0x60 => 1 << 20,
            0x70 => 4 << 20,
            _ => return Err(CORRUPT),
        };
        let content_size = if flags & FLAG_CONTENT_SIZE == 0 {
            None
        } else {
            Some(u64::from_le_bytes(take(&mut rest)?))
        };
        let length = descriptor.len() - rest.len();
        let sum = xxh32(descriptor.get(..length).unwrap_or_default(), 0);
        let [stored_sum] = take(&mut rest)?;
        if stored_sum != sum.to_le_bytes()[1] {
            return Err(CORRUPT);
        }
        Ok(Self {
            input: rest,
            flags,
            block_size_max,
            content_size,
            content: 0,
            content_sum: Xxh32::new(0),
            block,
            ended: false,
        })
    }

    /// What is out and was not read yet; empty at the end. `left` of `cap` bytes may come out
    /// still.
    pub(super) fn ready(&mut self, left: usize, cap: usize) -> Result<&mut Block<'a>, Error> {
        while self.block.rest().is_empty() && !self.ended {
            self.next_block(left, cap)?;
        }
        Ok(&mut self.block)
    }

    fn next_block(&mut self, left: usize, cap: usize) -> Result<(), Error> {
        let head = take_u32(&mut self.input)?;
        if head == 0 {
            return self.end();
        }
        let size = usize::try_from(head & !STORED).map_err(|_| CORRUPT)?;
        // A stored block is never longer than the maximum; a compressed one that would be is
        // stored.
        if size > self.block_size_max {
            return Err(CORRUPT);
        }
        let (packed, rest) = self.input.split_at_checked(size).ok_or(CORRUPT)?;
        self.input = rest;
        if self.flags & FLAG_BLOCK_CHECKSUM != 0 && take_u32(&mut self.input)? != xxh32(packed, 0) {
            return Err(CORRUPT);
        }
        if head & STORED != 0 {
            if size > left {
                return Err(Error::TooLarge { cap });
            }
            self.block.fill_with(size, |place| {
                place.copy_from_slice(packed);
                Ok(size)
            })?;
        } else {
            let possible = self.block_size_max.min(size.saturating_mul(RATIO_MAX));
            let room = possible.min(left);
            self.block.fill_with(room, |place| {
                lz4_flex::block::decompress_into(packed, place).map_err(|error| match error {
                    DecompressError::OutputTooSmall { .. } if room < possible => {
                        Error::TooLarge { cap }
                    }
                    _ => CORRUPT,
                })
            })?;
        }
        let out = self.block.rest();
        let size = u64::try_from(out.len()).unwrap_or(u64::MAX);
        self.content = self.content.saturating_add(size);
        if self.flags & FLAG_CONTENT_CHECKSUM != 0 {
            self.content_sum.update(out);
        }
        Ok(())
    }

    /// After the end mark: the content checksum, and nothing more.
    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        let sum_right = self.flags & FLAG_CONTENT_CHECKSUM == 0
            || take_u32(&mut self.input)? == self.content_sum.digest();
        let size_right = self.content_size.is_none_or(|size| size == self.content);
        if sum_right && size_right && self.input.is_empty() { Ok(()) } else { Err(CORRUPT) }
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Error> {
    let (&bytes, rest) = input.split_first_chunk().ok_or(CORRUPT)?;
    *input = rest;
    Ok(bytes)
}

fn take_u32(input: &mut &[u8]) -> Result<u32, Error> {
    take(input).map(u32::from_le_bytes)
}

/// As Java writes it: independent blocks of 64 KiB, no checksums but the header's.
pub(super) fn compress_into(input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    const FAILED: Error = Error::Failed(Compression::Lz4);
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut writer = FrameEncoder::with_frame_info(info, out);
    writer.write_all(input).map_err(|_| FAILED)?;
    writer.finish().map_err(|_| FAILED)?;
    Ok(())
}
