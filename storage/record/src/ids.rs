//! Ids that Kafka's protocol and file formats name, as newtypes.
//!
//! They carry the wire's integers unchanged, `-1` for "none" included; each type names its own
//! sentinels. Nothing here hands ids out: whoever allocates keeps the counter.

use std::fmt;
use std::str::FromStr;

macro_rules! int_id {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $int {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

int_id! {
    /// Index of a partition within its topic, from 0.
    Partition, i32
}

/// The wire's name for [`Partition`].
pub type PartitionIndex = Partition;

int_id! {
    /// Id of an idempotent or transactional producer, cluster-wide; [`ProducerId::NONE`] for a
    /// plain producer.
    ProducerId, i64
}

impl ProducerId {
    /// `RecordBatch.NO_PRODUCER_ID`.
    pub const NONE: Self = Self(-1);

    /// True for a real producer id.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }
}

int_id! {
    /// Fences older instances of the same producer id; [`ProducerEpoch::NONE`] for a plain
    /// producer.
    ProducerEpoch, i16
}

impl ProducerEpoch {
    /// `RecordBatch.NO_PRODUCER_EPOCH`.
    pub const NONE: Self = Self(-1);
}

int_id! {
    /// Counts the leaderships of a partition; higher fences lower (KIP-101).
    LeaderEpoch, i32
}

impl LeaderEpoch {
    /// `RecordBatch.NO_PARTITION_LEADER_EPOCH`.
    pub const NONE: Self = Self(-1);

    /// The epoch of the next leadership; `None` when `i32` is used up.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(epoch) => Some(Self(epoch)),
            None => None,
        }
    }
}

int_id! {
    /// A broker's id, either a host's (`node.id`) or the one of a core that clients see; the
    /// context says which.
    NodeId, i32
}

impl NodeId {
    /// The wire's "no node".
    pub const NONE: Self = Self(-1);
}

/// A topic's id (KIP-516): 16 bytes, written as 22 characters of base64url.
///
/// A topic that is deleted and made again gets another id, so an id never means two topics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct TopicId(pub [u8; 16]);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl TopicId {
    /// `Uuid.ZERO_UUID`: "no id".
    pub const ZERO: Self = Self([0; 16]);
    /// `Uuid.METADATA_TOPIC_ID`: the id of `__cluster_metadata`.
    pub const METADATA: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    /// Characters of the text form.
    pub const TEXT_LEN: usize = 22;

    /// An id from 128 random bits of the caller.
    ///
    /// Kafka's `Uuid.randomUuid` makes version 4 UUIDs, none that is reserved and none whose text
    /// begins with `-` (command lines take that for an option). The version bits keep every result
    /// out of the reserved range; a leading `-` is flipped away.
    #[must_use]
    pub const fn from_random(high: u64, low: u64) -> Self {
        const VERSION_4: u64 = 0x4000;
        const VARIANT: u64 = 1 << 63;
        /// Top six bits of `-` in base64url.
        const DASH: u64 = 62;
        let mut high = (high & !0xf000) | VERSION_4;
        let low = (low & (!0 >> 2)) | VARIANT;
        if high >> 58 == DASH {
            high ^= 1 << 63;
        }
        Self(((high as u128) << 64 | low as u128).to_be_bytes())
    }

    /// True for ids that Kafka keeps for itself: zero, one and up to 99 (`Uuid.RESERVED`).
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        u128::from_be_bytes(self.0) < 100
    }

    /// True for [`TopicId::ZERO`].
    #[must_use]
    pub const fn is_zero(self) -> bool {
        u128::from_be_bytes(self.0) == 0
    }

    /// Big-endian halves, as Java's `Uuid` holds them.
    #[must_use]
    pub const fn to_halves(self) -> (u64, u64) {
        let id = u128::from_be_bytes(self.0);
        #[allow(clippy::cast_possible_truncation)] // the halves are meant
        (((id >> 64) as u64), id as u64)
    }
}

impl From<[u8; 16]> for TopicId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl From<TopicId> for [u8; 16] {
    fn from(id: TopicId) -> Self {
        id.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let id = u128::from_be_bytes(self.0);
        // 21 characters of 6 bits, then the last 2 bits at the top of a 22nd.
        for n in 0..21u32 {
            write_digit(f, id >> (122 - 6 * n))?;
        }
        return write_digit(f, id << 4);

        fn write_digit(f: &mut fmt::Formatter<'_>, bits: u128) -> fmt::Result {
            let digit = usize::try_from(bits & 63).unwrap_or_default();
            f.write_char(ALPHABET.get(digit).map_or('A', |&b| char::from(b)))
        }
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

/// The text is not 22 characters of base64url (`==` at the end is allowed), or its unused last
/// four bits are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a topic id: 22 characters of A-Z a-z 0-9 - _ are wanted")]
pub struct ParseTopicIdError;

impl FromStr for TopicId {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<Self, ParseTopicIdError> {
        let digits = text.strip_suffix("==").unwrap_or(text).as_bytes();
        let Some((&last, head)) = digits.split_last() else {
            return Err(ParseTopicIdError);
        };
        if head.len() != Self::TEXT_LEN - 1 {
            return Err(ParseTopicIdError);
        }
        let mut id = 0u128;
        for &byte in head {
            id = id << 6 | u128::from(digit_of(byte)?);
        }
        let last = digit_of(last)?;
        if last & 15 != 0 {
            return Err(ParseTopicIdError);
        }
        Ok(Self((id << 2 | u128::from(last >> 4)).to_be_bytes()))
    }
}

fn digit_of(byte: u8) -> Result<u8, ParseTopicIdError> {
    match byte {
        b'A'..=b'Z' => Ok(byte - b'A'),
        b'a'..=b'z' => Ok(byte - b'a' + 26),
        b'0'..=b'9' => Ok(byte - b'0' + 52),
        b'-' => Ok(62),
        b'_' => Ok(63),
        _ => Err(ParseTopicIdError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        // From Java: Uuid.ZERO_UUID and Uuid.METADATA_TOPIC_ID, and RFC 4648's alphabet.
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId::METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(TopicId([0xff; 16]).to_string(), "_____________________w");
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ".parse(), Ok(TopicId::METADATA));
        assert_eq!("AAAAAAAAAAAAAAAAAAAAAQ==".parse(), Ok(TopicId::METADATA));
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "=",
            "==",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAR",
            "AAAAAAAAAA+AAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAé",
        ] {
            assert_eq!(text.parse::<TopicId>(), Err(ParseTopicIdError), "{text}");
        }
    }

    #[test]
    fn reserved_ids() {
        assert!(TopicId::ZERO.is_reserved() && TopicId::ZERO.is_zero());
        assert!(TopicId(99u128.to_be_bytes()).is_reserved());
        assert!(!TopicId(100u128.to_be_bytes()).is_reserved());
        assert!(!TopicId::from_random(0, 0).is_reserved());
    }

    proptest! {
        #[test]
        fn text_round_trip(bytes: [u8; 16]) {
            let id = TopicId(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), TopicId::TEXT_LEN);
            prop_assert_eq!(text.parse(), Ok(id));
        }

        #[test]
        fn random_ids_are_version_4_and_never_lead_with_a_dash(high: u64, low: u64) {
            for high in [high, high | 0xf800 << 48, (high | 0xf800 << 48) & !(1 << 58)] {
                let id = TopicId::from_random(high, low);
                prop_assert!(!id.is_reserved());
                prop_assert!(!id.to_string().starts_with('-'), "{}", id);
                prop_assert_eq!(id.0[6] >> 4, 4);
                prop_assert_eq!(id.0[8] >> 6, 2);
            }
        }
    }
}
