//! The seal of a closed segment: what its files must be.
//!
//! Kafka's batch CRC covers neither base offset nor length, epoch and magic, and its indexes have
//! no checksum at all. When a segment is closed, `<base>.seal` records its [`Facts`] (with a CRC
//! over all batch headers) and the CRC of each index file. A seal that does not read is no seal:
//! the segment is scanned once and sealed anew. Kafka itself leaves the file alone.
//!
//! ```text
//! magic 8 B, format u16, reserved u16, index CRC u32, time index CRC u32, facts 100 B, CRC-32C of all before u32
//! ```
use crate::{
    error::Error,
    files::Disk,
    segment::facts::{FACTS_BYTES, Facts},
};
use record::{Offset, checksum};
use std::path::Path;

const MAGIC: [u8; 8] = *b"MRSEAL\r\n";
const FORMAT: u16 = 1;
/// Most bytes of a seal of whatever format.
const BYTES_MAX: usize = 4096;
/// Bytes of a seal.
pub(crate) const SEAL_BYTES: usize = 8 + 2 + 2 + 4 + 4 + FACTS_BYTES + 4;

/// Facts of a closed segment and the CRC-32C of its index files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) facts: Facts,
    pub(crate) index_crc: u32,
    pub(crate) time_index_crc: u32,
}

impl Seal {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEAL_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.index_crc.to_be_bytes());
        out.extend_from_slice(&self.time_index_crc.to_be_bytes());
        out.extend_from_slice(&self.facts.to_bytes());
        out.extend_from_slice(&checksum(&out).to_be_bytes());
        assert_eq!(out.len(), SEAL_BYTES);
        out
    }

    /// The seal of the segment that begins at `base`; `None` if there is none that can be used.
    ///
    /// # Errors
    /// The disk's; [`Error::Version`]: it is not to be written over.
    pub(crate) async fn load(
        disk: &Disk,
        path: &Path,
        base: Offset,
    ) -> Result<Option<Self>, Error> {
        // One that is too long is a damaged one, as good as none; or one of a newer program.
        let bytes = match disk.read(path, BYTES_MAX).await {
            Err(Error::Damaged { .. }) => None,
            other => other?,
        };
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        if let Some(format) = Self::foreign_format(&bytes) {
            return Err(Error::Version {
                file: path.display().to_string(),
                what: "a seal",
                found: format.to_string(),
                known: "1",
            });
        }
        Ok(Self::from_bytes(&bytes).filter(|seal| seal.facts.base == base))
    }

    /// The format, if the bytes are a seal of one that is not known here. Magic and format keep
    /// their places in every one.
    pub(crate) fn foreign_format(bytes: &[u8]) -> Option<u16> {
        let (magic, at) = bytes.split_first_chunk::<8>()?;
        let format = u16::from_be_bytes(*at.first_chunk::<2>()?);
        if *magic != MAGIC || format == FORMAT {
            return None;
        }
        // One of ours with a flipped bit there: its checksum is right with the right format.
        let mut ours = bytes.to_vec();
        ours[8..10].copy_from_slice(&FORMAT.to_be_bytes());
        Self::from_bytes(&ours).is_none().then_some(format)
    }

    /// `None` for bytes that are not a whole, undamaged seal of a format known here.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SEAL_BYTES] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        (checksum(body) == u32::from_be_bytes(*crc)).then_some(())?;
        let (magic, at) = body.split_first_chunk::<8>()?;
        let (format, at) = at.split_first_chunk::<2>()?;
        (*magic == MAGIC && u16::from_be_bytes(*format) == FORMAT).then_some(())?;
        let (_reserved, at) = at.split_first_chunk::<2>()?;
        let (index_crc, at) = at.split_first_chunk::<4>()?;
        let (time_index_crc, at) = at.split_first_chunk::<4>()?;
        Some(Self {
            facts: Facts::from_bytes(at.try_into().ok()?),
            index_crc: u32::from_be_bytes(*index_crc),
            time_index_crc: u32::from_be_bytes(*time_index_crc),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_and_every_damaged_byte_is_seen() {
        let facts = Facts { size: 77, batches: 3, ..Facts::new(Offset(5), 9) };
        let seal = Seal { facts, index_crc: 1, time_index_crc: 2 };
        let bytes = seal.to_bytes();
        assert_eq!(Seal::from_bytes(&bytes), Some(seal));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(Seal::from_bytes(&bad), None, "byte {at}");
            assert_eq!(Seal::from_bytes(&bytes[..at]), None, "cut at {at}");
            assert_eq!(Seal::foreign_format(&bad), None, "byte {at}");
        }
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let seal = Seal { facts: Facts::new(Offset(5), 9), index_crc: 1, time_index_crc: 2 };
        let mut bytes = seal.to_bytes();
        assert_eq!(Seal::foreign_format(&bytes), None);
        bytes[9] = 2;
        bytes[20] ^= 1;
        assert_eq!(Seal::foreign_format(&bytes), Some(2));
        assert_eq!(Seal::foreign_format(&bytes[..60]), Some(2));
        assert_eq!(Seal::foreign_format(b"MRSE"), None);
    }
}
