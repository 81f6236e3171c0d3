//! SyncGroup and Heartbeat.
use super::*;

/// A group whose members have joined and not synced; the leader first.
fn joined(bed: &mut Bed, count: usize) -> Vec<String> {
    let members = bed.stable(count);
    let asked = bed.send_joins(&members);
    for asked in asked {
        assert_eq!(bed.joined(asked).generation_id, 2);
    }
    members
}

fn refused(bed: &mut Bed, request: &SyncGroupRequest<'_>) -> ErrorCode {
    let asked = bed.send(Request::SyncGroup(request), 5);
    let answer = bed.synced(asked);
    assert!(answer.assignment.is_empty());
    error(answer.error_code)
}

#[test]
fn requests_that_cannot_be() {
    let mut bed = Bed::new();
    let of_nobody = sync_request("nobody", 1, &[]);
    assert_eq!(refused(&mut bed, &of_nobody), ErrorCode::UnknownMemberId, "no group");
    let members = bed.stable(2);
    let good = sync_request(&members[0], 1, &[]);
    let cases = [
        (SyncGroupRequest { group_id: "".into(), ..good.clone() }, ErrorCode::InvalidGroupId),
        (of_nobody, ErrorCode::UnknownMemberId),
        (sync_request(&members[0], 0, &[]), ErrorCode::IllegalGeneration),
        (sync_request(&members[0], 2, &[]), ErrorCode::IllegalGeneration),
        (
            SyncGroupRequest { protocol_type: Some("connect".into()), ..good.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            SyncGroupRequest { protocol_name: Some("sticky".into()), ..good.clone() },
            ErrorCode::InconsistentGroupProtocol,
        ),
        (
            SyncGroupRequest { group_instance_id: Some("i".into()), ..good.clone() },
            ErrorCode::UnknownMemberId,
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(refused(&mut bed, &request), expected, "{request:?}");
    }
    // While members join again there is nothing to sync.
    bed.send_join(Join { member: &members[0], ..Join::default() });
    assert_eq!(refused(&mut bed, &good), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_stable_group_tells_the_assignment_again() {
    let mut bed = Bed::new();
    let members = bed.stable(2);
    let records = bed.log.len();
    for id in &members {
        let asked = bed.send_sync(id, 1, &[]);
        let answer = bed.synced(asked);
        assert_eq!(&*answer.assignment, id.as_bytes());
        assert_eq!(answer.protocol_name.as_deref(), Some("range"));
        assert_eq!(answer.protocol_type.as_deref(), Some("consumer"));
    }
    assert_eq!(bed.log.len(), records);
    // After a restart too.
    bed.restart();
    for id in &members {
        let asked = bed.send_sync(id, 1, &[]);
        assert_eq!(&*bed.synced(asked).assignment, id.as_bytes());
        assert_eq!(bed.heartbeat(id, 1), ErrorCode::None);
    }
}

#[test]
fn who_is_not_assigned_anything_gets_nothing() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 3);
    let waiting = [bed.send_sync(&members[1], 2, &[]), bed.send_sync(&members[2], 2, &[])];
    bed.is_open(waiting[0]);
    let assignments: [(&str, &[u8]); 3] =
        [(&members[0], b"old"), (&members[0], b"one"), (&members[1], b"two")];
    let leader = bed.send_sync(&members[0], 2, &assignments);
    assert_eq!(&*bed.synced(leader).assignment, b"one");
    assert_eq!(&*bed.synced(waiting[0]).assignment, b"two");
    assert_eq!(&*bed.synced(waiting[1]).assignment, b"");
}

#[test]
fn a_sync_that_is_sent_again_replaces_the_first() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 2);
    let first = bed.send_sync(&members[1], 2, &[]);
    let second = bed.send_sync(&members[1], 2, &[]);
    assert_eq!(error(bed.synced(first).error_code), ErrorCode::RebalanceInProgress);
    bed.send_sync(&members[0], 2, &[]);
    assert_eq!(error(bed.synced(second).error_code), ErrorCode::None);
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 3);
    let one = bed.send_sync(&members[1], 2, &[]);
    // The leader and the third live, and do not sync.
    for _ in 0..12 {
        assert_eq!(bed.heartbeat(&members[0], 2), ErrorCode::None);
        assert_eq!(bed.heartbeat(&members[2], 2), ErrorCode::None);
        bed.sleep(5_000);
    }
    assert_eq!(error(bed.synced(one).error_code), ErrorCode::RebalanceInProgress);
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 1));
    assert_eq!(bed.heartbeat(&members[0], 2), ErrorCode::UnknownMemberId);
    let again = bed.send_join(Join { member: &members[1], ..Join::default() });
    let answer = bed.joined(again);
    assert_eq!((answer.generation_id, &*answer.leader), (3, &*members[1]));
}

#[test]
fn who_does_not_sync_a_stable_group_is_out_too() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 3);
    let asked = bed.send_sync(&members[0], 2, &[]);
    bed.synced(asked);
    let asked = bed.send_sync(&members[1], 2, &[]);
    bed.synced(asked);
    assert_eq!(bed.state(), GroupState::Stable);
    for _ in 0..12 {
        for id in &members {
            assert_eq!(bed.heartbeat(id, 2), ErrorCode::None);
        }
        bed.sleep(5_000);
    }
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 2));
    assert_eq!(bed.heartbeat(&members[2], 2), ErrorCode::UnknownMemberId);
}

#[test]
fn all_in_time_and_the_group_stays() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 2);
    bed.sync_all(&members);
    for _ in 0..30 {
        for id in &members {
            assert_eq!(bed.heartbeat(id, 2), ErrorCode::None);
        }
        bed.sleep(5_000);
    }
    assert_eq!((bed.state(), bed.size()), (GroupState::Stable, 2));
}

#[test]
fn an_assignment_too_large_for_a_record() {
    let limits = super::super::Limits { record_bytes: 2_000, ..Default::default() };
    let mut bed = Bed::with(Options { limits, ..Options::default() });
    let members = joined(&mut bed, 2);
    let records = bed.log.len();
    let follower = bed.send_sync(&members[1], 2, &[]);
    let leader = bed.send_sync(&members[0], 2, &[(&members[1], &[7; 3_000])]);
    for asked in [leader, follower] {
        assert_eq!(error(bed.synced(asked).error_code), ErrorCode::UnknownServerError);
    }
    assert_eq!((bed.state(), bed.log.len()), (GroupState::PreparingRebalance, records));
}

#[test]
fn heartbeats() {
    let mut bed = Bed::new();
    assert_eq!(bed.heartbeat("nobody", 1), ErrorCode::UnknownMemberId, "no group");
    let pending = bed.new_id();
    assert_eq!(bed.heartbeat(&pending, -1), ErrorCode::UnknownMemberId, "it has not joined");
    let mut bed = Bed::new();
    let members = bed.stable(2);
    let request = HeartbeatRequest::default();
    let Response::Heartbeat(answer) = bed.call(Request::Heartbeat(&request), 4) else { panic!() };
    assert_eq!(error(answer.error_code), ErrorCode::InvalidGroupId);
    assert_eq!(bed.heartbeat(&members[0], 1), ErrorCode::None);
    assert_eq!(bed.heartbeat(&members[0], 2), ErrorCode::IllegalGeneration);
    assert_eq!(bed.heartbeat("nobody", 1), ErrorCode::UnknownMemberId);
    // One is silent: it is out after its session, and the other is to join again.
    bed.sleep(6_000);
    assert_eq!(bed.heartbeat(&members[0], 1), ErrorCode::None);
    bed.sleep(3_999);
    assert_eq!(bed.size(), 2);
    bed.sleep(1);
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 1));
    assert_eq!(bed.heartbeat(&members[0], 1), ErrorCode::RebalanceInProgress);
    assert_eq!(bed.heartbeat(&members[1], 1), ErrorCode::UnknownMemberId);
    // It goes silent as well: the group is empty, with a record that says so.
    bed.sleep(10_000);
    assert_eq!((bed.state(), bed.generation()), (GroupState::Empty, 2));
    bed.restart();
    assert_eq!((bed.state(), bed.generation()), (GroupState::Empty, 2));
}

#[test]
fn a_member_that_waits_need_not_heartbeat() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 2);
    let waiting = bed.send_sync(&members[1], 2, &[]);
    for _ in 0..6 {
        bed.sleep(5_000);
        assert_eq!(bed.heartbeat(&members[0], 2), ErrorCode::None);
    }
    bed.is_open(waiting);
    let leader = bed.send_sync(&members[0], 2, &[]);
    bed.synced(leader);
    assert_eq!(error(bed.synced(waiting).error_code), ErrorCode::None);
    // Its session begins again with the answer, and ends if nothing is heard.
    bed.sleep(9_999);
    assert_eq!((bed.state(), bed.size()), (GroupState::Stable, 2));
    bed.sleep(1);
    assert_eq!((bed.state(), bed.size()), (GroupState::Empty, 0));
}

#[test]
fn an_assignment_that_memory_has_no_room_for() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 2);
    let records = bed.log.len();
    let held = bed.coordinator.size().1;
    bed.coordinator.set_bytes_max(held + 1_000);
    let follower = bed.send_sync(&members[1], 2, &[]);
    let leader = bed.send_sync(&members[0], 2, &[(&members[1], &[7; 3_000])]);
    for asked in [leader, follower] {
        assert_eq!(error(bed.synced(asked).error_code), ErrorCode::CoordinatorNotAvailable);
    }
    assert_eq!(
        (bed.state(), bed.log.len(), bed.coordinator.take_refused()),
        (GroupState::PreparingRebalance, records, 1)
    );
    assert!(bed.coordinator.size().1 <= held);
    // There is memory again: they join and sync anew.
    bed.coordinator.set_bytes_max(held + 10_000);
    let asked = bed.send_joins(&members);
    for asked in asked {
        assert_eq!(error(bed.joined(asked).error_code), ErrorCode::None);
    }
    bed.sync_all(&members);
}

#[test]
fn without_room_a_group_goes_on_as_it_is() {
    let mut bed = Bed::new();
    let members = joined(&mut bed, 2);
    bed.sync_all(&members);
    assert_eq!(bed.commit(&members[0], 2, 1), ErrorCode::None);
    bed.coordinator.set_bytes_max(0);
    // The same members rebalance, with what they said before.
    let asked = bed.send_joins(&members);
    for asked in asked {
        assert_eq!(bed.joined(asked).generation_id, 3);
    }
    bed.sync_all(&members);
    // An offset that is there moves; another partition's is not taken, nor is a new member.
    assert_eq!(bed.commit(&members[0], 3, 2), ErrorCode::None);
    let other = commit_request(&members[0], 3, "t", 1, 2);
    assert_eq!(bed.send_commit(&other, 9), ErrorCode::InvalidCommitOffsetSize);
    let newcomer = bed.join(Join::default());
    assert_eq!(error(newcomer.error_code), ErrorCode::CoordinatorNotAvailable);
    let larger = bed.join(Join { member: &members[0], topics: &["t", "u"], ..Join::default() });
    assert_eq!(error(larger.error_code), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(bed.coordinator.take_refused(), 3);
    assert_eq!(bed.state(), GroupState::Stable);
}
