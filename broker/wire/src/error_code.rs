//! Kafka's error codes, by Kafka's names and numbers (class
//! `org.apache.kafka.common.protocol.Errors`).

/// Whether a client is to try again without changing anything (Kafka's `RetriableException`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Retriable,
    Final,
}
use Again::{Final, Retriable};

macro_rules! codes {
    ($($(#[$mark:meta])? $variant:ident = $code:literal, $name:ident, $again:ident, $message:literal;)*) => {
        /// What a response says of a request, or of a part of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = $message]
                $(#[$mark])?
                $variant = $code,
            )*
        }

        impl ErrorCode {
            /// Every code, by number.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant,)*];

            pub const fn from_code(code: i16) -> Option<ErrorCode> {
                match code {
                    $($code => Some(ErrorCode::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name, such as `NOT_LEADER_OR_FOLLOWER`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => stringify!($name),)*
                }
            }

            const fn again(self) -> Again {
                match self {
                    $(ErrorCode::$variant => $again,)*
                }
            }

            /// A few words for a response's message field, where nothing better is known.
            pub const fn message(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $message,)*
                }
            }
        }
    };
}

#[rustfmt::skip]
codes! {
    UnknownServerError = -1, UNKNOWN_SERVER_ERROR, Final, "unexpected error on the server";
    #[default] None = 0, NONE, Final, "no error";
    OffsetOutOfRange = 1, OFFSET_OUT_OF_RANGE, Final, "offset outside of the log";
    CorruptMessage = 2, CORRUPT_MESSAGE, Retriable, "record batch is damaged or not valid";
    UnknownTopicOrPartition = 3, UNKNOWN_TOPIC_OR_PARTITION, Retriable, "no such topic or partition on this broker";
    InvalidFetchSize = 4, INVALID_FETCH_SIZE, Final, "fetch size is not valid";
    LeaderNotAvailable = 5, LEADER_NOT_AVAILABLE, Retriable, "partition has no leader at the moment";
    NotLeaderOrFollower = 6, NOT_LEADER_OR_FOLLOWER, Retriable, "this broker does not lead the partition (or has no replica of it)";
    RequestTimedOut = 7, REQUEST_TIMED_OUT, Retriable, "not done in time";
    BrokerNotAvailable = 8, BROKER_NOT_AVAILABLE, Final, "broker is not available";
    ReplicaNotAvailable = 9, REPLICA_NOT_AVAILABLE, Retriable, "replica is not available";
    MessageTooLarge = 10, MESSAGE_TOO_LARGE, Final, "record batch is larger than the topic allows";
    StaleControllerEpoch = 11, STALE_CONTROLLER_EPOCH, Final, "request comes from a former controller";
    OffsetMetadataTooLarge = 12, OFFSET_METADATA_TOO_LARGE, Final, "metadata string of the offset is too long";
    NetworkException = 13, NETWORK_EXCEPTION, Retriable, "connection broke before the response";
    CoordinatorLoadInProgress = 14, COORDINATOR_LOAD_IN_PROGRESS, Retriable, "coordinator is loading its state";
    CoordinatorNotAvailable = 15, COORDINATOR_NOT_AVAILABLE, Retriable, "coordinator is not available";
    NotCoordinator = 16, NOT_COORDINATOR, Retriable, "this broker is not the coordinator";
    InvalidTopicException = 17, INVALID_TOPIC_EXCEPTION, Final, "topic name is not valid, or the topic is internal";
    RecordListTooLarge = 18, RECORD_LIST_TOO_LARGE, Final, "record batch is larger than a segment";
    NotEnoughReplicas = 19, NOT_ENOUGH_REPLICAS, Retriable, "fewer replicas in sync than required";
    NotEnoughReplicasAfterAppend = 20, NOT_ENOUGH_REPLICAS_AFTER_APPEND, Retriable, "written, but to fewer replicas in sync than required";
    InvalidRequiredAcks = 21, INVALID_REQUIRED_ACKS, Final, "acks is none of -1, 0, 1";
    IllegalGeneration = 22, ILLEGAL_GENERATION, Final, "generation of the group is over";
    InconsistentGroupProtocol = 23, INCONSISTENT_GROUP_PROTOCOL, Final, "member has no protocol in common with the group";
    InvalidGroupId = 24, INVALID_GROUP_ID, Final, "group id is not valid";
    UnknownMemberId = 25, UNKNOWN_MEMBER_ID, Final, "no such member in the group";
    InvalidSessionTimeout = 26, INVALID_SESSION_TIMEOUT, Final, "session timeout outside of the broker's bounds";
    RebalanceInProgress = 27, REBALANCE_IN_PROGRESS, Final, "group is rebalancing: join again";
    InvalidCommitOffsetSize = 28, INVALID_COMMIT_OFFSET_SIZE, Final, "size of the offset commit is not valid";
    TopicAuthorizationFailed = 29, TOPIC_AUTHORIZATION_FAILED, Final, "not allowed on this topic";
    GroupAuthorizationFailed = 30, GROUP_AUTHORIZATION_FAILED, Final, "not allowed on this group";
    ClusterAuthorizationFailed = 31, CLUSTER_AUTHORIZATION_FAILED, Final, "not allowed on the cluster";
    InvalidTimestamp = 32, INVALID_TIMESTAMP, Final, "time stamp outside of the topic's bounds";
    UnsupportedSaslMechanism = 33, UNSUPPORTED_SASL_MECHANISM, Final, "SASL mechanism is not offered";
    IllegalSaslState = 34, ILLEGAL_SASL_STATE, Final, "not in this state of the SASL exchange";
    UnsupportedVersion = 35, UNSUPPORTED_VERSION, Final, "version of the API is not served";
    TopicAlreadyExists = 36, TOPIC_ALREADY_EXISTS, Final, "topic exists";
    InvalidPartitions = 37, INVALID_PARTITIONS, Final, "number of partitions is not valid";
    InvalidReplicationFactor = 38, INVALID_REPLICATION_FACTOR, Final, "replication factor is not valid";
    InvalidReplicaAssignment = 39, INVALID_REPLICA_ASSIGNMENT, Final, "replica assignment is not valid";
    InvalidConfig = 40, INVALID_CONFIG, Final, "configuration is not valid";
    NotController = 41, NOT_CONTROLLER, Retriable, "this broker is not the controller";
    InvalidRequest = 42, INVALID_REQUEST, Final, "request is not valid";
    UnsupportedForMessageFormat = 43, UNSUPPORTED_FOR_MESSAGE_FORMAT, Final, "message format of the log is too old for this";
    PolicyViolation = 44, POLICY_VIOLATION, Final, "refused by policy";
    OutOfOrderSequenceNumber = 45, OUT_OF_ORDER_SEQUENCE_NUMBER, Final, "sequence number leaves a gap";
    DuplicateSequenceNumber = 46, DUPLICATE_SEQUENCE_NUMBER, Final, "sequence number was seen before";
    InvalidProducerEpoch = 47, INVALID_PRODUCER_EPOCH, Final, "producer's epoch is over";
    InvalidTxnState = 48, INVALID_TXN_STATE, Final, "not in this state of the transaction";
    InvalidProducerIdMapping = 49, INVALID_PRODUCER_ID_MAPPING, Final, "producer id does not belong to the transactional id";
    InvalidTransactionTimeout = 50, INVALID_TRANSACTION_TIMEOUT, Final, "transaction timeout is above the broker's maximum";
    ConcurrentTransactions = 51, CONCURRENT_TRANSACTIONS, Retriable, "another operation on the transaction is under way";
    TransactionCoordinatorFenced = 52, TRANSACTION_COORDINATOR_FENCED, Final, "transaction coordinator has been replaced";
    TransactionalIdAuthorizationFailed = 53, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Final, "not allowed on this transactional id";
    SecurityDisabled = 54, SECURITY_DISABLED, Final, "security is switched off";
    OperationNotAttempted = 55, OPERATION_NOT_ATTEMPTED, Final, "not tried, since an earlier part of the request failed";
    KafkaStorageError = 56, KAFKA_STORAGE_ERROR, Retriable, "disk error in the log";
    LogDirNotFound = 57, LOG_DIR_NOT_FOUND, Final, "no such log directory on this broker";
    SaslAuthenticationFailed = 58, SASL_AUTHENTICATION_FAILED, Final, "SASL authentication failed";
    UnknownProducerId = 59, UNKNOWN_PRODUCER_ID, Final, "producer id is unknown here";
    ReassignmentInProgress = 60, REASSIGNMENT_IN_PROGRESS, Final, "partition is being reassigned";
    DelegationTokenAuthDisabled = 61, DELEGATION_TOKEN_AUTH_DISABLED, Final, "delegation tokens are switched off";
    DelegationTokenNotFound = 62, DELEGATION_TOKEN_NOT_FOUND, Final, "no such delegation token";
    DelegationTokenOwnerMismatch = 63, DELEGATION_TOKEN_OWNER_MISMATCH, Final, "delegation token belongs to someone else";
    DelegationTokenRequestNotAllowed = 64, DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, Final, "delegation tokens are not to be had over this connection";
    DelegationTokenAuthorizationFailed = 65, DELEGATION_TOKEN_AUTHORIZATION_FAILED, Final, "not allowed on this delegation token";
    DelegationTokenExpired = 66, DELEGATION_TOKEN_EXPIRED, Final, "delegation token has expired";
    InvalidPrincipalType = 67, INVALID_PRINCIPAL_TYPE, Final, "principal type is not served";
    NonEmptyGroup = 68, NON_EMPTY_GROUP, Final, "group has members";
    GroupIdNotFound = 69, GROUP_ID_NOT_FOUND, Final, "no such group";
    FetchSessionIdNotFound = 70, FETCH_SESSION_ID_NOT_FOUND, Retriable, "no such fetch session";
    InvalidFetchSessionEpoch = 71, INVALID_FETCH_SESSION_EPOCH, Retriable, "fetch session is at another epoch";
    ListenerNotFound = 72, LISTENER_NOT_FOUND, Retriable, "leader has no listener of this name";
    TopicDeletionDisabled = 73, TOPIC_DELETION_DISABLED, Final, "topic deletion is switched off";
    FencedLeaderEpoch = 74, FENCED_LEADER_EPOCH, Retriable, "leader epoch of the request is over";
    UnknownLeaderEpoch = 75, UNKNOWN_LEADER_EPOCH, Retriable, "leader epoch of the request is not known here yet";
    UnsupportedCompressionType = 76, UNSUPPORTED_COMPRESSION_TYPE, Final, "client cannot read the partition's compression";
    StaleBrokerEpoch = 77, STALE_BROKER_EPOCH, Final, "broker's epoch is over";
    OffsetNotAvailable = 78, OFFSET_NOT_AVAILABLE, Retriable, "offset is not readable yet after the election";
    MemberIdRequired = 79, MEMBER_ID_REQUIRED, Final, "member must join with the id it is given";
    PreferredLeaderNotAvailable = 80, PREFERRED_LEADER_NOT_AVAILABLE, Retriable, "preferred leader is not available";
    GroupMaxSizeReached = 81, GROUP_MAX_SIZE_REACHED, Final, "group is full";
    FencedInstanceId = 82, FENCED_INSTANCE_ID, Final, "instance id belongs to another member";
    EligibleLeadersNotAvailable = 83, ELIGIBLE_LEADERS_NOT_AVAILABLE, Retriable, "no eligible leader is available";
    ElectionNotNeeded = 84, ELECTION_NOT_NEEDED, Retriable, "leader is the wanted one already";
    NoReassignmentInProgress = 85, NO_REASSIGNMENT_IN_PROGRESS, Final, "partition is not being reassigned";
    GroupSubscribedToTopic = 86, GROUP_SUBSCRIBED_TO_TOPIC, Final, "group is subscribed to the topic";
    InvalidRecord = 87, INVALID_RECORD, Final, "record is not valid";
    UnstableOffsetCommit = 88, UNSTABLE_OFFSET_COMMIT, Retriable, "offset is part of a transaction that has not ended";
    ThrottlingQuotaExceeded = 89, THROTTLING_QUOTA_EXCEEDED, Retriable, "quota is exceeded";
    ProducerFenced = 90, PRODUCER_FENCED, Final, "a newer producer has the transactional id";
    ResourceNotFound = 91, RESOURCE_NOT_FOUND, Final, "no such resource";
    DuplicateResource = 92, DUPLICATE_RESOURCE, Final, "resource is named twice";
    UnacceptableCredential = 93, UNACCEPTABLE_CREDENTIAL, Final, "credential is not acceptable";
    InconsistentVoterSet = 94, INCONSISTENT_VOTER_SET, Final, "not a voter of the quorum";
    InvalidUpdateVersion = 95, INVALID_UPDATE_VERSION, Final, "version of the update is not valid";
    FeatureUpdateFailed = 96, FEATURE_UPDATE_FAILED, Final, "features could not be updated";
    PrincipalDeserializationFailure = 97, PRINCIPAL_DESERIALIZATION_FAILURE, Final, "principal of a forwarded request is not readable";
    SnapshotNotFound = 98, SNAPSHOT_NOT_FOUND, Final, "no such snapshot";
    PositionOutOfRange = 99, POSITION_OUT_OF_RANGE, Final, "position outside of the snapshot";
    UnknownTopicId = 100, UNKNOWN_TOPIC_ID, Retriable, "no topic with this id on this broker";
    DuplicateBrokerRegistration = 101, DUPLICATE_BROKER_REGISTRATION, Final, "broker id is taken";
    BrokerIdNotRegistered = 102, BROKER_ID_NOT_REGISTERED, Final, "broker id is not registered";
    InconsistentTopicId = 103, INCONSISTENT_TOPIC_ID, Retriable, "topic has another id";
    InconsistentClusterId = 104, INCONSISTENT_CLUSTER_ID, Final, "cluster has another id";
    TransactionalIdNotFound = 105, TRANSACTIONAL_ID_NOT_FOUND, Final, "no such transactional id";
    FetchSessionTopicIdError = 106, FETCH_SESSION_TOPIC_ID_ERROR, Retriable, "fetch session mixes topic names and ids";
    IneligibleReplica = 107, INELIGIBLE_REPLICA, Final, "replica may not be in sync";
    NewLeaderElected = 108, NEW_LEADER_ELECTED, Final, "done, but another leader was elected";
    OffsetMovedToTieredStorage = 109, OFFSET_MOVED_TO_TIERED_STORAGE, Final, "offset is in tiered storage only";
    FencedMemberEpoch = 110, FENCED_MEMBER_EPOCH, Final, "member's epoch is over: join again";
    UnreleasedInstanceId = 111, UNRELEASED_INSTANCE_ID, Final, "instance id is still held by another member";
    UnsupportedAssignor = 112, UNSUPPORTED_ASSIGNOR, Final, "assignor is not served";
    StaleMemberEpoch = 113, STALE_MEMBER_EPOCH, Final, "member's epoch is behind: heartbeat first";
    MismatchedEndpointType = 114, MISMATCHED_ENDPOINT_TYPE, Final, "not the kind of endpoint for this request";
    UnsupportedEndpointType = 115, UNSUPPORTED_ENDPOINT_TYPE, Final, "kind of endpoint is not served";
    UnknownControllerId = 116, UNKNOWN_CONTROLLER_ID, Final, "no such controller";
    UnknownSubscriptionId = 117, UNKNOWN_SUBSCRIPTION_ID, Final, "telemetry subscription is not known";
    TelemetryTooLarge = 118, TELEMETRY_TOO_LARGE, Final, "telemetry is larger than the broker takes";
    InvalidRegistration = 119, INVALID_REGISTRATION, Final, "registration is not valid";
    TransactionAbortable = 120, TRANSACTION_ABORTABLE, Final, "transaction cannot go on: abort it";
    InvalidRecordState = 121, INVALID_RECORD_STATE, Final, "record is in another state";
    ShareSessionNotFound = 122, SHARE_SESSION_NOT_FOUND, Retriable, "no such share session";
    InvalidShareSessionEpoch = 123, INVALID_SHARE_SESSION_EPOCH, Retriable, "share session is at another epoch";
    FencedStateEpoch = 124, FENCED_STATE_EPOCH, Final, "epoch of the share group's state is over";
    InvalidVoterKey = 125, INVALID_VOTER_KEY, Final, "voter has another key";
    DuplicateVoter = 126, DUPLICATE_VOTER, Final, "voter is in the set already";
    VoterNotFound = 127, VOTER_NOT_FOUND, Final, "voter is not in the set";
    InvalidRegularExpression = 128, INVALID_REGULAR_EXPRESSION, Final, "regular expression is not valid";
    RebootstrapRequired = 129, REBOOTSTRAP_REQUIRED, Final, "client must start over from its bootstrap servers";
    StreamsInvalidTopology = 130, STREAMS_INVALID_TOPOLOGY, Final, "topology is not valid";
    StreamsInvalidTopologyEpoch = 131, STREAMS_INVALID_TOPOLOGY_EPOCH, Final, "epoch of the topology is not valid";
    StreamsTopologyFenced = 132, STREAMS_TOPOLOGY_FENCED, Final, "epoch of the topology is over";
    ShareSessionLimitReached = 133, SHARE_SESSION_LIMIT_REACHED, Retriable, "too many share sessions";
}

impl ErrorCode {
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether a client is to try again without changing anything.
    pub const fn is_retriable(self) -> bool {
        matches!(self.again(), Retriable)
    }

    pub const fn is_none(self) -> bool {
        matches!(self, ErrorCode::None)
    }
}

impl From<ErrorCode> for i16 {
    fn from(code: ErrorCode) -> i16 {
        code.code()
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_are_the_same() {
        assert_eq!(ErrorCode::ALL.len(), 135);
        for (code, &error) in (-1..).zip(ErrorCode::ALL) {
            assert_eq!(error.code(), code);
            assert_eq!(ErrorCode::from_code(code), Some(error));
        }
        assert_eq!(ErrorCode::from_code(134), None);
        assert_eq!(ErrorCode::default(), ErrorCode::None);
    }

    #[test]
    fn retriable_as_kafka_has_it() {
        assert!(ErrorCode::NotLeaderOrFollower.is_retriable());
        assert!(ErrorCode::CorruptMessage.is_retriable());
        assert!(!ErrorCode::InvalidRecord.is_retriable());
        assert!(!ErrorCode::None.is_retriable());
        let retriable = ErrorCode::ALL.iter().filter(|code| code.is_retriable());
        assert_eq!(retriable.count(), RETRIABLE);
        assert_eq!(ErrorCode::RebalanceInProgress.to_string(), "REBALANCE_IN_PROGRESS");
    }

    /// In Kafka 4.3.1.
    const RETRIABLE: usize = 32;
}
