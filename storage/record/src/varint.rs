//! Variable-length integers: seven bits a byte, low bits first, high bit set on all but the last.
//!
//! Signed ones are zigzag-coded (Kafka's `varint` and `varlong`, of the record format); unsigned
//! ones are the compact lengths of KIP-482. Reading stops after 5 or 10 bytes, and bits beyond the
//! type are an error; padding with zero groups is accepted, as Kafka does (`ByteUtils`).

use bytes::BufMut;

/// Why no integer could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end inside the integer.
    #[error("the bytes end inside a variable-length integer")]
    Truncated,
    /// More bits than the type holds.
    #[error("a variable-length integer does not fit its type")]
    Overflow,
}

/// Reads an unsigned 32-bit integer from the front of `input` and moves it past.
///
/// # Errors
/// [`Error`]; `input` is then unspecified.
#[inline]
pub fn take_unsigned_varint(input: &mut &[u8]) -> Result<u32, Error> {
    decode_32(|| next_byte(input))
}

/// Reads an unsigned 64-bit integer from the front of `input` and moves it past.
///
/// # Errors
/// [`Error`]; `input` is then unspecified.
#[inline]
pub fn take_unsigned_varlong(input: &mut &[u8]) -> Result<u64, Error> {
    decode_64(|| next_byte(input))
}

/// Reads a zigzag 32-bit integer from the front of `input` and moves it past.
///
/// # Errors
/// [`Error`]; `input` is then unspecified.
#[inline]
pub fn take_varint(input: &mut &[u8]) -> Result<i32, Error> {
    take_unsigned_varint(input).map(unzigzag_32)
}

/// Reads a zigzag 64-bit integer from the front of `input` and moves it past.
///
/// # Errors
/// [`Error`]; `input` is then unspecified.
#[inline]
pub fn take_varlong(input: &mut &[u8]) -> Result<i64, Error> {
    take_unsigned_varlong(input).map(unzigzag_64)
}

/// Writes an unsigned 32-bit integer.
#[inline]
pub fn put_unsigned_varint(out: &mut impl BufMut, value: u32) {
    put_unsigned_varlong(out, u64::from(value));
}

/// Writes an unsigned 64-bit integer.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the low seven bits are meant
pub fn put_unsigned_varlong(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Writes a zigzag 32-bit integer.
#[inline]
pub fn put_varint(out: &mut impl BufMut, value: i32) {
    put_unsigned_varint(out, zigzag_32(value));
}

/// Writes a zigzag 64-bit integer.
#[inline]
pub fn put_varlong(out: &mut impl BufMut, value: i64) {
    put_unsigned_varlong(out, zigzag_64(value));
}

/// Bytes that [`put_unsigned_varint`] writes: 1 to 5.
#[inline]
#[must_use]
pub const fn unsigned_varint_len(value: u32) -> usize {
    unsigned_varlong_len(value as u64)
}

/// Bytes that [`put_unsigned_varlong`] writes: 1 to 10.
#[inline]
#[must_use]
pub const fn unsigned_varlong_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Bytes that [`put_varint`] writes: 1 to 5.
#[inline]
#[must_use]
pub const fn varint_len(value: i32) -> usize {
    unsigned_varint_len(zigzag_32(value))
}

/// Bytes that [`put_varlong`] writes: 1 to 10.
#[inline]
#[must_use]
pub const fn varlong_len(value: i64) -> usize {
    unsigned_varlong_len(zigzag_64(value))
}

#[inline]
const fn zigzag_32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

#[inline]
const fn zigzag_64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
pub(crate) const fn unzigzag_32(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[inline]
pub(crate) const fn unzigzag_64(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[inline]
pub(crate) fn next_byte(input: &mut &[u8]) -> Result<u8, Error> {
    let (&first, rest) = input.split_first().ok_or(Error::Truncated)?;
    *input = rest;
    Ok(first)
}

#[inline(always)] // in the walk over a batch's records, seven times a record
pub(crate) fn decode_32<E: From<Error>>(mut next: impl FnMut() -> Result<u8, E>) -> Result<u32, E> {
    let first = next()?;
    if first < 0x80 {
        return Ok(u32::from(first));
    }
    let mut value = u32::from(first & 0x7f);
    for shift in [7, 14, 21] {
        let byte = next()?;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    let last = next()?;
    if last > 0x0f {
        return Err(Error::Overflow.into());
    }
    Ok(value | u32::from(last) << 28)
}

#[inline(always)] // in the walk over a batch's records, seven times a record
pub(crate) fn decode_64<E: From<Error>>(mut next: impl FnMut() -> Result<u8, E>) -> Result<u64, E> {
    let first = next()?;
    if first < 0x80 {
        return Ok(u64::from(first));
    }
    let mut value = u64::from(first & 0x7f);
    for shift in [7, 14, 21, 28, 35, 42, 49, 56] {
        let byte = next()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    let last = next()?;
    if last > 1 {
        return Err(Error::Overflow.into());
    }
    Ok(value | u64::from(last) << 63)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_bytes() {
        // Examples from Kafka's own tests of ByteUtils (writeVarint).
        for (value, bytes) in [
            (0, &[0x00][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (8191, &[0xfe, 0x7f]),
            (-8192, &[0xff, 0x7f]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(take_varint(&mut &bytes[..]), Ok(value));
        }
    }

    #[test]
    fn overlong_and_truncated() {
        let overlong = [0xff; 11];
        assert_eq!(take_varint(&mut &overlong[..]), Err(Error::Overflow));
        assert_eq!(take_varlong(&mut &overlong[..]), Err(Error::Overflow));
        assert_eq!(
            take_unsigned_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x10][..]),
            Err(Error::Overflow)
        );
        assert_eq!(take_varint(&mut &[][..]), Err(Error::Truncated));
        assert_eq!(take_varint(&mut &[0x80, 0x80][..]), Err(Error::Truncated));
        // Zero padding, as Kafka accepts it.
        assert_eq!(take_varint(&mut &[0x82, 0x80, 0x00][..]), Ok(1));
    }

    proptest! {
        #[test]
        fn round_trip_32(value: i32) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_len(value));
            let mut input = &out[..];
            prop_assert_eq!(take_varint(&mut input), Ok(value));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn round_trip_64(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_varlong(&mut out, value);
            prop_assert_eq!(out.len(), varlong_len(value));
            let mut input = &out[..];
            prop_assert_eq!(take_varlong(&mut input), Ok(value));
            prop_assert!(input.is_empty());
        }
    }
}
