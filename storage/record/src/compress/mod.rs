//! The codecs of record batches, with a cap on everything that comes out.
//!
//! Decompression is a pull: [`Decompressor`] gives bytes until the data ends or the caller's cap is
//! passed, so a bomb costs what was asked for and no more. Memory taken is at most the cap for the
//! output and again at most the cap for one block of snappy or lz4, besides the codec's own state:
//! about 50 KiB for gzip, 200 KiB and a window for zstd (see [`zstd_window_log_max`]).
//!
//! What Java's codecs write and read is the measure. No dictionaries; no legacy lz4 or zstd.

mod block;
mod lz4;
mod snappy;

use std::borrow::Cow;
use std::io::{Read, Write};

use crate::{BatchView, Compression};
use block::Block;

/// Why bytes could not be compressed or decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not this codec's format, damaged, cut short, or (zstd) made with a window above the limit.
    #[error("{} data is damaged or not in the form Kafka reads", .0.name())]
    Corrupt(Compression),
    /// More output than the cap.
    #[error("more than {cap} bytes when decompressed")]
    TooLarge {
        /// Bytes allowed.
        cap: usize,
    },
    /// A level that the codec does not have.
    #[error("{} has no level {level}", .codec.name())]
    Level {
        /// The codec.
        codec: Compression,
        /// The level asked for.
        level: i32,
    },
    /// The codec failed on good input.
    #[error("{} failed to compress", .0.name())]
    Failed(Compression),
}

/// State of codecs that is dear to make and can serve again: one per core.
///
/// Making zstd's costs 8 us, more than opening a small batch. Once used it keeps up to 200 KiB and
/// the largest window lately seen; the buffers beside it keep [`WINDOW`] and [`BLOCK_KEPT`].
#[derive(Default)]
pub struct Scratch {
    zstd: Option<zstd::zstd_safe::DCtx<'static>>,
    /// Snappy's and lz4's last block.
    block: Vec<u8>,
    /// What gzip and zstd decompress into, piece by piece.
    window: Vec<u8>,
}

/// Bytes that gzip and zstd decompress at a time: a block of zstd's.
const WINDOW: usize = 128 << 10;
/// Largest block that is kept from batch to batch: what lz4 clients use at most by default, with
/// room. A raw snappy block can be as large as its batch.
const BLOCK_KEPT: usize = 1 << 20;

impl Scratch {
    /// With nothing made yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { zstd: None, block: Vec::new(), window: Vec::new() }
    }

    /// Gives back what one large batch took; others need not wait for it to be taken again.
    pub(crate) fn trim(&mut self) {
        if self.block.capacity() > BLOCK_KEPT {
            self.block = Vec::new();
        }
    }
}

fn kept<'s>(
    context: &'s mut Option<zstd::zstd_safe::DCtx<'static>>,
) -> Result<&'s mut zstd::zstd_safe::DCtx<'static>, Error> {
    let fresh = match context.take() {
        Some(context) => context,
        None => zstd::zstd_safe::DCtx::try_create().ok_or(Error::Failed(Compression::Zstd))?,
    };
    Ok(context.insert(fresh))
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch")
            .field("zstd", &self.zstd.is_some())
            .field("block", &self.block.capacity())
            .field("window", &self.window.capacity())
            .finish()
    }
}

/// Decompresses `input` step by step, never giving more than a cap.
pub struct Decompressor<'a> {
    codec: Codec<'a>,
    cap: usize,
    left: usize,
}

enum Codec<'a> {
    None(&'a [u8]),
    Gzip(Box<flate2::bufread::MultiGzDecoder<&'a [u8]>>),
    Snappy(snappy::Reader<'a>),
    Lz4(Box<lz4::Reader<'a>>),
    Zstd(Box<zstd::stream::read::Decoder<'a, &'a [u8]>>),
}

impl std::fmt::Debug for Decompressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressor")
            .field("codec", &self.compression())
            .field("cap", &self.cap)
            .field("left", &self.left)
            .finish()
    }
}

impl<'a> Decompressor<'a> {
    /// Over all of `input`; at most `cap` bytes come out.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the frame's header is wrong; gzip's and zstd's are seen at the
    /// first read.
    pub fn new(codec: Compression, input: &'a [u8], cap: usize) -> Result<Self, Error> {
        Self::make(codec, input, cap, Block::own(), || {
            zstd::stream::read::Decoder::with_buffer(input).map_err(|_| Error::Failed(codec))
        })
    }

    /// As [`new`](Self::new), with state of the caller's.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_scratch(
        codec: Compression,
        input: &'a [u8],
        cap: usize,
        scratch: &'a mut Scratch,
    ) -> Result<Self, Error> {
        Self::with_window(codec, input, cap, scratch).map(|(source, _)| source)
    }

    /// As [`with_scratch`](Self::with_scratch), and a window for [`pull`](Self::pull).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn with_window(
        codec: Compression,
        input: &'a [u8],
        cap: usize,
        scratch: &'a mut Scratch,
    ) -> Result<(Self, &'a mut [u8]), Error> {
        let Scratch { zstd, block, window } = scratch;
        if matches!(codec, Compression::Gzip | Compression::Zstd) {
            window.resize(WINDOW, 0);
        }
        let source = Self::make(codec, input, cap, Block::lent(block), move || {
            let context = kept(zstd)?;
            Ok(zstd::stream::read::Decoder::with_context(input, context))
        })?;
        Ok((source, window))
    }

    fn make(
        codec: Compression,
        input: &'a [u8],
        cap: usize,
        block: Block<'a>,
        zstd: impl FnOnce() -> Result<zstd::stream::read::Decoder<'a, &'a [u8]>, Error>,
    ) -> Result<Self, Error> {
        let codec = match codec {
            Compression::None => Codec::None(input),
            Compression::Gzip => Codec::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(input))),
            Compression::Snappy => Codec::Snappy(snappy::Reader::new(input, block)?),
            Compression::Lz4 => Codec::Lz4(Box::new(lz4::Reader::new(input, block)?)),
            Compression::Zstd => {
                let mut decoder = zstd()?;
                decoder
                    .window_log_max(zstd_window_log_max(cap))
                    .map_err(|_| Error::Failed(codec))?;
                Codec::Zstd(Box::new(decoder))
            }
        };
        Ok(Self { codec, cap, left: cap })
    }

    /// Its codec.
    #[must_use]
    pub const fn compression(&self) -> Compression {
        match self.codec {
            Codec::None(_) => Compression::None,
            Codec::Gzip(_) => Compression::Gzip,
            Codec::Snappy(_) => Compression::Snappy,
            Codec::Lz4(_) => Compression::Lz4,
            Codec::Zstd(_) => Compression::Zstd,
        }
    }

    /// Bytes that may still come out.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.left
    }

    /// The most that may come out in all.
    #[must_use]
    pub const fn cap(&self) -> usize {
        self.cap
    }

    /// Fills the front of `out` and says how much; 0 is the end (or an empty `out`).
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::TooLarge`] as soon as one byte more than the cap exists.
    /// Nothing of `out` is to be used then, and the reader is not to be read again.
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        // One byte more than allowed is how "too large" is told from "just fits".
        let room = out.len().min(self.left.saturating_add(1));
        let out = out.get_mut(..room).unwrap_or_default();
        let damaged = Error::Corrupt(self.compression());
        let read = match &mut self.codec {
            Codec::None(input) => input.read(out).map_err(|_| damaged)?,
            Codec::Gzip(reader) => reader.read(out).map_err(|_| damaged)?,
            Codec::Zstd(reader) => reader.read(out).map_err(|_| damaged)?,
            Codec::Snappy(reader) => reader.ready(self.left, self.cap)?.take(out),
            Codec::Lz4(reader) => reader.ready(self.left, self.cap)?.take(out),
        };
        self.count(read)
    }

    /// The next piece, into `window` or where the codec has it, to be seen through
    /// [`pulled`](Self::pulled); how much, and 0 is the end. Nothing is copied for codecs that
    /// decompress whole blocks. Not to be mixed with [`read`](Self::read).
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn pull(&mut self, window: &mut [u8]) -> Result<usize, Error> {
        let (left, cap) = (self.left, self.cap);
        let piece = match &mut self.codec {
            Codec::Snappy(reader) => {
                reader.block.pass();
                reader.ready(left, cap)?.rest().len()
            }
            Codec::Lz4(reader) => {
                reader.block.pass();
                reader.ready(left, cap)?.rest().len()
            }
            Codec::None(_) | Codec::Gzip(_) | Codec::Zstd(_) => return self.read(window),
        };
        self.count(piece)
    }

    /// What [`pull`](Self::pull) has brought last, of `size` bytes.
    pub(crate) fn pulled<'s>(&'s self, window: &'s [u8], size: usize) -> &'s [u8] {
        match &self.codec {
            Codec::Snappy(reader) => reader.block.rest(),
            Codec::Lz4(reader) => reader.block.rest(),
            Codec::None(_) | Codec::Gzip(_) | Codec::Zstd(_) => {
                window.get(..size).unwrap_or_default()
            }
        }
    }

    fn count(&mut self, out: usize) -> Result<usize, Error> {
        self.left = self.left.checked_sub(out).ok_or(Error::TooLarge { cap: self.cap })?;
        Ok(out)
    }
}

/// Largest zstd window, as a power of two, that is opened under `cap`.
///
/// A stream of unknown length names the window of its level, however little it holds: 8 MiB up to
/// level 19, so that is always allowed (RFC 8878 asks for it too). Beyond, a window larger than all
/// that may come out has no use; levels 20 to 22 so need a cap of 32 to 128 MiB. Java reads up to
/// 128 MiB. The memory is reserved by the decoder and touched only as output is made.
#[must_use]
pub fn zstd_window_log_max(cap: usize) -> u32 {
    cap.max(1).checked_next_power_of_two().map_or(usize::BITS, usize::trailing_zeros).clamp(23, 27)
}

/// All of `input`, decompressed.
///
/// # Errors
/// [`Error::Corrupt`]; [`Error::TooLarge`] for more than `cap` bytes.
pub fn decompress(codec: Compression, input: &[u8], cap: usize) -> Result<Vec<u8>, Error> {
    const FIRST: usize = 4096;
    let mut reader = Decompressor::new(codec, input, cap)?;
    let mut out = Vec::new();
    let mut filled = 0;
    loop {
        if filled == out.len() {
            if filled == cap {
                // Full: an end, or one byte too many.
                reader.read(&mut [0])?;
                break;
            }
            let size =
                filled.saturating_mul(2).max(input.len().saturating_mul(2)).max(FIRST).min(cap);
            out.reserve_exact(size - filled);
            out.resize(size, 0);
        }
        match reader.read(out.get_mut(filled..).unwrap_or_default())? {
            0 => break,
            read => filled += read,
        }
    }
    out.truncate(filled);
    Ok(out)
}

/// `input`, compressed; `level` is of the codec's own scale, `None` its default.
///
/// # Errors
/// [`Error::Level`], [`Error::Failed`].
pub fn compress(codec: Compression, level: Option<i32>, input: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    compress_into(codec, level, input, &mut out)?;
    Ok(out)
}

/// Appends `input`, compressed, to `out`: gzip 1..=9, zstd up to 22 (negative levels are faster),
/// the others ignore the level.
///
/// # Errors
/// [`Error::Level`], [`Error::Failed`]; `out` may then have part of it.
pub fn compress_into(
    codec: Compression,
    level: Option<i32>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let failed = Error::Failed(codec);
    match codec {
        Compression::None => out.extend_from_slice(input),
        Compression::Gzip => {
            let level = match level {
                None => flate2::Compression::default(),
                Some(level) => match u32::try_from(level) {
                    Ok(n @ 1..=9) => flate2::Compression::new(n),
                    _ => return Err(Error::Level { codec, level }),
                },
            };
            let mut writer = flate2::write::GzEncoder::new(out, level);
            writer.write_all(input).map_err(|_| failed)?;
            writer.finish().map_err(|_| failed)?;
        }
        Compression::Snappy => snappy::compress_into(input, out)?,
        Compression::Lz4 => lz4::compress_into(input, out)?,
        Compression::Zstd => {
            let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
            if !zstd::compression_level_range().contains(&level) {
                return Err(Error::Level { codec, level });
            }
            // In one piece, so that the frame tells its size and readers take no more than that.
            let packed = zstd::bulk::compress(input, level).map_err(|_| failed)?;
            out.extend_from_slice(&packed);
        }
    }
    Ok(())
}

impl<'a> BatchView<'a> {
    /// The records' bytes, decompressed; borrowed if the batch is not compressed. Give them to
    /// [`Records::new`](crate::Records::new).
    ///
    /// # Errors
    /// [`Error::TooLarge`] for more than `cap` bytes, also where nothing was compressed;
    /// [`Error::Corrupt`]; [`crate::Error::Codec`] for an unknown codec.
    pub fn decompressed(&self, cap: usize) -> Result<Cow<'a, [u8]>, OpenError> {
        match self.attributes.compression()? {
            Compression::None if self.payload().len() <= cap => Ok(Cow::Borrowed(self.payload())),
            Compression::None => Err(Error::TooLarge { cap }.into()),
            codec => Ok(Cow::Owned(decompress(codec, self.payload(), cap)?)),
        }
    }
}

/// Why a batch's records could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No such codec.
    #[error(transparent)]
    Batch(#[from] crate::Error),
    /// The codec's data.
    #[error(transparent)]
    Compress(#[from] Error),
}
