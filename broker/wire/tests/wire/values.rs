//! What the code decides beyond the schema's bytes: fields that a version does not carry, headers,
//! whole frames.

use bytes::Bytes;
use wire::{
    ApiKey, ApiMessage, Decode, Error, Message, Reader, Records, Request, RequestHeader,
    ResponseHeader, Uuid, Writer,
    api_versions::{ApiVersionsRequest, ApiVersionsResponse},
    encode_answer, encode_request, encode_response,
    fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
    frame, header,
    init_producer_id::InitProducerIdRequest,
    metadata::{
        MetadataRequest, MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
    },
    write_response,
};

fn encode(message: &impl Message, version: i16) -> Result<Vec<u8>, Error> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.into_vec())
}

#[test]
fn an_ignorable_field_is_dropped_where_it_is_not_carried() {
    let request = FetchRequest { rack_id: "r1".into(), ..FetchRequest::default() };
    let old = encode(&request, 10).unwrap();
    let read: FetchRequest<'_> = wire::decode(&old, 10).unwrap();
    assert_eq!(read, FetchRequest::default());
    let new = encode(&request, 11).unwrap();
    assert_eq!(wire::decode(&new, 11), Ok(request));
}

#[test]
fn any_other_field_is_misuse_where_it_is_not_carried() {
    let request = InitProducerIdRequest { producer_id: 5, ..InitProducerIdRequest::default() };
    assert_eq!(
        encode(&request, 2),
        Err(Error::Misuse {
            field: "InitProducerIdRequest.producer_id",
            version: 2,
            problem: "the version does not carry this field",
        })
    );
    encode(&request, 3).unwrap();
}

#[test]
fn null_is_misuse_where_the_version_has_none() {
    let all_topics = MetadataRequest { topics: None, ..MetadataRequest::default() };
    assert!(matches!(encode(&all_topics, 0), Err(Error::Misuse { .. })));
    let bytes = encode(&all_topics, 1).unwrap();
    let read: MetadataRequest<'_> = wire::decode(&bytes, 1).unwrap();
    assert_eq!(read.topics, None);
    assert!(matches!(wire::decode::<MetadataRequest<'_>>(&[0xff; 4], 0), Err(Error::Malformed(_))));
}

#[test]
fn the_error_codes_of_a_response_are_noted_as_far_as_they_are_carried() {
    let partition = |error_code| MetadataResponsePartition { error_code, ..Default::default() };
    let topic = |error_code, partitions| MetadataResponseTopic {
        error_code,
        name: Some("t".into()),
        partitions,
        ..Default::default()
    };
    let response = MetadataResponse {
        error_code: 29,
        topics: vec![
            topic(3, vec![partition(0), partition(5)]),
            topic(0, vec![partition(9), partition(3)]),
        ],
        ..Default::default()
    };
    for (version, wanted) in
        [(1, vec![(3, 2), (5, 1), (9, 1)]), (13, vec![(3, 2), (5, 1), (9, 1), (29, 1)])]
    {
        let mut response = response.clone();
        if version < 13 {
            response.error_code = 0;
        }
        let (slices, errors) = encode_answer(&response, 1, version).unwrap();
        assert_eq!(errors, wanted);
        assert_eq!(slices, encode_response(&response, 1, version).unwrap());
    }
}

#[test]
fn a_fetch_response_frame_keeps_records_as_they_are() {
    let records = Bytes::from(vec![7; 100]);
    let partition = |index| PartitionData {
        partition_index: index,
        records: Some(Records::from(records.clone())),
        ..PartitionData::default()
    };
    let response = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic_id: Uuid::METADATA,
            partitions: vec![partition(0), partition(1)],
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    let slices = encode_response(&response, 42, 13).unwrap();
    let shared = slices.iter().filter(|s| s.as_ptr() == records.as_ptr());
    assert_eq!(shared.count(), 2, "not copied");
    assert_eq!(slices.len(), 5);

    let bytes = slices.concat();
    let frame = frame::parse(&bytes, 1 << 20).unwrap().unwrap();
    assert!(frame.rest.is_empty());
    let mut reader = Reader::new(frame.body);
    let header = ResponseHeader::decode(&mut reader, FetchResponse::header_version(13)).unwrap();
    assert_eq!(header.correlation_id, 42);
    assert_eq!(FetchResponse::decode(&mut reader, 13), Ok(response));
    reader.expect_end().unwrap();
}

#[test]
fn a_frame_that_fails_leaves_nothing_behind() {
    let good = ApiVersionsResponse::default();
    let bad = FetchResponse {
        responses: vec![FetchableTopicResponse {
            partitions: vec![PartitionData {
                records: Some(Records::from(Bytes::from_static(b"batch"))),
                ..PartitionData::default()
            }],
            ..FetchableTopicResponse::default()
        }],
        // Not in version 4, and not to be dropped.
        session_id: 1,
        ..FetchResponse::default()
    };
    let mut writer = Writer::new();
    write_response(&mut writer, &good, 1, 3).unwrap();
    let before = writer.len();
    assert!(write_response(&mut writer, &bad, 2, 4).is_err());
    assert_eq!(writer.len(), before);
    write_response(&mut writer, &bad, 3, 12).unwrap();
    write_response(&mut writer, &good, 4, 3).unwrap();

    let bytes = writer.into_slices().concat();
    let mut left = bytes.as_slice();
    let mut ids = Vec::new();
    while let Some(frame) = frame::parse(left, 1000).unwrap() {
        ids.push(Reader::new(frame.body).i32().unwrap());
        left = frame.rest;
    }
    assert!(left.is_empty());
    assert_eq!(ids, [1, 3, 4]);
}

#[test]
fn a_request_frame_says_what_it_is() {
    let request = ApiVersionsRequest {
        client_software_name: "test".into(),
        client_software_version: "1".into(),
    };
    let slices = encode_request(&request, 9, Some("me"), 3).unwrap();
    assert_eq!(slices.len(), 1);
    let frame = frame::parse(&slices[0], 1000).unwrap().unwrap();
    let mut reader = Reader::new(frame.body);
    let header = RequestHeader::parse(&mut reader).unwrap();
    assert_eq!(ApiKey::from_code(header.api_key), Some(ApiKey::ApiVersions));
    assert_eq!((header.api_version, header.correlation_id), (3, 9));
    assert_eq!(header.client_id.as_deref(), Some("me"));
    assert_eq!(ApiVersionsRequest::decode(&mut reader, 3), Ok(request));
}

#[test]
fn header_versions_of_all_apis() {
    fn pair<R: Request>(key: ApiKey) {
        assert_eq!(R::API_KEY, key);
        assert_eq!(<R::Response<'static> as ApiMessage>::API_KEY, key);
        assert_eq!(<R::Response<'static> as Message>::VERSIONS, R::VERSIONS);
        for version in R::VERSIONS.iter() {
            let of_response = <R::Response<'static> as ApiMessage>::header_version(version);
            assert_eq!(R::header_version(version), header::request_version(key, version));
            assert_eq!(of_response, header::response_version(key, version));
            if key == ApiKey::ApiVersions {
                assert_eq!(of_response, 0);
            } else {
                assert_eq!(of_response, R::header_version(version) - 1);
            }
        }
    }
    macro_rules! pairs {
        ($($key:ident, $request:ty, $response:ty;)*) => { $(pair::<$request>(ApiKey::$key);)* };
    }
    wire::for_each_api!(pairs);
    assert_eq!(ApiVersionsResponse::header_version(4), 0);
}

#[test]
fn unstable_versions_are_not_the_latest() {
    assert_eq!(InitProducerIdRequest::VERSIONS.max, 6);
    assert_eq!(InitProducerIdRequest::latest_stable(), 5);
    assert_eq!(FetchRequest::latest_stable(), 18);
}
