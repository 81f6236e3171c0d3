//! A block that a codec makes as a whole, and that is read in pieces or looked at in place.

use super::Error;

/// The block last made, in a buffer that may be lent for the time.
///
/// The buffer only grows, so a block of the usual size is written over the last one without being
/// filled with zeros first.
pub(super) struct Block<'a> {
    buffer: Buffer<'a>,
    read: usize,
    end: usize,
}

enum Buffer<'a> {
    Own(Vec<u8>),
    Lent(&'a mut Vec<u8>),
}

impl<'a> Block<'a> {
    pub(super) const fn own() -> Self {
        Self::of(Buffer::Own(Vec::new()))
    }

    pub(super) const fn lent(buffer: &'a mut Vec<u8>) -> Self {
        Self::of(Buffer::Lent(buffer))
    }

    const fn of(buffer: Buffer<'a>) -> Self {
        Self { buffer, read: 0, end: 0 }
    }

    /// What was made and not read yet.
    pub(super) fn rest(&self) -> &[u8] {
        let buffer = match &self.buffer {
            Buffer::Own(buffer) => buffer,
            Buffer::Lent(buffer) => &**buffer,
        };
        buffer.get(self.read..self.end).unwrap_or_default()
    }

    /// Counts all of it as read.
    pub(super) const fn pass(&mut self) {
        self.read = self.end;
    }

    /// Copies what fits of the rest to the front of `out`; how much.
    pub(super) fn take(&mut self, out: &mut [u8]) -> usize {
        let rest = self.rest();
        let size = rest.len().min(out.len());
        if let (Some(from), Some(to)) = (rest.get(..size), out.get_mut(..size)) {
            to.copy_from_slice(from);
        }
        self.read += size;
        size
    }

    /// A new block, which `make` writes into `room` bytes; it says how many it has used.
    pub(super) fn fill_with(
        &mut self,
        room: usize,
        make: impl FnOnce(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<(), Error> {
        (self.read, self.end) = (0, 0);
        let buffer = match &mut self.buffer {
            Buffer::Own(buffer) => buffer,
            Buffer::Lent(buffer) => &mut **buffer,
        };
        if buffer.len() < room {
            buffer.clear();
            buffer.reserve_exact(room);
            buffer.resize(room, 0);
        }
        self.end = make(buffer.get_mut(..room).unwrap_or_default())?;
        Ok(())
    }
}
