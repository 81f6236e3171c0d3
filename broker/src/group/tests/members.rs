//! Static members (KIP-345, KIP-814).
use super::*;

fn static_join(instance: &str) -> Join<'_> {
    Join { instance: Some(instance), ..Join::default() }
}

/// A stable group of static members "a", "b", ...; ids, the leader first, and their instances.
fn stable(bed: &mut Bed, instances: &[&str]) -> Vec<String> {
    let asked: Vec<u64> = instances.iter().map(|name| bed.send_join(static_join(name))).collect();
    bed.sleep(if instances.len() > 1 { 6_000 } else { 3_000 });
    let mut ids: Vec<String> = Vec::new();
    for asked in asked {
        let answer = bed.joined(asked);
        assert_eq!(error(answer.error_code), ErrorCode::None);
        ids.push(answer.member_id.into_owned());
    }
    assert!(bed.coordinator.groups[GROUP].classic.is_leader(&ids[0]), "the first one leads");
    bed.sync_all(&ids);
    ids
}

#[test]
fn a_static_member_needs_no_id_first() {
    let mut bed = Bed::new();
    let ids = stable(&mut bed, &["a", "b"]);
    assert!(ids[0].starts_with("a-") && ids[1].starts_with("b-"), "{ids:?}");
    let described = bed.coordinator.groups[GROUP].classic.static_member("b").unwrap();
    assert_eq!(**described, *ids[1]);
}

#[test]
fn who_comes_back_takes_its_old_place() {
    let mut bed = Bed::new();
    let ids = stable(&mut bed, &["a", "b"]);
    let records = bed.log.len();
    // The follower: nobody is disturbed, and the new id is lasting.
    let answer = bed.join(static_join("b"));
    assert_eq!(error(answer.error_code), ErrorCode::None);
    assert_eq!((answer.generation_id, answer.skip_assignment, answer.members.len()), (1, false, 0));
    assert_ne!(&*answer.member_id, ids[1]);
    assert_eq!((&*answer.leader, bed.state()), (&*ids[0], GroupState::Stable));
    assert_eq!(bed.log.len(), records + 1);
    bed.replay_is_the_same();
    // It has the assignment of its former self.
    let asked = bed.send_sync(&answer.member_id, 1, &[]);
    assert_eq!(&*bed.synced(asked).assignment, ids[1].as_bytes());
    // Which is fenced wherever it shows itself.
    assert_eq!(bed.heartbeat_as(&ids[1], 1, Some("b")), ErrorCode::FencedInstanceId);
    assert_eq!(bed.heartbeat_as(&ids[1], 1, None), ErrorCode::UnknownMemberId);
    assert_eq!(bed.heartbeat_as(&answer.member_id, 1, Some("b")), ErrorCode::None);
    assert_eq!(bed.heartbeat_as(&answer.member_id, 1, Some("c")), ErrorCode::UnknownMemberId);
    let join = Join { member: &ids[1], ..static_join("b") };
    assert_eq!(error(bed.join(join).error_code), ErrorCode::FencedInstanceId);
    let commit = OffsetCommitRequest {
        group_instance_id: Some("b".into()),
        ..commit_request(&ids[1], 1, "t", 0, 1)
    };
    assert_eq!(bed.send_commit(&commit, 9), ErrorCode::FencedInstanceId);
    let sync =
        SyncGroupRequest { group_instance_id: Some("b".into()), ..sync_request(&ids[1], 1, &[]) };
    let asked = bed.send(Request::SyncGroup(&sync), 5);
    assert_eq!(error(bed.synced(asked).error_code), ErrorCode::FencedInstanceId);
}

#[test]
fn a_leader_that_comes_back() {
    // From version 9 on it is told that it leads, and not to assign; before, that its old id leads.
    for version in [9, 8] {
        let mut bed = Bed::new();
        let ids = stable(&mut bed, &["a", "b"]);
        let answer = bed.join(Join { version, ..static_join("a") });
        assert_eq!((error(answer.error_code), answer.generation_id), (ErrorCode::None, 1));
        let is_new = version == 9;
        assert_eq!(
            (answer.skip_assignment, answer.members.len()),
            (is_new, if is_new { 2 } else { 0 })
        );
        assert_eq!(&*answer.leader, if is_new { &*answer.member_id } else { &*ids[0] });
        assert!(bed.coordinator.groups[GROUP].classic.is_leader(&answer.member_id));
        assert_eq!(bed.state(), GroupState::Stable);
    }
}

#[test]
fn who_comes_back_with_other_protocols() {
    let mut bed = Bed::new();
    let mut asked = Vec::new();
    for name in ["a", "b", "c"] {
        asked.push(bed.send_join(Join { protocols: &["range", "sticky"], ..static_join(name) }));
    }
    bed.sleep(6_000);
    let ids: Vec<String> =
        asked.into_iter().map(|asked| bed.joined(asked).member_id.into_owned()).collect();
    bed.sync_all(&ids);
    // It still can do what the group does: no rebalance. It no longer can: a rebalance.
    let answer = bed.join(Join { protocols: &["sticky", "range"], ..static_join("b") });
    assert_eq!(answer.generation_id, 1);
    let waiting = bed.send_join(Join { protocols: &["sticky"], ..static_join("c") });
    bed.is_open(waiting);
    assert_eq!(bed.state(), GroupState::PreparingRebalance);
    bed.replay_is_the_same();
}

#[test]
fn who_comes_back_during_a_rebalance() {
    let mut bed = Bed::new();
    let ids = stable(&mut bed, &["a", "b"]);
    // While members join: the newer client takes over, the older is fenced.
    let first = bed.send_join(Join { member: &ids[1], topics: &["u"], ..static_join("b") });
    let second = bed.send_join(static_join("b"));
    let fenced = bed.joined(first);
    assert_eq!(error(fenced.error_code), ErrorCode::FencedInstanceId);
    assert_eq!(&*fenced.member_id, ids[1]);
    let leader = bed.send_join(Join { member: &ids[0], ..static_join("a") });
    assert_eq!(bed.joined(leader).generation_id, 2);
    let b = bed.joined(second).member_id.into_owned();
    // While the assignment is awaited: the leader assigns to an id that is gone, so all join again.
    let waiting = bed.send_sync(&b, 2, &[]);
    let third = bed.send_join(static_join("b"));
    assert_eq!(error(bed.synced(waiting).error_code), ErrorCode::FencedInstanceId);
    assert_eq!(bed.state(), GroupState::PreparingRebalance);
    let leader = bed.send_join(Join { member: &ids[0], ..static_join("a") });
    assert_eq!((bed.joined(leader).generation_id, bed.joined(third).generation_id), (3, 3));
}

#[test]
fn a_static_member_stays_while_its_session_lasts() {
    let mut bed = Bed::new();
    let members = {
        let asked = [
            bed.send_join(Join { session_ms: 120_000, ..static_join("a") }),
            bed.send_join(Join { session_ms: 120_000, ..static_join("b") }),
        ];
        bed.sleep(6_000);
        let ids = asked.map(|asked| bed.joined(asked).member_id.into_owned());
        bed.sync_all(&ids);
        ids
    };
    // The leader is away when the other one forces a rebalance: it stays, and another leads.
    let join =
        Join { member: &members[1], session_ms: 120_000, topics: &["u"], ..static_join("b") };
    let asked = bed.send_join(join);
    bed.sleep(60_000);
    let answer = bed.joined(asked);
    assert_eq!((answer.generation_id, &*answer.leader), (2, &*members[1]));
    assert_eq!((answer.members.len(), bed.size()), (2, 2));
    assert_eq!(
        answer.members.iter().filter(|m| m.group_instance_id.as_deref() == Some("a")).count(),
        1
    );
}

#[test]
fn only_static_members_and_all_away() {
    let mut bed = Bed::new();
    let asked = [
        bed.send_join(Join { session_ms: 300_000, ..static_join("a") }),
        bed.send_join(Join { session_ms: 300_000, ..static_join("b") }),
        bed.send_join(static_join("c")),
    ];
    bed.sleep(6_000);
    let ids = asked.map(|asked| bed.joined(asked).member_id.into_owned());
    bed.sync_all(&ids);
    // c goes silent; the others are to join and do not: the rebalance starts over until they are
    // gone.
    bed.sleep(200_000);
    assert_eq!((bed.state(), bed.size(), bed.generation()), (GroupState::PreparingRebalance, 2, 1));
    bed.sleep(100_000);
    assert_eq!((bed.state(), bed.size(), bed.generation()), (GroupState::Empty, 0, 2));
}

#[test]
fn members_away_that_name_no_rebalance_timeout_do_not_hold_the_core() {
    for rebalance_ms in [0, -1, i32::MIN] {
        let mut bed = Bed::new();
        stable(&mut bed, &["a", "b"]);
        // Back with other timeouts, which makes no rebalance.
        for (instance, session_ms) in [("a", 60_000), ("b", 10_000)] {
            let answer = bed.join(Join { session_ms, rebalance_ms, ..static_join(instance) });
            assert_eq!(answer.generation_id, 1);
            // The new session begins with a heartbeat.
            let id = answer.member_id.into_owned();
            assert_eq!(bed.heartbeat_as(&id, 1, Some(instance)), ErrorCode::None);
        }
        // b's session ends, and the rebalance that follows finds nobody, over and over, until a's
        // ends too.
        bed.sleep(20_000);
        assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 1));
        bed.sleep(50_000);
        assert_eq!((bed.state(), bed.size()), (GroupState::Empty, 0));
    }
}

#[test]
fn a_restart_keeps_static_members() {
    let mut bed = Bed::new();
    let ids = stable(&mut bed, &["a", "b"]);
    bed.restart();
    assert_eq!(bed.state(), GroupState::Stable);
    assert_eq!(bed.heartbeat_as(&ids[1], 1, Some("b")), ErrorCode::None);
    let answer = bed.join(static_join("b"));
    assert_eq!((error(answer.error_code), answer.generation_id), (ErrorCode::None, 1));
    // Sessions begin anew at the start.
    bed.sleep(9_999);
    assert_eq!(bed.size(), 2);
    bed.sleep(1);
    assert_eq!(bed.size(), 0);
}
