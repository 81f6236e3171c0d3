//! What precedes a message in its frame.
//!
//! The client id keeps its fixed two-byte length in every header version, so that a broker can read
//! the header of an ApiVersions request that is newer than itself (KIP-511).

use crate::{
    ApiKey, Decode, Encode, Error, Message, Reader, Str, Writer, for_each_api,
    types::{IntoOwned, own},
};

/// In front of a request; version 1, or 2 if the request's version is flexible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestHeader<'a> {
    /// [`ApiKey`]'s number; it may name no API.
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<Str<'a>>,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header of whatever request a frame holds; the request follows in the reader.
    ///
    /// A key that names no API is [`Error::Unsupported`]: how its header looks is unknown.
    pub fn parse(r: &mut Reader<'a>) -> Result<RequestHeader<'a>, Error> {
        let mut peek = Reader::new(r.remaining());
        let (key, version) = (peek.i16()?, peek.i16()?);
        let key = ApiKey::from_code(key)
            .ok_or(Error::Unsupported { message: "a request of unknown key", version })?;
        RequestHeader::decode(r, request_version(key, version))
    }
}

impl IntoOwned for RequestHeader<'_> {
    type Owned = RequestHeader<'static>;

    fn into_owned(self) -> RequestHeader<'static> {
        RequestHeader { client_id: own(self.client_id), ..self }
    }
}

impl<'a> Decode<'a> for RequestHeader<'a> {
    const MIN_SIZE: usize = 10;

    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, Error> {
        let header = RequestHeader {
            api_key: r.i16()?,
            api_version: r.i16()?,
            correlation_id: r.i32()?,
            client_id: r.opt_string(false, true)?,
        };
        if version >= 2 {
            r.skip_tags()?;
        }
        Ok(header)
    }
}

impl Encode for RequestHeader<'_> {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Error> {
        w.i16(self.api_key);
        w.i16(self.api_version);
        w.i32(self.correlation_id);
        w.opt_string(self.client_id.as_deref(), false, true)?;
        if version >= 2 {
            w.uvarint(0);
        }
        Ok(())
    }
}

/// In front of a response; version 0, or 1 if the response's version is flexible - but always 0 in
/// front of an ApiVersions response, which a client of any age must be able to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseHeader {
    pub correlation_id: i32,
}

impl Decode<'_> for ResponseHeader {
    const MIN_SIZE: usize = 4;

    fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, Error> {
        let correlation_id = r.i32()?;
        if version >= 1 {
            r.skip_tags()?;
        }
        Ok(ResponseHeader { correlation_id })
    }
}

impl Encode for ResponseHeader {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Error> {
        w.i32(self.correlation_id);
        if version >= 1 {
            w.uvarint(0);
        }
        Ok(())
    }
}

/// Version of the header in front of `version` of the request of `key`.
///
/// Versions that do not exist have the header of the nearest one that does, so that an ApiVersions
/// request from the future can be answered.
pub fn request_version(key: ApiKey, version: i16) -> i16 {
    if version >= flexible_from(key) { 2 } else { 1 }
}

/// Version of the header in front of `version` of the response to `key`.
pub fn response_version(key: ApiKey, version: i16) -> i16 {
    i16::from(key != ApiKey::ApiVersions && version >= flexible_from(key))
}

/// First flexible version of an API; `i16::MAX` for one that we have no schema of.
fn flexible_from(key: ApiKey) -> i16 {
    macro_rules! table {
        ($($key:ident, $request:ty, $response:ty;)*) => {
            match key {
                $(ApiKey::$key => <$request as Message>::FLEXIBLE_FROM,)*
                _ => i16::MAX,
            }
        };
    }
    for_each_api!(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_headers_by_version() {
        // ApiVersions 3 is flexible: header 2, with a tagged field nobody knows.
        let bytes = b"\0\x12\0\x03\0\0\0\x07\0\x02me\x01\x05\x01\xffrest";
        let mut reader = Reader::new(bytes);
        let header = RequestHeader::parse(&mut reader).unwrap();
        assert_eq!(
            header,
            RequestHeader {
                api_key: 18,
                api_version: 3,
                correlation_id: 7,
                client_id: Some("me".into())
            }
        );
        assert_eq!(reader.remaining(), b"rest");
        // SaslHandshake is never flexible; a null client id.
        let bytes = b"\0\x11\0\x01\0\0\0\x07\xff\xffrest";
        let mut reader = Reader::new(bytes);
        let header = RequestHeader::parse(&mut reader).unwrap();
        assert_eq!(header.client_id, None);
        assert_eq!(reader.remaining(), b"rest");
    }

    #[test]
    fn an_api_versions_request_of_the_future_has_a_readable_header() {
        assert_eq!(request_version(ApiKey::ApiVersions, 99), 2);
        assert_eq!(response_version(ApiKey::ApiVersions, 99), 0);
        assert_eq!(response_version(ApiKey::Metadata, 9), 1);
        assert_eq!(response_version(ApiKey::Metadata, 8), 0);
    }

    #[test]
    fn an_unknown_key_is_unsupported() {
        let bytes = b"\x7f\xff\0\x01\0\0\0\x07\xff\xff";
        assert!(matches!(
            RequestHeader::parse(&mut Reader::new(bytes)),
            Err(Error::Unsupported { version: 1, .. })
        ));
    }
}
