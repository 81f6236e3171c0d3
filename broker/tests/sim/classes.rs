//! Durability classes other than `device`, and groups, through the end of a process.
use crate::{
    bed::{Bed, How, SECOND_NS, seeds},
    kafka::{Kafka, batch, commit_request, fetch_request},
};
use wire::{
    ErrorCode,
    fetch::FetchRequest,
    heartbeat::HeartbeatRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
    sync_group::{SyncGroupRequest, SyncGroupRequestAssignment},
};

fn text(n: i64) -> String {
    format!("record {n}")
}

/// A topic of this class with 60 acked records, some of them flushed; then the end. Gives what is
/// left of it.
fn left_of(seed: u64, class: &str, power: bool) -> (Bed, Kafka, usize) {
    let mut bed = Bed::start(How::new(seed, 1 + (seed % 2) as u16));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1).unwrap();
    kafka.set_config(&mut bed, "t", "millrace.durability", class);
    for n in 0..60 {
        let answer = kafka.produce(&mut bed, "t", 0, batch(&[text(n)]));
        assert_eq!((answer.error_code, answer.base_offset), (0, n));
        if n == 20 {
            bed.sim.run_for(2 * SECOND_NS);
        }
    }
    if power {
        bed.sim.power_cut(bed.node);
    } else {
        bed.sim.kill(bed.node);
    }
    bed.restart();
    let all = kafka.read_all(&mut bed, "t", 0, 0);
    for ((offset, value), n) in all.iter().zip(0..) {
        assert_eq!((*offset, value.as_slice()), (n, text(n).as_bytes()), "class {class}");
    }
    (bed, kafka, all.len())
}

#[test]
fn a_class_keeps_what_it_promises_and_never_more_than_a_prefix() {
    for seed in seeds(6) {
        for (class, power, all) in [
            ("device", true, true),
            ("written", false, true),
            ("written", true, false),
            ("memory", false, false),
            ("memory", true, false),
        ] {
            let (mut bed, mut kafka, left) = left_of(seed, class, power);
            assert!(left == 60 || !all, "class {class}, power: {power}: {left} of 60 are left");
            // Lost offsets are not used again unseen: the epoch has risen, and a consumer beyond
            // the end is told.
            if left < 60 {
                let core = kafka.leader(&mut bed, "t", 0);
                let mut beyond = fetch_request("t", 0, 60);
                beyond.topics[0].partitions[0].last_fetched_epoch = -1;
                let answer: wire::fetch::FetchResponse<'_> =
                    kafka.call::<FetchRequest<'_>>(&mut bed, core, &beyond, 12);
                assert_eq!(
                    answer.responses[0].partitions[0].error_code,
                    ErrorCode::OffsetOutOfRange.code()
                );
            }
            let answer = kafka.produce(&mut bed, "t", 0, batch(&["next"]));
            assert_eq!((answer.error_code, answer.base_offset), (0, left as i64));
        }
    }
}

#[test]
fn a_group_goes_on_after_a_crash() {
    for seed in seeds(6) {
        let mut how = How::new(seed, 2);
        how.settings.single_port = seed % 2 == 0;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        let core = kafka.coordinator(&mut bed, "g");
        let join = JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: vec![1].into(),
            }],
            ..Default::default()
        };
        let joined = kafka.call(&mut bed, core, &join, 3);
        assert_eq!(joined.error_code, 0);
        let member = joined.member_id.to_string();
        let sync = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: joined.generation_id,
            member_id: member.clone().into(),
            assignments: vec![SyncGroupRequestAssignment {
                member_id: member.clone().into(),
                assignment: vec![7].into(),
            }],
            ..Default::default()
        };
        assert_eq!(kafka.call(&mut bed, core, &sync, 3).error_code, 0);
        if seed % 3 == 0 {
            bed.sim.kill(bed.node);
        } else {
            bed.sim.power_cut(bed.node);
        }
        bed.how.settings.cores = 1 + (seed % 3) as u16;
        bed.restart();
        // Waits for the coordinator, as clients do.
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(-1));
        let core = kafka.coordinator(&mut bed, "g");
        let beat = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: joined.generation_id,
            member_id: member.clone().into(),
            ..Default::default()
        };
        assert_eq!(
            kafka.call(&mut bed, core, &beat, 3).error_code,
            0,
            "the member is known, in its generation"
        );
        let again = kafka.call(&mut bed, core, &sync, 3);
        assert_eq!((again.error_code, again.assignment.as_ref()), (0, &[7][..]));
        let committed = kafka.call(
            &mut bed,
            core,
            &commit_request("g", (joined.generation_id, &member), "t", 0, 5),
            8,
        );
        assert_eq!(committed.topics[0].partitions[0].error_code, 0);
        // It stays silent: its session ends as if the coordinator had never gone.
        bed.sim.run_for(15 * SECOND_NS);
        assert_eq!(
            kafka.call(&mut bed, core, &beat, 3).error_code,
            ErrorCode::UnknownMemberId.code()
        );
        assert_eq!(kafka.committed(&mut bed, "g", "t", 0), Ok(5));
    }
}
