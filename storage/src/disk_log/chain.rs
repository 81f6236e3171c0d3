//! The closed segments of a log, so that a listing shows whether one is missing: see
//! `recover::chain`.
use record::{Offset, checksum};

/// How many closed segments there are, and a sum over their bases and sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    count: u32,
    sum: u64,
    /// Nobody has compared them yet, or damage was found: the next start reads their seals.
    is_doubted: bool,
}

impl Chain {
    /// Bytes of [`Self::to_bytes`].
    pub const BYTES: usize = 13;
    /// Of a checkpoint that does not say.
    pub const UNKNOWN: Chain = Chain { count: 0, sum: 0, is_doubted: true };

    /// Of segments with their base offsets and bytes, in any order.
    pub fn of(segments: impl Iterator<Item = (Offset, u64)>) -> Self {
        let mut chain = Self::default();
        for (base, bytes) in segments {
            let mut both = [0; 16];
            both[..8].copy_from_slice(&base.0.to_be_bytes());
            both[8..].copy_from_slice(&bytes.to_be_bytes());
            chain.count += 1;
            let mixed = u64::from(checksum(&both)) << 32 | u64::from(checksum(&both[4..12]));
            chain.sum = chain.sum.wrapping_add(mixed);
        }
        chain
    }

    pub fn doubted(self) -> Self {
        Self { is_doubted: true, ..self }
    }

    /// Big-endian: count u32, sum u64, doubted u8.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.count.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.sum.to_be_bytes());
        bytes[12] = u8::from(self.is_doubted);
        bytes
    }

    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        use bytes::Buf;
        let mut at = &bytes[..];
        Self { count: at.get_u32(), sum: at.get_u64(), is_doubted: at.get_u8() != 0 }
    }
}
