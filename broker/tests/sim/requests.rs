//! A request of every API in every version: with nothing set, and with everything that the version
//! carries.
use crate::{
    bed::read_answer,
    kafka::{NOW, batch},
};
use wire::{
    ApiKey, Message, Request, Uuid, alter_configs as ac, alter_partition_reassignments as apr,
    alter_replica_log_dirs as ald, api_versions as av, consumer_group_describe as cgd,
    consumer_group_heartbeat as cgh, create_acls as ca, create_partitions as cp,
    create_topics as ct, delete_acls as da, delete_groups as dg, delete_records as dr,
    delete_topics as dt, describe_acls as das, describe_client_quotas as dcq,
    describe_cluster as dcl, describe_configs as dc, describe_groups as dgr,
    describe_log_dirs as dl, describe_producers as dp, describe_quorum as dq,
    describe_topic_partitions as dtp, describe_user_scram_credentials as dus, elect_leaders as el,
    fetch as fe, find_coordinator as fc, heartbeat as hb, incremental_alter_configs as iac,
    init_producer_id as ip, join_group as jg, leave_group as lg, list_config_resources as lcr,
    list_groups as lgr, list_offsets as lo, list_partition_reassignments as lpr,
    list_transactions as lt, metadata as md, offset_commit as oc, offset_delete as od,
    offset_fetch as of, offset_for_leader_epoch as oe, produce as pr, sync_group as sg,
};

/// What a request speaks of.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) topic: String,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: i32,
    pub(crate) group: String,
    /// A topic to be made.
    pub(crate) new_topic: String,
    /// Member id, endpoint type and the like that do not exist.
    pub(crate) strange: bool,
}

/// Correlation id of every request here.
pub(crate) const ID: i32 = 7;

fn frame<Q: Request>(request: &Q, version: i16) -> Vec<u8> {
    let slices = wire::encode_request(request, ID, Some("sim"), version)
        .unwrap_or_else(|e| panic!("{:?} version {version}: {e}", Q::API_KEY));
    slices.concat()
}

/// Where the bed's broker says that its partitions are.
fn log_dir() -> String {
    let dir = std::path::absolute("data/kafka").unwrap();
    dir.to_str().unwrap().to_owned()
}

/// A request with every field at its default; `None` where the version cannot say that.
pub(crate) fn minimal(key: ApiKey, version: i16) -> Option<Vec<u8>> {
    macro_rules! table {
        ($($key:ident, $request:ty, $response:ty;)*) => {
            match key {
                $(ApiKey::$key => wire::encode_request(&<$request>::default(), ID, None, version).ok().map(|s| s.concat()),)*
                _ => None,
            }
        };
    }
    if key == ApiKey::Produce {
        // Its default of acks has no answer.
        return Some(frame(&pr::ProduceRequest { acks: -1, ..Default::default() }, version));
    }
    wire::for_each_api!(table)
}

/// Decodes the answer to a request of [`ID`], and shows it.
pub(crate) fn show_answer(key: ApiKey, version: i16, bytes: &[u8]) -> String {
    macro_rules! table {
        ($($key:ident, $request:ty, $response:ty;)*) => {
            match key {
                $(ApiKey::$key => format!("{:?}", read_answer::<$request>(bytes, ID, version)),)*
                _ => unreachable!("{key:?} is not an API of clients"),
            }
        };
    }
    wire::for_each_api!(table)
}

/// The versions that an API has in Kafka.
pub(crate) fn versions_of(key: ApiKey) -> wire::VersionRange {
    macro_rules! table {
        ($($key:ident, $request:ty, $response:ty;)*) => {
            match key {
                $(ApiKey::$key => <$request as Message>::VERSIONS,)*
                _ => unreachable!("{key:?} is not an API of clients"),
            }
        };
    }
    wire::for_each_api!(table)
}

/// A request with what its version carries.
pub(crate) fn filled(key: ApiKey, v: i16, n: &Names) -> Vec<u8> {
    let topic = || n.topic.clone().into();
    let group = || n.group.clone().into();
    let text = |t: &str| t.to_owned().into();
    let index = n.partition;
    match key {
        ApiKey::Produce => frame(
            &pr::ProduceRequest {
                transactional_id: None,
                acks: -1,
                timeout_ms: 30_000,
                topic_data: vec![pr::TopicProduceData {
                    name: if v < 13 { topic() } else { text("") },
                    topic_id: if v < 13 { Uuid::default() } else { n.topic_id },
                    partition_data: vec![pr::PartitionProduceData {
                        index,
                        records: Some(batch(&["one", "two"]).into()),
                    }],
                }],
            },
            v,
        ),
        ApiKey::Fetch => frame(
            &fe::FetchRequest {
                max_wait_ms: 10,
                min_bytes: 1,
                max_bytes: 1 << 20,
                isolation_level: 1,
                session_epoch: if v < 7 { -1 } else { 0 },
                rack_id: if v < 11 { text("") } else { text("rack") },
                topics: vec![fe::FetchTopic {
                    topic: if v < 13 { topic() } else { text("") },
                    topic_id: if v < 13 { Uuid::default() } else { n.topic_id },
                    partitions: vec![fe::FetchPartition {
                        partition: index,
                        fetch_offset: 0,
                        partition_max_bytes: 1 << 20,
                        ..Default::default()
                    }],
                }],
                forgotten_topics_data: if v < 7 {
                    Vec::new()
                } else {
                    vec![fe::ForgottenTopic {
                        topic: if v < 13 { topic() } else { text("") },
                        topic_id: if v < 13 { Uuid::default() } else { n.topic_id },
                        partitions: vec![99],
                    }]
                },
                ..Default::default()
            },
            v,
        ),
        ApiKey::ListOffsets => {
            let asked = |timestamp| lo::ListOffsetsPartition {
                partition_index: index,
                current_leader_epoch: -1,
                timestamp,
            };
            // One of what the version has: a partition that is named twice is refused.
            let timestamps: &[i64] = match v {
                ..7 => &[-1, -2, NOW.0],
                _ => &[-1, -2, -3, NOW.0],
            };
            let partitions = vec![asked(timestamps[v as usize % timestamps.len()])];
            frame(
                &lo::ListOffsetsRequest {
                    replica_id: -1,
                    isolation_level: if v < 2 { 0 } else { 1 },
                    topics: vec![lo::ListOffsetsTopic { name: topic(), partitions }],
                    timeout_ms: if v < 10 { 0 } else { 1000 },
                },
                v,
            )
        }
        ApiKey::Metadata => {
            let mut topics =
                vec![md::MetadataRequestTopic { topic_id: Uuid::default(), name: Some(topic()) }];
            if v >= 12 {
                topics.push(md::MetadataRequestTopic { topic_id: n.topic_id, name: None });
            }
            frame(
                &md::MetadataRequest {
                    topics: Some(topics),
                    allow_auto_topic_creation: v < 4,
                    include_cluster_authorized_operations: (8..=10).contains(&v),
                    include_topic_authorized_operations: v >= 8,
                },
                v,
            )
        }
        ApiKey::OffsetCommit => frame(
            &oc::OffsetCommitRequest {
                group_id: group(),
                generation_id_or_member_epoch: -1,
                retention_time_ms: if v < 5 { 1_000_000 } else { -1 },
                topics: vec![oc::OffsetCommitRequestTopic {
                    name: if v < 10 { topic() } else { text("") },
                    topic_id: if v < 10 { Uuid::default() } else { n.topic_id },
                    partitions: vec![oc::OffsetCommitRequestPartition {
                        partition_index: index,
                        committed_offset: 3,
                        committed_leader_epoch: if v < 6 { -1 } else { 1 },
                        committed_metadata: Some(text("metadata")),
                    }],
                }],
                ..Default::default()
            },
            v,
        ),
        ApiKey::OffsetFetch if v < 8 => frame(
            &of::OffsetFetchRequest {
                group_id: group(),
                topics: Some(vec![of::OffsetFetchRequestTopic {
                    name: topic(),
                    partition_indexes: vec![index, 77],
                }]),
                require_stable: v >= 7,
                ..Default::default()
            },
            v,
        ),
        ApiKey::OffsetFetch => {
            let asked = of::OffsetFetchRequestTopics {
                name: if v < 10 { topic() } else { text("") },
                topic_id: if v < 10 { Uuid::default() } else { n.topic_id },
                partition_indexes: vec![index, 77],
            };
            let of_group = |topics| of::OffsetFetchRequestGroup {
                group_id: group(),
                topics,
                ..Default::default()
            };
            frame(
                &of::OffsetFetchRequest {
                    groups: vec![of_group(Some(vec![asked])), of_group(None)],
                    require_stable: true,
                    ..Default::default()
                },
                v,
            )
        }
        ApiKey::FindCoordinator => frame(
            &fc::FindCoordinatorRequest {
                key: if v < 4 { group() } else { text("") },
                key_type: 0,
                coordinator_keys: if v < 4 { Vec::new() } else { vec![group(), text("another")] },
            },
            v,
        ),
        ApiKey::JoinGroup => frame(
            &jg::JoinGroupRequest {
                group_id: if n.strange {
                    group()
                } else {
                    format!("join-{v}-{}", n.new_topic).into()
                },
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: if v < 1 { -1 } else { 10_000 },
                member_id: text(if n.strange { "nobody" } else { "" }),
                group_instance_id: None,
                protocol_type: text("consumer"),
                protocols: vec![jg::JoinGroupRequestProtocol {
                    name: text("range"),
                    metadata: vec![1, 2, 3].into(),
                }],
                reason: (v >= 8).then(|| text("because")),
            },
            v,
        ),
        ApiKey::Heartbeat => frame(
            &hb::HeartbeatRequest {
                group_id: group(),
                generation_id: 1,
                member_id: text("nobody"),
                group_instance_id: None,
            },
            v,
        ),
        ApiKey::LeaveGroup => frame(
            &lg::LeaveGroupRequest {
                group_id: group(),
                member_id: text(if v < 3 { "nobody" } else { "" }),
                members: if v < 3 {
                    Vec::new()
                } else {
                    let reason = (v >= 5).then(|| text("because"));
                    vec![lg::MemberIdentity {
                        member_id: text("nobody"),
                        group_instance_id: None,
                        reason,
                    }]
                },
            },
            v,
        ),
        ApiKey::SyncGroup => frame(
            &sg::SyncGroupRequest {
                group_id: group(),
                generation_id: 1,
                member_id: text("nobody"),
                group_instance_id: None,
                protocol_type: (v >= 5).then(|| text("consumer")),
                protocol_name: (v >= 5).then(|| text("range")),
                assignments: vec![sg::SyncGroupRequestAssignment {
                    member_id: text("nobody"),
                    assignment: vec![4].into(),
                }],
            },
            v,
        ),
        ApiKey::DescribeGroups => frame(
            &dgr::DescribeGroupsRequest {
                groups: vec![group()],
                include_authorized_operations: v >= 3,
            },
            v,
        ),
        ApiKey::ListGroups => frame(
            &lgr::ListGroupsRequest {
                states_filter: if v < 4 { Vec::new() } else { vec![text("Empty"), text("Stable")] },
                types_filter: if v < 5 { Vec::new() } else { vec![text("classic")] },
            },
            v,
        ),
        ApiKey::ApiVersions => frame(
            &av::ApiVersionsRequest {
                client_software_name: if v < 3 { text("") } else { text("sim") },
                client_software_version: if v < 3 { text("") } else { text("1.0") },
            },
            v,
        ),
        ApiKey::CreateTopics => frame(
            &ct::CreateTopicsRequest {
                topics: vec![ct::CreatableTopic {
                    name: if n.strange { text("not a name") } else { n.new_topic.clone().into() },
                    num_partitions: 3,
                    replication_factor: 1,
                    assignments: Vec::new(),
                    configs: vec![ct::CreatableTopicConfig {
                        name: text("retention.ms"),
                        value: Some(text("100000")),
                    }],
                }],
                timeout_ms: 1000,
                validate_only: false,
            },
            v,
        ),
        ApiKey::DeleteTopics => frame(
            &dt::DeleteTopicsRequest {
                topic_names: if v < 6 { vec![topic()] } else { Vec::new() },
                topics: if v < 6 {
                    Vec::new()
                } else {
                    vec![dt::DeleteTopicState { name: None, topic_id: n.topic_id }]
                },
                timeout_ms: 1000,
            },
            v,
        ),
        ApiKey::DeleteRecords => frame(
            &dr::DeleteRecordsRequest {
                topics: vec![dr::DeleteRecordsTopic {
                    name: topic(),
                    partitions: vec![dr::DeleteRecordsPartition {
                        partition_index: index,
                        offset: 0,
                    }],
                }],
                timeout_ms: 1000,
            },
            v,
        ),
        ApiKey::InitProducerId => frame(
            &ip::InitProducerIdRequest {
                transactional_id: n.strange.then(|| text("transaction")),
                transaction_timeout_ms: 1000,
                ..Default::default()
            },
            v,
        ),
        ApiKey::OffsetForLeaderEpoch => frame(
            &oe::OffsetForLeaderEpochRequest {
                topics: vec![oe::OffsetForLeaderTopic {
                    topic: topic(),
                    partitions: vec![oe::OffsetForLeaderPartition {
                        partition: index,
                        current_leader_epoch: -1,
                        leader_epoch: 1,
                    }],
                }],
                ..Default::default()
            },
            v,
        ),
        ApiKey::DescribeConfigs => {
            let asked = |resource_type, name: &str, keys| dc::DescribeConfigsResource {
                resource_type,
                resource_name: text(name),
                configuration_keys: keys,
            };
            frame(
                &dc::DescribeConfigsRequest {
                    resources: vec![
                        asked(2, &n.topic, None),
                        asked(2, &n.topic, Some(vec![text("retention.ms"), text("nonsense")])),
                        asked(4, "", None),
                    ],
                    include_synonyms: true,
                    include_documentation: v >= 3,
                },
                v,
            )
        }
        ApiKey::AlterConfigs => frame(
            &ac::AlterConfigsRequest {
                resources: vec![ac::AlterConfigsResource {
                    resource_type: 2,
                    resource_name: topic(),
                    configs: vec![ac::AlterableConfig {
                        name: text("retention.ms"),
                        value: Some(text("200000")),
                    }],
                }],
                validate_only: false,
            },
            v,
        ),
        ApiKey::AlterReplicaLogDirs => frame(
            &ald::AlterReplicaLogDirsRequest {
                dirs: vec![ald::AlterReplicaLogDir {
                    path: log_dir().into(),
                    topics: vec![ald::AlterReplicaLogDirTopic {
                        name: topic(),
                        partitions: vec![index],
                    }],
                }],
            },
            v,
        ),
        ApiKey::ConsumerGroupHeartbeat => frame(
            &cgh::ConsumerGroupHeartbeatRequest {
                group_id: group(),
                member_id: "member".into(),
                ..Default::default()
            },
            v,
        ),
        ApiKey::ConsumerGroupDescribe => frame(
            &cgd::ConsumerGroupDescribeRequest {
                group_ids: vec![group()],
                include_authorized_operations: true,
            },
            v,
        ),
        ApiKey::DescribeLogDirs => frame(
            &dl::DescribeLogDirsRequest {
                topics: Some(vec![dl::DescribableLogDirTopic {
                    topic: topic(),
                    partitions: vec![index],
                }]),
            },
            v,
        ),
        ApiKey::CreatePartitions => frame(
            &cp::CreatePartitionsRequest {
                topics: vec![cp::CreatePartitionsTopic {
                    name: topic(),
                    count: 9,
                    assignments: None,
                }],
                timeout_ms: 1000,
                validate_only: true,
            },
            v,
        ),
        ApiKey::DeleteGroups => frame(&dg::DeleteGroupsRequest { groups_names: vec![group()] }, v),
        ApiKey::IncrementalAlterConfigs => frame(
            &iac::IncrementalAlterConfigsRequest {
                resources: vec![iac::AlterConfigsResource {
                    resource_type: 2,
                    resource_name: topic(),
                    configs: vec![iac::AlterableConfig {
                        name: text("retention.ms"),
                        config_operation: 0,
                        value: Some(text("300000")),
                    }],
                }],
                validate_only: false,
            },
            v,
        ),
        ApiKey::OffsetDelete => frame(
            &od::OffsetDeleteRequest {
                group_id: group(),
                topics: vec![od::OffsetDeleteRequestTopic {
                    name: topic(),
                    partitions: vec![od::OffsetDeleteRequestPartition { partition_index: index }],
                }],
            },
            v,
        ),
        ApiKey::DescribeCluster => frame(
            &dcl::DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                endpoint_type: 1,
                include_fenced_brokers: v >= 2,
            },
            v,
        ),
        ApiKey::DescribeProducers => frame(
            &dp::DescribeProducersRequest {
                topics: vec![dp::TopicRequest { name: topic(), partition_indexes: vec![index] }],
            },
            v,
        ),
        ApiKey::ListConfigResources => frame(
            &lcr::ListConfigResourcesRequest {
                resource_types: if v < 1 { Vec::new() } else { vec![2, 4] },
            },
            v,
        ),
        ApiKey::DescribeTopicPartitions => frame(
            &dtp::DescribeTopicPartitionsRequest {
                topics: vec![dtp::TopicRequest { name: topic() }],
                response_partition_limit: 100,
                cursor: None,
            },
            v,
        ),
        ApiKey::DescribeAcls => frame(
            &das::DescribeAclsRequest {
                resource_type_filter: 2,
                resource_name_filter: Some(topic()),
                pattern_type_filter: 3,
                principal_filter: Some(text("User:a")),
                host_filter: Some(text("*")),
                operation: 1,
                permission_type: 1,
            },
            v,
        ),
        ApiKey::CreateAcls => frame(
            &ca::CreateAclsRequest {
                creations: vec![ca::AclCreation {
                    resource_type: 2,
                    resource_name: topic(),
                    resource_pattern_type: 3,
                    principal: text("User:a"),
                    host: text("*"),
                    operation: 3,
                    permission_type: 3,
                }],
            },
            v,
        ),
        ApiKey::DeleteAcls => frame(
            &da::DeleteAclsRequest {
                filters: vec![da::DeleteAclsFilter {
                    resource_type_filter: 2,
                    resource_name_filter: Some(topic()),
                    pattern_type_filter: 3,
                    principal_filter: None,
                    host_filter: None,
                    operation: 1,
                    permission_type: 1,
                }],
            },
            v,
        ),
        ApiKey::ElectLeaders => frame(
            &el::ElectLeadersRequest {
                election_type: i8::from(v >= 1),
                topic_partitions: Some(vec![el::TopicPartitions {
                    topic: topic(),
                    partitions: vec![index],
                }]),
                timeout_ms: 1_000,
            },
            v,
        ),
        ApiKey::AlterPartitionReassignments => frame(
            &apr::AlterPartitionReassignmentsRequest {
                timeout_ms: 1_000,
                allow_replication_factor_change: v < 1,
                topics: vec![apr::ReassignableTopic {
                    name: topic(),
                    partitions: vec![apr::ReassignablePartition {
                        partition_index: index,
                        replicas: Some(vec![77]),
                    }],
                }],
            },
            v,
        ),
        ApiKey::ListPartitionReassignments => frame(
            &lpr::ListPartitionReassignmentsRequest {
                timeout_ms: 1_000,
                topics: Some(vec![lpr::ListPartitionReassignmentsTopics {
                    name: topic(),
                    partition_indexes: vec![index],
                }]),
            },
            v,
        ),
        ApiKey::DescribeClientQuotas => frame(
            &dcq::DescribeClientQuotasRequest {
                components: vec![dcq::ComponentData {
                    entity_type: text("client-id"),
                    match_type: 0,
                    match_: Some(text("a")),
                }],
                strict: true,
            },
            v,
        ),
        ApiKey::DescribeUserScramCredentials => frame(
            &dus::DescribeUserScramCredentialsRequest {
                users: Some(vec![dus::UserName { name: text("a") }]),
            },
            v,
        ),
        ApiKey::DescribeQuorum => frame(
            &dq::DescribeQuorumRequest {
                topics: vec![dq::RequestTopicData {
                    topic_name: if n.strange { topic() } else { text("__cluster_metadata") },
                    partitions: vec![dq::RequestPartitionData { partition_index: 0 }],
                }],
            },
            v,
        ),
        ApiKey::ListTransactions => frame(
            &lt::ListTransactionsRequest {
                state_filters: vec![text("Ongoing")],
                producer_id_filters: vec![1],
                duration_filter: if v < 1 { -1 } else { 1 },
                transactional_id_pattern: if v < 2 { None } else { Some(text("a.*")) },
            },
            v,
        ),
        other => panic!("{other:?} is served, and there is no request of it here"),
    }
}
