//! A connection's bytes: frames, their headers, and the request in each.
//!
//! ```text
//! byte 0: the cap on frames; then the bytes received
//! ```
use crate::{api, meter::peak};
use wire::{Decode, Encode, Reader, RequestHeader, ResponseHeader, Writer, frame, header};

const CAPS: [usize; 4] = [0, 64, 64 << 10, 100 << 20];

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    let [cap, input @ ..] = data else { return };
    let cap = CAPS[usize::from(cap & 3)];
    let mut rest = input;
    loop {
        let (parsed, held) = peak(|| frame::parse(rest, cap));
        assert_eq!(held, 0, "a size is no reason to take memory");
        let size = frame::body_size(rest, cap);
        match parsed {
            Ok(Some(found)) => {
                assert_eq!(size, Ok(Some(found.body.len())));
                assert_eq!(found.body.len() + found.rest.len() + frame::SIZE_BYTES, rest.len());
                assert!(found.body.len() <= cap);
                request(found.body);
                response(found.body);
                rest = found.rest;
            }
            Ok(None) => {
                assert!(
                    size.is_ok_and(
                        |size| size.is_none_or(|size| size + frame::SIZE_BYTES > rest.len())
                    ),
                    "{size:?}"
                );
                break;
            }
            Err(error) => {
                assert_eq!(size, Err(error));
                break;
            }
        }
    }
}

fn request(body: &[u8]) {
    let mut reader = Reader::new(body);
    let (parsed, held) = peak(|| RequestHeader::parse(&mut reader));
    assert!(held <= api::budget(body.len()), "{held} bytes held for a header in {}", body.len());
    let Ok(parsed) = parsed else { return };
    let message = reader.remaining();
    let key = wire::ApiKey::from_code(parsed.api_key)
        .unwrap_or_else(|| panic!("a header of key {} is read", parsed.api_key));
    let version = header::request_version(key, parsed.api_version);
    round_trip(&parsed, version);
    api::request(parsed.api_key, parsed.api_version, message);
}

fn response(body: &[u8]) {
    for version in 0..=1 {
        let mut reader = Reader::new(body);
        if let Ok(parsed) = ResponseHeader::decode(&mut reader, version) {
            round_trip(&parsed, version);
        }
    }
}

fn round_trip<T>(parsed: &T, version: i16)
where
    T: Encode + std::fmt::Debug + for<'a> Same<'a>,
{
    let mut writer = Writer::new();
    parsed
        .encode(&mut writer, version)
        .unwrap_or_else(|error| panic!("{parsed:?} v{version}: {error}"));
    let bytes = writer.into_vec();
    assert!(T::same(parsed, &bytes, version), "{parsed:?} v{version} is not what it was");
}

/// Decodes for another lifetime than that of the first.
trait Same<'a> {
    fn same(&self, bytes: &'a [u8], version: i16) -> bool;
}
impl<'a> Same<'a> for RequestHeader<'_> {
    fn same(&self, bytes: &'a [u8], version: i16) -> bool {
        wire::decode::<RequestHeader<'a>>(bytes, version).is_ok_and(|read| read == *self)
    }
}
impl<'a> Same<'a> for ResponseHeader {
    fn same(&self, bytes: &'a [u8], version: i16) -> bool {
        wire::decode::<ResponseHeader>(bytes, version).is_ok_and(|read| read == *self)
    }
}
