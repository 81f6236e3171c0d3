//! What a core holds for its clients is bounded over all of them, and what is there already goes on
//! at the bound.
use crate::{
    bed::{Bed, How},
    kafka::Kafka,
};
use broker::shard::{message::Message, snapshot::Snapshot};
use netio::CoreId;
use wire::{
    ErrorCode,
    delete_groups::DeleteGroupsRequest,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
};

/// The numbers of core 0.
fn snapshot(bed: &mut Bed) -> Snapshot {
    let (to, mut snapshot) = tokio::sync::oneshot::channel();
    let sender = bed.sim.sender::<Message>(bed.node);
    assert!(sender.send(CoreId(0), Message::Snapshot { to }).is_ok());
    let mut taken = None;
    let there = bed.sim.run_until(crate::bed::PATIENCE_NS, |_| {
        taken = snapshot.try_recv().ok();
        taken.is_some()
    });
    assert!(there);
    *taken.unwrap()
}

#[test]
fn groups_of_all_partitions_share_one_memory() {
    const BYTES: usize = 200_000;
    let mut how = How::new(31, 1);
    how.settings.group.memory_bytes = BYTES;
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1_000).unwrap();
    // Many groups, and so every partition of __consumer_offsets has some.
    let mut refused = None;
    for n in 0..1_000 {
        let group = format!("group-{n}");
        for partition in 0..10 {
            let code = kafka.commit(&mut bed, &group, "t", partition, 1);
            if code != ErrorCode::None {
                refused.get_or_insert((n, code));
            }
        }
        if refused.is_some() {
            break;
        }
    }
    let (groups, code) = refused.expect("a bound");
    assert!((40..400).contains(&groups), "{groups} groups");
    assert!(
        [ErrorCode::InvalidCommitOffsetSize, ErrorCode::CoordinatorNotAvailable].contains(&code),
        "{code:?}"
    );
    let numbers = snapshot(&mut bed);
    let held = numbers.group_memory_bytes;
    assert!(held <= BYTES && held > BYTES * 9 / 10, "{held}");
    assert!(numbers.stats.group_memory_refusals > 0);
    // A new group of any partition is refused, in a way that its clients try again.
    let mut joins = 0;
    for n in 0..8 {
        let group = format!("new-{n}");
        let core = kafka.coordinator(&mut bed, &group);
        let request = JoinGroupRequest {
            group_id: group.into(),
            session_timeout_ms: 6_000,
            rebalance_timeout_ms: 6_000,
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: vec![0; 10_000].into(),
            }],
            ..Default::default()
        };
        let answer = kafka.call(&mut bed, core, &request, 5);
        joins += i32::from(answer.error_code == ErrorCode::CoordinatorNotAvailable.code());
    }
    assert_eq!(joins, 8);
    // What is there can be changed.
    for n in 0..groups {
        let group = format!("group-{n}");
        assert_eq!(kafka.commit(&mut bed, &group, "t", 0, 2), ErrorCode::None);
        assert_eq!(kafka.committed(&mut bed, &group, "t", 0), Ok(2));
    }
    // What goes makes room for others, wherever they live.
    for n in 0..10 {
        let group = format!("group-{n}");
        let core = kafka.coordinator(&mut bed, &group);
        let request = DeleteGroupsRequest { groups_names: vec![group.into()] };
        let answer = kafka.call(&mut bed, core, &request, 2);
        assert_eq!(answer.results[0].error_code, 0);
    }
    for n in 0..4 {
        let group = format!("later-{n}");
        assert_eq!(kafka.commit(&mut bed, &group, "t", 0, 3), ErrorCode::None);
    }
    // A start reads it all, and counts the same.
    let held = snapshot(&mut bed).group_memory_bytes;
    bed.sim.run_for(crate::bed::SECOND_NS);
    bed.sim.kill(bed.node);
    bed.restart();
    let mut kafka = Kafka::default();
    assert_eq!(kafka.committed(&mut bed, "later-3", "t", 0), Ok(3));
    bed.sim.run_for(crate::bed::SECOND_NS);
    assert_eq!(snapshot(&mut bed).group_memory_bytes, held);
}
