//! Answers of Kafka's that are not the obvious ones.
use crate::{
    bed::{Bed, every_mode},
    kafka::{Kafka, batch, commit_request, fetch_request, values},
};
use std::collections::BTreeSet;
use wire::{
    ErrorCode, Uuid,
    delete_groups::DeleteGroupsRequest,
    delete_records::{
        DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
        DeleteRecordsTopic,
    },
    delete_topics::DeleteTopicsRequest,
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_groups::DescribeGroupsRequest,
    fetch::{FetchRequest, FetchTopic},
    find_coordinator::FindCoordinatorRequest,
    heartbeat::HeartbeatRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    list_transactions::ListTransactionsRequest,
    metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseTopic},
    offset_for_leader_epoch::{
        OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
    },
    sync_group::SyncGroupRequest,
};

fn in_every_mode(test: impl Fn(&mut Bed, &mut Kafka)) {
    for how in every_mode(5) {
        test(&mut Bed::start(how), &mut Kafka::default());
    }
}

#[test]
fn a_special_time_is_known_from_its_version_on() {
    in_every_mode(|bed, kafka| {
        kafka.produce(bed, "t", 0, batch(&["a"]));
        let core = kafka.leader(bed, "t", 0);
        let since = [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, 99)];
        for (timestamp, since) in since {
            for version in 1..=11 {
                let asked = ListOffsetsPartition {
                    partition_index: 0,
                    current_leader_epoch: -1,
                    timestamp,
                };
                let request = |partitions| ListOffsetsRequest {
                    replica_id: -1,
                    topics: vec![ListOffsetsTopic { name: "t".into(), partitions }],
                    ..Default::default()
                };
                let answer = kafka.call(bed, core, &request(vec![asked.clone()]), version);
                let code = ErrorCode::from_code(answer.topics[0].partitions[0].error_code);
                let wanted =
                    if version < since { ErrorCode::UnsupportedVersion } else { ErrorCode::None };
                assert_eq!(code, Some(wanted), "{timestamp} in version {version}");
                let twice = request(vec![asked.clone(), asked.clone()]);
                let mut topics_twice = request(vec![asked.clone()]);
                topics_twice.topics.push(topics_twice.topics[0].clone());
                for twice in [twice, topics_twice] {
                    let answer = kafka.call(bed, core, &twice, version);
                    assert_eq!(answer.topics.len(), 1);
                    let partitions = &answer.topics[0].partitions;
                    assert_eq!(partitions.len(), 1, "named twice, answered once");
                    assert_eq!(partitions[0].error_code, ErrorCode::InvalidRequest.code());
                }
            }
        }
    });
}

#[test]
fn a_fetch_does_not_wait_for_more_than_it_takes() {
    in_every_mode(|bed, kafka| {
        for partition in 0..2 {
            for _ in 0..4 {
                kafka.produce(bed, "t", partition, batch(&[vec![7; 3_000]]));
            }
        }
        let core = kafka.leader(bed, "t", 0);
        let before = bed.sim.now();
        let request = FetchRequest {
            max_wait_ms: 20_000,
            min_bytes: 1 << 20,
            max_bytes: 2_000,
            ..fetch_request("t", 0, 0)
        };
        let answer = kafka.call(bed, core, &request, 11);
        let found = values(&answer.responses[0].partitions[0], 0);
        assert_eq!(found.len(), 1, "the first batch, whatever its size");
        let waited = (bed.sim.now() - before) / 1_000_000;
        assert!(waited < 1_000, "after {waited} ms");
    });
}

/// KAFKA-15583: the smaller of it and the number of replicas counts.
#[test]
fn more_insync_replicas_than_there_are_replicas_are_not_asked_for() {
    in_every_mode(|bed, kafka| {
        assert_eq!(kafka.produce(bed, "t", 0, batch(&["a"])).error_code, 0);
        kafka.set_config(bed, "t", "min.insync.replicas", "2");
        assert_eq!(kafka.produce(bed, "t", 0, batch(&["b"])).error_code, 0);
        kafka.set_broker_config(bed, "min.insync.replicas", "3");
        kafka.create_topic(bed, "u", 1).unwrap();
        assert_eq!(kafka.produce(bed, "u", 0, batch(&["c"])).error_code, 0);
        // It is kept, and described as it was set.
        let request = DescribeConfigsRequest {
            resources: ["t", "u"]
                .into_iter()
                .map(|topic| DescribeConfigsResource {
                    resource_type: 2,
                    resource_name: topic.into(),
                    configuration_keys: Some(vec!["min.insync.replicas".into()]),
                })
                .collect(),
            ..Default::default()
        };
        let answer = kafka.call(bed, 0, &request, 4);
        let values = answer.results.iter().flat_map(|r| &r.configs);
        let values: Vec<_> = values.map(|c| c.value.as_deref().unwrap()).collect();
        assert_eq!(values, ["2", "3"]);
    });
}

#[test]
fn a_pattern_of_transactional_ids_that_cannot_be_read_is_refused() {
    in_every_mode(|bed, kafka| {
        for (pattern, wanted) in [
            (None, ErrorCode::None),
            (Some(""), ErrorCode::None),
            (Some("^my-.*"), ErrorCode::None),
            (Some("my-(.*"), ErrorCode::InvalidRegularExpression),
        ] {
            let request = ListTransactionsRequest {
                state_filters: vec!["Strange".into()],
                transactional_id_pattern: pattern.map(Into::into),
                ..Default::default()
            };
            let answer = kafka.call(bed, 0, &request, 2);
            assert_eq!(ErrorCode::from_code(answer.error_code), Some(wanted));
            assert!(answer.transaction_states.is_empty());
            let unknown = usize::from(wanted == ErrorCode::None);
            assert_eq!(answer.unknown_state_filters.len(), unknown);
        }
    });
}

#[test]
fn who_asks_an_old_leader_is_told_the_new_one() {
    in_every_mode(|bed, kafka| {
        kafka.produce(bed, "t", 0, batch(&["a"]));
        // Every start is a new epoch.
        bed.sim.power_cut(bed.node);
        bed.restart();
        let core = kafka.leader(bed, "t", 0);
        let topic = kafka.metadata(bed, core, &["t"]).topics.remove(0);
        let leader = topic.partitions.iter().find(|p| p.partition_index == 0);
        let leader = leader.unwrap();
        for version in [15, 16, 18] {
            let mut topics = fetch_request("t", 0, 0).topics;
            topics[0].partitions[0].current_leader_epoch = leader.leader_epoch - 1;
            let partitions = topics.remove(0).partitions;
            let request = FetchRequest {
                session_epoch: -1,
                topics: vec![FetchTopic {
                    topic_id: topic.topic_id,
                    partitions,
                    ..Default::default()
                }],
                ..fetch_request("t", 0, 0)
            };
            let answer = kafka.call(bed, core, &request, version);
            let data = &answer.responses[0].partitions[0];
            assert_eq!(data.error_code, ErrorCode::FencedLeaderEpoch.code());
            let told = (data.current_leader.leader_id, data.current_leader.leader_epoch);
            let endpoints = answer.node_endpoints.iter().map(|e| e.node_id);
            if version < 16 {
                assert_eq!((told, endpoints.count()), ((-1, -1), 0));
            } else {
                assert_eq!(told, (leader.leader_id, leader.leader_epoch));
                assert!(endpoints.into_iter().any(|id| id == leader.leader_id));
            }
        }
    });
}

/// Epoch and end offset of what the leader of `t-0` says of `epoch`.
fn end_of_epoch(bed: &mut Bed, kafka: &mut Kafka, epoch: i32) -> (i32, i64) {
    let core = kafka.leader(bed, "t", 0);
    let request = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![OffsetForLeaderPartition {
                partition: 0,
                current_leader_epoch: -1,
                leader_epoch: epoch,
            }],
        }],
        ..Default::default()
    };
    let answer = kafka.call(bed, core, &request, 4);
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.error_code, 0, "{answer:?}");
    (found.leader_epoch, found.end_offset)
}

#[test]
fn an_epoch_in_which_nothing_was_written_has_an_end() {
    in_every_mode(|bed, kafka| {
        // Of a log without records, all epochs are at its start.
        kafka.create_topic(bed, "t", 1).unwrap();
        let empty = kafka.list_offset(bed, "t", 0, LATEST).leader_epoch;
        assert_eq!(end_of_epoch(bed, kafka, empty), (empty, 0));
        bed.sim.power_cut(bed.node);
        bed.restart();
        assert_eq!(end_of_epoch(bed, kafka, empty), (empty, 0));

        kafka.produce(bed, "t", 0, batch(&["a"]));
        let written = kafka.list_offset(bed, "t", 0, LATEST).leader_epoch;
        assert!(written > empty, "every start is a new epoch");
        bed.sim.power_cut(bed.node);
        bed.restart();
        // A consumer that starts at the end now is told of an epoch without records.
        let latest = kafka.list_offset(bed, "t", 0, LATEST);
        let silent = latest.leader_epoch;
        assert_eq!((latest.offset, silent > written), (1, true));
        assert_eq!(end_of_epoch(bed, kafka, silent), (silent, 1));
        assert_eq!(end_of_epoch(bed, kafka, silent + 1), (-1, -1));
        bed.sim.power_cut(bed.node);
        bed.restart();
        // The next leader knows that it ended where the records did: the consumer stays where it
        // is.
        assert_eq!(end_of_epoch(bed, kafka, silent), (written, 1));
        assert_eq!(end_of_epoch(bed, kafka, written), (written, 1));
        let first = kafka.list_offset(bed, "t", 0, EARLIEST);
        assert_eq!((first.offset, first.leader_epoch), (0, written));
        // With the records gone, the log begins with the leader of now.
        let core = kafka.leader(bed, "t", 0);
        kafka.call(bed, core, &trim(&[("t", &[(0, 1)])]), 2);
        let first = kafka.list_offset(bed, "t", 0, EARLIEST);
        assert!(first.offset == 1 && first.leader_epoch > silent, "{first:?}");
    });
}

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// DeleteRecords for (topic, [(partition, offset)]).
fn trim(topics: &[(&'static str, &[(i32, i64)])]) -> DeleteRecordsRequest<'static> {
    let partition = |&(partition_index, offset): &(i32, i64)| DeleteRecordsPartition {
        partition_index,
        offset,
    };
    DeleteRecordsRequest {
        topics: topics
            .iter()
            .map(|(name, partitions)| DeleteRecordsTopic {
                name: (*name).into(),
                partitions: partitions.iter().map(partition).collect(),
            })
            .collect(),
        timeout_ms: 1_000,
    }
}

#[test]
fn records_are_deleted_once_and_not_everywhere() {
    in_every_mode(|bed, kafka| {
        kafka.produce(bed, "t", 0, batch(&["a", "b", "c"]));
        let core = kafka.leader(bed, "t", 0);
        // The last word counts, even if it says less than the first.
        let named_often = trim(&[("t", &[(0, 2), (0, 3)]), ("t", &[(0, 1)])]);
        let answer = kafka.call(bed, core, &named_often, 2);
        let done =
            DeleteRecordsPartitionResult { partition_index: 0, low_watermark: 1, error_code: 0 };
        assert_eq!(answer.topics.len(), 1);
        assert_eq!(answer.topics[0].partitions, [done]);

        kafka.coordinator(bed, "g");
        let code = |bed: &mut Bed, kafka: &mut Kafka, core, topic, partition| {
            let answer = kafka.call(bed, core, &trim(&[(topic, &[(partition, 0)])]), 2);
            ErrorCode::from_code(answer.topics[0].partitions[0].error_code).unwrap()
        };
        // Not even by a core that does not lead it.
        for core in 0..bed.cores() {
            for (partition, wanted) in [
                (0, ErrorCode::InvalidTopicException),
                (1, ErrorCode::InvalidTopicException),
                (99, ErrorCode::UnknownTopicOrPartition),
            ] {
                let topic = "__consumer_offsets";
                assert_eq!(code(bed, kafka, core, topic, partition), wanted);
            }
        }
        kafka.set_broker_config(bed, "millrace.compacted.topics", "keep");
        for (policy, wanted) in [
            ("compact", ErrorCode::PolicyViolation),
            ("compact,delete", ErrorCode::None),
            ("delete", ErrorCode::None),
        ] {
            kafka.set_config(bed, "t", "cleanup.policy", policy);
            assert_eq!(code(bed, kafka, core, "t", 0), wanted, "{policy}");
        }
    });
}

#[test]
fn metadata_of_topics_that_are_named_twice_or_by_id() {
    in_every_mode(|bed, kafka| {
        let id = kafka.create_topic(bed, "t", 1).unwrap();
        kafka.create_topic(bed, "u", 1).unwrap();
        let strange = Uuid::from_random(3, 4);
        let mut ask = |topics: &[(&str, Uuid)], version| -> Vec<MetadataResponseTopic<'static>> {
            let request = MetadataRequest {
                topics: Some(
                    topics
                        .iter()
                        .map(|(name, topic_id)| MetadataRequestTopic {
                            // No name is null where there is an id, and empty in the versions that
                            // cannot say so.
                            name: (!name.is_empty() || version < 12)
                                .then(|| (*name).to_owned().into()),
                            topic_id: *topic_id,
                        })
                        .collect(),
                ),
                allow_auto_topic_creation: false,
                include_topic_authorized_operations: true,
                ..Default::default()
            };
            kafka.call(bed, 0, &request, version).topics
        };
        let none = Uuid::default();
        for version in [8, 9, 12, 13] {
            let topics = ask(&[("t", none), ("u", none), ("t", none)], version);
            let names: Vec<_> = topics.iter().map(|t| t.name.as_deref()).collect();
            assert_eq!(names, [Some("t"), Some("u")], "version {version}");
        }
        let topics = ask(&[("u", none), ("", id), ("", strange), ("", id)], 13);
        let shown: Vec<_> =
            topics.iter().map(|t| (t.name.as_deref(), t.topic_id, t.error_code)).collect();
        let unknown = ErrorCode::UnknownTopicId.code();
        assert_eq!(shown, [(Some("t"), id, 0), (None, strange, unknown)]);
        assert_ne!(topics[0].topic_authorized_operations, i32::MIN);
        assert_eq!(topics[1].topic_authorized_operations, i32::MIN);
        // Kafka's own topics are known as such before they are there.
        let topics = ask(&[("__transaction_state", none), ("nowhere", none)], 13);
        for (topic, internal) in topics.iter().zip([true, false]) {
            let missing = ErrorCode::UnknownTopicOrPartition.code();
            assert_eq!((topic.error_code, topic.is_internal), (missing, internal));
        }
        // Ids came into the schema before they came into use.
        for version in [10, 11] {
            let topics = ask(&[("t", id)], version);
            let refused = &topics[0];
            assert_eq!(
                (refused.error_code, refused.topic_id),
                (ErrorCode::InvalidRequest.code(), id)
            );
        }
    });
}

#[test]
fn what_versions_of_group_requests_differ_in() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "t", 1).unwrap();
        // The coordinator has read its log after this.
        assert_eq!(kafka.commit(bed, "g", "t", 0, 1), ErrorCode::None);
        let core = kafka.coordinator(bed, "g");
        for version in 0..=9 {
            let join = JoinGroupRequest {
                group_id: "g".into(),
                session_timeout_ms: 10_000,
                member_id: "nobody".into(),
                protocol_type: "consumer".into(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "range".into(),
                    ..Default::default()
                }],
                ..Default::default()
            };
            let answer = kafka.call(bed, core, &join, version);
            assert_eq!(answer.error_code, ErrorCode::UnknownMemberId.code());
            let no_protocol = (version < 7).then_some("");
            assert_eq!(answer.protocol_name.as_deref(), no_protocol, "{version}");
        }
        // What is wrong in itself is said by every core, whoever coordinates the group.
        for core in 0..bed.cores() {
            let beat = HeartbeatRequest { member_id: "nobody".into(), ..Default::default() };
            let answer = kafka.call(bed, core, &beat, 4);
            assert_eq!(answer.error_code, ErrorCode::InvalidGroupId.code());
            for group in ["g", "h", "i", "j"] {
                let join = JoinGroupRequest {
                    group_id: group.into(),
                    session_timeout_ms: 1,
                    member_id: "nobody".into(),
                    ..Default::default()
                };
                let answer = kafka.call(bed, core, &join, 9);
                let wanted = ErrorCode::InvalidSessionTimeout.code();
                assert_eq!((answer.error_code, &*answer.member_id), (wanted, "nobody"));
            }
        }
        for version in 0..=5 {
            let sync = |kind: Option<&'static str>, name: Option<&'static str>| SyncGroupRequest {
                group_id: "".into(),
                member_id: "nobody".into(),
                protocol_type: kind.map(Into::into),
                protocol_name: name.map(Into::into),
                ..Default::default()
            };
            let cases = [
                (None, None),
                (Some("consumer"), None),
                (None, Some("range")),
                (Some("consumer"), Some("range")),
            ];
            for (kind, name) in cases {
                if version < 5 && (kind, name) != (None, None) {
                    continue;
                }
                let answer = kafka.call(bed, core, &sync(kind, name), version);
                let wanted = if version < 5 || (kind.is_some() && name.is_some()) {
                    ErrorCode::InvalidGroupId
                } else {
                    ErrorCode::InconsistentGroupProtocol
                };
                assert_eq!(answer.error_code, wanted.code(), "{version}");
            }
        }
        for version in 1..=6 {
            let find = FindCoordinatorRequest {
                key: if version < 4 { "g" } else { "" }.into(),
                coordinator_keys: if version < 4 { Vec::new() } else { vec!["g".into()] },
                ..Default::default()
            };
            let answer = kafka.call(bed, core, &find, version);
            let (message, wanted) = if version < 4 {
                (answer.error_message, "NONE")
            } else {
                (answer.coordinators[0].error_message.clone(), "")
            };
            assert_eq!(message.as_deref(), Some(wanted), "{version}");
        }
    });
}

#[test]
fn a_commit_of_nothing_makes_no_group_and_a_group_is_deleted_once() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "t", 1).unwrap();
        assert_eq!(kafka.commit(bed, "g", "t", 0, 1), ErrorCode::None);
        let core = kafka.coordinator(bed, "nobody");
        let nothing = commit_request("nobody", (-1, ""), "nowhere", 0, 1);
        for version in 2..=9 {
            let answer = kafka.call(bed, core, &nothing, version);
            assert_eq!(
                answer.topics[0].partitions[0].error_code,
                ErrorCode::UnknownTopicOrPartition.code()
            );
        }
        let describe =
            DescribeGroupsRequest { groups: vec!["nobody".into()], ..Default::default() };
        // It may be that this coordinator was not asked for anything before.
        let described = loop {
            let answer = kafka.call(bed, core, &describe, 6);
            let code = ErrorCode::from_code(answer.groups[0].error_code).unwrap();
            if code != ErrorCode::CoordinatorLoadInProgress {
                break code;
            }
            bed.sim.run_for(1_000_000);
        };
        assert_eq!(described, ErrorCode::GroupIdNotFound);

        let core = kafka.coordinator(bed, "g");
        let delete = DeleteGroupsRequest { groups_names: vec!["g".into(), "g".into()] };
        let answer = kafka.call(bed, core, &delete, 2);
        let codes: Vec<_> = answer.results.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [0]);
    });
}

#[test]
fn very_many_groups_are_deleted_some_at_a_time_and_each_answered() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "t", 1).unwrap();
        for group in ["g-7", "g-1400"] {
            assert_eq!(kafka.commit(bed, group, "t", 0, 1), ErrorCode::None);
        }
        let core = kafka.coordinator(bed, "g-7");
        let other = kafka.coordinator(bed, "g-1400");
        let names: BTreeSet<String> = (0..1500).map(|i| format!("g-{i}")).collect();
        let groups_names = names.iter().map(|name| name.clone().into()).collect();
        let answer = kafka.call(bed, core, &DeleteGroupsRequest { groups_names }, 2);
        assert_eq!(answer.results.len(), names.len());
        let answered: BTreeSet<String> =
            answer.results.iter().map(|r| r.group_id.to_string()).collect();
        assert_eq!(answered, names);
        let deleted = answer.results.iter().filter(|r| r.error_code == 0);
        let deleted: BTreeSet<&str> = deleted.map(|r| &*r.group_id).collect();
        // With a port a core, each answers for the groups that it coordinates.
        let mut expected = BTreeSet::from(["g-7"]);
        if other == core || bed.how.settings.single_port {
            expected.insert("g-1400");
        }
        assert_eq!(deleted, expected);
    });
}

#[test]
fn a_change_that_names_too_much_is_refused_whole() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "t", 1).unwrap();
        let mut topic_names: Vec<_> = (0..10_000).map(|i| format!("none-{i}").into()).collect();
        topic_names.push("t".into());
        let request = DeleteTopicsRequest { topic_names, timeout_ms: 1_000, ..Default::default() };
        let answer = kafka.call(bed, 0, &request, 5);
        assert_eq!(answer.responses.len(), 10_001);
        for (asked, told) in request.topic_names.iter().zip(&answer.responses) {
            assert_eq!(told.name.as_deref(), Some(&**asked));
            assert_eq!(told.error_code, ErrorCode::PolicyViolation.code());
        }
        // It is still there; one less is looked at.
        let topic_names = request.topic_names[1..].to_vec();
        let answer = kafka.call(bed, 0, &DeleteTopicsRequest { topic_names, ..request }, 5);
        let gone: Vec<_> = answer.responses.iter().filter(|r| r.error_code == 0).collect();
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].name.as_deref(), Some("t"));
    });
}
