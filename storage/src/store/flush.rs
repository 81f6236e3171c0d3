//! Which logs to move from the write-ahead log to their segments, and how: a pure plan.
//!
//! A log with much unflushed is flushed because the core holds much; a log with little waits,
//! because a write per log and flush is what the write-ahead log is there to avoid. What stands in
//! the oldest file goes when space runs short: to its segment if it fills a block, else once more
//! into the open group (*carry*), so that ten thousand idle partitions with a few bytes each do not
//! cost ten thousand writes. Old remainders go to their segments in the end.
use crate::ids::LogSlot;

/// Bytes below which a log is not worth a write of its own.
pub(crate) const SMALL: u64 = 4096;
/// A remainder is old after this many times the age that starts a flush.
const OLD: u64 = 12;
/// A log this large is flushed when the core as a whole holds enough.
const LARGE: u64 = 256 << 10;

/// An unflushed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub slot: LogSlot,
    pub bytes: u64,
    /// Frame of its first unflushed batch.
    pub first: u64,
    pub age_ms: u64,
    /// Its segments take no more writes: carrying is all that can be done.
    pub failed: bool,
}

/// What a round wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aim {
    /// The core holds enough that large logs should go.
    pub full: bool,
    /// Frames up to here must be freed.
    pub free_through: Option<u64>,
    pub age_ms: u64,
    /// Everything goes (stop).
    pub all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    Flush,
    Carry,
}

/// What to do, the oldest first.
pub(crate) fn plan(views: &[View], aim: Aim) -> Vec<(LogSlot, Move)> {
    let mut moves: Vec<(u64, LogSlot, Move)> = views
        .iter()
        .filter_map(|view| judge(view, aim).map(|what| (view.first, view.slot, what)))
        .collect();
    moves.sort_unstable_by_key(|(first, slot, _)| (*first, slot.0));
    moves.into_iter().map(|(_, slot, what)| (slot, what)).collect()
}

fn judge(view: &View, aim: Aim) -> Option<Move> {
    let old = view.age_ms >= aim.age_ms.saturating_mul(OLD);
    let must_go = aim.free_through.is_some_and(|through| view.first <= through);
    if view.bytes == 0 {
        return None;
    }
    if view.failed {
        return must_go.then_some(Move::Carry);
    }
    let flush = aim.all
        || old
        || (view.bytes >= SMALL && (must_go || view.age_ms >= aim.age_ms))
        || (view.bytes >= LARGE && aim.full);
    match (flush, must_go) {
        (true, _) => Some(Move::Flush),
        (false, true) => Some(Move::Carry),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Aim = Aim { full: false, free_through: None, age_ms: 5_000, all: false };

    fn view(bytes: u64, first: u64, age_ms: u64) -> View {
        View { slot: LogSlot(first as u32), bytes, first, age_ms, failed: false }
    }

    #[test]
    fn table() {
        let full = Aim { full: true, ..REST };
        let free = Aim { free_through: Some(9), ..REST };
        let all = Aim { all: true, ..REST };
        for (view, aim, expected) in [
            (view(1 << 20, 1, 0), REST, None),
            (view(1 << 20, 1, 0), full, Some(Move::Flush)),
            (view(10 << 10, 1, 0), full, None),
            (view(10 << 10, 1, 5_000), REST, Some(Move::Flush)),
            (view(100, 1, 5_000), REST, None),
            (view(100, 1, 60_000), REST, Some(Move::Flush)),
            (view(100, 9, 0), free, Some(Move::Carry)),
            (view(100, 10, 0), free, None),
            (view(4096, 9, 0), free, Some(Move::Flush)),
            (view(1, 50, 0), all, Some(Move::Flush)),
            (View { failed: true, ..view(1 << 20, 9, 0) }, free, Some(Move::Carry)),
            (View { failed: true, ..view(1 << 20, 9, 0) }, all, None),
        ] {
            let moves = plan(&[view], aim);
            assert_eq!(moves.first().map(|(_, what)| *what), expected, "{view:?} {aim:?}");
        }
    }

    #[test]
    fn the_oldest_goes_first() {
        let moves =
            plan(&[view(9000, 7, 0), view(9000, 2, 0)], Aim { free_through: Some(9), ..REST });
        assert_eq!(moves, [(LogSlot(2), Move::Flush), (LogSlot(7), Move::Flush)]);
    }
}
