//! OffsetFetch and OffsetDelete.
use super::super::request::{fetch_groups, fetch_response};
use super::*;
use wire::Uuid;
use wire::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
};
use wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};

fn fetch(
    bed: &mut Bed,
    request: &OffsetFetchRequest<'_>,
    version: i16,
) -> OffsetFetchResponse<'static> {
    let groups = fetch_groups(request, version).into_iter();
    let answers = groups.map(|group| match bed.call(Request::OffsetFetch(&group), version) {
        Response::OffsetFetch(answer) => answer,
        other => panic!("not an answer to OffsetFetch: {other:?}"),
    });
    fetch_response(answers.collect(), version)
}

#[test]
fn one_group_before_version_8_and_many_since() {
    let mut bed = Bed::new();
    for (topic, partition, offset) in [("a", 0, 1), ("a", 1, 2), ("b", 0, 3)] {
        let request = commit_request("", -1, topic, partition, offset);
        assert_eq!(bed.send_commit(&request, 9), ErrorCode::None);
    }
    let old = OffsetFetchRequest {
        group_id: GROUP.into(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: "a".into(),
            partition_indexes: vec![1, 5],
        }]),
        ..Default::default()
    };
    let answer = fetch(&mut bed, &old, 7);
    let partitions = &answer.topics[0].partitions;
    let offsets: Vec<_> = partitions
        .iter()
        .map(|p| {
            (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.metadata.as_deref())
        })
        .collect();
    assert_eq!(offsets, [(1, 2, -1, Some("")), (5, -1, -1, Some(""))]);
    let all = OffsetFetchRequest { topics: None, ..old.clone() };
    let answer = fetch(&mut bed, &all, 2);
    let names: Vec<_> = answer.topics.iter().map(|t| (&*t.name, t.partitions.len())).collect();
    assert_eq!(names, [("a", 2), ("b", 1)]);

    let group = |id: &'static str, topics| OffsetFetchRequestGroup {
        group_id: id.into(),
        topics,
        ..Default::default()
    };
    let some = vec![OffsetFetchRequestTopics {
        name: "b".into(),
        partition_indexes: vec![0],
        ..Default::default()
    }];
    let new = OffsetFetchRequest {
        groups: vec![group(GROUP, None), group("nobody", None), group("nobody", Some(some))],
        ..Default::default()
    };
    let answer = fetch(&mut bed, &new, 9);
    assert_eq!(answer.groups.len(), 3);
    assert_eq!(answer.groups[0].topics.len(), 2);
    assert!(answer.groups[1].topics.is_empty());
    assert_eq!(answer.groups[2].topics[0].partitions[0].committed_offset, -1);
    assert!(answer.groups.iter().all(|group| group.error_code == 0));
}

#[test]
fn a_topic_made_again_has_no_offsets() {
    let mut bed = Bed::new();
    let (old, new) = (Uuid::from([1; 16]), Uuid::from([2; 16]));
    // (id at the commit, id at the fetch, the offset is found)
    for (at_commit, at_fetch, found) in [
        (old, old, true),
        (old, new, false),
        (old, Uuid::default(), true),
        (Uuid::default(), new, true),
    ] {
        let mut request = commit_request("", -1, "t", 0, 4);
        request.topics[0].topic_id = at_commit;
        assert_eq!(bed.send_commit(&request, 10), ErrorCode::None);
        bed.restart();
        let group = OffsetFetchRequestGroup {
            group_id: GROUP.into(),
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "t".into(),
                topic_id: at_fetch,
                partition_indexes: vec![0],
            }]),
            ..Default::default()
        };
        let Response::OffsetFetch(answer) = bed.call(Request::OffsetFetch(&group), 10) else {
            panic!()
        };
        let expected = if found { 4 } else { -1 };
        assert_eq!(answer.topics[0].partitions[0].committed_offset, expected);
        assert_eq!(answer.topics[0].topic_id, at_fetch);
    }
}

fn delete(bed: &mut Bed, group: &str, topics: &[(&str, i32)]) -> OffsetDeleteResponse<'static> {
    let request = OffsetDeleteRequest {
        group_id: group.to_owned().into(),
        topics: topics
            .iter()
            .map(|(name, partition)| OffsetDeleteRequestTopic {
                name: Cow::Borrowed(name),
                partitions: vec![OffsetDeleteRequestPartition { partition_index: *partition }],
            })
            .collect(),
    };
    match bed.call(Request::OffsetDelete(&request), 0) {
        Response::OffsetDelete(answer) => answer,
        other => panic!("not an answer to OffsetDelete: {other:?}"),
    }
}

#[test]
fn offsets_are_deleted_where_nobody_reads() {
    let mut bed = Bed::new();
    assert_eq!(error(delete(&mut bed, "", &[]).error_code), ErrorCode::InvalidGroupId);
    assert_eq!(error(delete(&mut bed, GROUP, &[]).error_code), ErrorCode::GroupIdNotFound);
    let members = bed.stable(1);
    for topic in ["t", "u"] {
        let request = commit_request(&members[0], 1, topic, 0, 1);
        assert_eq!(bed.send_commit(&request, 9), ErrorCode::None);
    }
    let records = bed.log.len();
    let answer = delete(&mut bed, GROUP, &[("t", 0), ("u", 0), ("u", 9)]);
    let codes: Vec<_> = answer.topics.iter().map(|t| error(t.partitions[0].error_code)).collect();
    assert_eq!(codes, [ErrorCode::GroupSubscribedToTopic, ErrorCode::None, ErrorCode::None]);
    assert_eq!((bed.fetch("t", 0), bed.fetch("u", 0)), (1, -1));
    assert_eq!(bed.log.len(), records + 1, "one tombstone for the one offset there was");
    bed.replay_is_the_same();
    // An empty group reads nothing.
    bed.leave(&[(&members[0], None)]);
    assert_eq!(
        error(delete(&mut bed, GROUP, &[("t", 0)]).topics[0].partitions[0].error_code),
        ErrorCode::None
    );
    assert_eq!(bed.fetch("t", 0), -1);
}

#[test]
fn of_other_groups_it_is_not_known_what_they_read() {
    let mut bed = Bed::new();
    let asked = bed.send_join(Join { kind: "connect", version: 3, ..Join::default() });
    assert_eq!(error(delete(&mut bed, GROUP, &[("t", 0)]).error_code), ErrorCode::NonEmptyGroup);
    bed.sleep(3_000);
    let id = bed.joined(asked).member_id.into_owned();
    bed.leave(&[(&id, None)]);
    assert_eq!(error(delete(&mut bed, GROUP, &[("t", 0)]).error_code), ErrorCode::None);
}

#[test]
fn offsets_of_deleted_topics_go() {
    let mut bed = Bed::new();
    let (old, new, unknown) = (Uuid::from([1; 16]), Uuid::from([2; 16]), Uuid::default());
    for (partition, topic_id) in [(0, old), (1, new), (2, unknown)] {
        let mut request = commit_request("", -1, "t", partition, 4);
        request.topics[0].topic_id = topic_id;
        assert_eq!(bed.send_commit(&request, 10), ErrorCode::None);
    }
    let before = bed.log.len();
    let outcome = bed.coordinator.topics_deleted(&[("t", old), ("u", new)], bed.now);
    bed.take(outcome);
    assert_eq!([0, 1, 2].map(|partition| bed.fetch("t", partition)), [-1, 4, -1]);
    assert_eq!(bed.log.len(), before + 2);
    bed.replay_is_the_same();
}
