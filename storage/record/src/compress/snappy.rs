//! Snappy as Kafka has it: blocks in the framing of xerial's snappy-java, or one raw block.
//!
//! ```text
//! 82 'S' 'N' 'A' 'P' 'P' 'Y' 00   version: i32   lowest reader: i32    big-endian
//! then per chunk: size: i32, one raw snappy block
//! ```
//! Written: chunks of 32 KiB, as `SnappyOutputStream` does. Read: both forms, as
//! `SnappyInputStream` does; some clients write the raw one. Not the "framing format" of Google's
//! `framing_format.txt`, which Kafka never used.

use super::{Block, Error};
use crate::Compression;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: i32 = 1;
const CHUNK: usize = 32 * 1024;
const CORRUPT: Error = Error::Corrupt(Compression::Snappy);

/// Most output that a byte of a raw block can stand for: a 3-byte copy makes 64. A block that
/// claims more is refused before memory is taken.
const RATIO_MAX: usize = 22;
const RATIO_SLACK: usize = 64;

pub(super) struct Reader<'a> {
    input: &'a [u8],
    raw: bool,
    pub(super) block: Block<'a>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], block: Block<'a>) -> Result<Self, Error> {
        let (raw, input) = match input.strip_prefix(&MAGIC) {
            None => (true, input),
            Some(mut rest) => {
                let _version = take_i32(&mut rest)?;
                // The lowest version that can read this; there has only ever been one.
                if take_i32(&mut rest)? > VERSION {
                    return Err(CORRUPT);
                }
                (false, rest)
            }
        };
        Ok(Self { input, raw, block })
    }

    /// What is out and was not read yet; empty at the end. `left` of `cap` bytes may come out
    /// still.
    pub(super) fn ready(&mut self, left: usize, cap: usize) -> Result<&mut Block<'a>, Error> {
        while self.block.rest().is_empty() && !self.input.is_empty() {
            self.next_block(left, cap)?;
        }
        Ok(&mut self.block)
    }

    fn next_block(&mut self, left: usize, cap: usize) -> Result<(), Error> {
        let packed = if self.raw {
            std::mem::take(&mut self.input)
        } else {
            let size = usize::try_from(take_i32(&mut self.input)?).map_err(|_| CORRUPT)?;
            let (packed, rest) = self.input.split_at_checked(size).ok_or(CORRUPT)?;
            self.input = rest;
            packed
        };
        let size = snap::raw::decompress_len(packed).map_err(|_| CORRUPT)?;
        if size > packed.len() * RATIO_MAX + RATIO_SLACK {
            return Err(CORRUPT);
        }
        if size > left {
            return Err(Error::TooLarge { cap });
        }
        self.block.fill_with(size, |place| {
            snap::raw::Decoder::new().decompress(packed, place).map_err(|_| CORRUPT)
        })
    }
}

fn take_i32(input: &mut &[u8]) -> Result<i32, Error> {
    let (&bytes, rest) = input.split_first_chunk().ok_or(CORRUPT)?;
    *input = rest;
    Ok(i32::from_be_bytes(bytes))
}

pub(super) fn compress_into(input: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    const FAILED: Error = Error::Failed(Compression::Snappy);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&VERSION.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    let mut packed = vec![0; snap::raw::max_compress_len(CHUNK.min(input.len()))];
    for chunk in input.chunks(CHUNK) {
        let size = encoder.compress(chunk, &mut packed).map_err(|_| FAILED)?;
        out.extend_from_slice(&i32::try_from(size).map_err(|_| FAILED)?.to_be_bytes());
        out.extend_from_slice(packed.get(..size).ok_or(FAILED)?);
    }
    Ok(())
}
