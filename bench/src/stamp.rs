//! The first bytes of a stamped record's value: who wrote it, which one it is, when it was due.
//!
//! ```text
//! 0      4        8                 16                24      28          32
//! +------+--------+-----------------+-----------------+-------+-----------+--- ..
//! | magic| stream | sequence        | intended, ns    | run   | body crc  | body
//! +------+--------+-----------------+-----------------+-------+-----------+--- ..
//! ```
//!
//! All big-endian. `intended` is on the run's own clock, so it means something in the process that
//! wrote it only; `run` keeps records of other runs out. `body crc` is the CRC-32C of what follows.

use crate::clock::Nanos;

/// Bytes of a stamp.
pub const STAMP_SIZE: usize = 32;

const MAGIC: u32 = 0x6d72_6265;
const SEQUENCE_AT: usize = 8;

/// A stamp, by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// One partition as one connection writes it.
    pub stream: u32,
    /// Of the record in its stream, from 0.
    pub sequence: u64,
    pub intended: Nanos,
    pub run: u32,
    pub body_crc: u32,
}

impl Stamp {
    /// Over the front of `value`.
    ///
    /// # Panics
    /// If `value` is shorter than a stamp: workloads are checked for that.
    pub fn write(&self, value: &mut [u8]) {
        value[0..4].copy_from_slice(&MAGIC.to_be_bytes());
        value[4..8].copy_from_slice(&self.stream.to_be_bytes());
        value[24..28].copy_from_slice(&self.run.to_be_bytes());
        value[28..32].copy_from_slice(&self.body_crc.to_be_bytes());
        rewrite(value, self.sequence, self.intended);
    }

    /// From the front of `value`; `None` if it is no stamp.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let bytes = value.first_chunk::<STAMP_SIZE>()?;
        let u32_at = |at: usize| bytes[at..at + 4].try_into().map(u32::from_be_bytes).ok();
        let u64_at = |at: usize| bytes[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        if u32_at(0)? != MAGIC {
            return None;
        }
        Some(Self {
            stream: u32_at(4)?,
            sequence: u64_at(SEQUENCE_AT)?,
            intended: u64_at(16)?,
            run: u32_at(24)?,
            body_crc: u32_at(28)?,
        })
    }
}

/// Replaces what changes from send to send in a stamp that is there already.
pub fn rewrite(value: &mut [u8], sequence: u64, intended: Nanos) {
    value[SEQUENCE_AT..16].copy_from_slice(&sequence.to_be_bytes());
    value[16..24].copy_from_slice(&intended.to_be_bytes());
}

/// Of a stamped value's body.
#[must_use]
pub fn body_crc(value: &[u8]) -> u32 {
    record::checksum(value.get(STAMP_SIZE..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut value = vec![7; 40];
        let stamp = Stamp {
            stream: 3,
            sequence: u64::MAX - 1,
            intended: 123_456_789_012,
            run: 0xdead_beef,
            body_crc: body_crc(&value),
        };
        stamp.write(&mut value);
        assert_eq!(Stamp::read(&value), Some(stamp));
        assert_eq!(body_crc(&value), stamp.body_crc);
        rewrite(&mut value, 5, 6);
        let again = Stamp::read(&value).unwrap();
        assert_eq!((again.sequence, again.intended, again.run), (5, 6, stamp.run));
        assert_eq!(Stamp::read(&value[..31]), None);
        value[0] ^= 1;
        assert_eq!(Stamp::read(&value), None);
    }
}
