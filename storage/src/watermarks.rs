//! The offset lattice of a log.
//!
//! ```text
//! log_start <= last_stable <= high_watermark <= log_end       flushed <= durable <= log_end
//! ```
//! and `high_watermark <= durable` for class `device`: no consumer sees what a power cut could take
//! back. Checked after each change, in release too: a log whose lattice is broken must not go on
//! answering.
use record::Offset;

/// All offsets of a log; each is the first one NOT covered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: Offset,
    pub last_stable: Offset,
    pub high_watermark: Offset,
    pub durable: Offset,
    pub flushed: Offset,
    pub log_end: Offset,
}

impl Offsets {
    /// Of a log that ends at `end`, all of it durable and in segments.
    pub fn settled(log_start: Offset, end: Offset) -> Offsets {
        let offsets = Offsets {
            log_start,
            last_stable: end,
            high_watermark: end,
            durable: end,
            flushed: end,
            log_end: end,
        };
        offsets.check(true);
        offsets
    }

    /// Asserts the lattice. `device`: the high watermark promises durability.
    pub fn check(&self, device: bool) {
        let ordered = self.log_start <= self.last_stable
            && self.last_stable <= self.high_watermark
            && self.high_watermark <= self.log_end
            && self.flushed <= self.durable
            && self.durable <= self.log_end;
        assert!(ordered, "offsets out of order: {self:?}");
        assert!(
            !device || self.high_watermark <= self.durable,
            "the high watermark is not durable: {self:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(all: [i64; 6]) -> Offsets {
        let [log_start, last_stable, high_watermark, durable, flushed, log_end] = all.map(Offset);
        Offsets { log_start, last_stable, high_watermark, durable, flushed, log_end }
    }

    #[test]
    fn accepts_the_lattice() {
        offsets([0, 5, 5, 7, 3, 9]).check(true);
        offsets([0, 9, 9, 7, 3, 9]).check(false);
    }

    #[test]
    #[should_panic(expected = "high watermark is not durable")]
    fn device_means_durable() {
        offsets([0, 9, 9, 7, 3, 9]).check(true);
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn flushed_is_durable() {
        offsets([0, 5, 5, 7, 8, 9]).check(true);
    }
}
