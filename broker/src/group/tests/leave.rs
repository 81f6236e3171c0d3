//! LeaveGroup.
use super::*;

fn codes(answer: &LeaveGroupResponse<'_>) -> Vec<ErrorCode> {
    assert_eq!(answer.error_code, 0);
    answer.members.iter().map(|member| error(member.error_code)).collect()
}

#[test]
fn members_leave() {
    let mut bed = Bed::new();
    assert_eq!(codes(&bed.leave(&[("nobody", None)])), [ErrorCode::UnknownMemberId], "no group");
    let members = bed.stable(3);
    let answer = bed.leave(&[("nobody", None), (&members[0], None), (&members[0], None)]);
    assert_eq!(
        codes(&answer),
        [ErrorCode::UnknownMemberId, ErrorCode::None, ErrorCode::UnknownMemberId]
    );
    assert_eq!(&*answer.members[1].member_id, members[0]);
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 2));
    assert_eq!(bed.heartbeat(&members[1], 1), ErrorCode::RebalanceInProgress);
    // The rebalance ends when the last one that did not join leaves.
    let asked = bed.send_join(Join { member: &members[1], ..Join::default() });
    bed.is_open(asked);
    bed.leave(&[(&members[2], None)]);
    assert_eq!(bed.joined(asked).generation_id, 2);
    bed.leave(&[(&members[1], None)]);
    assert_eq!((bed.state(), bed.generation()), (GroupState::Empty, 3));
    bed.replay_is_the_same();
    assert!(bed.leave(&[]).members.is_empty());
}

#[test]
fn whoever_waits_is_answered() {
    let mut bed = Bed::new();
    let members = bed.stable(2);
    let join = bed.send_join(Join { member: &members[0], ..Join::default() });
    bed.leave(&[(&members[0], None)]);
    assert_eq!(error(bed.joined(join).error_code), ErrorCode::UnknownMemberId);
    let join = bed.send_join(Join { member: &members[1], ..Join::default() });
    assert_eq!(bed.joined(join).generation_id, 2);
    // Of two members, one waits for the leader and is sent away.
    let mut bed = Bed::new();
    let members = bed.stable(2);
    let asked =
        [0, 1].map(|i: usize| bed.send_join(Join { member: &members[i], ..Join::default() }));
    assert!(asked.into_iter().all(|asked| bed.joined(asked).generation_id == 2));
    let sync = bed.send_sync(&members[1], 2, &[]);
    bed.leave(&[(&members[1], None)]);
    assert_eq!(error(bed.synced(sync).error_code), ErrorCode::UnknownMemberId);
}

#[test]
fn a_pending_member_leaves() {
    let mut bed = Bed::new();
    let members = bed.stable(1);
    let pending = bed.new_id();
    let asked = bed.send_join(Join { member: &members[0], ..Join::default() });
    bed.is_open(asked);
    assert_eq!(codes(&bed.leave(&[(&pending, None)])), [ErrorCode::None]);
    assert_eq!(bed.joined(asked).generation_id, 2);
    assert_eq!(codes(&bed.leave(&[(&pending, None)])), [ErrorCode::UnknownMemberId]);
}

#[test]
fn an_administrator_names_instances() {
    let mut bed = Bed::new();
    let asked =
        ["a", "b"].map(|name| bed.send_join(Join { instance: Some(name), ..Join::default() }));
    bed.sleep(6_000);
    let ids = asked.map(|asked| bed.joined(asked).member_id.into_owned());
    bed.sync_all(&ids);
    let answer =
        bed.leave(&[("", Some("nobody")), ("", None), (&ids[0], Some("b")), ("", Some("b"))]);
    assert_eq!(
        codes(&answer),
        [
            ErrorCode::UnknownMemberId,
            ErrorCode::UnknownMemberId,
            ErrorCode::FencedInstanceId,
            ErrorCode::None
        ]
    );
    assert_eq!((bed.state(), bed.size()), (GroupState::PreparingRebalance, 1));
    assert_eq!(bed.heartbeat_as(&ids[1], 1, Some("b")), ErrorCode::UnknownMemberId);
}

#[test]
fn before_version_3_there_is_one_member_and_one_code() {
    let mut bed = Bed::new();
    let leave = |bed: &mut Bed, group: &str, member: &str| {
        let request = LeaveGroupRequest {
            group_id: group.to_owned().into(),
            member_id: member.to_owned().into(),
            ..Default::default()
        };
        let Response::LeaveGroup(answer) = bed.call(Request::LeaveGroup(&request), 2) else {
            panic!()
        };
        assert!(answer.members.is_empty());
        error(answer.error_code)
    };
    assert_eq!(leave(&mut bed, GROUP, "nobody"), ErrorCode::UnknownMemberId);
    assert_eq!(leave(&mut bed, "", "nobody"), ErrorCode::InvalidGroupId);
    let members = bed.stable(1);
    assert_eq!(leave(&mut bed, GROUP, &members[0]), ErrorCode::None);
    assert_eq!(leave(&mut bed, GROUP, &members[0]), ErrorCode::UnknownMemberId);
}
