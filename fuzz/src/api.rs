//! Every API in every version: decode, encode again, decode that.
//!
//! ```text
//! byte 0: API; byte 1: request or response, and version; then the message
//! ```
use crate::meter::peak;
use wire::{ApiKey, Decode, Message, VersionRange, Writer, for_each_api};

/// What decoding may hold (design rule): 8 bytes per byte received, and 64 KiB.
pub fn budget(received: usize) -> usize {
    8 * received + (64 << 10)
}

/// A request or a response.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub key: ApiKey,
    pub name: &'static str,
    pub versions: VersionRange,
    pub check: fn(&[u8], i16) -> bool,
}

/// Every request with its response, by key.
pub fn kinds() -> &'static [(Kind, Kind)] {
    macro_rules! table {
        ($($key:ident, $request:ty, $response:ty;)*) => {
            &[$((kind!($key, $request), kind!($key, $response)),)*]
        };
    }
    macro_rules! kind {
        ($key:ident, $type:ty) => {
            Kind {
                key: ApiKey::$key,
                name: <$type as Message>::NAME,
                versions: <$type as Message>::VERSIONS,
                check: |bytes, version| {
                    check::<$type>(bytes, version, |bytes, version, left| {
                        decode_again::<$type>(bytes, version, left)
                    })
                },
            }
        };
    }
    const KINDS: &[(Kind, Kind)] = for_each_api!(table);
    KINDS
}

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    let [key, how, body @ ..] = data else { return };
    let (request, response) = kinds()[usize::from(*key) % kinds().len()];
    let kind = if how & 0x80 == 0 { request } else { response };
    // One version more than there is, on each side.
    let span = i32::from(kind.versions.max) - i32::from(kind.versions.min) + 3;
    let version = i32::from(kind.versions.min) - 1 + i32::from(how & 0x7f) % span;
    let version = i16::try_from(version).unwrap_or(i16::MAX);
    let whole = (kind.check)(body, version);
    assert!(!whole || kind.versions.contains(version), "{} has no version {version}", kind.name);
}

/// The second decoding: gives what is encoded from it, and the bytes that are left.
pub(crate) type Again = fn(&[u8], i16, &mut usize) -> Vec<u8>;

pub(crate) fn decode_again<'a, T: Decode<'a> + Message>(
    bytes: &'a [u8],
    version: i16,
    left: &mut usize,
) -> Vec<u8> {
    let mut reader = wire::Reader::new(bytes);
    let message = T::decode(&mut reader, version).unwrap_or_else(|error| {
        panic!("{} v{version}: what was encoded does not decode: {error}", T::NAME)
    });
    *left = reader.remaining().len();
    encode(&message, version)
}

fn encode<T: Message>(message: &T, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap_or_else(|error| {
        panic!("{} v{version}: what was decoded does not encode: {error}", T::NAME)
    });
    let length = writer.len();
    let bytes = writer.into_vec();
    assert_eq!(bytes.len(), length, "{} v{version}", T::NAME);
    bytes
}

/// Whether the bytes begin with a message; all properties of it are asserted.
pub(crate) fn check<'a, T: Decode<'a> + Message>(
    bytes: &'a [u8],
    version: i16,
    again: Again,
) -> bool {
    let mut reader = wire::Reader::new(bytes);
    let (message, held) = peak(|| T::decode(&mut reader, version));
    assert!(
        held <= budget(bytes.len()),
        "{} v{version}: {held} bytes held for {}",
        T::NAME,
        bytes.len()
    );
    let Ok(message) = message else { return false };
    let read = bytes.len() - reader.remaining().len();
    // Unknown tagged fields are not kept, known ones with their default are not written: so not
    // longer, and from then on the same.
    let first = encode(&message, version);
    assert!(first.len() <= read, "{} v{version}: {} bytes from {read}", T::NAME, first.len());
    let mut left = 0;
    let second = again(&first, version, &mut left);
    assert_eq!(left, 0, "{} v{version}: bytes behind what was encoded", T::NAME);
    assert!(
        first == second,
        "{} v{version}: decoding what was encoded gives another message",
        T::NAME
    );
    true
}

/// The checked request of a frame's own key and version, if there is one.
pub fn request(key: i16, version: i16, body: &[u8]) -> Option<bool> {
    let (request, _) = kinds().iter().find(|(request, _)| request.key.code() == key)?;
    Some((request.check)(body, version))
}
