//! A batch in another codec: what a topic's `compression.type` asks of batches that came otherwise.
//!
//! The records stay byte for byte; length, codec and CRC of the header follow.

use crate::compress::{self, OpenError};
use crate::header::refresh_crc;
use crate::{BatchView, Compression, HEADER_SIZE, LOG_OVERHEAD};

/// Why a batch could not be recoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecodeError {
    /// What came cannot be opened, or is larger than the cap.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The codec refused.
    #[error(transparent)]
    Compress(#[from] compress::Error),
    /// More than a batch's length can say.
    #[error("the batch is longer than {} bytes", i32::MAX)]
    TooLong,
}

/// `batch` with its records in `codec`, as large as [`compress::compress_into`] makes it at
/// `level`. At most `cap` bytes of records are taken out of it.
///
/// # Errors
/// [`RecodeError`]; a batch that has been validated to its end can only be too long.
pub fn recode(
    batch: &BatchView<'_>,
    codec: Compression,
    level: Option<i32>,
    cap: usize,
) -> Result<Vec<u8>, RecodeError> {
    let records = batch.decompressed(cap)?;
    let mut out = vec![0; HEADER_SIZE];
    compress::compress_into(codec, level, &records, &mut out)?;
    let mut header = *batch.header();
    header.attributes = header.attributes.with_compression(codec);
    header.batch_length =
        i32::try_from(out.len() - LOG_OVERHEAD).map_err(|_| RecodeError::TooLong)?;
    if let Some(place) = out.first_chunk_mut() {
        *place = header.to_bytes();
    }
    refresh_crc(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BatchBuilder, Offset, ProducerEpoch, ProducerId, Timestamp, ValidateOptions, validate,
    };

    fn batch(codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new()
            .base_offset(Offset(0))
            .producer(ProducerId(7), ProducerEpoch(1), 5)
            .compression(codec);
        for i in 0..50 {
            let value = format!("value {i}");
            builder
                .append(Some(b"key"), Some(value.as_bytes()), Timestamp(1_000 + i), &[])
                .unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn from_every_codec_to_every_codec() {
        let deep = ValidateOptions { deep: true, ..ValidateOptions::default() };
        for from in Compression::ALL {
            let came = batch(from);
            let came = BatchView::parse_verified(&came).unwrap();
            for to in Compression::ALL {
                let made = recode(&came, to, None, 1 << 20).unwrap();
                let valid = validate(&made, &deep, Timestamp(2_000)).unwrap();
                assert_eq!(valid.header.attributes.compression(), Ok(to));
                let view = BatchView::parse_verified(&made).unwrap();
                assert_eq!(view.bytes().len(), made.len());
                assert_eq!(
                    view.decompressed(1 << 20).unwrap(),
                    came.decompressed(1 << 20).unwrap(),
                    "{from:?} to {to:?}"
                );
                assert_eq!(
                    (valid.header.producer_id, valid.header.base_sequence),
                    (ProducerId(7), 5)
                );
            }
        }
    }

    #[test]
    fn what_is_larger_than_the_cap_is_refused() {
        let came = batch(Compression::Zstd);
        let came = BatchView::parse_verified(&came).unwrap();
        assert!(matches!(
            recode(&came, Compression::Lz4, None, 100),
            Err(RecodeError::Open(OpenError::Compress(compress::Error::TooLarge { .. })))
        ));
    }
}
