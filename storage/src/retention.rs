//! What retention removes: a pure plan. [`crate::disk_log::DiskLog::trim`] carries it out, once the
//! new log start is on the device.
//!
//! Kafka's rules (`UnifiedLog.deleteOldSegments`), in its order: segments below the log start, then
//! by size, then by time, each from the front and only whole segments that lie below the high
//! watermark. When the last segment goes too, a new one is begun first, so that there is always
//! one.
use crate::options::LogConfig;
use record::Offset;

/// A segment, for retention and descriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentView {
    pub base: Offset,
    /// Where the next one begins; of the last one, `flushed`.
    pub end: Offset,
    /// Bytes of the `.log`.
    pub size_bytes: u64,
    /// -1: no record has one.
    pub max_timestamp: i64,
    /// Wall time of the last write, ms.
    pub modified_ms: i64,
    pub active: bool,
}

/// What a plan is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogView {
    /// Oldest first; at least the active one.
    pub segments: Vec<SegmentView>,
    pub log_start: Offset,
    pub high_watermark: Offset,
    /// May be behind the last segment's end: what is not flushed yet belongs to the active segment.
    pub log_end: Offset,
}

/// Why segments go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    pub log_start: usize,
    pub size: usize,
    pub time: usize,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Segments wholly below this offset go, and the log start is raised to it.
    pub delete_below: Option<Offset>,
    /// Segments by the rule that condemned them.
    pub reasons: Reasons,
}

/// Plans at wall time `now`.
pub fn plan(view: &LogView, now: i64, config: &LogConfig) -> Plan {
    let mut plan = Plan::default();
    let mut rest = &view.segments[..];
    let mut size: u64 = rest.iter().map(|segment| segment.size_bytes).sum();

    plan.reasons.log_start = take(&mut rest, view, |segment, next| {
        let below = next.is_some_and(|next| next.base <= view.log_start);
        size -= if below { segment.size_bytes } else { 0 };
        below
    });
    if config.delete {
        if let Ok(retained) = u64::try_from(config.retention_bytes) {
            let mut over = size.saturating_sub(retained);
            plan.reasons.size =
                take(&mut rest, view, |segment, _| match over.checked_sub(segment.size_bytes) {
                    Some(left) if size >= retained => {
                        over = left;
                        true
                    }
                    _ => false,
                });
        }
        if config.retention_ms >= 0 {
            plan.reasons.time = take(&mut rest, view, |segment, _| {
                // Without timestamps the last write counts.
                let newest = if segment.max_timestamp >= 0 {
                    segment.max_timestamp
                } else {
                    segment.modified_ms
                };
                now.saturating_sub(newest) > config.retention_ms
            });
        }
    }
    let Reasons { log_start, size, time } = plan.reasons;
    if log_start + size + time > 0 {
        plan.delete_below = Some(rest.first().map_or(view.log_end, |segment| segment.base));
    }
    plan
}

/// Takes segments from the front as long as `doomed` and Kafka's general conditions hold; how many.
fn take(
    rest: &mut &[SegmentView],
    view: &LogView,
    mut doomed: impl FnMut(&SegmentView, Option<&SegmentView>) -> bool,
) -> usize {
    let mut taken = 0;
    while let Some((segment, later)) = rest.split_first() {
        let next = later.first();
        // Of the last segment the end is the log's: with something not yet flushed it cannot go as
        // a whole.
        let end = next.map_or(view.log_end, |next| next.base);
        let whole = next.is_some() || (segment.end == view.log_end && segment.size_bytes > 0);
        if !whole || view.high_watermark < end || !doomed(segment, next) {
            break;
        }
        taken += 1;
        *rest = later;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of 100 offsets each from (size, max timestamp); the last is active.
    fn view(segments: &[(u64, i64)]) -> LogView {
        let segments: Vec<SegmentView> = segments
            .iter()
            .enumerate()
            .map(|(n, &(size_bytes, max_timestamp))| SegmentView {
                base: Offset(n as i64 * 100),
                end: Offset(n as i64 * 100 + 100),
                size_bytes,
                max_timestamp,
                modified_ms: 7_000,
                active: n + 1 == segments.len(),
            })
            .collect();
        let end = segments.last().map_or(Offset(0), |segment| segment.end);
        LogView { segments, log_start: Offset(0), high_watermark: end, log_end: end }
    }
    fn config(retention_ms: i64, retention_bytes: i64) -> LogConfig {
        LogConfig { retention_ms, retention_bytes, ..LogConfig::default() }
    }
    /// The new log start, planned at time 10,000.
    fn planned(view: &LogView, config: &LogConfig) -> Option<i64> {
        plan(view, 10_000, config).delete_below.map(|offset| offset.0)
    }

    #[test]
    fn by_time() {
        let log = view(&[(10, 1_000), (10, 5_000), (10, 9_000)]);
        assert_eq!(planned(&log, &config(-1, -1)), None);
        assert_eq!(planned(&log, &config(9_000, -1)), None, "exactly as old is kept");
        assert_eq!(planned(&log, &config(8_999, -1)), Some(100));
        assert_eq!(planned(&log, &config(4_999, -1)), Some(200));
        assert_eq!(
            planned(&log, &config(999, -1)),
            Some(300),
            "the active one goes too when it has expired"
        );
        assert_eq!(planned(&log, &config(1_000, -1)), Some(200));
        // From the front only: an old segment behind a young one stays.
        assert_eq!(planned(&view(&[(10, 9_000), (10, 0), (10, 0)]), &config(5_000, -1)), None);
        // Without timestamps: the last write, 3,000 ms ago.
        assert_eq!(planned(&view(&[(10, -1), (10, 9_999)]), &config(3_000, -1)), None);
        assert_eq!(planned(&view(&[(10, -1), (10, 9_999)]), &config(2_999, -1)), Some(100));
        // A time in the future never expires.
        assert_eq!(planned(&view(&[(10, i64::MAX), (10, 0)]), &config(0, -1)), None);
    }

    #[test]
    fn by_size() {
        let log = view(&[(100, 9_999), (100, 9_999), (50, 9_999)]);
        let by = |bytes| planned(&log, &config(-1, bytes));
        assert_eq!(by(250), None);
        assert_eq!(by(151), None, "a segment goes only if enough is left without it");
        assert_eq!(by(150), Some(100));
        assert_eq!(by(51), Some(100));
        assert_eq!(by(50), Some(200));
        assert_eq!(by(0), Some(300));
    }

    #[test]
    fn by_log_start() {
        let mut log = view(&[(10, 9_999), (10, 9_999), (10, 9_999)]);
        for (log_start, below) in
            [(0, None), (99, None), (100, Some(100)), (250, Some(200)), (300, Some(200))]
        {
            log.log_start = Offset(log_start);
            assert_eq!(planned(&log, &config(-1, -1)), below, "{log_start}");
            let kept = LogConfig { delete: false, ..config(0, 0) };
            assert_eq!(planned(&log, &kept), below, "{log_start}: without `delete` too");
        }
    }

    #[test]
    fn all_rules_together_count_what_they_take() {
        let mut log = view(&[(100, 9_999), (100, 9_999), (100, 1_000), (100, 9_999)]);
        log.log_start = Offset(150);
        let plan = plan(&log, 10_000, &config(5_000, 200));
        assert_eq!(plan.reasons, Reasons { log_start: 1, size: 1, time: 1 });
        assert_eq!(plan.delete_below, Some(Offset(300)));
    }

    #[test]
    fn never_above_the_high_watermark_nor_what_is_not_flushed() {
        let mut log = view(&[(10, 0), (10, 0), (10, 0)]);
        log.high_watermark = Offset(199);
        assert_eq!(planned(&log, &config(0, -1)), Some(100));
        let mut log = view(&[(10, 0), (10, 0)]);
        (log.log_end, log.high_watermark) = (Offset(230), Offset(230));
        assert_eq!(planned(&log, &config(0, -1)), Some(100), "the active segment has more to come");
    }

    #[test]
    fn an_empty_active_segment_stays() {
        let mut log = view(&[(10, 0), (0, -1)]);
        log.segments[1].end = Offset(100);
        (log.log_end, log.high_watermark) = (Offset(100), Offset(100));
        assert_eq!(planned(&log, &config(0, 0)), Some(100));
        assert_eq!(planned(&view(&[(0, -1)]), &config(0, 0)), None);
    }
}
