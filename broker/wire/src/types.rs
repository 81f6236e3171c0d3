//! Strings, bytes, records and ids as messages hold them.

use std::{borrow::Cow, fmt};

use bytes::Bytes;

/// A string: borrowed from the input when decoded, either way when encoded.
pub type Str<'a> = Cow<'a, str>;

/// A blob: borrowed from the input when decoded, either way when encoded.
pub type Blob<'a> = Cow<'a, [u8]>;

/// Record batches, one behind the other, in a message.
///
/// Decoding borrows them from the input. Encoding takes them over by reference: a [`Bytes`] goes
/// from here to the socket without being copied. Equality is that of the bytes, however they are
/// cut.
#[derive(Clone)]
pub enum Records<'a> {
    /// A part of the input (or of what the caller keeps alive); encoding copies it.
    Borrowed(&'a [u8]),
    /// Slices to be sent in this order; encoding does not copy them.
    Slices(Vec<Bytes>),
}

impl<'a> Records<'a> {
    /// No record batch at all (which is not the same as null).
    pub const EMPTY: Records<'static> = Records::Borrowed(&[]);

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.slices().map(<[u8]>::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.slices().all(<[u8]>::is_empty)
    }

    /// The pieces in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let (one, many) = match self {
            Records::Borrowed(bytes) => (Some(*bytes), &[][..]),
            Records::Slices(slices) => (None, slices.as_slice()),
        };
        one.into_iter().chain(many.iter().map(Bytes::as_ref))
    }

    /// All bytes in one piece; copies unless they are one piece of the input.
    pub fn contiguous(&self) -> Cow<'a, [u8]> {
        match self {
            Records::Borrowed(bytes) => Cow::Borrowed(bytes),
            Records::Slices(slices) => Cow::Owned(slices.concat()),
        }
    }
}

impl Default for Records<'_> {
    fn default() -> Self {
        Records::EMPTY
    }
}

impl<'a> From<&'a [u8]> for Records<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Records::Borrowed(bytes)
    }
}

impl From<Bytes> for Records<'_> {
    fn from(bytes: Bytes) -> Self {
        Records::Slices(vec![bytes])
    }
}

impl From<Vec<Bytes>> for Records<'_> {
    fn from(slices: Vec<Bytes>) -> Self {
        Records::Slices(slices)
    }
}

impl PartialEq for Records<'_> {
    fn eq(&self, other: &Records<'_>) -> bool {
        self.len() == other.len() && self.slices().flatten().eq(other.slices().flatten())
    }
}

impl fmt::Debug for Records<'_> {
    /// Their size only: records are data of users and long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes)", self.len())
    }
}

/// A 16-byte id: of topics, and also of directories and of incarnations.
pub type Uuid = record::TopicId;

/// A copy that borrows nothing, so that a request can outlive its buffer.
pub trait IntoOwned {
    type Owned: 'static;

    /// Copies what is borrowed and moves the rest.
    fn into_owned(self) -> Self::Owned;
}

/// [`IntoOwned::into_owned`] where a method of the same name is in the way.
pub(crate) fn own<T: IntoOwned>(value: T) -> T::Owned {
    value.into_owned()
}

impl<T: ToOwned + ?Sized + 'static> IntoOwned for Cow<'_, T> {
    type Owned = Cow<'static, T>;

    fn into_owned(self) -> Cow<'static, T> {
        Cow::Owned(self.into_owned())
    }
}

impl IntoOwned for Records<'_> {
    type Owned = Records<'static>;

    fn into_owned(self) -> Self::Owned {
        Records::Slices(match self {
            Records::Borrowed(bytes) => vec![Bytes::copy_from_slice(bytes)],
            Records::Slices(slices) => slices,
        })
    }
}

impl<T: IntoOwned> IntoOwned for Option<T> {
    type Owned = Option<T::Owned>;

    fn into_owned(self) -> Self::Owned {
        self.map(own)
    }
}

impl<T: IntoOwned> IntoOwned for Vec<T> {
    type Owned = Vec<T::Owned>;

    fn into_owned(self) -> Self::Owned {
        self.into_iter().map(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_equal_by_bytes() {
        let slices =
            Records::from(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"c")]);
        assert_eq!(slices, Records::Borrowed(b"abc"));
        assert_ne!(slices, Records::Borrowed(b"abd"));
        assert_eq!(slices.contiguous().as_ref(), b"abc");
        assert_eq!(own(Records::Borrowed(b"abc")), slices);
        assert!(Records::EMPTY.is_empty() && Records::from(Vec::new()).is_empty());
    }
}
