//! What topics a member of type `consumer` subscribes to, from the metadata it joins with.
//!
//! The metadata belongs to the clients; the coordinator only looks into it to keep the offsets of
//! subscribed topics. Version 0 of the format is a prefix of all later ones:
//! `version: i16, topics: [string], user_data: nullable bytes`. Source: Kafka's
//! `ConsumerProtocolSubscription`.

/// The topics; `None` if the bytes are not in the format.
pub(super) fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let mut left = metadata;
    // Whatever the version is: Kafka does not look at it either
    // (`ClassicGroup.computeSubscribedTopics`).
    let [_, _] = take(&mut left)?;
    let count = usize::try_from(i32::from_be_bytes(take(&mut left)?)).ok()?;
    // A string takes two bytes at least.
    if count > left.len() / 2 {
        return None;
    }
    let mut topics = Vec::with_capacity(count);
    for _ in 0..count {
        let length = usize::try_from(i16::from_be_bytes(take(&mut left)?)).ok()?;
        let (topic, rest) = left.split_at_checked(length)?;
        topics.push(str::from_utf8(topic).ok()?);
        left = rest;
    }
    let user_data = i32::from_be_bytes(take(&mut left)?);
    (usize::try_from(user_data).unwrap_or(0) <= left.len()).then_some(topics)
}

fn take<const N: usize>(left: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = left.split_first_chunk::<N>()?;
    *left = rest;
    Some(*taken)
}

#[cfg(test)]
pub(super) fn encode(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 3];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_prefix_and_nothing_else() {
        let good = encode(&["a", "topic"]);
        assert_eq!(topics(&good), Some(vec!["a", "topic"]));
        assert_eq!(
            topics(&[good.as_slice(), b"later versions"].concat()),
            Some(vec!["a", "topic"])
        );
        assert_eq!(topics(&encode(&[])), Some(vec![]));
        for end in 0..good.len() {
            assert_eq!(topics(&good[..end]), None, "{end}");
        }
        assert_eq!(topics(b"\0\0\x7f\xff\xff\xff\0\0"), None, "a promise of two billion topics");
        assert_eq!(topics(b"\0\0\0\0\0\x01\xff\xff"), None, "a null topic");
        assert_eq!(topics(b"\xff\xff\0\0\0\0\xff\xff\xff\xff"), Some(vec![]), "a negative version");
    }
}
