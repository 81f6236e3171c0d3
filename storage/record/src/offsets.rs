//! Where things are in a log: record numbers, bytes, and times.
//!
//! ```text
//! Offset     0       1       2       3          record number, set by the leader, never re-used
//! log       [ batch 0: offsets 0..=1 ][ batch 1 ]
//! Position  ^0                        ^230      byte in one segment file
//! ```

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $int:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The largest value.
            pub const MAX: Self = Self(<$int>::MAX);

            /// `self + by`, or `None` on overflow.
            #[must_use]
            pub const fn checked_add(self, by: $int) -> Option<Self> {
                match self.0.checked_add(by) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// `self - by`, or `None` on overflow.
            #[must_use]
            pub const fn checked_sub(self, by: $int) -> Option<Self> {
                match self.0.checked_sub(by) {
                    Some(rest) => Some(Self(rest)),
                    None => None,
                }
            }

            /// The distance `self - from`, or `None` on overflow.
            #[must_use]
            pub const fn checked_since(self, from: Self) -> Option<$int> {
                self.0.checked_sub(from.0)
            }

            /// `self + by`, held at the largest value.
            #[must_use]
            pub const fn saturating_add(self, by: $int) -> Self {
                Self(self.0.saturating_add(by))
            }

            /// `self - by`, held at the smallest value.
            #[must_use]
            pub const fn saturating_sub(self, by: $int) -> Self {
                Self(self.0.saturating_sub(by))
            }
        }

        impl From<$int> for $name {
            fn from(value: $int) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $int {
            fn from(value: $name) -> Self {
                value.0
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

number! {
    /// Number of a record in its partition, from 0. An *end* offset is the first unwritten one.
    Offset, i64
}

impl Offset {
    /// The wire's "no offset".
    pub const NONE: Self = Self(-1);

    /// The next record's offset, held at the largest value.
    #[must_use]
    pub const fn next(self) -> Self {
        self.saturating_add(1)
    }

    /// True for an offset that a record can have.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >= 0
    }
}

number! {
    /// A byte in a file, from 0.
    Position, u64
}

number! {
    /// Milliseconds since 1970-01-01 UTC; [`Timestamp::NONE`] where a record has none.
    Timestamp, i64
}

impl Timestamp {
    /// `RecordBatch.NO_TIMESTAMP`.
    pub const NONE: Self = Self(-1);

    /// True for a time, false for [`Timestamp::NONE`] and other negative values.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(Offset(5).checked_add(2), Some(Offset(7)));
        assert_eq!(Offset::MAX.checked_add(1), None);
        assert_eq!(Offset::MAX.next(), Offset::MAX);
        assert_eq!(Position(3).checked_sub(4), None);
        assert_eq!(Position(3).saturating_sub(4), Position(0));
        assert_eq!(Offset(9).checked_since(Offset(4)), Some(5));
        assert_eq!(Timestamp(i64::MIN).checked_since(Timestamp(1)), None);
        assert!(Offset(1) < Offset(2) && !Offset::NONE.is_valid());
    }
}
