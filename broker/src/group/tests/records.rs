//! Records and their replay.
use super::super::offsets::Commit;
use super::super::records;
use super::*;
use wire::Uuid;
use wire::record_frame::encode_value;
use wire::records::group::{GroupMetadataValue, OffsetCommitValue, group_metadata::MemberMetadata};

#[test]
fn an_offset_as_kafka_writes_it() {
    let commit = Commit::new(5, 3, "m", 7, None, Uuid::from([9; 16]));
    let record = records::offset("g", "topic", 2, &commit);
    assert_eq!(record.key, b"\0\x01\0\x01g\0\x05topic\0\0\0\x02");
    let value = [
        b"\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x03\x02m\0\0\0\0\0\0\0\x07\x01\0\x10".as_slice(),
        &[9; 16],
    ];
    assert_eq!(record.value.as_deref(), Some(value.concat().as_slice()));
    // With an end of its own, in the old version: there is no place for the epoch and the id.
    let commit = Commit::new(5, 3, "m", 7, Some(8), Uuid::from([9; 16]));
    assert_eq!(
        records::offset("g", "topic", 2, &commit).value.unwrap(),
        b"\0\x01\0\0\0\0\0\0\0\x05\0\x01m\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x08"
    );
}

#[test]
fn offsets_of_all_versions_are_read() {
    let value = OffsetCommitValue {
        offset: 5,
        metadata: "m".into(),
        commit_timestamp: 7,
        ..Default::default()
    };
    for version in 0..=4 {
        let commit = records::read_offset(&encode_value(&value, version).unwrap()).unwrap();
        assert_eq!((commit.offset, commit.metadata(), commit.commit_ms), (5, "m", 7), "{version}");
        assert_eq!((commit.leader_epoch, commit.expire_ms()), (-1, None));
    }
}

#[test]
fn groups_of_all_versions_are_read() {
    for version in 0..=4 {
        let member = MemberMetadata {
            member_id: "m".into(),
            group_instance_id: (version >= 3).then(|| "i".into()),
            client_id: "c".into(),
            client_host: "/h".into(),
            rebalance_timeout: if version >= 1 { 20_000 } else { -1 },
            session_timeout: 10_000,
            subscription: subscription::encode(&["t"]).into(),
            assignment: b"a".as_slice().into(),
        };
        let value = GroupMetadataValue {
            protocol_type: "consumer".into(),
            generation: 4,
            protocol: Some("range".into()),
            leader: Some("m".into()),
            current_state_timestamp: if version >= 2 { 99 } else { -1 },
            members: vec![member],
        };
        let mut bed = Bed::new();
        bed.log.push(records::group(GROUP, Some(encode_value(&value, version).unwrap())));
        bed.coordinator = bed.replayed();
        bed.restart();
        assert_eq!((bed.state(), bed.generation()), (GroupState::Stable, 4));
        let classic = &bed.coordinator.groups[GROUP].classic;
        let rebalance_ms = if version >= 1 { 20_000 } else { 10_000 };
        assert_eq!(classic.rebalance_timeout_ms(), rebalance_ms);
        assert_eq!(classic.state_since_ms, (version >= 2).then_some(99));
        assert!(classic.is_subscribed_to("t") && !classic.is_subscribed_to("u"));
        assert_eq!(bed.heartbeat_as("m", 4, (version >= 3).then_some("i")), ErrorCode::None);
    }
}

#[test]
fn what_is_not_served_is_passed_over() {
    let mut coordinator = Coordinator::new(Options::default());
    // Kinds 3 to 21 are of other kinds of groups, and who knows what comes after.
    for kind in 3i16..40 {
        let key = [&kind.to_be_bytes()[..], b"whatever"].concat();
        assert_eq!(coordinator.replay(&key, Some(b"x"), 0), Ok(false));
        assert_eq!(coordinator.replay(&key, None, 0), Ok(false));
    }
    for key in [b"".as_slice(), b"\0", b"\0\x01", b"\0\x01\0\x05a", b"\0\x02\0\x01\xff"] {
        assert!(coordinator.replay(key, None, 0).is_err(), "{key:?}");
    }
    let key = records::group(GROUP, None).key;
    for value in [b"".as_slice(), b"\0\x09", b"\0\x03\0\x08consumer", b"\xff\xff"] {
        assert!(coordinator.replay(&key, Some(value), 0).is_err(), "{value:?}");
    }
    assert_eq!(coordinator.size(), (0, 0));
}

#[test]
fn an_end_before_the_offsets() {
    let mut coordinator = Coordinator::new(Options::default());
    let commit = Commit::new(5, -1, "", 7, None, Uuid::default());
    for record in [
        records::offset_tombstone(GROUP, "t", 0),
        records::offset(GROUP, "t", 0, &commit),
        records::group(GROUP, None),
        records::group("nobody", None),
    ] {
        assert_eq!(coordinator.replay(&record.key, record.value.as_deref(), 0), Ok(true));
        coordinator.check();
    }
    assert_eq!(coordinator.groups[GROUP].offsets.get("t", 0), Some(&commit));
    let record = records::offset_tombstone(GROUP, "t", 0);
    assert_eq!(coordinator.replay(&record.key, None, 0), Ok(true));
    assert!(lasting(&coordinator).is_empty());
}

#[test]
fn a_setting_that_was_lowered() {
    let mut bed = Bed::new();
    let members = bed.stable(3);
    bed.coordinator.set_options(Options { group_size_max: 2, ..Options::default() });
    bed.restart();
    assert_eq!(bed.state(), GroupState::PreparingRebalance);
    let asked = bed.send_joins(&members);
    assert_eq!(error(bed.joined(asked[2]).error_code), ErrorCode::GroupMaxSizeReached);
    bed.sleep(60_000);
    assert!(asked[..2].iter().all(|asked| bed.joined(*asked).generation_id == 2));
}

#[test]
fn a_snapshot_is_the_state() {
    let mut bed = Bed::new();
    bed.stable(2);
    for partition in 0..20 {
        for topic in ["a", "b"] {
            bed.send_commit(&commit_request_of("by-hand", topic, partition), 9);
        }
    }
    bed.join(Join { group: "new", ..Join::default() });
    for bytes_max in [1, 100, 1_000, 1_000_000] {
        let mut snapshot = bed.coordinator.snapshot();
        let mut fresh = Coordinator::new(Options::default());
        let mut portions = 0;
        loop {
            let records = bed.coordinator.snapshot_next(&mut snapshot, bytes_max);
            if records.is_empty() {
                break;
            }
            portions += 1;
            for record in records {
                assert_eq!(fresh.replay(&record.key, record.value.as_deref(), 0), Ok(true));
            }
        }
        assert_eq!(lasting(&fresh), lasting(&bed.coordinator));
        assert_eq!(portions == 1, bytes_max == 1_000_000);
        assert!(bytes_max > 1 || portions >= 42, "{portions}");
    }
}

fn commit_request_of<'a>(
    group: &'a str,
    topic: &'a str,
    partition: i32,
) -> OffsetCommitRequest<'a> {
    OffsetCommitRequest { group_id: group.into(), ..commit_request("", -1, topic, partition, 1) }
}
