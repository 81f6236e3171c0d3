//! Which partition of `__consumer_offsets` a group lives in.

/// The partition of `group_id`, as Kafka computes it: the absolute value of Java's
/// `String.hashCode` (over UTF-16 code units), modulo the number of partitions.
///
/// Source: Kafka's `GroupCoordinatorService.partitionFor`, `Utils.abs`.
///
/// # Panics
/// `partitions` is not positive.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "__consumer_offsets has {partitions} partitions");
    let hash = group_id
        .encode_utf16()
        .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Java's Math.abs leaves the smallest number negative; Kafka's Utils.abs makes it 0.
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::partition_for;

    #[test]
    fn hashes_as_java_does() {
        // "polygenelubricants".hashCode() is Integer.MIN_VALUE, "Ab" is 2113, "a" is 97,
        // "\u{1F600}" is 1772899 (0xD83D * 31 + 0xDE00).
        for (group, partition) in
            [("", 0), ("a", 97 % 50), ("Ab", 2113 % 50), ("polygenelubricants", 0)]
        {
            assert_eq!(partition_for(group, 50), partition, "{group}");
        }
        assert_eq!(partition_for("\u{1F600}", i32::MAX), 0xD83D * 31 + 0xDE00);
        // "console-consumer".hashCode() overflows many times over and stays in range.
        for partitions in [1, 3, 50] {
            assert!((0..partitions).contains(&partition_for("console-consumer-12345", partitions)));
        }
    }
}
