//! Records out of a decompressor, walked and not kept.

use crate::compress::{self, Decompressor, Scratch};
use crate::record::{Body, body_size, read_body, take_record};
use crate::{Compression, RecordError, varint};

/// Bytes decompressed at a time where one record is enough.
const FIRST: usize = 4096;

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

/// What is looked at of a record.
pub(super) struct Seen {
    pub(super) offset_delta: i32,
    pub(super) timestamp_delta: i64,
    pub(super) has_key: bool,
}

/// Records out of a decompressor, piece by piece, their fields skipped.
///
/// A record that lies in one piece is read there, as an uncompressed one is; only those across the
/// edge of two pieces are read byte by byte.
pub(super) struct Stream<'a> {
    source: Decompressor<'a>,
    window: &'a mut [u8],
    /// The piece that is out: how much of it was read, and its size.
    position: usize,
    filled: usize,
    /// Length of the record being read, and what is left of it.
    length: i32,
    body: usize,
}

impl<'a> Stream<'a> {
    /// `all` of the records will be read, or else only what the first may take.
    pub(super) fn new(
        codec: Compression,
        payload: &'a [u8],
        cap: usize,
        all: bool,
        scratch: &'a mut Scratch,
    ) -> Result<Self, Fault> {
        let (source, mut window) = Decompressor::with_window(codec, payload, cap, scratch)?;
        if !all {
            window = window.split_at_mut(window.len().min(FIRST)).0;
        }
        Ok(Self { source, window, position: 0, filled: 0, length: 0, body: 0 })
    }

    #[inline]
    pub(super) fn record(&mut self) -> Result<Seen, Fault> {
        if self.position == self.filled && !self.fill()? {
            return Err(RecordError::Truncated.into());
        }
        let rest = self.rest_of_piece();
        let mut at = rest;
        match take_record(&mut at) {
            Ok(record) => {
                let seen = Seen {
                    offset_delta: record.offset_delta,
                    timestamp_delta: record.timestamp_delta,
                    has_key: record.key.is_some(),
                };
                self.position += rest.len() - at.len();
                Ok(seen)
            }
            // The piece ends inside of it.
            Err(RecordError::Truncated) => self.record_across(),
            Err(error) => Err(error.into()),
        }
    }

    #[cold]
    fn record_across(&mut self) -> Result<Seen, Fault> {
        let length = varint::unzigzag_32(varint::decode_32(|| self.next())?);
        self.length = length;
        self.body = body_size(length)?;
        let record = read_body(self, length)?;
        Ok(Seen {
            offset_delta: record.offset_delta,
            timestamp_delta: record.timestamp_delta,
            has_key: record.key.is_some(),
        })
    }

    /// Nothing may follow; reading on to the end also checks the codec's own checksums.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if self.position != self.filled || self.fill()? {
            return Err(RecordError::TrailingBytes.into());
        }
        Ok(())
    }

    fn rest_of_piece(&self) -> &[u8] {
        let piece = self.source.pulled(self.window, self.filled);
        piece.get(self.position..).unwrap_or_default()
    }

    /// False at the end of the data.
    fn fill(&mut self) -> Result<bool, Fault> {
        self.position = 0;
        self.filled = 0;
        self.filled = self.source.pull(self.window)?;
        Ok(self.filled != 0)
    }

    fn next(&mut self) -> Result<u8, Fault> {
        if self.position == self.filled && !self.fill()? {
            return Err(RecordError::Truncated.into());
        }
        let byte = self.rest_of_piece().first().copied();
        self.position += 1;
        byte.ok_or(Fault::Record(RecordError::Truncated))
    }

    fn in_body(&mut self, size: usize) -> Result<(), Fault> {
        self.body = self.body.checked_sub(size).ok_or(RecordError::Length(self.length))?;
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
