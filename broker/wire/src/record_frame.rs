//! The few bytes around a message in the key or value of a record.
//!
//! * Coordinators (`__consumer_offsets`, `__transaction_state`): a key is its type's number and the
//!   key at version 0; a value is its version and the value. (Kafka's `CoordinatorRecordSerde`.)
//! * Metadata (`__cluster_metadata`): a value is the frame's version, 1, the type's number and the
//!   version, all of variable length, and the record. (Kafka's `AbstractApiMessageSerde`.)
//!
//! A value of a coordinator's record does not say its type: that is in the key. A null value is the
//! caller's to see: it deletes.

use crate::{Encode, Error, Reader, Writer, decode};

/// Records of one topic, told apart by a number.
pub trait RecordSet<'a>: Encode + Sized {
    /// Kafka's number for the type.
    fn id(&self) -> i16;

    /// Latest version of the type.
    fn latest_version(&self) -> i16;

    /// Reads a record of the type with number `id`; an unknown one is unsupported.
    fn decode_as(id: i16, r: &mut Reader<'a>, version: i16) -> Result<Self, Error>;
}

const METADATA_FRAME_VERSION: u32 = 1;
/// Coordinators write keys in this version, and put the type's number where others put a version.
const KEY_VERSION: i16 = 0;

/// Key of a coordinator's record.
pub fn encode_key<'a, K: RecordSet<'a>>(key: &K) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::with_buffer(Vec::with_capacity(64));
    writer.i16(key.id());
    key.encode(&mut writer, KEY_VERSION)?;
    Ok(writer.into_vec())
}

/// Key of a coordinator's record, read back.
pub fn decode_key<'a, K: RecordSet<'a>>(bytes: &'a [u8]) -> Result<K, Error> {
    let mut reader = Reader::new(bytes);
    let id = reader.i16()?;
    let key = K::decode_as(id, &mut reader, KEY_VERSION)?;
    reader.expect_end()?;
    Ok(key)
}

/// Value of a coordinator's record: one message, or a set's [`RecordSet`] enum.
pub fn encode_value<V: Encode>(value: &V, version: i16) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::with_buffer(Vec::with_capacity(64));
    writer.i16(version);
    value.encode(&mut writer, version)?;
    Ok(writer.into_vec())
}

/// Value of a coordinator's record whose key has the type with number `id`.
pub fn decode_value<'a, V: RecordSet<'a>>(id: i16, bytes: &'a [u8]) -> Result<V, Error> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    let value = V::decode_as(id, &mut reader, version)?;
    reader.expect_end()?;
    Ok(value)
}

/// Value of a coordinator's record whose type is known.
pub fn decode_value_of<'a, V: crate::Decode<'a>>(bytes: &'a [u8]) -> Result<V, Error> {
    let version = Reader::new(bytes).i16()?;
    decode(bytes.get(2..).unwrap_or_default(), version)
}

/// Value of a metadata record.
pub fn encode_metadata<'a, R: RecordSet<'a>>(record: &R, version: i16) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::with_buffer(Vec::with_capacity(64));
    writer.uvarint(METADATA_FRAME_VERSION);
    writer.uvarint(u32::from(record.id().cast_unsigned()));
    writer.uvarint(u32::from(version.cast_unsigned()));
    record.encode(&mut writer, version)?;
    Ok(writer.into_vec())
}

/// What stands before a metadata record: version of the frame, the type's number, version. Only the
/// first is sure to be what it is called when that is not [`METADATA_FRAME_VERSION`]. `None`: too
/// short.
pub fn metadata_head(bytes: &[u8]) -> Option<[u32; 3]> {
    let mut reader = Reader::new(bytes);
    let frame = reader.uvarint().ok()?;
    if frame != METADATA_FRAME_VERSION {
        return Some([frame, 0, 0]);
    }
    Some([frame, reader.uvarint().ok()?, reader.uvarint().ok()?])
}

/// The versions of the record type with number `id`, oldest and newest; `None` for an unknown type.
pub fn versions_of<R: RecordSet<'static>>(id: i16) -> Option<(i16, i16)> {
    let is_known = |version: &i16| {
        let read = R::decode_as(id, &mut Reader::new(&[]), *version);
        !matches!(read, Err(Error::Unsupported { .. }))
    };
    let mut known = (0..=i16::from(i8::MAX)).filter(is_known);
    let oldest = known.next()?;
    Some((oldest, known.next_back().unwrap_or(oldest)))
}

/// Value of a metadata record, read back, with its version.
pub fn decode_metadata<'a, R: RecordSet<'a>>(bytes: &'a [u8]) -> Result<(R, i16), Error> {
    let mut reader = Reader::new(bytes);
    if reader.uvarint()? != METADATA_FRAME_VERSION {
        return Err(Error::Malformed("unknown frame around a metadata record"));
    }
    let mut small = || {
        i16::try_from(reader.uvarint()?)
            .map_err(|_| Error::Malformed("number of a metadata record is too large"))
    };
    let (id, version) = (small()?, small()?);
    let record = R::decode_as(id, &mut reader, version)?;
    reader.expect_end()?;
    Ok((record, version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Uuid,
        records::{
            group::{GroupKey, GroupValue, OffsetCommitKey, OffsetCommitValue},
            metadata::{MetadataRecord, TopicRecord},
        },
    };

    #[test]
    fn a_committed_offset_as_kafka_writes_it() {
        let key =
            GroupKey::from(OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 2 });
        let bytes = encode_key(&key).unwrap();
        assert_eq!(bytes, b"\0\x01\0\x01g\0\x01t\0\0\0\x02");
        assert_eq!(decode_key(&bytes), Ok(key.clone()));

        let value = GroupValue::from(OffsetCommitValue {
            offset: 5,
            leader_epoch: 1,
            metadata: "m".into(),
            commit_timestamp: 7,
            ..OffsetCommitValue::default()
        });
        let bytes = encode_value(&value, 3).unwrap();
        assert_eq!(bytes, b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x01\0\x01m\0\0\0\0\0\0\0\x07");
        assert_eq!(decode_value(key.id(), &bytes), Ok(value));
    }

    #[test]
    fn a_topic_as_kafka_writes_it() {
        let record =
            MetadataRecord::from(TopicRecord { name: "t".into(), topic_id: Uuid::METADATA });
        let bytes = encode_metadata(&record, 0).unwrap();
        assert_eq!(bytes, b"\x01\x02\0\x02t\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0");
        assert_eq!(decode_metadata(&bytes), Ok((record, 0)));
        assert!(decode_metadata::<MetadataRecord<'_>>(&bytes[..5]).is_err());
    }

    #[test]
    fn unknown_types_are_unsupported() {
        assert!(matches!(decode_key::<GroupKey<'_>>(b"\x7f\0"), Err(Error::Unsupported { .. })));
    }
}
