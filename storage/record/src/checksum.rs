//! CRC-32C (Castagnoli, RFC 3720 B.4): the one checksum of batches, and of our own files.
//!
//! One function, so that the implementation can be changed in one place.

/// CRC-32C of `bytes`.
#[inline]
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32C of what `first` is of, and `bytes` behind it.
#[inline]
#[must_use]
pub fn extend(first: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(first, bytes)
}

/// CRC-32C of bytes that come in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checksum(u32);

impl Checksum {
    /// Of no bytes yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// Takes the next piece in.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The CRC of all pieces so far.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_value() {
        // RFC 3720 B.4: 32 bytes of zeros, and the common check string.
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn pieces_equal_the_whole(bytes: Vec<u8>, at: proptest::sample::Index) {
            let (a, b) = bytes.split_at(at.index(bytes.len() + 1));
            let mut sum = Checksum::new();
            sum.update(a);
            sum.update(b);
            prop_assert_eq!(sum.finish(), checksum(&bytes));
            prop_assert_eq!(extend(checksum(a), b), checksum(&bytes));
        }
    }
}
