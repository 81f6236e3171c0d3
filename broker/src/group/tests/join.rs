//! JoinGroup.
use super::*;

fn refused(bed: &mut Bed, join: Join<'_>) -> ErrorCode {
    error(bed.join(join).error_code)
}

#[test]
fn requests_that_cannot_be() {
    let cases: [(Join<'_>, ErrorCode); 7] = [
        (Join { group: "", ..Join::default() }, ErrorCode::InvalidGroupId),
        (Join { session_ms: 5_999, ..Join::default() }, ErrorCode::InvalidSessionTimeout),
        (Join { session_ms: 1_800_001, ..Join::default() }, ErrorCode::InvalidSessionTimeout),
        (Join { member: "nobody", ..Join::default() }, ErrorCode::UnknownMemberId),
        (Join { kind: "", ..Join::default() }, ErrorCode::InconsistentGroupProtocol),
        (Join { protocols: &[], ..Join::default() }, ErrorCode::InconsistentGroupProtocol),
        (Join { member: "nobody", ..Join::default() }, ErrorCode::UnknownMemberId),
    ];
    let mut bed = Bed::new();
    for (join, expected) in cases {
        let answer = bed.join(join.clone());
        assert_eq!(error(answer.error_code), expected);
        assert_eq!((&*answer.member_id, answer.generation_id), (join.member, -1));
    }
    let long = "g".repeat(32_768);
    assert_eq!(
        refused(&mut bed, Join { group: &long, ..Join::default() }),
        ErrorCode::InvalidGroupId
    );
}

#[test]
fn a_new_member_is_told_its_id_first() {
    let mut bed = Bed::new();
    let id = bed.new_id();
    assert!(id.starts_with("client-") && id.len() == "client-".len() + 36, "{id}");
    let uuid: Vec<&str> = id.split_once('-').unwrap().1.split('-').collect();
    assert_eq!(uuid.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!((&uuid[2][..1], &uuid[3][..1]), ("4", "8"), "version 4, variant 10");
    assert_eq!((bed.state(), bed.size()), (GroupState::Empty, 0));
    // The group exists from here on, as in Kafka.
    assert_eq!(bed.log.len(), 1);
    bed.replay_is_the_same();

    let asked = bed.send_join(Join { member: &id, ..Join::default() });
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 1));
    bed.is_open(asked);
    bed.sleep(3_000);
    let answer = bed.joined(asked);
    assert_eq!(error(answer.error_code), ErrorCode::None);
    assert_eq!((&*answer.leader, &*answer.member_id), (&*id, &*id));
    assert_eq!((answer.generation_id, answer.skip_assignment), (1, false));
    assert_eq!(answer.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(answer.protocol_name.as_deref(), Some("range"));
    assert_eq!(answer.members.len(), 1);
    assert_eq!(&*answer.members[0].metadata, subscription::encode(&["t"]));
}

#[test]
fn before_version_4_a_new_member_joins_at_once() {
    let mut bed = Bed::new();
    let asked = bed.send_join(Join { version: 3, ..Join::default() });
    assert_eq!(bed.size(), 1);
    bed.sleep(3_000);
    let answer = bed.joined(asked);
    assert_eq!(error(answer.error_code), ErrorCode::None);
    assert!(!answer.member_id.is_empty());
    // Version 0 has no rebalance timeout of its own.
    let mut bed = Bed::new();
    bed.send_join(Join { version: 0, rebalance_ms: -1, ..Join::default() });
    assert_eq!(bed.coordinator.groups[GROUP].classic.rebalance_timeout_ms(), SESSION_MS);
}

#[test]
fn an_id_that_is_not_used_is_forgotten() {
    let mut bed = Bed::new();
    let id = bed.new_id();
    bed.sleep(9_999);
    assert!(bed.coordinator.groups[GROUP].classic.is_pending(&id));
    bed.sleep(1);
    assert!(!bed.coordinator.groups[GROUP].classic.is_pending(&id));
    assert_eq!(
        refused(&mut bed, Join { member: &id, ..Join::default() }),
        ErrorCode::UnknownMemberId
    );
}

#[test]
fn a_pending_member_keeps_the_others_waiting() {
    let mut bed = Bed::new();
    let members = bed.stable(1);
    let pending = bed.new_id();
    let again = bed.send_join(Join { member: &members[0], ..Join::default() });
    bed.is_open(again);
    assert_eq!(bed.state(), GroupState::PreparingRebalance);
    let new = bed.send_join(Join { member: &pending, ..Join::default() });
    let (new, again) = (bed.joined(new), bed.joined(again));
    assert_eq!((new.generation_id, again.generation_id), (2, 2));
    assert_eq!(
        (new.members.len(), again.members.len()),
        (0, 2),
        "only the leader is told who is there"
    );

    // The same, and the pending member never comes.
    bed.sync_all(&[members[0].clone(), pending.clone()]);
    bed.new_id();
    let both: Vec<u64> = [&members[0], &pending]
        .map(|id| bed.send_join(Join { member: id, ..Join::default() }))
        .to_vec();
    bed.sleep(9_000);
    bed.is_open(both[0]);
    bed.sleep(1_000);
    assert!(both.into_iter().all(|asked| bed.joined(asked).generation_id == 3));
}

#[test]
fn the_first_rebalance_waits_as_long_as_members_come() {
    // (joins at ms, rebalance timeout, the group is complete at ms), with a delay of 3 s.
    let cases: [(&[u64], i32, u64); 5] = [
        (&[0], 60_000, 3_000),
        (&[0, 1_000], 60_000, 6_000),
        (&[0, 2_999, 3_001], 60_000, 9_000),
        (&[0, 1_000, 4_000, 7_000], 60_000, 12_000),
        // 3 s, then 3 s, then what is left.
        (&[0, 1_000, 4_000, 6_500], 7_000, 7_000),
    ];
    for (joins, rebalance_ms, complete_at) in cases {
        let mut bed = Bed::new();
        let (mut asked, mut at) = (Vec::new(), 0);
        for join in joins {
            bed.sleep(join - at);
            at = *join;
            asked.push(bed.send_join(Join { version: 3, rebalance_ms, ..Join::default() }));
        }
        bed.sleep(complete_at - 1 - at);
        bed.is_open(asked[0]);
        bed.sleep(1);
        for asked in asked {
            assert_eq!(bed.joined(asked).generation_id, 1, "{joins:?}");
        }
    }
}

#[test]
fn a_new_member_does_not_wait_for_ever() {
    let options = Options { new_member_join_timeout_ms: 20_000, ..Options::default() };
    let mut bed = Bed::with(options);
    let members = bed.stable(1);
    // The other one lives, and takes its time to join again.
    let new = bed.send_join(Join { version: 3, ..Join::default() });
    for _ in 0..4 {
        bed.is_open(new);
        assert_eq!(bed.heartbeat(&members[0], 1), ErrorCode::RebalanceInProgress);
        bed.sleep(5_000);
    }
    let answer = bed.joined(new);
    assert_eq!((error(answer.error_code), &*answer.member_id), (ErrorCode::UnknownMemberId, ""));
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 1));
    // A member that has been through a join waits as long as it takes.
    let again = bed.send_join(Join { member: &members[0], session_ms: 6_000, ..Join::default() });
    assert_eq!(bed.joined(again).generation_id, 2);
}

#[test]
fn votes_choose_the_protocol() {
    // Preferences of the members, and what they agree on.
    let cases: [(&[&[&str]], &str); 5] = [
        (&[&["range"]], "range"),
        (&[&["range", "sticky"], &["sticky", "range"], &["sticky", "range"]], "sticky"),
        (&[&["range", "sticky"], &["sticky"]], "sticky"),
        (&[&["a", "b", "c"], &["c", "b"], &["b"]], "b"),
        (&[&["a", "a", "b"], &["b", "a"], &["b", "a"]], "b"),
    ];
    for (members, expected) in cases {
        let mut bed = Bed::new();
        let asked: Vec<u64> = members
            .iter()
            .map(|protocols| bed.send_join(Join { version: 3, protocols, ..Join::default() }))
            .collect();
        bed.sleep(20_000);
        for asked in asked {
            assert_eq!(bed.joined(asked).protocol_name.as_deref(), Some(expected), "{members:?}");
        }
    }
}

#[test]
fn a_member_must_fit_the_group() {
    let mut bed = Bed::new();
    let members = bed.stable(2);
    let wrong = [
        Join { kind: "connect", ..Join::default() },
        Join { protocols: &["roundrobin"], ..Join::default() },
        Join { member: &members[1], protocols: &["roundrobin"], ..Join::default() },
        Join { member: &members[1], kind: "connect", ..Join::default() },
    ];
    for join in wrong {
        let answer = bed.join(join.clone());
        assert_eq!(error(answer.error_code), ErrorCode::InconsistentGroupProtocol);
        assert_eq!(&*answer.member_id, join.member);
    }
    assert_eq!(bed.state(), GroupState::Stable, "nobody was disturbed");
}

#[test]
fn who_joins_a_stable_group_again() {
    let mut bed = Bed::new();
    let members = bed.stable(2);
    // A follower that says nothing new gets the present generation.
    let same = bed.join(Join { member: &members[1], ..Join::default() });
    assert_eq!((same.generation_id, same.members.len()), (1, 0));
    assert_eq!(&*same.leader, members[0]);
    assert_eq!(bed.state(), GroupState::Stable);
    // One that does, forces a rebalance; so does the leader in any case.
    for (first, join) in [
        (1, Join { member: &members[1], topics: &["t", "u"], ..Join::default() }),
        (0, Join { member: &members[0], ..Join::default() }),
    ] {
        let generation = bed.generation();
        let one = bed.send_join(join);
        assert_eq!(bed.state(), GroupState::PreparingRebalance);
        assert_eq!(bed.heartbeat(&members[1 - first], generation), ErrorCode::RebalanceInProgress);
        let topics: &[&str] = if first == 1 { &["t"] } else { &["t", "u"] };
        let other = bed.send_join(Join { member: &members[1 - first], topics, ..Join::default() });
        assert_eq!(bed.joined(one).generation_id, generation + 1);
        assert_eq!(bed.joined(other).generation_id, generation + 1);
        bed.sync_all(&members);
    }
}

#[test]
fn who_joins_again_before_the_assignment() {
    let mut bed = Bed::new();
    let members = bed.stable(2);
    let asked = bed.send_joins(&members);
    for asked in asked {
        bed.joined(asked);
    }
    assert_eq!(bed.state(), GroupState::CompletingRebalance);
    // It did not hear the answer: the same again, the leader with all members.
    for (id, told) in [(&members[0], 2), (&members[1], 0)] {
        let again = bed.join(Join { member: id, ..Join::default() });
        assert_eq!((again.generation_id, again.members.len()), (2, told));
    }
    // With other metadata: everybody joins again, and who waits for the assignment is told.
    let waiting = bed.send_sync(&members[1], 2, &[]);
    bed.is_open(waiting);
    let changed = bed.send_join(Join { member: &members[0], topics: &["u"], ..Join::default() });
    assert_eq!(error(bed.synced(waiting).error_code), ErrorCode::RebalanceInProgress);
    let other = bed.send_join(Join { member: &members[1], ..Join::default() });
    assert_eq!(bed.joined(changed).generation_id, 3);
    assert_eq!(bed.joined(other).generation_id, 3);
}

#[test]
fn a_join_that_is_sent_again_replaces_the_first() {
    let mut bed = Bed::new();
    let id = bed.new_id();
    let first = bed.send_join(Join { member: &id, ..Join::default() });
    let second = bed.send_join(Join { member: &id, ..Join::default() });
    assert_eq!(error(bed.joined(first).error_code), ErrorCode::RebalanceInProgress);
    bed.sleep(3_000);
    assert_eq!(bed.joined(second).generation_id, 1);
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut bed = Bed::new();
    let members = bed.stable(3);
    // The leader stays away, but lives.
    let asked: Vec<u64> = members[1..]
        .iter()
        .map(|id| bed.send_join(Join { member: id, topics: &["u"], ..Join::default() }))
        .collect();
    for _ in 0..12 {
        bed.is_open(asked[0]);
        assert_eq!(bed.heartbeat(&members[0], 1), ErrorCode::RebalanceInProgress);
        bed.sleep(5_000);
    }
    let answers: Vec<_> = asked.into_iter().map(|asked| bed.joined(asked)).collect();
    assert!(answers.iter().all(|answer| answer.generation_id == 2));
    assert!(members[1..].contains(&answers[0].leader.to_string()), "another one leads");
    assert_eq!(bed.heartbeat(&members[0], 1), ErrorCode::UnknownMemberId);
    assert_eq!(bed.size(), 2);
}

#[test]
fn a_full_group_takes_nobody() {
    let mut bed = Bed::with(Options { group_size_max: 2, ..Options::default() });
    let members = bed.stable(2);
    assert_eq!(
        refused(&mut bed, Join { version: 3, ..Join::default() }),
        ErrorCode::GroupMaxSizeReached
    );
    // Those who are in it may join again, and the first two keep their places.
    let again = bed.send_join(Join { member: &members[0], ..Join::default() });
    let late = bed.send_join(Join { member: &members[1], ..Join::default() });
    assert_eq!((bed.joined(again).generation_id, bed.joined(late).generation_id), (2, 2));

    // A new group takes more while it is empty, as it is not known who will come.
    let mut bed = Bed::with(Options { group_size_max: 1, ..Options::default() });
    let ids = [bed.new_id(), bed.new_id()];
    let first = bed.send_join(Join { member: &ids[0], ..Join::default() });
    assert_eq!(
        refused(&mut bed, Join { member: &ids[1], ..Join::default() }),
        ErrorCode::GroupMaxSizeReached
    );
    bed.sleep(20_000);
    assert_eq!(bed.joined(first).generation_id, 1);
}

#[test]
fn nothing_is_unbounded() {
    let limits = super::super::Limits { groups: 2, members_per_group: 3, ..Default::default() };
    let mut bed = Bed::with(Options { limits, ..Options::default() });
    for _ in 0..3 {
        bed.new_id();
    }
    assert_eq!(refused(&mut bed, Join::default()), ErrorCode::GroupMaxSizeReached);
    assert_eq!(
        refused(&mut bed, Join { group: "2", ..Join::default() }),
        ErrorCode::MemberIdRequired
    );
    assert_eq!(
        refused(&mut bed, Join { group: "3", ..Join::default() }),
        ErrorCode::CoordinatorNotAvailable
    );

    let limits = super::super::Limits { bytes: 10_000, ..Default::default() };
    let mut bed = Bed::with(Options { limits, ..Options::default() });
    let topics = ["a-topic-with-a-long-name"; 500];
    let big = Join { topics: &topics, ..Join::default() };
    assert_eq!(refused(&mut bed, big), ErrorCode::CoordinatorNotAvailable);
    bed.stable(1);
}
