//! The unconsumed input of a connection.
//!
//! ```text
//! in a provided buffer, untouched:   first = Some(..), nothing in buf
//! in memory of its own:              buf  | consumed | start .. end | room |
//! ```
//! All of `buf` is initialized memory: the kernel writes into `buf[end..]`, and no uninitialized
//! byte is ever visible.
use super::spare::{LARGE_BUFFER_BYTES, Spare};
use crate::buffer::Provided;

/// Receive buffers grow at least to this.
const OWN_BYTES_MIN: usize = 1 << 10;
/// What is larger gets a large buffer at once, instead of growing to it.
const GROW_BYTES_MAX: usize = 32 << 10;

/// The unconsumed input of a connection, taken by [`crate::Io::take`] and given back by
/// [`crate::Io::put_back`] (if it is dropped instead, its bytes are lost and the connection
/// receives no more).
#[derive(Debug)]
pub struct Received(pub(crate) Input);

impl Received {
    /// All bytes that have arrived and were not consumed.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Input {
    first: Option<Provided>,
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.first {
            Some(provided) => provided,
            None => &self.buf[self.start..self.end],
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Takes over what the driver received: without a copy when there is nothing before it.
    pub(crate) fn push(&mut self, provided: Provided, spare: &Spare) {
        if self.len() == 0 {
            self.first = Some(provided);
            return;
        }
        self.own(spare);
        self.append(&provided, spare);
    }

    /// Copies a provided buffer into memory of the connection, to give it back to the driver.
    pub(crate) fn own(&mut self, spare: &Spare) {
        if let Some(provided) = self.first.take() {
            self.append(&provided, spare);
        }
    }

    pub(crate) fn append(&mut self, bytes: &[u8], spare: &Spare) {
        self.own(spare);
        self.make_room(self.len() + bytes.len(), spare);
        self.buf[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Makes `start..` at least `total` bytes long.
    fn make_room(&mut self, total: usize, spare: &Spare) {
        if self.start + total <= self.buf.len() {
            return;
        }
        if total > self.buf.len() {
            let size = if total > GROW_BYTES_MAX {
                total.next_power_of_two().max(LARGE_BUFFER_BYTES)
            } else {
                total.next_power_of_two().max(OWN_BYTES_MIN)
            };
            self.move_to(size, spare);
        } else {
            self.compact();
        }
    }

    /// Moves what is unconsumed to the front of another buffer of `bytes`.
    fn move_to(&mut self, bytes: usize, spare: &Spare) {
        let mut buf = spare.take(bytes);
        let len = self.end - self.start;
        buf[..len].copy_from_slice(&self.buf[self.start..self.end]);
        spare.give(std::mem::replace(&mut self.buf, buf));
        (self.start, self.end) = (0, len);
    }

    /// Moves what is unconsumed to the front of its buffer.
    fn compact(&mut self) {
        if self.start > 0 {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// Drops `bytes` from the front; what is left leaves a provided buffer.
    pub(crate) fn consume(&mut self, bytes: usize, spare: &Spare) {
        assert!(bytes <= self.len(), "{bytes} bytes consumed of {}", self.len());
        if let Some(provided) = self.first.take() {
            self.append(&provided[bytes..], spare);
        } else {
            self.start += bytes;
        }
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Frees the buffer if nothing is in it, and most of it if little is.
    pub(crate) fn shrink(&mut self, spare: &Spare) {
        if self.first.is_some() || self.start == self.end {
            spare.give(std::mem::take(&mut self.buf));
            (self.start, self.end) = (0, 0);
        } else if self.buf.len() > 4 * self.len().max(OWN_BYTES_MIN) {
            let kept = self.buf[self.start..self.end].to_vec();
            (self.start, self.end) = (0, kept.len());
            spare.give(std::mem::replace(&mut self.buf, kept));
        }
    }

    /// Hands out the buffer, at least `total` bytes long, for the driver to write behind the
    /// returned position.
    pub(crate) fn lend(&mut self, total: usize, spare: &Spare) -> (Vec<u8>, usize) {
        self.own(spare);
        if self.buf.len() < total {
            self.move_to(total, spare);
        } else {
            self.compact();
        }
        let at = std::mem::take(&mut self.end);
        (std::mem::take(&mut self.buf), at)
    }

    /// Takes the lent buffer back, `end` bytes of it filled.
    pub(crate) fn returned(&mut self, buf: Vec<u8>, end: usize) {
        assert!(
            self.len() == 0 && end <= buf.len(),
            "{} bytes arrived beside a lent buffer",
            self.len()
        );
        (self.first, self.buf, self.start, self.end) = (None, buf, 0, end);
    }

    /// Nobody will look at it any more.
    pub(crate) fn give_up(self, spare: &Spare) {
        spare.give(self.buf);
    }

    /// Bytes of memory held.
    pub(crate) fn capacity(&self) -> usize {
        self.buf.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provided(bytes: &[u8]) -> Provided {
        Provided::from_vec(bytes.to_vec())
    }

    #[test]
    fn a_complete_request_costs_no_memory() {
        let (mut input, spare) = (Input::default(), Spare::default());
        input.push(provided(b"abc"), &spare);
        assert_eq!((input.bytes(), input.capacity()), (&b"abc"[..], 0));
        input.consume(3, &spare);
        assert_eq!((input.len(), input.capacity()), (0, 0));
    }

    #[test]
    fn order_is_kept_across_pieces() {
        let (mut input, spare) = (Input::default(), Spare::default());
        let all: Vec<u8> = (0..40_000u32).map(|i| (i % 251) as u8).collect();
        let (mut given, mut seen) = (0, Vec::new());
        for (step, piece) in [1usize, 700, 16_384, 3, 5_000, 16_384, 1_528].into_iter().enumerate()
        {
            input.push(provided(&all[given..given + piece]), &spare);
            given += piece;
            let eat = input.len() * (step % 3) / 3;
            seen.extend_from_slice(&input.bytes()[..eat]);
            input.consume(eat, &spare);
            input.shrink(&spare);
        }
        let (mut buf, at) = input.lend(100_000, &spare);
        assert_eq!((buf.len(), input.len()), (100_000, 0));
        buf[at..at + 2].copy_from_slice(b"zz");
        input.returned(buf, at + 2);
        seen.extend_from_slice(input.bytes());
        assert_eq!((&seen[..40_000], &seen[40_000..]), (&all[..], &b"zz"[..]));
        input.consume(input.len(), &spare);
        input.shrink(&spare);
        assert_eq!(input.capacity(), 0);
    }
}
