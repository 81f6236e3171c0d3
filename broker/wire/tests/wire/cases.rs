//! Every generated message as a row of function pointers.

use wire::{Decode, Error, IntoOwned, Message, Reader, VersionRange, Writer};

/// What a decoder did with some bytes.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) result: Result<(), Error>,
    /// The message encoded again in the same version, if it was decoded.
    pub(crate) again: Vec<u8>,
    pub(crate) left: usize,
    pub(crate) memory: usize,
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) versions: VersionRange,
    pub(crate) decode: fn(&[u8], i16) -> Decoded,
    /// The default value, encoded.
    pub(crate) default: fn(i16) -> Result<Vec<u8>, Error>,
}

fn decode<'a, T: Decode<'a> + Message>(bytes: &'a [u8], version: i16) -> Decoded {
    let mut reader = Reader::new(bytes);
    let budget = reader.budget();
    let message = T::decode(&mut reader, version);
    let mut writer = Writer::new();
    let result = message.and_then(|message| message.encode(&mut writer, version));
    Decoded {
        result,
        again: writer.into_vec(),
        left: reader.remaining().len(),
        memory: budget - reader.budget(),
    }
}

fn default<T: Message + Default>(version: i16) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    T::default().encode(&mut writer, version)?;
    Ok(writer.into_vec())
}

macro_rules! row {
    ($type:ty) => {
        Case {
            name: <$type as Message>::NAME,
            versions: <$type as Message>::VERSIONS,
            decode: |bytes, version| decode::<$type>(bytes, version),
            default: default::<$type>,
        }
    };
}

macro_rules! apis {
    ($($key:ident, $request:ty, $response:ty;)*) => { vec![$(row!($request), row!($response),)*] };
}

macro_rules! records {
    ($($type:ty;)*) => { vec![$(row!($type),)*] };
}

pub(crate) fn all() -> Vec<Case> {
    [
        wire::for_each_api!(apis),
        wire::for_each_metadata_message!(records),
        wire::for_each_group_message!(records),
        wire::for_each_transaction_message!(records),
        wire::for_each_data_message!(records),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_schema_has_its_type() {
    let mut types: Vec<_> = all().iter().map(|case| case.name.to_owned()).collect();
    let mut schemas: Vec<_> = schema::all()
        .into_values()
        .filter(|message| message.kind != schema::Kind::Header)
        .map(|message| message.name)
        .collect();
    types.sort();
    schemas.sort();
    assert_eq!(types, schemas);
    assert!(types.len() > 200, "{} messages", types.len());
}

#[test]
fn an_owned_copy_is_equal_and_outlives_its_bytes() {
    let owned = {
        let bytes = b"\0\0\0\0\0\x01\0\x05group\0\x08consumer".to_vec();
        let response: wire::list_groups::ListGroupsResponse<'_> =
            wire::decode(&bytes, 0).expect("a list of groups");
        let owned = response.clone().into_owned();
        assert_eq!(owned, response);
        owned
    };
    assert_eq!(owned.groups[0].group_id, "group");
}
