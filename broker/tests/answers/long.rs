//! Long answers that are asked for in earnest: whole, in order, in little memory, and beside
//! others.
use crate::{
    Outcome, PATIENCE_NS,
    bed::{Bed, Conn, read_answer},
    kafka::Kafka,
    meter, modes, weigh,
};
use std::collections::BTreeSet;
use wire::{
    api_versions::ApiVersionsRequest,
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_groups::DescribeGroupsRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
};

/// What a turn may take that writes portions of long answers, and sends parts of them.
const TURN_BYTES_MAX: usize = 1 << 20;
/// What one turn sends of them.
const TURN_SENT_MAX: u64 = 512 << 10;

fn frame<Q: wire::Request>(request: &Q, version: i16) -> Vec<u8> {
    wire::encode_request(request, 7, None, version).unwrap().concat()
}

/// The answer itself.
fn answer<Q: wire::Request>(
    bed: &mut Bed,
    conn: &mut Conn,
    request: &Q,
    version: i16,
) -> Q::Response<'static> {
    conn.client.send(frame(request, version));
    let frame = bed.frame(conn).unwrap();
    read_answer::<Q>(&frame, 7, version)
}

/// All their keys together are fewer than a request may name.
const TOPICS: usize = 30;

/// Topics, each asked for with all keys but one, and another one each time.
fn configurations(bed: &mut Bed, kafka: &mut Kafka) -> DescribeConfigsRequest<'static> {
    let topics: Vec<String> = (0..TOPICS).map(|i| format!("topic-{i}")).collect();
    for topic in &topics {
        kafka.create_topic(bed, topic, 1).unwrap();
    }
    let resource = |topic: &str, keys: Option<Vec<String>>| DescribeConfigsResource {
        resource_type: 2,
        resource_name: topic.to_owned().into(),
        configuration_keys: keys.map(|keys| keys.into_iter().map(Into::into).collect()),
    };
    let request = |resources| DescribeConfigsRequest {
        resources,
        include_synonyms: true,
        include_documentation: true,
    };
    let mut conn = bed.connect(0);
    let one = request(vec![resource(&topics[0], None)]);
    let one = answer(bed, &mut conn, &one, 4);
    let keys: Vec<String> = one.results[0].configs.iter().map(|c| c.name.to_string()).collect();
    let mut resources = Vec::new();
    for topic in &topics {
        for left_out in &keys {
            let keys = keys.iter().filter(|key| *key != left_out).cloned();
            resources.push(resource(topic, Some(keys.collect())));
        }
    }
    request(resources)
}

#[test]
fn many_configurations_are_streamed_and_others_go_on() {
    let _alone = meter::alone();
    for how in modes(4) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        let request = configurations(&mut bed, &mut kafka);
        let mut conn = bed.connect(0);
        let outcome = weigh(&mut bed, &mut conn, frame(&request, 4), PATIENCE_NS);
        let Outcome { answer: Some(bytes), turn, held, sent, turns, .. } = outcome else {
            panic!("{outcome:?}")
        };
        println!("{bytes} bytes in {turns} turns: {outcome:?}");
        assert!(bytes > 3 << 20, "{bytes} are no long answer");
        let received = frame(&request, 4).len();
        assert!(turn.bytes <= 16 * received + TURN_BYTES_MAX, "{outcome:?}");
        assert!(sent <= TURN_SENT_MAX, "{outcome:?}");
        // The request, what the connection has not taken, and the simulated network's copies of
        // both.
        assert!(held <= 8 * received + (5 << 20), "{outcome:?}");

        // Another connection's request is answered in the middle of it.
        conn.client.send(frame(&request, 4));
        let mut arrived = 0;
        bed.sim.run_until(PATIENCE_NS, |_| {
            arrived += conn.client.take().len();
            arrived > 1 << 20
        });
        let mut other = bed.connect(0);
        bed.call(&mut other, &ApiVersionsRequest::default(), 1);
        arrived += conn.client.take().len();
        assert!(arrived < bytes, "the answer was over before");
        // What changes meanwhile is not in it, and does not harm it.
        let last = format!("topic-{}", TOPICS - 1);
        kafka.delete_topic(&mut bed, &last);
        bed.sim.run_until(PATIENCE_NS, |_| {
            arrived += conn.client.take().len();
            arrived >= bytes
        });
        assert_eq!(arrived, bytes);

        let all = answer(&mut bed, &mut conn, &request, 4);
        assert_eq!(all.results.len(), request.resources.len());
        for (asked, result) in request.resources.iter().zip(&all.results) {
            assert_eq!(asked.resource_name, result.resource_name);
            if result.error_code == 0 {
                let keys: BTreeSet<_> = asked.configuration_keys.iter().flatten().collect();
                let told: BTreeSet<_> = result.configs.iter().map(|c| &c.name).collect();
                assert_eq!(keys, told);
            } else {
                assert_eq!(asked.resource_name, last);
            }
        }
    }
}

#[test]
fn a_client_that_goes_in_the_middle_leaves_nothing() {
    let _alone = meter::alone();
    for how in modes(5) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        let request = configurations(&mut bed, &mut kafka);
        let before = meter::held();
        for _ in 0..3 {
            let conn = bed.connect(0);
            conn.client.send(frame(&request, 4));
            let mut arrived = 0;
            bed.sim.run_until(PATIENCE_NS, |_| {
                arrived += conn.client.take().len();
                arrived > 1 << 20
            });
            conn.client.close(true);
            bed.sim.run_for(1_000_000_000);
            drop(conn);
        }
        let left = meter::held().saturating_sub(before);
        assert!(left <= 1 << 20, "{left} bytes");
        bed.sim.run_for(1_000_000_000);
        assert_eq!(kafka.produce(&mut bed, "after", 0, crate::kafka::batch(&["x"])).error_code, 0);
    }
}

#[test]
fn a_giant_group_is_described_some_members_at_a_time() {
    let _alone = meter::alone();
    const MEMBERS: usize = 60;
    for how in modes(6) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        let core = kafka.coordinator(&mut bed, "group");
        let mut members = Vec::new();
        for i in 0..MEMBERS {
            let mut conn = bed.connect(core);
            let join = JoinGroupRequest {
                group_id: "group".into(),
                session_timeout_ms: 60_000,
                rebalance_timeout_ms: 60_000,
                group_instance_id: Some(format!("instance-{i}-{}", "x".repeat(3000)).into()),
                protocol_type: "consumer".into(),
                protocols: vec![JoinGroupRequestProtocol {
                    name: "range".into(),
                    metadata: vec![7; 100].into(),
                }],
                ..Default::default()
            };
            conn.send(&join, 5);
            members.push(conn);
        }
        // All have joined, and are described with what they are called; the client's id is long
        // here.
        bed.sim.run_for(5_000_000_000);
        let request = DescribeGroupsRequest {
            groups: vec!["group".into(), "none".into()],
            include_authorized_operations: false,
        };
        let mut conn = bed.connect(core);
        let outcome = weigh(&mut bed, &mut conn, frame(&request, 5), PATIENCE_NS);
        println!("{outcome:?}");
        assert!(outcome.answer.unwrap() > MEMBERS * 6000, "{outcome:?}");
        assert!(outcome.turn.bytes <= TURN_BYTES_MAX, "{outcome:?}");
        let all = answer(&mut bed, &mut conn, &request, 5);
        let group = |name: &str| all.groups.iter().find(|g| g.group_id == name).unwrap();
        let ids: BTreeSet<_> = group("group").members.iter().map(|m| &m.member_id).collect();
        assert_eq!((ids.len(), group("group").members.len()), (MEMBERS, MEMBERS));
        assert!(group("none").members.is_empty());
    }
}
