//! DescribeGroups, ListGroups, DeleteGroups.
use super::*;
use wire::describe_groups::DescribedGroup;

fn describe(bed: &mut Bed, group: &str, version: i16) -> DescribedGroup<'static> {
    match bed.call(Request::DescribeGroups(&[group.into()]), version) {
        Response::DescribeGroups(mut groups) if groups.len() == 1 => groups.remove(0),
        other => panic!("not an answer to DescribeGroups: {other:?}"),
    }
}

fn list(bed: &mut Bed, states: &[&str], types: &[&str]) -> Vec<String> {
    let own = |texts: &[&str]| -> Vec<Cow<'static, str>> {
        texts.iter().map(|text| Cow::Owned((*text).to_owned())).collect()
    };
    let (states, types) = (own(states), own(types));
    match bed.call(Request::ListGroups { states: &states, types: &types }, 5) {
        Response::ListGroups(Ok(groups)) => groups
            .iter()
            .map(|g| {
                format!("{} {} {} {}", g.group_id, g.protocol_type, g.group_state, g.group_type)
            })
            .collect(),
        other => panic!("not an answer to ListGroups: {other:?}"),
    }
}

fn delete(bed: &mut Bed, groups: &[&'static str]) -> Vec<ErrorCode> {
    let groups: Vec<Cow<'_, str>> = groups.iter().map(|group| Cow::Borrowed(*group)).collect();
    match bed.call(Request::DeleteGroups(&groups), 2) {
        Response::DeleteGroups(results) => results,
        other => panic!("not an answer to DeleteGroups: {other:?}"),
    }
}

#[test]
fn what_a_group_shows() {
    let mut bed = Bed::new();
    let unknown = describe(&mut bed, GROUP, 6);
    assert_eq!(error(unknown.error_code), ErrorCode::GroupIdNotFound);
    assert_eq!(&*unknown.group_state, "Dead");
    assert_eq!(unknown.error_message.as_deref(), Some("Group group not found."));
    let unknown = describe(&mut bed, GROUP, 5);
    assert_eq!((unknown.error_code, &*unknown.group_state), (0, "Dead"));

    let members = bed.stable(2);
    let stable = describe(&mut bed, GROUP, 6);
    assert_eq!(
        (&*stable.group_state, &*stable.protocol_type, &*stable.protocol_data),
        ("Stable", "consumer", "range")
    );
    assert_eq!(stable.members.len(), 2);
    for member in &stable.members {
        assert!(members.contains(&member.member_id.to_string()));
        assert_eq!((&*member.client_id, &*member.client_host), ("client", "/127.0.0.1"));
        assert_eq!(&*member.member_metadata, subscription::encode(&["t"]));
        assert_eq!(&*member.member_assignment, member.member_id.as_bytes());
    }
    // While it rebalances, what members say is not settled.
    bed.send_join(Join { member: &members[0], ..Join::default() });
    let preparing = describe(&mut bed, GROUP, 6);
    assert_eq!((&*preparing.group_state, &*preparing.protocol_data), ("PreparingRebalance", ""));
    assert!(preparing.members.iter().all(|member| member.member_metadata.is_empty()));
}

#[test]
fn groups_by_state_and_type() {
    let mut bed = Bed::new();
    bed.stable(1);
    let mut by_hand = commit_request("", -1, "t", 0, 1);
    by_hand.group_id = "by-hand".into();
    bed.send_commit(&by_hand, 9);
    bed.join(Join { group: "new", ..Join::default() });
    let (stable, hand, new) =
        ("group consumer Stable classic", "by-hand  Empty classic", "new  Empty classic");
    let cases: [(&[&str], &[&str], &[&str]); 8] = [
        (&[], &[], &[hand, stable, new]),
        (&["Stable"], &[], &[stable]),
        (&[" stable", "PREPARINGREBALANCE"], &[], &[stable]),
        (&["Empty"], &["classic"], &[hand, new]),
        (&["Dead"], &[], &[]),
        (&[], &["Classic"], &[hand, stable, new]),
        (&[], &["consumer"], &[]),
        (&[], &["nonsense"], &[]),
    ];
    for (states, types, expected) in cases {
        assert_eq!(list(&mut bed, states, types), expected, "{states:?} {types:?}");
    }
}

#[test]
fn empty_groups_are_deleted() {
    let mut bed = Bed::new();
    let members = bed.stable(1);
    assert_eq!(bed.commit(&members[0], 1, 5), ErrorCode::None);
    assert_eq!(
        delete(&mut bed, &[GROUP, "nobody"]),
        [ErrorCode::NonEmptyGroup, ErrorCode::GroupIdNotFound]
    );
    bed.leave(&[(&members[0], None)]);
    // Someone is about to join: that does not keep the group.
    bed.new_id();
    let records = bed.log.len();
    assert_eq!(delete(&mut bed, &[GROUP, GROUP]), [ErrorCode::None, ErrorCode::GroupIdNotFound]);
    assert_eq!(bed.log.len(), records + 2, "a tombstone for the offset, one for the group");
    assert!(bed.log[records..].iter().all(|record| record.value.is_none()));
    bed.replay_is_the_same();
    assert_eq!(bed.coordinator.size(), (0, 0));
    assert_eq!(bed.fetch("t", 0), -1);
    bed.restart();
    assert_eq!(bed.coordinator.size(), (0, 0));
    assert_eq!(bed.coordinator.timers.len(), 1, "only the look for expired offsets is left");
}
