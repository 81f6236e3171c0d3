//! The slices of a send or a write, in the form that the kernel reads, and how far it has come.
use bytes::Bytes;
use std::mem;

/// Slices that one call takes (IOV_MAX).
const WINDOW: usize = 1024;

/// Boxed: the kernel holds pointers to `header` and into `iov` until the completion.
pub(crate) struct Vectored {
    slices: Vec<Bytes>,
    iov: Vec<libc::iovec>,
    header: libc::msghdr,
    /// First slice that is not done.
    first: usize,
    pub(crate) done: usize,
    total: usize,
}

impl std::fmt::Debug for Vectored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vectored")
            .field("slices", &self.slices.len())
            .field("done", &self.done)
            .field("total", &self.total)
            .finish()
    }
}

impl Vectored {
    pub(crate) fn empty() -> Box<Self> {
        // SAFETY: null pointers and zero lengths are a valid message header.
        let header = unsafe { mem::zeroed() };
        Box::new(Self { slices: Vec::new(), iov: Vec::new(), header, first: 0, done: 0, total: 0 })
    }

    pub(crate) fn fill(&mut self, slices: Vec<Bytes>) {
        let iovec = |slice: &Bytes| libc::iovec {
            iov_base: slice.as_ptr().cast_mut().cast(),
            iov_len: slice.len(),
        };
        self.iov.extend(slices.iter().filter(|slice| !slice.is_empty()).map(iovec));
        self.total = slices.iter().map(Bytes::len).sum();
        self.slices = slices;
    }

    /// Drops the slices; the lists' memory is kept for the next use.
    pub(crate) fn clear(&mut self) {
        self.slices = Vec::new();
        self.iov.clear();
        (self.first, self.done, self.total) = (0, 0, 0);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done == self.total
    }

    /// What is left, at most as much as one call takes.
    pub(crate) fn window(&self) -> &[libc::iovec] {
        &self.iov[self.first..self.iov.len().min(self.first + WINDOW)]
    }

    /// A message header over the window; valid until the next call of a `&mut` method.
    pub(crate) fn header(&mut self) -> *const libc::msghdr {
        let count = self.window().len();
        self.header.msg_iov = self.iov[self.first..].as_mut_ptr();
        self.header.msg_iovlen = count;
        &raw const self.header
    }

    /// The kernel took `bytes` of the window.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.done += bytes;
        assert!(self.done <= self.total, "{} bytes done of {}", self.done, self.total);
        let mut left = bytes;
        while left > 0 {
            let iov = &mut self.iov[self.first];
            let step = left.min(iov.iov_len);
            // SAFETY: step <= iov_len, so the pointer stays within its slice or one past its end.
            iov.iov_base = unsafe { iov.iov_base.cast::<u8>().add(step).cast() };
            iov.iov_len -= step;
            left -= step;
            if iov.iov_len == 0 {
                self.first += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advances_across_slices_in_windows() {
        let mut v = Vectored::empty();
        v.fill((0..1500u32).map(|i| Bytes::from(vec![i as u8; (i % 5) as usize])).collect());
        let total: usize = (0..1500).map(|i| i % 5).sum();
        assert_eq!(v.window().len(), WINDOW);
        let (mut taken, mut step) = (0, 1);
        while !v.is_done() {
            let window: usize = v.window().iter().map(|iov| iov.iov_len).sum();
            let bytes = step.min(window);
            v.advance(bytes);
            taken += bytes;
            step = step * 2 % 97 + 1;
        }
        assert_eq!((taken, v.window().len()), (total, 0));
        v.clear();
        assert!(v.is_done());
    }
}
