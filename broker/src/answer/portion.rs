//! A portion of an answer: elements, encoded one after the other. None of them is held but in this
//! form.
use super::AnswerId;
use bytes::Bytes;
use wire::{Encode, Error, Writer};

/// A portion is full with so many bytes, or when so many things were looked at for it. Both are
/// about what a core does in a fraction of a millisecond. The last element may go beyond: those
/// that can be long are written in pieces.
pub(crate) const PORTION_BYTES: usize = 32 << 10;
pub(crate) const PORTION_WORK: usize = 1024;

/// Where elements are written to.
#[derive(Debug)]
pub(crate) struct Portion {
    /// The answer it belongs to.
    pub(crate) id: AnswerId,
    version: i16,
    writer: Writer,
    count: usize,
    work: usize,
    /// The type of its elements.
    element: &'static str,
}

impl Portion {
    pub(super) fn new(id: AnswerId, version: i16) -> Self {
        Self {
            id,
            version,
            writer: Writer::with_buffer(Vec::with_capacity(256)),
            count: 0,
            work: 0,
            element: "",
        }
    }

    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// Whether the next element belongs into the next portion.
    pub(crate) fn is_full(&self) -> bool {
        self.writer.len() >= PORTION_BYTES || self.work >= PORTION_WORK
    }

    /// Things that were looked at and not written.
    pub(crate) fn looked_at(&mut self, things: usize) {
        self.work += things;
    }

    /// Writes an element of the answer's array.
    pub(crate) fn put<T: Encode>(&mut self, element: &T) -> Result<(), Error> {
        self.count += 1;
        self.element = std::any::type_name::<T>();
        self.put_inner(element)
    }

    /// Begins an element around `inner` elements of its own, in the first of its arrays that is
    /// empty. They follow by [`Self::put_inner`]; then what is returned, by [`Self::end`].
    pub(crate) fn begin<T: Encode>(&mut self, element: &T, inner: usize) -> Result<Vec<u8>, Error> {
        self.count += 1;
        self.element = std::any::type_name::<T>();
        self.begin_inner(element, inner)
    }

    /// As [`Self::begin`], for an element inside of another.
    pub(crate) fn begin_inner(
        &mut self,
        element: &impl Encode,
        inner: usize,
    ) -> Result<Vec<u8>, Error> {
        self.work += 1;
        self.writer.around(element, inner, self.version)
    }

    pub(crate) fn put_inner(&mut self, element: &impl Encode) -> Result<(), Error> {
        self.work += 1;
        element.encode(&mut self.writer, self.version)
    }

    pub(crate) fn end(&mut self, tail: &[u8]) {
        self.writer.raw(tail);
    }

    #[cfg(test)]
    pub(crate) fn alone(version: i16) -> Self {
        Self::new(0, version)
    }

    /// The message that the elements fill.
    #[cfg(test)]
    pub(crate) fn into_message<T: wire::Decode<'static>>(self, around: &impl Encode) -> T {
        let version = self.version;
        let Written { count, bytes, .. } = self.finish();
        let mut writer = Writer::new();
        let tail = writer.around(around, count, version).unwrap();
        writer.raw(&bytes);
        writer.raw(&tail);
        let bytes: &'static [u8] = writer.into_vec().leak();
        wire::decode(bytes, version).unwrap()
    }

    pub(super) fn finish(mut self) -> Written {
        let errors = self.writer.take_errors();
        let mut bytes = self.writer.into_vec();
        // A portion may wait for long.
        bytes.shrink_to_fit();
        Written { count: self.count, bytes: bytes.into(), errors, element: self.element }
    }
}

/// What was written to a portion.
#[derive(Debug)]
pub(super) struct Written {
    /// Elements of the answer's array.
    pub(super) count: usize,
    pub(super) bytes: Bytes,
    /// Error codes, and how often each is said.
    pub(super) errors: Vec<(i16, u32)>,
    /// Their type, if there are any.
    pub(super) element: &'static str,
}
