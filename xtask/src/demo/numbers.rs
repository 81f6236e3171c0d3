//! Numbers as people read them, and the two figures of a list of times.

use std::time::Duration;

/// 336776 as 336,776.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as MB (10^6), with one digit after the point.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}

/// Units per second, at least a millisecond assumed.
pub(super) fn per_second(units: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    units.saturating_mul(1000) / millis
}

/// `p50 210 ms, max 340 ms (each: 200 210 340)`.
pub(super) fn times(times: &[Duration]) -> String {
    let mut millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    let each: Vec<String> = millis.iter().map(ToString::to_string).collect();
    millis.sort_unstable();
    let (Some(middle), Some(max)) = (millis.get(millis.len() / 2), millis.last()) else {
        return "none".to_owned();
    };
    format!("p50 {middle} ms, max {max} ms ({})", each.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_groups_of_three() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(336_776), "336,776");
        assert_eq!(grouped(1_000_000), "1,000,000");
    }

    #[test]
    fn times_show_middle_and_worst() {
        let list = [30, 10, 20].map(Duration::from_millis);
        assert_eq!(times(&list), "p50 20 ms, max 30 ms (30 10 20)");
        assert_eq!(times(&[]), "none");
    }
}
