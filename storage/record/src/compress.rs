//! Codecs.

use crate::Compression;

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not yet.
    #[error("codec not available")]
    Unavailable,
}

/// Appends `input`, compressed, to `out`.
///
/// # Errors
/// [`Error`].
pub fn compress_into(
    codec: Compression,
    _level: Option<i32>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    match codec {
        Compression::None => out.extend_from_slice(input),
        _ => return Err(Error::Unavailable),
    }
    Ok(())
}
