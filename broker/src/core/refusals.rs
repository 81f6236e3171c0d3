//! Log lines about peers that misbehave: one a second and kind, with the count of those left out.
use netio::Instant;
use std::collections::BTreeMap;

/// Rate limits of log lines, by kind.
#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<&'static str, (Instant, u64)>);

const EVERY_NS: u64 = 1_000_000_000;

impl Refusals {
    /// Whether a line of this kind may be written now; `Some(n)`: n were left out since the last.
    pub fn admit(&mut self, now: Instant, kind: &'static str) -> Option<u64> {
        match self.0.get_mut(kind) {
            Some((last, left_out)) if now.since(*last) < EVERY_NS => {
                *left_out += 1;
                None
            }
            Some((last, left_out)) => {
                *last = now;
                Some(std::mem::take(left_out))
            }
            None => {
                self.0.insert(kind, (now, 0));
                Some(0)
            }
        }
    }

    /// Writes the line, unless one of its kind was written less than a second ago.
    pub fn log(&mut self, now: Instant, kind: &'static str, line: impl FnOnce() -> String) {
        if let Some(left_out) = self.admit(now, kind) {
            if left_out == 0 {
                tracing::warn!(kind, "{}", line());
            } else {
                tracing::warn!(kind, left_out, "{}", line());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_kind() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.admit(Instant(0), "frame"), Some(0));
        assert_eq!(refusals.admit(Instant(1), "frame"), None);
        assert_eq!(refusals.admit(Instant(1), "other"), Some(0));
        assert_eq!(refusals.admit(Instant(EVERY_NS), "frame"), Some(1));
    }
}
