//! The decompressors on bytes that nobody compressed, and on bytes that we did.
//!
//! ```text
//! byte 0: codec; byte 1: cap and size of the pieces read; then the compressed bytes
//! ```
use crate::meter::peak;
use record::{
    Compression, Decompressor, Scratch,
    compress::{Error, compress, decompress},
};
use std::cell::RefCell;

const CAPS: [usize; 8] = [0, 1, 100, 4096, 65_536, 65_537, 262_144, 1 << 20];
const PIECES: [usize; 4] = [1, 61, 4096, 1 << 20];
/// A codec's own state, in memory that Rust gives.
const STATE_MAX: usize = 256 << 10;
/// Inputs up to here are also compressed.
const COMPRESSED_MAX: usize = 4096;

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    let [codec, how, input @ ..] = data else { return };
    let codec = Compression::ALL[usize::from(*codec) % Compression::ALL.len()];
    let cap = CAPS[usize::from(how & 7)];
    let piece = PIECES[usize::from(how >> 3 & 3)];
    let (whole, held) = peak(|| decompress(codec, input, cap));
    assert!(
        held <= 2 * cap + STATE_MAX,
        "{} held {held} bytes for {} under a cap of {cap}",
        codec.name(),
        input.len()
    );
    if let Ok(out) = &whole {
        assert!(out.len() <= cap, "{} bytes under a cap of {cap}", out.len());
    }

    // As a stream, with a codec that has seen other input before.
    thread_local! {
        static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
    }
    let streamed = SCRATCH.with_borrow_mut(|scratch| stream(codec, input, cap, piece, scratch));
    match (&whole, &streamed) {
        (Ok(whole), Ok(streamed)) => {
            assert!(whole == streamed, "{}: pieces of {piece} give other bytes", codec.name())
        }
        (Err(_), Err(_)) => {}
        _ => panic!(
            "{}: in pieces of {piece} {:?}, at once {:?}",
            codec.name(),
            brief(&streamed),
            brief(&whole)
        ),
    }

    if input.len() <= COMPRESSED_MAX {
        let packed = compress(codec, None, input).unwrap_or_else(|error| panic!("{error}"));
        let opened = decompress(codec, &packed, input.len());
        assert!(
            opened.as_deref() == Ok(input),
            "{}: {} bytes do not come back: {:?}",
            codec.name(),
            input.len(),
            brief(&opened)
        );
        if let Some(less) = input.len().checked_sub(1) {
            assert_eq!(decompress(codec, &packed, less), Err(Error::TooLarge { cap: less }));
        }
    }
}

fn stream(
    codec: Compression,
    input: &[u8],
    cap: usize,
    piece: usize,
    scratch: &mut Scratch,
) -> Result<Vec<u8>, Error> {
    let mut reader = Decompressor::with_scratch(codec, input, cap, scratch)?;
    let mut out = Vec::new();
    // A codec may give less than was asked for, but never nothing before the end.
    let mut buffer = vec![0; if cap > 4096 { piece.max(61) } else { piece }];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            read => out.extend_from_slice(&buffer[..read]),
        }
        assert!(
            out.len() <= cap && reader.left() == cap - out.len(),
            "{} of {cap} bytes, {} left",
            out.len(),
            reader.left()
        );
    }
    Ok(out)
}

fn brief(result: &Result<Vec<u8>, Error>) -> Result<usize, Error> {
    result.as_ref().map(Vec::len).map_err(|error| *error)
}
