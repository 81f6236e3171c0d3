//! The offset lattice of a log.
//!
//! ```text
//! log_start <= last_stable <= high_watermark <= log_end       flushed <= durable <= log_end
//! ```
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
