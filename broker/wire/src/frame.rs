//! The frame: a length in 4 bytes, big-endian and signed, then as many bytes.

/// One frame at the front of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Header and message, without the length.
    pub body: &'a [u8],
    /// What follows the frame.
    pub rest: &'a [u8],
}

/// A length that no frame may have; the connection cannot be read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("negative frame size {0}")]
    Negative(i32),
    #[error("frame of {size} bytes where at most {max} are taken")]
    Oversized { size: usize, max: usize },
}

/// Bytes of the length in front of a frame.
pub const SIZE_BYTES: usize = 4;

/// The body's size, as soon as the 4 bytes of the length are there; `None` before.
///
/// A length above `max` is an error as soon as it is seen: nothing is ever received for it.
pub fn body_size(buffer: &[u8], max: usize) -> Result<Option<usize>, FrameError> {
    let Some(size) = buffer.first_chunk::<SIZE_BYTES>() else {
        return Ok(None);
    };
    let size = i32::from_be_bytes(*size);
    let body = usize::try_from(size).map_err(|_| FrameError::Negative(size))?;
    if body > max {
        return Err(FrameError::Oversized { size: body, max });
    }
    Ok(Some(body))
}

/// The first frame of `buffer`; `None` while it is incomplete.
pub fn parse(buffer: &[u8], max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(size) = body_size(buffer, max)? else {
        return Ok(None);
    };
    Ok(buffer
        .get(SIZE_BYTES..)
        .and_then(|behind| behind.split_at_checked(size))
        .map(|(body, rest)| Frame { body, rest }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_whole_or_none() {
        let bytes = [0, 0, 0, 2, 7, 8, 9];
        for end in 0..6 {
            assert_eq!(parse(&bytes[..end], 2), Ok(None), "{end}");
        }
        let frame = parse(&bytes, 2).unwrap().unwrap();
        assert_eq!((frame.body, frame.rest), (&[7, 8][..], &[9][..]));
        let empty = parse(&[0; 4], 0).unwrap().unwrap();
        assert!(empty.body.is_empty() && empty.rest.is_empty());
    }

    #[test]
    fn an_impossible_size_is_seen_at_once() {
        assert_eq!(parse(&[0, 0, 0, 3], 2), Err(FrameError::Oversized { size: 3, max: 2 }));
        assert_eq!(parse(&[0xff; 4], 100), Err(FrameError::Negative(-1)));
    }
}
