//! Whether a request names each partition once, found out in one pass: nearly every request does.

/// Partitions with a lower index than this have a bit of their own.
const BITS: i32 = 128;
/// More topics than that are not compared with each other.
const TOPICS_MAX: usize = 16;

/// True when no partition is named twice. False means that one may be: who needs to know makes a
/// table of them.
///
/// `same` compares the topics of two elements; `partitions` gives the indexes of one.
pub(crate) fn is_each_once<'t, T, I: Iterator<Item = i32>>(
    topics: &'t [T],
    same: impl Fn(&T, &T) -> bool,
    partitions: impl Fn(&'t T) -> I,
) -> bool {
    if topics.len() > TOPICS_MAX {
        return false;
    }
    topics.iter().enumerate().all(|(n, topic)| {
        let mut named = 0u128;
        let is_new = |index: i32| {
            if !(0..BITS).contains(&index) {
                return false;
            }
            let bit = 1 << index;
            let new = named & bit == 0;
            named |= bit;
            new
        };
        !topics[..n].iter().any(|other| same(topic, other)) && partitions(topic).all(is_new)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once(topics: &[(&str, &[i32])]) -> bool {
        is_each_once(topics, |a, b| a.0 == b.0, |t| t.1.iter().copied())
    }

    #[test]
    fn what_is_named_twice_is_found() {
        assert!(once(&[]) && once(&[("a", &[])]));
        assert!(once(&[("a", &[127, 0, 5]), ("b", &[0, 5])]));
        assert!(!once(&[("a", &[3, 1, 3])]));
        assert!(!once(&[("a", &[1]), ("b", &[1]), ("a", &[2])]));
    }

    #[test]
    fn what_cannot_be_said_in_one_pass_is_not_said() {
        assert!(!once(&[("a", &[128])]) && !once(&[("a", &[-1])]) && !once(&[("a", &[i32::MIN])]));
        let many: Vec<String> = (0..=TOPICS_MAX).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &[i32])> = many.iter().map(|name| (&**name, &[][..])).collect();
        assert!(!once(&many) && once(&many[1..]));
    }
}
