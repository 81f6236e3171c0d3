//! Large receive buffers that no connection has now: a core's producers come and go many times a
//! second, and memory that is given back and taken again costs a page fault every 4 KiB.
use std::cell::RefCell;

/// Size of a large receive buffer, if the next frame does not need more: several frames arrive per
/// receive.
pub(crate) const LARGE_BUFFER_BYTES: usize = 256 << 10;
/// Most that are kept: 8 MiB.
const KEPT_MAX: usize = 32;

/// The spare buffers of a core. What is in them is of former connections: only what is received
/// over it is ever shown.
#[derive(Debug, Default)]
pub(crate) struct Spare(RefCell<Vec<Vec<u8>>>);

impl Spare {
    /// A buffer of `bytes`, all of it initialized.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        let kept = (bytes == LARGE_BUFFER_BYTES).then(|| self.0.borrow_mut().pop()).flatten();
        // A fresh zeroed allocation costs nothing until it is touched.
        kept.unwrap_or_else(|| vec![0; bytes])
    }

    /// Memory kept.
    pub(crate) fn bytes(&self) -> usize {
        self.0.borrow().len() * LARGE_BUFFER_BYTES
    }

    pub(crate) fn give(&self, buf: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if buf.len() == LARGE_BUFFER_BYTES && kept.len() < KEPT_MAX {
            kept.push(buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_buffers_of_the_size_are_kept_and_not_without_end() {
        let spare = Spare::default();
        let buf = spare.take(LARGE_BUFFER_BYTES);
        let at = buf.as_ptr();
        spare.give(buf);
        spare.give(vec![0; LARGE_BUFFER_BYTES / 2]);
        assert_eq!(spare.take(LARGE_BUFFER_BYTES / 2).len(), LARGE_BUFFER_BYTES / 2);
        let again = spare.take(LARGE_BUFFER_BYTES);
        assert_eq!(again.as_ptr(), at);
        (0..100).for_each(|_| spare.give(vec![0; LARGE_BUFFER_BYTES]));
        assert_eq!(spare.0.borrow().len(), KEPT_MAX);
    }
}
