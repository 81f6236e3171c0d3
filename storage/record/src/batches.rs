//! Batches back to back, as in a segment, a WAL entry or a Fetch response.

use crate::{BatchView, Error};

/// Yields the whole batches at the front of a slice, then says how the slice ended.
///
/// CRCs are not looked at. A consumer of a Fetch response expects a [`Tail::Truncated`]; recovery
/// does not.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    tail: Tail,
}

/// How the bytes end after the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Not known yet: there are batches left.
    More,
    /// Right after a batch.
    Clean,
    /// Inside a batch.
    Truncated {
        /// Bytes the batch (or, not even known yet, its header) takes.
        need: usize,
        /// Bytes of it there.
        have: usize,
    },
    /// What follows is no batch.
    Damaged(Error),
}

impl<'a> Batches<'a> {
    /// Over all of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, tail: Tail::More }
    }

    /// Bytes of the batches yielded so far.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// How the bytes end; [`Tail::More`] until the iteration has.
    #[must_use]
    pub const fn tail(&self) -> Tail {
        self.tail
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = BatchView<'a>;

    fn next(&mut self) -> Option<BatchView<'a>> {
        if self.tail != Tail::More {
            return None;
        }
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        if rest.is_empty() {
            self.tail = Tail::Clean;
            return None;
        }
        match BatchView::parse(rest) {
            Ok(batch) => {
                self.position += batch.bytes().len();
                Some(batch)
            }
            Err(Error::Truncated { need, have }) => {
                self.tail = Tail::Truncated { need, have };
                None
            }
            Err(error) => {
                self.tail = Tail::Damaged(error);
                None
            }
        }
    }
}

impl std::iter::FusedIterator for Batches<'_> {}
