//! The ordered output of one connection: small pieces are copied together, large ones are passed by
//! reference.
use bytes::Bytes;
use std::{cell::Cell, collections::VecDeque, rc::Rc};

/// Slices below this are gathered by copy when several follow each other: an iovec costs more than
/// the copy.
const SMALL_BYTES: usize = 512;
/// Most that is gathered into one slice.
const GATHER_BYTES: usize = 64 << 10;
/// Slices of one send.
const SLICES_MAX: usize = 64;
/// A send is ended above this, so that progress becomes visible (and counts against the bound of
/// the queue).
const SEND_BYTES: usize = 1 << 20;

/// Output that no send is in flight for, and the count of all output.
#[derive(Debug, Default)]
pub(crate) struct Output {
    slices: VecDeque<Bytes>,
    /// Of `slices` and of the send in flight.
    bytes: usize,
    /// Of all outputs of the core.
    total: Rc<Cell<usize>>,
}

impl Drop for Output {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Output {
    /// One that is counted in `total`, too.
    pub(crate) fn new(total: Rc<Cell<usize>>) -> Self {
        Self { slices: VecDeque::new(), bytes: 0, total }
    }
    pub(crate) fn push(&mut self, slice: Bytes) {
        if !slice.is_empty() {
            self.bytes += slice.len();
            self.total.set(self.total.get() + slice.len());
            self.slices.push_back(slice);
        }
    }
    /// Bytes not yet taken by the kernel.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
    pub(crate) fn is_queue_empty(&self) -> bool {
        self.slices.is_empty()
    }
    /// The kernel took `bytes`.
    pub(crate) fn sent(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes, "{bytes} bytes sent of {}", self.bytes);
        self.bytes -= bytes;
        self.total.set(self.total.get() - bytes);
    }
    pub(crate) fn clear(&mut self) {
        self.slices = VecDeque::new();
        self.sent(self.bytes);
    }

    /// Takes the slices of the next send.
    pub(crate) fn next_send(&mut self) -> Vec<Bytes> {
        let mut send = Vec::with_capacity(self.slices.len().min(SLICES_MAX));
        let mut bytes = 0;
        while send.len() < SLICES_MAX && bytes < SEND_BYTES {
            let slice = match self.small_run() {
                Some((count, bytes)) => self.gather(count, bytes),
                None => match self.slices.pop_front() {
                    Some(slice) => slice,
                    None => break,
                },
            };
            bytes += slice.len();
            send.push(slice);
        }
        if self.slices.is_empty() {
            // A connection at rest keeps no queue memory that a burst has left.
            self.slices.shrink_to(16);
        }
        send
    }

    /// How many small slices are at the front (as far as they are gathered into one), and their
    /// bytes, if they are at least two.
    fn small_run(&self) -> Option<(usize, usize)> {
        let (mut count, mut bytes) = (0, 0);
        for slice in self.slices.iter().take_while(|slice| slice.len() < SMALL_BYTES) {
            if bytes + slice.len() > GATHER_BYTES {
                break;
            }
            count += 1;
            bytes += slice.len();
        }
        (count >= 2).then_some((count, bytes))
    }

    fn gather(&mut self, count: usize, bytes: usize) -> Bytes {
        let mut gathered = Vec::with_capacity(bytes);
        self.slices.drain(..count).for_each(|slice| gathered.extend_from_slice(&slice));
        Bytes::from(gathered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_slices_are_gathered_and_large_ones_are_not_copied() {
        let mut output = Output::default();
        let large = Bytes::from(vec![7; 600]);
        for slice in [&b"ab"[..], b"", b"cd"] {
            output.push(Bytes::copy_from_slice(slice));
        }
        output.push(large.clone());
        output.push(Bytes::from_static(b"e"));
        let send = output.next_send();
        assert_eq!(send, [Bytes::from_static(b"abcd"), large.clone(), Bytes::from_static(b"e")]);
        assert_eq!(send[1].as_ptr(), large.as_ptr());
        assert_eq!(output.bytes(), 605);
        output.sent(605);
        assert!(output.is_queue_empty() && output.bytes() == 0 && output.next_send().is_empty());
    }

    #[test]
    fn all_outputs_are_counted_together() {
        let total = Rc::new(Cell::new(0));
        let mut outputs = [(); 3].map(|()| Output::new(total.clone()));
        for (output, bytes) in outputs.iter_mut().zip([100, 20, 3]) {
            output.push(Bytes::from(vec![1; bytes]));
        }
        assert_eq!(total.get(), 123);
        outputs[0].next_send();
        outputs[0].sent(40);
        assert_eq!(total.get(), 83);
        outputs[1].clear();
        assert_eq!((total.get(), outputs[1].bytes()), (63, 0));
        drop(outputs);
        assert_eq!(total.get(), 0);
    }

    #[test]
    fn a_send_is_bounded() {
        let mut output = Output::default();
        for _ in 0..100 {
            output.push(Bytes::from(vec![1; 600]));
        }
        assert_eq!(output.next_send().len(), SLICES_MAX);
        assert_eq!(output.next_send().len(), 36);
        for _ in 0..3 {
            output.push(Bytes::from(vec![1; 700 << 10]));
        }
        assert_eq!((output.next_send().len(), output.next_send().len()), (2, 1));
    }
}
