//! Records inside a batch, uncompressed: borrowed, checked strictly.
//!
//! ```text
//! length: varint          bytes after this field
//! attributes: i8          unused
//! timestamp_delta: varlong, offset_delta: varint
//! key_length: varint (-1 = null), key
//! value_length: varint (-1 = null), value
//! header_count: varint, then per header: key_length: varint, key, value_length: varint, value
//! ```
//! Source: Kafka's `DefaultRecord`. Stricter than it in one place: a length below -1 is an error,
//! where Kafka reads null. Header keys are text by convention only; Kafka stores any bytes, and so
//! do we.

use crate::{BatchHeader, Offset, RecordError, Timestamp, TimestampType, varint};

/// The least that a record takes after its length: six fields of one byte.
const BODY_MIN: usize = 6;

/// One record, borrowed from its batch's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Unused by the format; kept for rewriting.
    pub attributes: i8,
    /// Timestamp minus the batch's base timestamp, ms.
    pub timestamp_delta: i64,
    /// Offset minus the batch's base offset.
    pub offset_delta: i32,
    /// `None` is Kafka's null, which is not the empty key.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// In order; keys may repeat.
    pub headers: Headers<'a>,
}

impl Record<'_> {
    /// The record's offset (held at the largest value on overflow).
    #[must_use]
    pub const fn offset(&self, batch: &BatchHeader) -> Offset {
        batch.base_offset.saturating_add(self.offset_delta as i64)
    }

    /// The record's time: the batch's if the broker stamped it, else its own.
    #[must_use]
    pub const fn timestamp(&self, batch: &BatchHeader) -> Timestamp {
        match batch.attributes.timestamp_type() {
            TimestampType::CreateTime => batch.base_timestamp.saturating_add(self.timestamp_delta),
            TimestampType::LogAppendTime => batch.max_timestamp,
        }
    }
}

/// A header: a key, which may repeat within a record, and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// UTF-8 by convention.
    pub key: &'a [u8],
    /// `None` is null.
    pub value: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// With a text key.
    #[must_use]
    pub const fn new(key: &'a str, value: Option<&'a [u8]>) -> Self {
        Self { key: key.as_bytes(), value }
    }

    /// The key as text; `None` if it is not UTF-8.
    #[must_use]
    pub const fn key_text(&self) -> Option<&'a str> {
        match str::from_utf8(self.key) {
            Ok(text) => Some(text),
            Err(_) => None,
        }
    }
}

/// The headers of one record; iterating cannot fail, the record's framing was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl<'a> Headers<'a> {
    /// Their bytes as in the record, without the count: for copying them into another.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// True for a record without headers.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut SliceBody(&mut self.bytes)).ok().map(|(key, value)| Header { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        (count, Some(count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of one batch, from its uncompressed bytes.
///
/// Yields at most the promised count; an error ends it. After the last record, bytes left over are
/// an error too.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    left: i32,
}

impl<'a> Records<'a> {
    /// Over `bytes`, the uncompressed records of the batch with `header`.
    #[must_use]
    pub fn new(bytes: &'a [u8], header: &BatchHeader) -> Self {
        Self::with_count(bytes, header.records_count)
    }

    /// Over `bytes`, which must hold exactly `count` records; a negative count is none.
    #[must_use]
    pub fn with_count(bytes: &'a [u8], count: i32) -> Self {
        Self { bytes, left: count.max(0) }
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.bytes.is_empty() {
                return None;
            }
            self.bytes = &[];
            return Some(Err(RecordError::TrailingBytes));
        }
        self.left -= 1;
        let record = take_record(&mut self.bytes);
        if record.is_err() {
            self.left = 0;
            self.bytes = &[];
        }
        Some(record)
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// Reads one record from the front of `bytes` and moves it past.
///
/// # Errors
/// [`RecordError`]; `bytes` is then unspecified.
#[inline(always)]
pub fn take_record<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, RecordError> {
    let length = varint::take_varint(bytes)?;
    let size = body_size(length)?;
    let (mut body, rest) = bytes.split_at_checked(size).ok_or(RecordError::Truncated)?;
    *bytes = rest;
    let mut source = SliceBody(&mut body);
    // Inside the body, running out of bytes means that the length was wrong.
    let record = read_body(&mut source, length).map_err(|error| match error {
        RecordError::Truncated => RecordError::Length(length),
        other => other,
    })?;
    Ok(Record {
        attributes: record.attributes,
        timestamp_delta: record.timestamp_delta,
        offset_delta: record.offset_delta,
        key: record.key,
        value: record.value,
        headers: Headers { bytes: record.headers, count: record.header_count },
    })
}

pub(crate) fn body_size(length: i32) -> Result<usize, RecordError> {
    match usize::try_from(length) {
        Ok(size) if size >= BODY_MIN => Ok(size),
        _ => Err(RecordError::Length(length)),
    }
}

/// Where a record's body is read from: a slice, or a decompressor that keeps nothing. One reader
/// for both, so that both judge alike.
pub(crate) trait Body {
    /// What a key or value becomes.
    type Field: Copy;
    /// What can go wrong.
    type Error: From<RecordError> + From<varint::Error>;

    /// The next byte.
    fn byte(&mut self) -> Result<u8, Self::Error>;
    /// The next `size` bytes.
    fn field(&mut self, size: usize) -> Result<Self::Field, Self::Error>;
    /// Bytes left in the body.
    fn remaining(&self) -> usize;
    /// All that is left, without moving past.
    fn rest(&self) -> Self::Field;
}

/// A record with its fields as `F`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<F> {
    attributes: i8,
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<F>,
    value: Option<F>,
    header_count: u32,
    headers: F,
}

/// A header's key and value as `F`.
type RawHeader<F> = (F, Option<F>);

/// Reads a record after its length; the body must end with its last header.
#[inline(always)]
pub(crate) fn read_body<B: Body>(
    body: &mut B,
    length: i32,
) -> Result<RawRecord<B::Field>, B::Error> {
    let attributes = body.byte()?.cast_signed();
    let timestamp_delta = varint::unzigzag_64(varint::decode_64(|| body.byte())?);
    let offset_delta = read_varint(body)?;
    let key = read_nullable(body)?;
    let value = read_nullable(body)?;
    let count = read_varint(body)?;
    let headers = body.rest();
    let header_count =
        u32::try_from(count).map_err(|_| B::Error::from(RecordError::HeaderCount(count)))?;
    // A header takes at least two bytes.
    if usize::try_from(header_count).is_ok_and(|n| n > body.remaining() / 2) {
        return Err(RecordError::HeaderCount(count).into());
    }
    for _ in 0..header_count {
        read_header(body)?;
    }
    if body.remaining() != 0 {
        return Err(RecordError::Length(length).into());
    }
    Ok(RawRecord { attributes, timestamp_delta, offset_delta, key, value, header_count, headers })
}

#[inline]
fn read_header<B: Body>(body: &mut B) -> Result<RawHeader<B::Field>, B::Error> {
    let key = match read_varint(body)? {
        length @ ..0 => return Err(RecordError::HeaderKeyLength(length).into()),
        length => read_field(body, length)?,
    };
    Ok((key, read_nullable(body)?))
}

#[inline]
fn read_nullable<B: Body>(body: &mut B) -> Result<Option<B::Field>, B::Error> {
    match read_varint(body)? {
        -1 => Ok(None),
        length @ ..-1 => Err(RecordError::FieldLength(length).into()),
        length => read_field(body, length).map(Some),
    }
}

#[inline]
fn read_field<B: Body>(body: &mut B, length: i32) -> Result<B::Field, B::Error> {
    let size = usize::try_from(length).map_err(|_| RecordError::FieldLength(length))?;
    body.field(size)
}

#[inline]
fn read_varint<B: Body>(body: &mut B) -> Result<i32, B::Error> {
    varint::decode_32(|| body.byte()).map(varint::unzigzag_32)
}

struct SliceBody<'s, 'a>(&'s mut &'a [u8]);

impl<'a> Body for SliceBody<'_, 'a> {
    type Field = &'a [u8];
    type Error = RecordError;

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordError> {
        Ok(varint::next_byte(self.0)?)
    }

    #[inline]
    fn field(&mut self, size: usize) -> Result<&'a [u8], RecordError> {
        let (field, rest) = self.0.split_at_checked(size).ok_or(RecordError::Truncated)?;
        *self.0 = rest;
        Ok(field)
    }

    #[inline]
    fn remaining(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.0
    }
}
