//! What admin clients and tools ask for: replicas, assignments, directories, lists in
//! configurations.
use crate::{
    bed::{Bed, How, every_mode, log_of},
    kafka::{Kafka, batch},
};
use broker::config::Defaults;
use wire::{
    ErrorCode, Uuid,
    alter_partition_reassignments::{
        AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
    },
    alter_replica_log_dirs::{
        AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
    },
    api_versions::ApiVersionsRequest,
    consumer_group_describe::ConsumerGroupDescribeRequest,
    consumer_group_heartbeat::ConsumerGroupHeartbeatRequest,
    create_partitions::{
        CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
    },
    create_topics::{
        CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
        CreateTopicsRequest,
    },
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_log_dirs::DescribeLogDirsRequest,
    incremental_alter_configs::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    },
    metadata::MetadataResponseTopic,
};

const TOPIC: i8 = 2;

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic<'static> {
    CreatableTopic {
        name: name.to_owned().into(),
        num_partitions: partitions,
        replication_factor: factor,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn manual(name: &str, partitions: &[&[i32]]) -> CreatableTopic<'static> {
    let assignment = |(partition_index, brokers): (i32, &&[i32])| CreatableReplicaAssignment {
        partition_index,
        broker_ids: brokers.to_vec(),
    };
    CreatableTopic {
        assignments: (0..).zip(partitions).map(assignment).collect(),
        ..topic(name, -1, -1)
    }
}

/// Asks a core for one topic.
fn create(
    bed: &mut Bed,
    kafka: &mut Kafka,
    topic: CreatableTopic<'static>,
    version: i16,
) -> CreatableTopicResult<'static> {
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    let core = bed.cores() - 1;
    kafka.call(bed, core, &request, version).topics.remove(0)
}

fn described(bed: &mut Bed, kafka: &mut Kafka, name: &str) -> MetadataResponseTopic<'static> {
    kafka.metadata(bed, 0, &[name]).topics.remove(0)
}

/// The brokers that a topic's partitions are on, all of which have one replica.
fn places(bed: &mut Bed, kafka: &mut Kafka, name: &str) -> Vec<i32> {
    let mut partitions = described(bed, kafka, name).partitions;
    partitions.sort_by_key(|p| p.partition_index);
    for p in &partitions {
        assert_eq!(p.replica_nodes, [p.leader_id]);
        assert_eq!(p.isr_nodes, [p.leader_id]);
    }
    partitions.iter().map(|p| p.leader_id).collect()
}

#[test]
fn as_many_replicas_as_brokers_are_shown() {
    for how in every_mode(21) {
        let (single_port, cores) = (how.settings.single_port, how.settings.cores);
        let shown = if single_port { 1 } else { cores };
        let log = log_of(|| {
            let (mut bed, mut kafka) = (Bed::start(how), Kafka::default());
            assert_eq!(kafka.metadata(&mut bed, 0, &[]).brokers.len(), usize::from(shown));
            for version in 2..=7 {
                for factor in 1..=i16::try_from(shown).unwrap() + 1 {
                    let name = format!("t-{version}-{factor}");
                    let answer = create(&mut bed, &mut kafka, topic(&name, 2, factor), version);
                    if usize::try_from(factor).unwrap() > usize::from(shown) {
                        assert_eq!(error(answer.error_code), ErrorCode::InvalidReplicationFactor);
                        let why = answer.error_message.unwrap();
                        assert!(why.contains(&format!("only {shown} broker(s)")), "{why}");
                        assert_eq!(why.contains("--single-port"), shown > 1, "{why}");
                        continue;
                    }
                    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
                    if version >= 5 {
                        assert_eq!((answer.num_partitions, answer.replication_factor), (2, 1));
                    }
                    assert_eq!(places(&mut bed, &mut kafka, &name).len(), 2);
                }
            }
            // A later start has what was stored.
            bed.sim.power_cut(bed.node);
            bed.restart();
            kafka = Kafka::default();
            let name = format!("t-7-{shown}");
            assert_eq!(places(&mut bed, &mut kafka, &name).len(), 2);
            let written = kafka.produce(&mut bed, &name, 1, batch(&["acks=all"]));
            assert_eq!(written.error_code, 0);
        });
        let said = |topic: &str| log.lines().filter(|l| l.contains(topic)).count();
        assert_eq!(said("t-7-1"), 0, "{log}");
        let clipped = if shown > 1 { 1 } else { 0 };
        let line = "2 replicas were asked for and 1 is kept";
        let lines = log.lines().filter(|l| l.contains(line));
        assert_eq!(lines.count(), 6 * clipped, "{log}");
    }
}

#[test]
fn brokers_that_are_named_lead_or_the_assignment_is_refused() {
    let log = log_of(name_brokers);
    // Of the topic that is clipped three times over.
    let said = log.lines().filter(|l| l.contains("topic=\"t\""));
    assert_eq!(said.count(), 1, "{log}");
}

fn name_brokers() {
    let (mut bed, mut kafka) = (Bed::start(How::new(22, 2)), Kafka::default());
    for brokers in [
        &[&[1000][..]][..],
        &[&[1001]],
        &[&[1001], &[1000], &[1001]],
        &[&[1001, 1000], &[1000, 1001]],
    ] {
        let name = format!("t-{}-{}", brokers.len(), brokers[0][0]);
        let name = format!("{name}-{}", brokers[0].len());
        let answer = create(&mut bed, &mut kafka, manual(&name, brokers), 7);
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        assert_eq!(answer.replication_factor, 1);
        let firsts: Vec<i32> = brokers.iter().map(|b| b[0]).collect();
        assert_eq!(places(&mut bed, &mut kafka, &name), firsts);
    }
    for brokers in [&[&[1000][..], &[1000]][..], &[&[1000, 1000]], &[&[1002]], &[&[1]]] {
        let answer = create(&mut bed, &mut kafka, manual("no", brokers), 7);
        assert_eq!(error(answer.error_code), ErrorCode::InvalidReplicaAssignment);
        assert!(answer.error_message.is_some());
    }

    create(&mut bed, &mut kafka, manual("t", &[&[1001]]), 7);
    for (brokers, wanted) in [
        (&[1001][..], ErrorCode::InvalidReplicaAssignment),
        (&[1000, 1001], ErrorCode::None),
        (&[1001], ErrorCode::None),
    ] {
        let has = i32::try_from(places(&mut bed, &mut kafka, "t").len()).unwrap();
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: "t".into(),
                count: has + 1,
                assignments: Some(vec![CreatePartitionsAssignment {
                    broker_ids: brokers.to_vec(),
                }]),
            }],
            timeout_ms: 30_000,
            validate_only: false,
        };
        let answer = kafka.call(&mut bed, 1, &request, 3).results.remove(0);
        assert_eq!(error(answer.error_code), wanted, "{brokers:?}");
        assert_eq!(answer.error_message.is_some(), wanted != ErrorCode::None);
    }
    assert_eq!(places(&mut bed, &mut kafka, "t"), [1001, 1000, 1001]);

    for (replicas, wanted) in [
        (Some(&[1001][..]), ErrorCode::None),
        (Some(&[1000, 1001]), ErrorCode::None),
        (Some(&[1000]), ErrorCode::InvalidReplicaAssignment),
        (Some(&[1001, 1002]), ErrorCode::InvalidReplicaAssignment),
        (None, ErrorCode::NoReassignmentInProgress),
    ] {
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: 30_000,
            allow_replication_factor_change: true,
            topics: vec![ReassignableTopic {
                name: "t".into(),
                partitions: vec![ReassignablePartition {
                    partition_index: 0,
                    replicas: replicas.map(<[i32]>::to_vec),
                }],
            }],
        };
        for core in 0..2 {
            let answer = kafka.call(&mut bed, core, &request, 1);
            let answer = &answer.responses[0].partitions[0];
            assert_eq!(error(answer.error_code), wanted, "{replicas:?}");
        }
    }
    assert_eq!(places(&mut bed, &mut kafka, "t"), [1001, 1000, 1001]);
}

#[test]
fn the_default_factor_follows_the_same_rule() {
    for (factor, above_hosts, made) in
        [("2", "clip", true), ("3", "clip", false), ("2", "refuse", false), ("1", "refuse", true)]
    {
        let given = [
            ("default.replication.factor", factor),
            ("millrace.replication.factor.above.hosts", above_hosts),
        ];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut how = How::new(27, 2);
        how.defaults = Defaults::new(given.into());
        let log = log_of(|| {
            let (mut bed, mut kafka) = (Bed::start(how), Kafka::default());
            let auto = described(&mut bed, &mut kafka, "auto");
            let asked = create(&mut bed, &mut kafka, topic("asked", 1, -1), 7);
            if made {
                assert_eq!((auto.error_code, asked.error_code), (0, 0));
                assert_eq!(asked.replication_factor, 1);
                assert!(auto.partitions.iter().all(|p| p.replica_nodes.len() == 1));
            } else {
                let unknown = ErrorCode::UnknownTopicOrPartition;
                assert_eq!(error(auto.error_code), unknown);
                let refused = ErrorCode::InvalidReplicationFactor;
                assert_eq!(error(asked.error_code), refused);
            }
            // Groups work in any case.
            kafka.coordinator(&mut bed, "g");
        });
        let says = |what: &str| log.contains(what);
        assert_eq!(says("topic auto is not made: Unable"), !made, "{log}");
        let clipped = "2 replicas were asked for and 1 is kept";
        assert_eq!(says(clipped), made && factor == "2", "{log}");
    }
}

#[test]
fn the_one_directory_may_be_asked_for() {
    for how in every_mode(23) {
        let (mut bed, mut kafka) = (Bed::start(how), Kafka::default());
        kafka.create_topic(&mut bed, "t", 2).unwrap();
        let dir = kafka
            .call(&mut bed, 0, &DescribeLogDirsRequest::default(), 4)
            .results
            .remove(0)
            .log_dir
            .into_owned();
        let homes: Vec<u16> = (0..2).map(|p| kafka.leader(&mut bed, "t", p)).collect();
        let single_port = bed.how.settings.single_port;
        for core in 0..bed.cores() {
            for version in 1..=2 {
                let mut ask = |dirs: &[(&str, &str, &[i32])]| {
                    let dirs = dirs.iter().map(|(path, topic, partitions)| AlterReplicaLogDir {
                        path: (*path).to_owned().into(),
                        topics: vec![AlterReplicaLogDirTopic {
                            name: (*topic).to_owned().into(),
                            partitions: partitions.to_vec(),
                        }],
                    });
                    let request = AlterReplicaLogDirsRequest { dirs: dirs.collect() };
                    let mut answer = kafka.call(&mut bed, core, &request, version).results;
                    assert_eq!(answer.len(), 1);
                    let answer = answer.remove(0);
                    let codes = answer.partitions.iter();
                    let codes = codes.map(|p| (p.partition_index, error(p.error_code)));
                    codes.collect::<Vec<_>>()
                };
                let held = |partition: usize| match single_port || homes[partition] == core {
                    true => ErrorCode::None,
                    false => ErrorCode::ReplicaNotAvailable,
                };
                let wanted = [(0, held(0)), (1, held(1))];
                assert_eq!(ask(&[(&dir, "t", &[1, 0, 1])]), wanted);
                let missing = ErrorCode::LogDirNotFound;
                assert_eq!(ask(&[("/elsewhere", "t", &[0])]), [(0, missing)]);
                // Of several directories for one partition the last counts.
                assert_eq!(
                    ask(&[("/elsewhere", "t", &[0, 1]), (&dir, "t", &[0])]),
                    [(0, held(0)), (1, missing)]
                );
                let unknown = ErrorCode::UnknownTopicOrPartition;
                assert_eq!(ask(&[(&dir, "t", &[2, -1])]), [(-1, unknown), (2, unknown)]);
                assert_eq!(ask(&[(&dir, "u", &[0])]), [(0, unknown)]);
            }
        }
    }
}

#[test]
fn consumer_groups_of_kip_848_are_refused_by_an_answer() {
    for how in every_mode(24) {
        let (mut bed, mut kafka) = (Bed::start(how), Kafka::default());
        let offered = kafka.call(&mut bed, 0, &ApiVersionsRequest::default(), 2).api_keys;
        for key in [68, 69] {
            let range = offered.iter().find(|k| k.api_key == key).unwrap();
            assert_eq!((range.min_version, range.max_version), (0, 1));
        }
        for core in 0..bed.cores() {
            for version in 0..=1 {
                let heartbeat = ConsumerGroupHeartbeatRequest {
                    group_id: "g".into(),
                    member_id: "m".into(),
                    ..Default::default()
                };
                let answer = kafka.call(&mut bed, core, &heartbeat, version);
                assert_eq!(error(answer.error_code), ErrorCode::UnsupportedVersion);
                let describe = ConsumerGroupDescribeRequest {
                    group_ids: ["g", "h", "g"].map(Into::into).to_vec(),
                    include_authorized_operations: false,
                };
                let groups = kafka.call(&mut bed, core, &describe, version).groups;
                let groups: Vec<_> =
                    groups.iter().map(|g| (&*g.group_id, error(g.error_code))).collect();
                let refused = ErrorCode::UnsupportedVersion;
                assert_eq!(groups, [("g", refused), ("h", refused)]);
            }
        }
    }
}

#[test]
fn a_topic_that_is_named_by_name_and_by_id_is_not_deleted() {
    for how in every_mode(25) {
        let (mut bed, mut kafka) = (Bed::start(how), Kafka::default());
        let id = kafka.create_topic(&mut bed, "t", 1).unwrap();
        let other = kafka.create_topic(&mut bed, "u", 1).unwrap();
        let named = |name: &str| DeleteTopicState {
            name: Some(name.to_owned().into()),
            topic_id: Uuid::default(),
        };
        let by_id = |topic_id| DeleteTopicState { name: None, topic_id };
        for topics in [vec![named("t"), by_id(id)], vec![by_id(id), named("t")]] {
            let request = DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
            let answers = kafka.call(&mut bed, 0, &request, 6).responses;
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert_eq!((answers[0].name.as_deref(), answers[0].topic_id), (Some("t"), id));
            assert_eq!(error(answers[0].error_code), ErrorCode::InvalidRequest);
        }
        assert_eq!(described(&mut bed, &mut kafka, "t").topic_id, id);
        let request = DeleteTopicsRequest {
            topics: vec![named("t"), by_id(other)],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let answers = kafka.call(&mut bed, 0, &request, 6).responses;
        assert!(answers.iter().all(|a| a.error_code == 0), "{answers:?}");
    }
}

#[test]
fn what_a_list_repeats_counts_once() {
    let (mut bed, mut kafka) = (Bed::start(How::new(26, 1)), Kafka::default());
    let config =
        CreatableTopicConfig { name: "cleanup.policy".into(), value: Some("delete,delete".into()) };
    let asked = CreatableTopic { configs: vec![config], ..topic("t", 1, 1) };
    let made = create(&mut bed, &mut kafka, asked, 7);
    assert_eq!(made.error_code, 0, "{:?}", made.error_message);
    let shown = |bed: &mut Bed, kafka: &mut Kafka| {
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: TOPIC,
                resource_name: "t".into(),
                configuration_keys: Some(vec!["cleanup.policy".into()]),
            }],
            ..Default::default()
        };
        let mut answer = kafka.call(bed, 0, &request, 4).results.remove(0);
        answer.configs.remove(0).value.unwrap().into_owned()
    };
    assert_eq!(shown(&mut bed, &mut kafka), "delete");
    for (operation, value, wanted) in [
        (0, "delete,delete,delete", Some("delete")),
        (0, "delete,", None),
        (0, "", Some("")),
        (2, "delete,delete,", Some("delete")),
        (3, "delete", Some("")),
    ] {
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: TOPIC,
                resource_name: "t".into(),
                configs: vec![AlterableConfig {
                    name: "cleanup.policy".into(),
                    config_operation: operation,
                    value: Some(value.into()),
                }],
            }],
            validate_only: false,
        };
        let answer = kafka.call(&mut bed, 0, &request, 1).responses.remove(0);
        let code = error(answer.error_code);
        match wanted {
            Some(wanted) => {
                assert_eq!(code, ErrorCode::None, "{value}: {:?}", answer.error_message);
                assert_eq!(shown(&mut bed, &mut kafka), wanted, "{operation} {value}");
            }
            None => assert_eq!(code, ErrorCode::InvalidConfig, "{value}"),
        }
    }
}
