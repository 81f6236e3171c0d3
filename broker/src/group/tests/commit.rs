//! OffsetCommit.
use super::*;

#[test]
fn who_may_commit() {
    let mut bed = Bed::new();
    // There is no group: a member of one is wrong, anybody else makes one.
    for (version, expected) in [(9, ErrorCode::GroupIdNotFound), (8, ErrorCode::IllegalGeneration)]
    {
        let request = commit_request("m", 3, "t", 0, 1);
        assert_eq!(bed.send_commit(&request, version), expected);
    }
    assert_eq!(bed.commit("", -1, 7), ErrorCode::None);
    assert_eq!(bed.fetch("t", 0), 7);
    assert_eq!(bed.commit("m", 0, 8), ErrorCode::UnknownMemberId, "an empty group has no members");
    bed.restart();
    assert_eq!(bed.fetch("t", 0), 7);

    let members = bed.stable(2);
    let cases = [
        ("", -1, ErrorCode::UnknownMemberId),
        ("nobody", 1, ErrorCode::UnknownMemberId),
        (&members[0], 0, ErrorCode::IllegalGeneration),
        (&members[0], -1, ErrorCode::IllegalGeneration),
        (&members[0], 1, ErrorCode::None),
        (&members[1], 1, ErrorCode::None),
    ];
    for (offset, (member, generation, expected)) in (10..).zip(cases) {
        assert_eq!(bed.commit(member, generation, offset), expected, "{member} {generation}");
    }
    assert_eq!(bed.fetch("t", 0), 15);
    // While members join again, the old generation may still commit: that is what it does before.
    let asked = bed.send_join(Join { member: &members[0], ..Join::default() });
    assert_eq!(bed.commit(&members[1], 1, 20), ErrorCode::None);
    let other = bed.send_join(Join { member: &members[1], ..Join::default() });
    bed.joined(asked);
    bed.joined(other);
    // Nobody has an assignment now.
    assert_eq!(bed.commit(&members[1], 1, 21), ErrorCode::IllegalGeneration);
    assert_eq!(bed.commit(&members[1], 2, 21), ErrorCode::RebalanceInProgress);
    assert_eq!(bed.fetch("t", 0), 20);
    bed.replay_is_the_same();
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut bed = Bed::new();
    let members = bed.stable(1);
    for offset in 0..5 {
        bed.sleep(9_000);
        assert_eq!(bed.commit(&members[0], 1, offset), ErrorCode::None);
    }
}

#[test]
fn metadata_comes_back_and_has_a_limit() {
    let mut bed = Bed::with(Options { offset_metadata_max: 4, ..Options::default() });
    // (metadata, fits): counted as Java does, in UTF-16 units.
    for (metadata, fits) in
        [("abcd", true), ("abcde", false), ("äöüß", true), ("\u{1F600}\u{1F600}", true)]
    {
        let mut request = commit_request("", -1, "t", 0, 1);
        request.topics[0].partitions[0].committed_metadata = Some(metadata.into());
        request.topics[0].partitions[0].committed_leader_epoch = 5;
        let before = bed.log.len();
        let expected = if fits { ErrorCode::None } else { ErrorCode::OffsetMetadataTooLarge };
        assert_eq!(bed.send_commit(&request, 9), expected, "{metadata}");
        assert_eq!(bed.log.len() - before, usize::from(fits));
    }
    let commit = bed.coordinator.groups[GROUP].offsets.get("t", 0).unwrap();
    assert_eq!((commit.metadata(), commit.leader_epoch), ("\u{1F600}\u{1F600}", 5));
    bed.replay_is_the_same();
}

#[test]
fn a_partition_that_is_named_again_is_written_once() {
    let mut bed = Bed::new();
    let mut request = commit_request("", -1, "t", 0, 1);
    let again = commit_request("", -1, "t", 0, 2).topics.remove(0);
    let other = commit_request("", -1, "t", 1, 3).topics.remove(0);
    request.topics.extend([other, again]);
    let before = bed.log.len();
    assert_eq!(bed.send_commit(&request, 9), ErrorCode::None);
    assert_eq!(bed.log.len() - before, 2);
    assert_eq!((bed.fetch("t", 0), bed.fetch("t", 1)), (2, 3));
    bed.replay_is_the_same();
}

#[test]
fn a_full_coordinator_takes_no_more() {
    let limits = super::super::Limits { bytes: 5_000, ..Default::default() };
    let mut bed = Bed::with(Options { limits, ..Options::default() });
    let mut results = Vec::new();
    for partition in 0..100 {
        let request = commit_request("", -1, "t", partition, 1);
        results.push(bed.send_commit(&request, 9));
    }
    let taken = results.iter().filter(|result| result.is_none()).count();
    assert!((10..60).contains(&taken), "{taken}");
    assert!(results[taken..].iter().all(|result| *result == ErrorCode::InvalidCommitOffsetSize));
    assert!(bed.coordinator.size().1 <= 5_000);
}
