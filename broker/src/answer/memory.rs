//! What the answers of a core may hold, in bytes.

/// All answers together: 64 connections' bound of unsent output
/// (`netio::Options::output_high_bytes`).
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
/// What an answer counts as that is written while its connection takes it: that connection's unsent
/// output.
pub(super) const STREAM_BYTES: usize = 1 << 20;
// Others go on beside one that stands.
const _: () = assert!(8 * STREAM_BYTES <= ANSWER_BYTES_MAX);

/// Bytes held, against the bound. One answer at a time may go beyond it: without that, answers that
/// each have a part could wait for each other for ever, and one that is larger than the bound would
/// never go.
#[derive(Debug, Default)]
pub(super) struct Memory {
    used: usize,
    beyond: bool,
    /// Some was given back since [`Self::take_freed`].
    freed: bool,
}

/// What one answer has of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: usize,
    beyond: bool,
}

impl Memory {
    /// Whether `bytes` more may be held for `held`; it is what goes beyond, if nobody does.
    pub(super) fn admits(&mut self, held: &mut Held, bytes: usize) -> bool {
        if self.used + bytes <= ANSWER_BYTES_MAX || held.beyond {
            return true;
        }
        let may = !self.beyond;
        if may {
            (self.beyond, held.beyond) = (true, true);
        }
        may
    }

    /// Whether it can be had by whoever asks next.
    pub(super) fn is_short(&self) -> bool {
        self.used + STREAM_BYTES > ANSWER_BYTES_MAX && self.beyond
    }

    pub(super) fn hold(&mut self, held: &mut Held, bytes: usize) {
        self.used += bytes;
        held.bytes += bytes;
    }

    pub(super) fn give_back(&mut self, held: &mut Held, bytes: usize) {
        assert!(
            bytes <= held.bytes && held.bytes <= self.used,
            "gave back {bytes} of {} of {} answer bytes",
            held.bytes,
            self.used
        );
        self.used -= bytes;
        held.bytes -= bytes;
        self.freed = true;
    }

    /// The answer is gone.
    pub(super) fn end(&mut self, mut held: Held) {
        let bytes = held.bytes;
        self.give_back(&mut held, bytes);
        self.beyond &= !held.beyond;
    }

    pub(super) fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.freed)
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_beyond_and_no_other() {
        let mut memory = Memory::default();
        let [mut a, mut b] = [Held::default(), Held::default()];
        assert!(memory.admits(&mut a, ANSWER_BYTES_MAX));
        memory.hold(&mut a, ANSWER_BYTES_MAX);
        assert!(memory.admits(&mut b, 1), "it goes beyond");
        memory.hold(&mut b, 100);
        assert!(!memory.admits(&mut a, 1) && memory.is_short());
        assert!(memory.admits(&mut b, ANSWER_BYTES_MAX));
        memory.end(b);
        assert!(memory.take_freed() && !memory.take_freed());
        assert!(memory.admits(&mut a, 1), "now it is this one");
        memory.end(a);
        assert_eq!((memory.used(), memory.beyond), (0, false));
    }
}
