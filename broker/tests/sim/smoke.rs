//! What every client does first, in both modes and on one and two cores.
use crate::{
    bed::{Bed, How, PORT, every_mode},
    kafka::{
        self, Kafka, NOW, batch, commit_request, fetch_request, fetch_topic, idempotent,
        produce_request,
    },
};
use broker::api::TABLE;
use wire::{
    ErrorCode,
    api_versions::ApiVersionsRequest,
    create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
    delete_groups::DeleteGroupsRequest,
    delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
    describe_cluster::DescribeClusterRequest,
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_groups::DescribeGroupsRequest,
    fetch::FetchRequest,
    heartbeat::HeartbeatRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse},
    leave_group::LeaveGroupRequest,
    list_groups::ListGroupsRequest,
    sync_group::{SyncGroupRequest, SyncGroupRequestAssignment},
};

fn in_every_mode(test: impl Fn(&mut Bed, &mut Kafka)) {
    for how in every_mode(1) {
        let what =
            format!("{} cores, single port: {}", how.settings.cores, how.settings.single_port);
        println!("{what}");
        let mut bed = Bed::start(how);
        test(&mut bed, &mut Kafka::default());
        assert!(!bed.sim.has_ended(bed.node), "{what}: a core ended");
    }
}

#[test]
fn versions_are_those_of_the_table() {
    in_every_mode(|bed, kafka| {
        let request = ApiVersionsRequest {
            client_software_name: "sim".into(),
            client_software_version: "1".into(),
        };
        for core in 0..bed.cores() {
            let answer = kafka.call(bed, core, &request, 4);
            assert_eq!(answer.error_code, 0);
            assert_eq!(answer.api_keys.len(), TABLE.len());
        }
    });
}

#[test]
fn metadata_names_a_broker_per_core_and_makes_topics() {
    in_every_mode(|bed, kafka| {
        let single = bed.how.settings.single_port;
        for core in 0..bed.cores() {
            let topic = format!("made-by-{core}");
            let metadata = kafka.metadata(bed, core, &[&topic]);
            let brokers: Vec<_> = metadata.brokers.iter().map(|b| (b.node_id, b.port)).collect();
            let endpoints = if single { 1 } else { bed.cores() };
            let wanted: Vec<_> = (0..endpoints)
                .map(|c| (if single { 1 } else { 1000 + i32::from(c) }, i32::from(PORT + c)))
                .collect();
            assert_eq!(brokers, wanted);
            assert_eq!(metadata.topics[0].error_code, 0, "{metadata:?}");
            assert_eq!(metadata.topics[0].partitions.len(), 2);
            let again = kafka.metadata(bed, 0, &[&topic]);
            assert_eq!(again.topics[0].topic_id, metadata.topics[0].topic_id);
        }
        let refused = kafka.metadata(bed, 0, &["not/a/name"]);
        assert_eq!(refused.topics[0].error_code, ErrorCode::InvalidTopicException.code());
    });
}

#[test]
fn what_is_produced_is_fetched() {
    in_every_mode(|bed, kafka| {
        for partition in 0..2 {
            for (n, acks) in [0, 1, -1].into_iter().enumerate() {
                let core = kafka.leader(bed, "t", partition);
                let request = produce_request(
                    "t",
                    partition,
                    acks,
                    batch(&[format!("a{n}"), format!("b{n}")]),
                );
                if acks == 0 {
                    // No answer: the next request's is the first to come.
                    kafka.conn(bed, core).send(&request, 9);
                    continue;
                }
                let answer = kafka.call(bed, core, &request, 9);
                let answer = &answer.responses[0].partition_responses[0];
                assert_eq!(
                    (answer.error_code, answer.base_offset),
                    (0, 2 * n as i64),
                    "{answer:?}"
                );
            }
            let wanted: Vec<_> = ["a0", "b0", "a1", "b1", "a2", "b2"]
                .iter()
                .zip(0..)
                .map(|(v, o)| (o, v.as_bytes().to_vec()))
                .collect();
            assert_eq!(kafka.read_all(bed, "t", partition, 0), wanted);
            assert_eq!(kafka.read_all(bed, "t", partition, 3), wanted[3..]);
            let beyond = kafka.fetch(bed, "t", partition, 7);
            assert_eq!(beyond.error_code, ErrorCode::OffsetOutOfRange.code());
        }
    });
}

#[test]
fn a_request_for_several_partitions_is_answered_for_all() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "many", 6).unwrap();
        let mut request = produce_request("many", 0, -1, batch(&["v"]));
        let one = request.topic_data[0].partition_data[0].clone();
        request.topic_data[0].partition_data = (0..6)
            .map(|index| wire::produce::PartitionProduceData { index, ..one.clone() })
            .collect();
        let answer = kafka.call(bed, 0, &request, 10);
        let mut codes: Vec<_> = answer
            .responses
            .iter()
            .flat_map(|t| &t.partition_responses)
            .map(|p| (p.index, p.error_code))
            .collect();
        codes.sort_unstable();
        assert_eq!(codes.iter().map(|c| c.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        let everywhere = bed.cores() == 1 || bed.how.settings.single_port;
        let refused = codes.iter().filter(|c| c.1 == ErrorCode::NotLeaderOrFollower.code()).count();
        assert_eq!(refused, if everywhere { 0 } else { 3 }, "{codes:?}");
        assert!(
            codes.iter().all(|c| c.1 == 0 || c.1 == ErrorCode::NotLeaderOrFollower.code()),
            "{codes:?}"
        );
        assert_eq!(
            answer.node_endpoints.len(),
            if everywhere { 0 } else { 2 },
            "leaders are told where they are not"
        );
    });
}

#[test]
fn an_idempotent_producer_may_try_again() {
    in_every_mode(|bed, kafka| {
        let producer = kafka.producer(bed);
        assert_ne!(kafka.producer(bed), producer);
        let first = idempotent(producer, 0, &["one", "two"]);
        assert_eq!(kafka.produce(bed, "t", 0, first.clone()).base_offset, 0);
        let again = kafka.produce(bed, "t", 0, first);
        assert_eq!((again.error_code, again.base_offset), (0, 0));
        assert_eq!(kafka.produce(bed, "t", 0, idempotent(producer, 2, &["three"])).base_offset, 2);
        let gap = kafka.produce(bed, "t", 0, idempotent(producer, 9, &["late"]));
        assert_eq!(gap.error_code, ErrorCode::OutOfOrderSequenceNumber.code());
        assert_eq!(kafka.read_all(bed, "t", 0, 0).len(), 3);
    });
}

#[test]
fn bad_batches_are_refused_and_the_connection_stays() {
    in_every_mode(|bed, kafka| {
        let mut corrupt = batch(&["x"]).to_vec();
        *corrupt.last_mut().unwrap() ^= 1;
        assert_eq!(
            kafka.produce(bed, "t", 0, corrupt.into()).error_code,
            ErrorCode::CorruptMessage.code()
        );
        let large = kafka.produce(bed, "t", 0, batch(&[vec![7; 1_100_000]]));
        assert_eq!(large.error_code, ErrorCode::MessageTooLarge.code());
        let core = kafka.leader(bed, "t", 0);
        let acks = kafka.call(bed, core, &produce_request("t", 0, 2, batch(&["x"])), 9);
        assert_eq!(
            acks.responses[0].partition_responses[0].error_code,
            ErrorCode::InvalidRequiredAcks.code()
        );
        assert_eq!(kafka.produce(bed, "t", 0, batch(&["fine"])).base_offset, 0);
    });
}

#[test]
fn a_fetch_waits_for_data_and_for_no_longer_than_it_says() {
    in_every_mode(|bed, kafka| {
        let core = kafka.leader(bed, "t", 0);
        let mut consumer = bed.connect(core);
        let wait = FetchRequest { max_wait_ms: 500, ..fetch_request("t", 0, 0) };
        let before = bed.sim.now();
        let empty = bed.call(&mut consumer, &wait, 11);
        assert!(kafka::values(&empty.responses[0].partitions[0], 0).is_empty());
        let waited = (bed.sim.now() - before) / 1_000_000;
        assert!((500..700).contains(&waited), "waited {waited} ms");

        let wait = FetchRequest { max_wait_ms: 60_000, ..wait };
        let id = consumer.send(&wait, 11);
        bed.sim.run_for(50_000_000);
        assert!(consumer.poll().is_none(), "answered with nothing");
        let before = bed.sim.now();
        assert_eq!(kafka.produce(bed, "t", 0, batch(&["news"])).error_code, 0);
        let woken = bed.answer::<FetchRequest<'_>>(&mut consumer, id, 11).unwrap();
        assert_eq!(kafka::values(&woken.responses[0].partitions[0], 0), [(0, b"news".to_vec())]);
        assert!(
            bed.sim.now() - before < 1_000_000_000,
            "woken after {} ns",
            bed.sim.now() - before
        );

        // min_bytes: one small batch is not enough.
        let wait = FetchRequest { min_bytes: 500, ..wait };
        let wait = FetchRequest { topics: vec![fetch_topic("t", &[(0, 1)])], ..wait };
        let id = consumer.send(&wait, 11);
        assert_eq!(kafka.produce(bed, "t", 0, batch(&["small"])).error_code, 0);
        bed.sim.run_for(50_000_000);
        assert!(consumer.poll().is_none(), "answered with less than min_bytes");
        assert_eq!(kafka.produce(bed, "t", 0, batch(&[vec![b'x'; 600]])).error_code, 0);
        let woken = bed.answer::<FetchRequest<'_>>(&mut consumer, id, 11).unwrap();
        assert_eq!(kafka::values(&woken.responses[0].partitions[0], 1).len(), 2);
    });
}

#[test]
fn a_fetch_brings_at_least_one_batch_and_no_more_than_asked() {
    in_every_mode(|bed, kafka| {
        for n in 0..4 {
            assert_eq!(kafka.produce(bed, "t", 0, batch(&[vec![n; 5_000]])).error_code, 0);
        }
        let core = kafka.leader(bed, "t", 0);
        for (max_bytes, partition_max_bytes, wanted) in
            [(1, 1 << 20, 1), (50 << 20, 1, 1), (11_000, 1 << 20, 2), (50 << 20, 1 << 20, 4)]
        {
            let mut request = fetch_request("t", 0, 0);
            request.max_bytes = max_bytes;
            request.topics[0].partitions[0].partition_max_bytes = partition_max_bytes;
            let answer = kafka.call(bed, core, &request, 11);
            let got = kafka::values(&answer.responses[0].partitions[0], 0).len();
            assert_eq!(
                got, wanted,
                "max_bytes {max_bytes}, of the partition {partition_max_bytes}"
            );
        }
    });
}

#[test]
fn an_incremental_session_brings_what_is_new() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "s", 2).unwrap();
        let core = kafka.leader(bed, "s", 0);
        let mut consumer = bed.connect(core);
        let mut request = fetch_request("s", 0, 0);
        request.session_epoch = 0;
        let opened = bed.call(&mut consumer, &request, 11);
        assert_ne!(opened.session_id, 0);
        assert_eq!(opened.responses.len(), 1);
        let next = |epoch, topics| FetchRequest {
            session_id: opened.session_id,
            session_epoch: epoch,
            topics,
            ..fetch_request("s", 0, 0)
        };
        let nothing = bed.call(&mut consumer, &next(1, vec![]), 11);
        assert_eq!((nothing.error_code, nothing.responses.len()), (0, 0));
        assert_eq!(kafka.produce(bed, "s", 0, batch(&["new"])).error_code, 0);
        let news = bed.call(&mut consumer, &next(2, vec![]), 11);
        assert_eq!(kafka::values(&news.responses[0].partitions[0], 0), [(0, b"new".to_vec())]);
        let moved = bed.call(&mut consumer, &next(3, vec![fetch_topic("s", &[(0, 1)])]), 11);
        assert!(
            moved
                .responses
                .iter()
                .flat_map(|t| &t.partitions)
                .all(|p| kafka::values(p, 1).is_empty())
        );
        let wrong = bed.call(&mut consumer, &next(9, vec![]), 11);
        assert_eq!(wrong.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
        let unknown = FetchRequest { session_id: 77, session_epoch: 1, ..fetch_request("s", 0, 0) };
        assert_eq!(
            bed.call(&mut consumer, &unknown, 11).error_code,
            ErrorCode::FetchSessionIdNotFound.code()
        );
    });
}

#[test]
fn offsets_by_time_and_by_name() {
    in_every_mode(|bed, kafka| {
        for n in 0..3 {
            assert_eq!(kafka.produce(bed, "t", 0, batch(&[format!("{n}")])).error_code, 0);
        }
        assert_eq!(kafka.list_offset(bed, "t", 0, -2).offset, 0);
        assert_eq!(kafka.list_offset(bed, "t", 0, -1).offset, 3);
        assert_eq!(kafka.list_offset(bed, "t", 0, -3).offset, 0);
        let by_time = kafka.list_offset(bed, "t", 0, NOW.0);
        assert_eq!((by_time.offset, by_time.timestamp), (0, NOW.0));
        assert_eq!(kafka.list_offset(bed, "t", 0, NOW.0 + 1).offset, -1);
    });
}

fn join_request(member: &str) -> JoinGroupRequest<'_> {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: vec![0, 1, 2].into(),
        }],
        ..Default::default()
    }
}

/// Joins as a new member: asked to come again with an id first (KIP-394).
fn join(bed: &mut Bed, kafka: &mut Kafka, core: u16) -> JoinGroupResponse<'static> {
    let first = kafka.call(bed, core, &join_request(""), 7);
    assert_eq!(first.error_code, ErrorCode::MemberIdRequired.code());
    let joined = kafka.call(bed, core, &join_request(&first.member_id), 7);
    assert_eq!(joined.error_code, 0, "{joined:?}");
    joined
}

#[test]
fn a_group_joins_syncs_commits_and_leaves() {
    in_every_mode(|bed, kafka| {
        kafka.create_topic(bed, "t", 1).unwrap();
        let core = kafka.coordinator(bed, "g");
        let joined = join(bed, kafka, core);
        assert_eq!((joined.leader.as_ref(), joined.members.len()), (joined.member_id.as_ref(), 1));
        let (generation, member) = (joined.generation_id, joined.member_id.to_string());
        let sync = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: generation,
            member_id: member.clone().into(),
            protocol_type: Some("consumer".into()),
            protocol_name: Some("range".into()),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member.clone().into(),
                assignment: vec![9, 9].into(),
            }],
            ..Default::default()
        };
        let synced = kafka.call(bed, core, &sync, 5);
        assert_eq!((synced.error_code, synced.assignment.as_ref()), (0, &[9, 9][..]));
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: generation,
            member_id: member.clone().into(),
            ..Default::default()
        };
        assert_eq!(kafka.call(bed, core, &beat, 4).error_code, 0);

        let committed =
            kafka.call(bed, core, &commit_request("g", (generation, &member), "t", 0, 41), 8);
        assert_eq!(committed.topics[0].partitions[0].error_code, 0);
        assert_eq!(kafka.committed(bed, "g", "t", 0), Ok(41));
        let stale =
            kafka.call(bed, core, &commit_request("g", (generation - 1, &member), "t", 0, 7), 8);
        assert_eq!(stale.topics[0].partitions[0].error_code, ErrorCode::IllegalGeneration.code());
        let unknown =
            kafka.call(bed, core, &commit_request("g", (generation, &member), "nowhere", 0, 7), 8);
        assert_eq!(
            unknown.topics[0].partitions[0].error_code,
            ErrorCode::UnknownTopicOrPartition.code()
        );

        let described = kafka.call(
            bed,
            core,
            &DescribeGroupsRequest { groups: vec!["g".into()], ..Default::default() },
            5,
        );
        assert_eq!(
            (described.groups[0].group_state.as_ref(), described.groups[0].members.len()),
            ("Stable", 1)
        );
        let listed = kafka.call(bed, core, &ListGroupsRequest::default(), 4);
        assert_eq!(listed.groups.iter().map(|g| g.group_id.as_ref()).collect::<Vec<_>>(), ["g"]);
        let busy =
            kafka.call(bed, core, &DeleteGroupsRequest { groups_names: vec!["g".into()] }, 2);
        assert_eq!(busy.results[0].error_code, ErrorCode::NonEmptyGroup.code());

        let leave = LeaveGroupRequest {
            group_id: "g".into(),
            member_id: member.into(),
            ..Default::default()
        };
        assert_eq!(kafka.call(bed, core, &leave, 2).error_code, 0);
        assert_eq!(kafka.call(bed, core, &beat, 4).error_code, ErrorCode::UnknownMemberId.code());
        assert_eq!(kafka.committed(bed, "g", "t", 0), Ok(41));
        let deleted =
            kafka.call(bed, core, &DeleteGroupsRequest { groups_names: vec!["g".into()] }, 2);
        assert_eq!(deleted.results[0].error_code, 0);
        assert_eq!(kafka.committed(bed, "g", "t", 0), Ok(-1));
    });
}

#[test]
fn a_member_that_says_nothing_is_expelled() {
    let mut bed = Bed::start(How::new(3, 2));
    let mut kafka = Kafka::default();
    let core = kafka.coordinator(&mut bed, "g");
    let joined = join(&mut bed, &mut kafka, core);
    bed.sim.run_for(15_000_000_000);
    let beat = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..Default::default()
    };
    assert_eq!(kafka.call(&mut bed, core, &beat, 4).error_code, ErrorCode::UnknownMemberId.code());
}

#[test]
fn connections_to_a_single_port_are_those_of_all_cores() {
    let mut bed = Bed::start(How::new(4, 3).single_port());
    let mut conns: Vec<_> = (0..30).map(|_| bed.connect(0)).collect();
    for conn in &mut conns {
        bed.call(conn, &ApiVersionsRequest::default(), 0);
    }
    let accepted: Vec<u64> = bed.sim.stats(bed.node).iter().map(|s| s.accepted).collect();
    assert!(accepted.iter().all(|&n| n > 0) && accepted.iter().sum::<u64>() == 30, "{accepted:?}");
}

#[test]
fn administration() {
    in_every_mode(|bed, kafka| {
        let id = kafka.create_topic(bed, "a", 3).unwrap();
        assert_eq!(kafka.create_topic(bed, "a", 3), Err(ErrorCode::TopicAlreadyExists));
        let grown = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: "a".into(), count: 5, assignments: None }],
            timeout_ms: 1000,
            validate_only: false,
        };
        assert_eq!(kafka.call(bed, 0, &grown, 3).results[0].error_code, 0);
        for core in 0..bed.cores() {
            let seen = kafka.metadata(bed, core, &["a"]);
            assert_eq!(
                seen.topics[0].partitions.len(),
                5,
                "a client reads its own writes on any core"
            );
        }

        kafka.set_config(bed, "a", "retention.ms", "1234567");
        let describe = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: 2,
                resource_name: "a".into(),
                configuration_keys: None,
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        for core in 0..bed.cores() {
            let described = kafka.call(bed, core, &describe, 4);
            let configs = &described.results[0].configs;
            assert!(configs.len() > 20, "{} configurations", configs.len());
            let retention = configs.iter().find(|c| c.name == "retention.ms").unwrap();
            assert_eq!(retention.value.as_deref(), Some("1234567"));
        }
        let cluster = kafka.call(
            bed,
            0,
            &DescribeClusterRequest { endpoint_type: 1, ..Default::default() },
            2,
        );
        assert_eq!((cluster.error_code, cluster.brokers.is_empty()), (0, false));

        for _ in 0..3 {
            assert_eq!(kafka.produce(bed, "a", 4, batch(&["x", "y"])).error_code, 0);
        }
        let core = kafka.leader(bed, "a", 4);
        let trim = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "a".into(),
                partitions: vec![DeleteRecordsPartition { partition_index: 4, offset: 3 }],
            }],
            timeout_ms: 1000,
        };
        let trimmed = kafka.call(bed, core, &trim, 2);
        let trimmed = &trimmed.topics[0].partitions[0];
        assert_eq!((trimmed.error_code, trimmed.low_watermark), (0, 3));
        assert_eq!(kafka.fetch(bed, "a", 4, 0).error_code, ErrorCode::OffsetOutOfRange.code());
        assert_eq!(kafka.read_all(bed, "a", 4, 3).len(), 3);

        assert_eq!(kafka.delete_topic(bed, "a"), ErrorCode::None);
        assert_eq!(kafka.delete_topic(bed, "a"), ErrorCode::UnknownTopicOrPartition);
        assert_ne!(kafka.create_topic(bed, "a", 1).unwrap(), id);
        assert!(kafka.read_all(bed, "a", 0, 0).is_empty());
    });
}

#[test]
fn a_clean_stop_loses_nothing() {
    in_every_mode(|bed, kafka| {
        let producer = kafka.producer(bed);
        assert_eq!(kafka.produce(bed, "t", 0, idempotent(producer, 0, &["kept"])).error_code, 0);
        assert_eq!(kafka.commit(bed, "g", "t", 0, 1), ErrorCode::None);
        bed.sim.stop(bed.node);
        let node = bed.node;
        assert!(bed.sim.run_until(60_000_000_000, |sim| sim.has_ended(node)), "it does not stop");
        // Everything is on the device now: the power may go.
        bed.sim.power_cut(node);
        bed.how.settings.cores = 3 - bed.how.settings.cores;
        bed.restart();
        assert_eq!(kafka.read_all(bed, "t", 0, 0), [(0, b"kept".to_vec())]);
        assert_eq!(kafka.committed(bed, "g", "t", 0), Ok(1));
        let again = kafka.produce(bed, "t", 0, idempotent(producer, 0, &["kept"]));
        assert_eq!(
            (again.error_code, again.base_offset),
            (0, 0),
            "a duplicate is known after a restart"
        );
    });
}
