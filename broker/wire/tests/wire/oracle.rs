//! The crate `kafka-protocol` reads what we write, and writes the same.
//!
//! Versions that only one of both has, and APIs that it does not know, are left out; and so are
//! LeaderChangeMessage and VotersRecord, whose field `Version` the other's decoder takes for the
//! version of the message.

use kafka_protocol::{
    messages as theirs,
    protocol::{Decodable, Encodable, Message},
};
use proptest::prelude::*;
use schema::Sampler;

/// Their bytes after reading ours; `None` for a version that they do not have.
type Again = fn(&[u8], i16) -> Option<Result<Vec<u8>, String>>;

fn again<T: Message + Decodable + Encodable>(
    bytes: &[u8],
    version: i16,
) -> Option<Result<Vec<u8>, String>> {
    if version < T::VERSIONS.min || version > T::VERSIONS.max {
        return None;
    }
    let mut left = bytes;
    let mut out = Vec::new();
    let result =
        T::decode(&mut left, version).and_then(|message| message.encode(&mut out, version));
    Some(match result {
        Ok(()) if left.is_empty() => Ok(out),
        Ok(()) => Err(format!("{} bytes left", left.len())),
        Err(error) => Err(error.to_string()),
    })
}

macro_rules! both {
    ($($name:ident)*) => {
        /// What both know, by name.
        const BOTH: &[(&str, Again)] = &[$((stringify!($name), again::<theirs::$name>),)*];
    };
}

both! {
    AddOffsetsToTxnRequest
    AddOffsetsToTxnResponse
    AddPartitionsToTxnRequest
    AddPartitionsToTxnResponse
    AddRaftVoterRequest
    AddRaftVoterResponse
    AlterClientQuotasRequest
    AlterClientQuotasResponse
    AlterConfigsRequest
    AlterConfigsResponse
    AlterPartitionReassignmentsRequest
    AlterPartitionReassignmentsResponse
    AlterReplicaLogDirsRequest
    AlterReplicaLogDirsResponse
    AlterShareGroupOffsetsRequest
    AlterShareGroupOffsetsResponse
    AlterUserScramCredentialsRequest
    AlterUserScramCredentialsResponse
    ApiVersionsRequest
    ApiVersionsResponse
    ConsumerGroupDescribeRequest
    ConsumerGroupDescribeResponse
    ConsumerGroupHeartbeatRequest
    ConsumerGroupHeartbeatResponse
    CreateAclsRequest
    CreateAclsResponse
    CreateDelegationTokenRequest
    CreateDelegationTokenResponse
    CreatePartitionsRequest
    CreatePartitionsResponse
    CreateTopicsRequest
    CreateTopicsResponse
    DeleteAclsRequest
    DeleteAclsResponse
    DeleteGroupsRequest
    DeleteGroupsResponse
    DeleteRecordsRequest
    DeleteRecordsResponse
    DeleteShareGroupOffsetsRequest
    DeleteShareGroupOffsetsResponse
    DeleteShareGroupStateRequest
    DeleteShareGroupStateResponse
    DeleteTopicsRequest
    DeleteTopicsResponse
    DescribeAclsRequest
    DescribeAclsResponse
    DescribeClientQuotasRequest
    DescribeClientQuotasResponse
    DescribeClusterRequest
    DescribeClusterResponse
    DescribeConfigsRequest
    DescribeConfigsResponse
    DescribeDelegationTokenRequest
    DescribeDelegationTokenResponse
    DescribeGroupsRequest
    DescribeGroupsResponse
    DescribeLogDirsRequest
    DescribeLogDirsResponse
    DescribeProducersRequest
    DescribeProducersResponse
    DescribeQuorumRequest
    DescribeQuorumResponse
    DescribeShareGroupOffsetsRequest
    DescribeShareGroupOffsetsResponse
    DescribeTopicPartitionsRequest
    DescribeTopicPartitionsResponse
    DescribeTransactionsRequest
    DescribeTransactionsResponse
    DescribeUserScramCredentialsRequest
    DescribeUserScramCredentialsResponse
    ElectLeadersRequest
    ElectLeadersResponse
    EndTxnRequest
    EndTxnResponse
    ExpireDelegationTokenRequest
    ExpireDelegationTokenResponse
    FetchRequest
    FetchResponse
    FindCoordinatorRequest
    FindCoordinatorResponse
    GetTelemetrySubscriptionsRequest
    GetTelemetrySubscriptionsResponse
    HeartbeatRequest
    HeartbeatResponse
    IncrementalAlterConfigsRequest
    IncrementalAlterConfigsResponse
    InitProducerIdRequest
    InitProducerIdResponse
    InitializeShareGroupStateRequest
    InitializeShareGroupStateResponse
    JoinGroupRequest
    JoinGroupResponse
    LeaveGroupRequest
    LeaveGroupResponse
    ListConfigResourcesRequest
    ListConfigResourcesResponse
    ListGroupsRequest
    ListGroupsResponse
    ListOffsetsRequest
    ListOffsetsResponse
    ListPartitionReassignmentsRequest
    ListPartitionReassignmentsResponse
    ListTransactionsRequest
    ListTransactionsResponse
    MetadataRequest
    MetadataResponse
    OffsetCommitRequest
    OffsetCommitResponse
    OffsetDeleteRequest
    OffsetDeleteResponse
    OffsetFetchRequest
    OffsetFetchResponse
    OffsetForLeaderEpochRequest
    OffsetForLeaderEpochResponse
    ProduceRequest
    ProduceResponse
    PushTelemetryRequest
    PushTelemetryResponse
    ReadShareGroupStateRequest
    ReadShareGroupStateResponse
    ReadShareGroupStateSummaryRequest
    ReadShareGroupStateSummaryResponse
    RemoveRaftVoterRequest
    RemoveRaftVoterResponse
    RenewDelegationTokenRequest
    RenewDelegationTokenResponse
    SaslAuthenticateRequest
    SaslAuthenticateResponse
    SaslHandshakeRequest
    SaslHandshakeResponse
    ShareAcknowledgeRequest
    ShareAcknowledgeResponse
    ShareFetchRequest
    ShareFetchResponse
    ShareGroupDescribeRequest
    ShareGroupDescribeResponse
    ShareGroupHeartbeatRequest
    ShareGroupHeartbeatResponse
    SyncGroupRequest
    SyncGroupResponse
    TxnOffsetCommitRequest
    TxnOffsetCommitResponse
    UnregisterBrokerRequest
    UnregisterBrokerResponse
    UpdateFeaturesRequest
    UpdateFeaturesResponse
    WriteShareGroupStateRequest
    WriteShareGroupStateResponse
    WriteTxnMarkersRequest
    WriteTxnMarkersResponse
    ConsumerProtocolAssignment
    ConsumerProtocolSubscription
    DefaultPrincipalData
    EndTxnMarker
    KRaftVersionRecord
    SnapshotFooterRecord
    SnapshotHeaderRecord
}

#[test]
fn most_messages_are_known_to_both() {
    assert!(BOTH.len() > 150, "{}", BOTH.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_write_what_we_write(seed: u64) {
        let schemas = schema::all();
        let ours = crate::cases::all();
        for (name, again) in BOTH {
            let case = ours.iter().find(|case| case.name == *name).expect("a message of ours");
            for version in case.versions.iter() {
                let sample = Sampler::new(&schemas[*name], version, seed).bytes();
                let bytes = (case.decode)(&sample, version).again;
                if let Some(theirs) = again(&bytes, version) {
                    prop_assert_eq!(theirs, Ok(bytes), "{} v{}", name, version);
                }
            }
        }
    }
}
