//! Few bytes that ask for many: the same name again and again.
use crate::{PATIENCE_NS, bed::Bed, kafka::Kafka, meter, modes, weigh};
use wire::{
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_groups::DescribeGroupsRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
    sync_group::{SyncGroupRequest, SyncGroupRequestAssignment},
};

/// What a turn, and all that is held between turns, may take for so many bytes received.
fn allowed(received: usize) -> usize {
    8 * received + (64 << 10)
}

#[test]
fn one_topic_named_many_times() {
    let _alone = meter::alone();
    for how in modes(1) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "known", 1).unwrap();
        let resource = DescribeConfigsResource {
            resource_type: 2,
            resource_name: "known".into(),
            configuration_keys: None,
        };
        let request = |n| DescribeConfigsRequest {
            resources: vec![resource.clone(); n],
            include_synonyms: true,
            include_documentation: true,
        };
        let frame = |n| wire::encode_request(&request(n), 7, None, 4).unwrap().concat();
        let mut conn = bed.connect(0);
        let once = weigh(&mut bed, &mut conn, frame(1), PATIENCE_NS);
        let many = frame(50_000);
        let received = many.len();
        let outcome = weigh(&mut bed, &mut conn, many, PATIENCE_NS);
        println!("{received} bytes: {outcome:?}");
        assert!(outcome.turn.bytes <= allowed(received), "{outcome:?}");
        assert!(outcome.answer.unwrap() <= 2 * once.answer.unwrap(), "{outcome:?}");
    }
}

#[test]
fn one_group_named_many_times() {
    let _alone = meter::alone();
    for how in modes(2) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        let core = kafka.coordinator(&mut bed, "group");
        let mut conn = bed.connect(core);
        // One member with 190 KiB of words of its own.
        let mut join = JoinGroupRequest {
            group_id: "group".into(),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: vec![7; 190 << 10].into(),
            }],
            ..Default::default()
        };
        let joined = loop {
            let joined = bed.call(&mut conn, &join, 5);
            if joined.error_code == 0 {
                break joined;
            }
            join.member_id = joined.member_id;
        };
        let sync = SyncGroupRequest {
            group_id: "group".into(),
            generation_id: joined.generation_id,
            member_id: joined.member_id.clone(),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: joined.member_id.clone(),
                assignment: vec![8; 1000].into(),
            }],
            ..Default::default()
        };
        assert_eq!(bed.call(&mut conn, &sync, 3).error_code, 0);
        let request = |n| DescribeGroupsRequest {
            groups: vec!["group".into(); n],
            include_authorized_operations: true,
        };
        let frame = |n| wire::encode_request(&request(n), 7, None, 5).unwrap().concat();
        let once = weigh(&mut bed, &mut conn, frame(1), PATIENCE_NS);
        let many = frame(2_000);
        let received = many.len();
        let outcome = weigh(&mut bed, &mut conn, many, PATIENCE_NS);
        println!("{received} bytes: {outcome:?}");
        // It is there once, and described once.
        let described = once.answer.unwrap();
        assert!(outcome.turn.bytes <= allowed(received) + 4 * described, "{outcome:?}");
        assert_eq!(outcome.answer, Some(described));
    }
}
