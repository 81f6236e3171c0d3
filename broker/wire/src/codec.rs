//! The traits of messages, and whole frames made from them.

use bytes::Bytes;

use crate::{
    ApiKey, Error, Reader, RequestHeader, ResponseHeader, Writer, frame::SIZE_BYTES, types::Uuid,
};

/// Something that a version of the protocol can carry, read from a slice and borrowing from it.
pub trait Decode<'a>: Sized {
    /// Least number of bytes that a value takes in any version: bounds the length of lists.
    const MIN_SIZE: usize;

    /// Reads one value. Fields that `version` does not carry have their defaults; tagged fields
    /// that nobody knows are skipped. A message refuses versions that it does not have; for a
    /// struct inside a message the version is that of the message, and is not checked again.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, Error>;
}

/// Something that a version of the protocol can carry, written to a list of slices.
pub trait Encode {
    /// Writes the value. A field that `version` does not carry must have its default, or be
    /// ignorable by Kafka's schema: then it is dropped.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), Error>;
}

/// The versions of a message, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    pub min: i16,
    pub max: i16,
}

impl VersionRange {
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// All of them, oldest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i16> {
        self.min..=self.max
    }
}

/// A message as a whole, by Kafka's schema for it.
pub trait Message: Encode {
    const NAME: &'static str;
    /// Every version that Kafka 4.3 has, unstable ones included.
    const VERSIONS: VersionRange;
    /// First version in the encoding of KIP-482; `i16::MAX` if there is none.
    const FLEXIBLE_FROM: i16;

    fn is_flexible(version: i16) -> bool {
        version >= Self::FLEXIBLE_FROM
    }

    /// Whether the message has this version at all.
    fn check_version(version: i16) -> Result<(), Error> {
        if Self::VERSIONS.contains(version) {
            Ok(())
        } else {
            Err(Error::Unsupported { message: Self::NAME, version })
        }
    }
}

/// A request or a response.
pub trait ApiMessage: Message {
    const API_KEY: ApiKey;
    /// The latest version is not final: Kafka does not offer it by default.
    const LATEST_UNSTABLE: bool;

    /// The latest version that Kafka offers.
    fn latest_stable() -> i16 {
        Self::VERSIONS.max - i16::from(Self::LATEST_UNSTABLE)
    }

    /// Version of the header in front of this version of the message.
    fn header_version(version: i16) -> i16;
}

/// A request, with the response that answers it.
pub trait Request: ApiMessage {
    type Response<'a>: ApiMessage + Decode<'a> + Default;
}

/// A record in one of Kafka's own topics; keys and values of coordinators have a number each.
pub trait RecordMessage: Message {
    /// Kafka's number for the type of record.
    const ID: i16;
}

/// A message and nothing behind it.
pub fn decode<'a, T: Decode<'a>>(bytes: &'a [u8], version: i16) -> Result<T, Error> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    reader.expect_end()?;
    Ok(message)
}

/// A response's frame - size, header, message - behind what `w` holds already.
///
/// After an error `w` is as it was before, so that an error response can follow.
pub fn write_response<T: ApiMessage>(
    w: &mut Writer,
    message: &T,
    correlation_id: i32,
    version: i16,
) -> Result<(), Error> {
    let header = ResponseHeader { correlation_id };
    write_frame(w, &header, T::header_version(version), message, version)
}

/// A request's frame - size, header, message - behind what `w` holds already.
///
/// After an error `w` is as it was before.
pub fn write_request<T: Request>(
    w: &mut Writer,
    message: &T,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
) -> Result<(), Error> {
    let header = RequestHeader {
        api_key: T::API_KEY.code(),
        api_version: version,
        correlation_id,
        client_id: client_id.map(Into::into),
    };
    write_frame(w, &header, T::header_version(version), message, version)
}

/// A response's frame by itself: slices to be sent one after the other.
///
/// The first slice begins with the frame's size. Record batches are slices of their own.
pub fn encode_response<T: ApiMessage>(
    message: &T,
    correlation_id: i32,
    version: i16,
) -> Result<Vec<Bytes>, Error> {
    Ok(encode_answer(message, correlation_id, version)?.0)
}

/// Error codes other than 0 of an answer, each with how often it is there.
pub type ErrorCounts = Vec<(i16, u32)>;

/// As [`encode_response`], with the error codes that the frame has and how often, but for 0.
pub fn encode_answer<T: ApiMessage>(
    message: &T,
    correlation_id: i32,
    version: i16,
) -> Result<(Vec<Bytes>, ErrorCounts), Error> {
    let mut writer = Writer::with_buffer(Vec::with_capacity(256));
    write_response(&mut writer, message, correlation_id, version)?;
    let errors = writer.take_errors();
    Ok((writer.into_slices(), errors))
}

/// A request's frame by itself: slices to be sent one after the other.
pub fn encode_request<T: Request>(
    message: &T,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
) -> Result<Vec<Bytes>, Error> {
    let mut writer = Writer::with_buffer(Vec::with_capacity(256));
    write_request(&mut writer, message, correlation_id, client_id, version)?;
    Ok(writer.into_slices())
}

/// A response's frame around `count` elements that are encoded one by one, of `bytes` in all: they
/// belong into the first of its arrays that is empty.
#[derive(Debug)]
pub struct Around {
    /// What stands before the elements.
    pub head: Vec<u8>,
    /// What stands behind them.
    pub tail: Vec<u8>,
    /// The error codes of both, as [`encode_answer`] has them.
    pub errors: ErrorCounts,
    /// The elements' type, as [`std::any::type_name`] has it.
    pub element: &'static str,
}

/// # Errors
/// As [`Writer::around`]; or the frame is longer than one can be.
pub fn encode_response_around<T: ApiMessage>(
    message: &T,
    correlation_id: i32,
    version: i16,
    count: usize,
    bytes: usize,
) -> Result<Around, Error> {
    around(T::NAME, version, count, bytes, |w| write_response(w, message, correlation_id, version))
}

/// As [`encode_response_around`], of a request.
pub fn encode_request_around<T: Request>(
    message: &T,
    correlation_id: i32,
    client_id: Option<&str>,
    version: i16,
    count: usize,
    bytes: usize,
) -> Result<Around, Error> {
    around(T::NAME, version, count, bytes, |w| {
        write_request(w, message, correlation_id, client_id, version)
    })
}

fn around(
    name: &'static str,
    version: i16,
    count: usize,
    bytes: usize,
    write: impl FnOnce(&mut Writer) -> Result<(), Error>,
) -> Result<Around, Error> {
    let mut w = Writer::new();
    w.leave_gap(count);
    write(&mut w)?;
    let (tail, element) = w.end_gap()?;
    let errors = w.take_errors();
    let mut head = w.into_vec();
    let body = head.len() + bytes + tail.len() - SIZE_BYTES;
    match (i32::try_from(body), head.first_chunk_mut::<SIZE_BYTES>()) {
        (Ok(size), Some(place)) => {
            *place = size.to_be_bytes();
            Ok(Around { head, tail, errors, element })
        }
        _ => Err(Error::Misuse { field: name, version, problem: "longer than a frame can be" }),
    }
}

fn write_frame(
    w: &mut Writer,
    header: &impl Encode,
    header_version: i16,
    message: &impl Encode,
    version: i16,
) -> Result<(), Error> {
    let frame = w.begin_frame();
    let written = header.encode(w, header_version).and_then(|()| message.encode(w, version));
    w.end_frame(frame, written)
}

macro_rules! fixed_width {
    ($($type:ty, $bytes:literal, $method:ident;)*) => {$(
        impl Decode<'_> for $type {
            const MIN_SIZE: usize = $bytes;
            fn decode(r: &mut Reader<'_>, _: i16) -> Result<Self, Error> {
                r.$method()
            }
        }
        impl Encode for $type {
            fn encode(&self, w: &mut Writer, _: i16) -> Result<(), Error> {
                w.$method(*self);
                Ok(())
            }
        }
    )*};
}

fixed_width! {
    bool, 1, bool;
    i8, 1, i8;
    i16, 2, i16;
    u16, 2, u16;
    i32, 4, i32;
    u32, 4, u32;
    i64, 8, i64;
    f64, 8, f64;
    Uuid, 16, uuid;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{describe_configs as dc, metadata as md};

    #[test]
    fn elements_written_one_by_one_make_the_same_frame() {
        let topics: Vec<md::MetadataResponseTopic<'_>> = (0..200)
            .map(|i| md::MetadataResponseTopic {
                name: Some(format!("t{i}").into()),
                partitions: vec![md::MetadataResponsePartition::default(); i % 3],
                ..Default::default()
            })
            .collect();
        let mut whole = md::MetadataResponse {
            brokers: vec![md::MetadataResponseBroker::default()],
            topics,
            ..Default::default()
        };
        for version in md::MetadataResponse::VERSIONS.iter() {
            let expected = encode_response(&whole, 7, version).unwrap().concat();
            let mut elements = Writer::new();
            for topic in &whole.topics {
                // Once more inside: the partitions of a topic.
                let mut bare = topic.clone();
                let partitions = std::mem::take(&mut bare.partitions);
                let tail = elements.around(&bare, partitions.len(), version).unwrap();
                for partition in &partitions {
                    partition.encode(&mut elements, version).unwrap();
                }
                elements.raw(&tail);
            }
            let topics = std::mem::take(&mut whole.topics);
            let around =
                encode_response_around(&whole, 7, version, topics.len(), elements.len()).unwrap();
            whole.topics = topics;
            let frame = [around.head, elements.into_vec(), around.tail].concat();
            assert_eq!(frame, expected);
        }
    }

    #[test]
    fn a_value_without_an_empty_array_surrounds_nothing() {
        let synonym = dc::DescribeConfigsSynonym::default();
        assert!(Writer::new().around(&synonym, 1, 4).is_err());
    }
}
