//! At which offset each leader epoch of a log began.
//!
//! Kafka's `LeaderEpochFileCache` (KIP-101, KIP-279): a sorted list that answers "where did epoch E
//! end" for truncation checks of followers and consumers, and "which epoch is offset N of". Its
//! file is Kafka's `leader-epoch-checkpoint`, a text:
//!
//! ```text
//! 0                version of the file
//! 2                count of entries
//! 0 0              epoch, first offset
//! 3 1500
//! ```
//! Here are the list and its text; whoever owns the log writes the file.
use record::{LeaderEpoch, Offset};

/// An epoch and its first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start: Offset,
}

/// Epochs of one log; epochs and offsets both rise strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory {
    entries: Vec<EpochStart>,
}

/// A `leader-epoch-checkpoint` that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leader-epoch-checkpoint, line {line}: {what}")]
pub struct ParseEpochsError {
    /// 1-based.
    pub line: usize,
    pub what: &'static str,
}

impl EpochHistory {
    /// No epoch yet.
    pub fn new() -> Self {
        Self::default()
    }
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Records that the batch at `start` is of `epoch`. The first start of an epoch counts; entries
    /// that contradict the new one (an epoch or a start not below its own) go. Returns whether
    /// anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        assert!(epoch.0 >= 0 && start.is_valid(), "epoch {epoch} at offset {start}");
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && start >= last.start
        {
            return false;
        }
        while self.entries.last().is_some_and(|last| last.epoch >= epoch || last.start >= start) {
            self.entries.pop();
        }
        self.entries.push(EpochStart { epoch, start });
        true
    }

    /// The largest epoch <= `epoch` and the offset after its last record; `log_end` for the latest
    /// epoch. An epoch before all known ones (its records are gone) ends where the first known one
    /// begins. `None` for an unknown, later epoch.
    pub fn end_for_epoch(
        &self,
        epoch: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch.0 < 0 {
            return None;
        }
        if epoch == latest {
            return Some((epoch, log_end));
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(higher)?.start;
        let floor = higher.checked_sub(1).map_or(epoch, |floor| self.entries[floor].epoch);
        Some((floor, end))
    }

    /// Epoch of the record at `offset`; `None` before the first known one.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start <= offset);
        after.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// The log ends at `end` now: epochs that began there or later go. Returns whether anything
    /// changed.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start < end);
        self.entries.len() != before
    }

    /// The log starts at `start` now: earlier epochs go, the one that holds `start` begins there.
    /// Returns whether anything changed.
    pub fn truncate_from_start(&mut self, start: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start <= start);
        let Some(holder) = kept.checked_sub(1) else {
            return false;
        };
        if holder == 0 && self.entries[0].start == start {
            return false;
        }
        self.entries.drain(..holder);
        self.entries[0].start = start;
        true
    }

    /// The text of `leader-epoch-checkpoint`.
    pub fn to_text(&self) -> String {
        use std::fmt::Write;
        let mut out = format!("0\n{}\n", self.entries.len());
        for entry in &self.entries {
            let _ = writeln!(out, "{} {}", entry.epoch, entry.start);
        }
        out
    }

    /// The version that the text says, if it is a number and not the one known here.
    pub(crate) fn foreign_version(text: &str) -> Option<String> {
        let version = text.lines().next()?.trim().parse::<u32>().ok()?;
        (version != 0).then(|| version.to_string())
    }

    /// Reads the text; an empty one is an empty history, as in Kafka. Entries out of order are
    /// taken as [`Self::assign`] takes them.
    ///
    /// # Errors
    /// [`ParseEpochsError`]: the history is then rebuilt from the batches.
    pub fn from_text(text: &str) -> Result<Self, ParseEpochsError> {
        let bad = |line, what| ParseEpochsError { line, what };
        let mut lines = text.lines();
        let Some(version) = lines.next() else {
            return Ok(Self::new());
        };
        if version.trim() != "0" {
            return Err(bad(1, "unknown version"));
        }
        let Some(count) = lines.next() else {
            return Ok(Self::new());
        };
        let count: usize = count.trim().parse().map_err(|_| bad(2, "not a count"))?;
        let mut history = Self::new();
        let mut read = 0;
        for (n, line) in lines.enumerate() {
            let mut fields = line.split_whitespace();
            let entry = (|| {
                Some((fields.next()?.parse::<i32>().ok()?, fields.next()?.parse::<i64>().ok()?))
            })();
            match (entry, fields.next()) {
                (Some((epoch, start)), None) if epoch >= 0 && start >= 0 => {
                    history.assign(LeaderEpoch(epoch), Offset(start));
                }
                _ => return Err(bad(n + 3, "not an epoch and an offset")),
            }
            read += 1;
        }
        if read != count { Err(bad(2, "count differs from the entries")) } else { Ok(history) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(i32, i64)]) -> EpochHistory {
        EpochHistory {
            entries: entries
                .iter()
                .map(|&(e, s)| EpochStart { epoch: LeaderEpoch(e), start: Offset(s) })
                .collect(),
        }
    }
    fn end(h: &EpochHistory, epoch: i32) -> Option<(i32, i64)> {
        h.end_for_epoch(LeaderEpoch(epoch), Offset(100)).map(|(e, o)| (e.0, o.0))
    }

    #[test]
    fn assign_keeps_the_first_start_and_drops_what_contradicts() {
        let mut h = EpochHistory::new();
        assert!(h.assign(LeaderEpoch(0), Offset(0)));
        assert!(!h.assign(LeaderEpoch(0), Offset(5)));
        assert!(h.assign(LeaderEpoch(2), Offset(10)));
        assert!(h.assign(LeaderEpoch(3), Offset(20)));
        assert_eq!(h, history(&[(0, 0), (2, 10), (3, 20)]));
        // Same start, higher epoch: nothing was written in the one before.
        assert!(h.assign(LeaderEpoch(4), Offset(20)));
        assert_eq!(h, history(&[(0, 0), (2, 10), (4, 20)]));
        // An older epoch, written over the newer ones.
        assert!(h.assign(LeaderEpoch(1), Offset(7)));
        assert_eq!(h, history(&[(0, 0), (1, 7)]));
    }

    #[test]
    fn end_of_an_epoch() {
        assert_eq!(end(&EpochHistory::new(), 0), None);
        let h = history(&[(2, 5), (4, 10), (7, 30)]);
        assert_eq!(end(&h, -1), None);
        assert_eq!(end(&h, 1), Some((1, 5)), "before all known: ends where they begin");
        assert_eq!(end(&h, 2), Some((2, 10)));
        assert_eq!(end(&h, 3), Some((2, 10)));
        assert_eq!(end(&h, 4), Some((4, 30)));
        assert_eq!(end(&h, 6), Some((4, 30)));
        assert_eq!(end(&h, 7), Some((7, 100)));
        assert_eq!(end(&h, 8), None);
    }

    #[test]
    fn epoch_of_an_offset() {
        let h = history(&[(2, 5), (4, 10)]);
        let at = |offset| h.epoch_at(Offset(offset)).map(|e| e.0);
        assert_eq!(
            (at(4), at(5), at(9), at(10), at(99)),
            (None, Some(2), Some(2), Some(4), Some(4))
        );
    }

    #[test]
    fn truncation() {
        let all = history(&[(0, 0), (1, 10), (2, 20)]);
        let from_start = |to| {
            let mut h = all.clone();
            let changed = h.truncate_from_start(Offset(to));
            assert_eq!(changed, h != all);
            h
        };
        assert_eq!(from_start(0), all);
        assert_eq!(from_start(5), history(&[(0, 5), (1, 10), (2, 20)]));
        assert_eq!(from_start(10), history(&[(1, 10), (2, 20)]));
        assert_eq!(from_start(99), history(&[(2, 99)]));
        let from_end = |to| {
            let mut h = all.clone();
            assert_eq!(h.truncate_from_end(Offset(to)), h != all);
            h
        };
        assert_eq!(from_end(21), all);
        assert_eq!(from_end(20), history(&[(0, 0), (1, 10)]));
        assert_eq!(from_end(0), EpochHistory::new());
    }

    #[test]
    fn text_as_kafka_writes_it() {
        let h = history(&[(0, 0), (3, 1500)]);
        assert_eq!(h.to_text(), "0\n2\n0 0\n3 1500\n");
        assert_eq!(EpochHistory::from_text(&h.to_text()), Ok(h));
        assert_eq!(EpochHistory::from_text(""), Ok(EpochHistory::new()));
        assert_eq!(EpochHistory::from_text("0\n0\n"), Ok(EpochHistory::new()));
        for bad in [
            "1\n0\n",
            "0\nx\n",
            "0\n2\n0 0\n",
            "0\n1\n0\n",
            "0\n1\n0 0 0\n",
            "0\n1\n-1 0\n",
            "0\n1\n0 9223372036854775808\n",
        ] {
            assert!(EpochHistory::from_text(bad).is_err(), "{bad:?}");
        }
    }
}
