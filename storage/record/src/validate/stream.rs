//! Records out of a decompressor, walked and not kept.

use crate::compress::{self, Decompressor, Scratch};
use crate::record::{Body, RawRecord, body_size, read_body};
use crate::{Compression, RecordError, varint};

/// Bytes decompressed at a time.
const BUFFER: usize = 4096;

/// What can go wrong while records come out of a decompressor.
pub(super) enum Fault {
    Record(RecordError),
    Compress(compress::Error),
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<varint::Error> for Fault {
    fn from(error: varint::Error) -> Self {
        Self::Record(error.into())
    }
}

impl From<compress::Error> for Fault {
    fn from(error: compress::Error) -> Self {
        Self::Compress(error)
    }
}

/// Records out of a decompressor, through a fixed buffer, their fields skipped.
pub(super) struct Stream<'a> {
    source: Decompressor<'a>,
    buffer: [u8; BUFFER],
    position: usize,
    filled: usize,
    /// Length of the record being read, and what is left of it.
    length: i32,
    body: usize,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        codec: Compression,
        payload: &'a [u8],
        cap: usize,
        scratch: &'a mut Scratch,
    ) -> Result<Self, Fault> {
        Ok(Self {
            source: Decompressor::with_scratch(codec, payload, cap, scratch)?,
            buffer: [0; BUFFER],
            position: 0,
            filled: 0,
            length: 0,
            body: 0,
        })
    }

    pub(super) fn record(&mut self) -> Result<RawRecord<()>, Fault> {
        let length = varint::unzigzag_32(varint::decode_32(|| self.next())?);
        let size = body_size(length)?;
        if size > self.source.left() + (self.filled - self.position) {
            let cap = self.source.cap();
            return Err(compress::Error::TooLarge { cap }.into());
        }
        self.length = length;
        self.body = size;
        read_body(self, length)
    }

    /// Nothing may follow; reading on to the end also checks the codec's own checksums.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.position != self.filled || self.fill()? {
            return Err(RecordError::TrailingBytes.into());
        }
        Ok(())
    }

    /// False at the end of the data.
    fn fill(&mut self) -> Result<bool, Fault> {
        self.position = 0;
        self.filled = 0;
        self.filled = self.source.read(&mut self.buffer)?;
        Ok(self.filled != 0)
    }

    fn next(&mut self) -> Result<u8, Fault> {
        if self.position == self.filled && !self.fill()? {
            return Err(RecordError::Truncated.into());
        }
        let byte = self.buffer.get(self.position).copied();
        self.position += 1;
        byte.ok_or(Fault::Record(RecordError::Truncated))
    }

    fn in_body(&mut self, size: usize) -> Result<(), Fault> {
        self.body = self
            .body
            .checked_sub(size)
            .ok_or(RecordError::Length(self.length))?;
        Ok(())
    }
}

impl Body for Stream<'_> {
    type Field = ();
    type Error = Fault;

    fn byte(&mut self) -> Result<u8, Fault> {
        self.in_body(1)?;
        self.next()
    }

    fn field(&mut self, mut size: usize) -> Result<(), Fault> {
        self.in_body(size)?;
        loop {
            let step = size.min(self.filled - self.position);
            self.position += step;
            size -= step;
            if size == 0 {
                return Ok(());
            }
            if !self.fill()? {
                return Err(RecordError::Truncated.into());
            }
        }
    }

    fn remaining(&self) -> usize {
        self.body
    }

    fn rest(&self) {}
}
