//! Records of `__consumer_offsets`, in Kafka's formats, so that Kafka's tools read them and we read
//! Kafka's.
//!
//! Written: OffsetCommit values of version 4 (with the topic's id), or 1 where the commit names its
//! own end (old clients); GroupMetadata values of version 3. Read: all versions of both, and the
//! legacy key of offsets. All other types belong to kinds of groups that are not served (KIP-848,
//! KIP-932, KIP-1071).
//! Source: Kafka's `GroupCoordinatorRecordHelpers`.

use super::classic::Classic;
use super::offsets::Commit;
use crate::coordinator::Record;
use wire::record_frame::{decode_key, decode_value_of, encode_key, encode_value};
use wire::records::group::{
    GroupKey, GroupMetadataKey, GroupMetadataValue, LegacyOffsetCommitKey, OffsetCommitKey,
    OffsetCommitValue, group_metadata::MemberMetadata,
};
use wire::{Error, RecordMessage, Str};

const OFFSET_COMMIT_WITH_END: i16 = 1;
const OFFSET_COMMIT: i16 = 4;
const GROUP_METADATA: i16 = 3;

/// What a record is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key<'a> {
    Offset(OffsetCommitKey<'a>),
    Group(GroupMetadataKey<'a>),
    /// Not of classic groups, or not known at all.
    Other,
}

/// What went wrong in making a record of our own: lengths were checked when the data came in.
fn made<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(made) => made,
        Err(error) => panic!("a record of a group cannot be written: {error}"),
    }
}

fn offset_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let key = OffsetCommitKey { group: group.into(), topic: topic.into(), partition };
    made(encode_key(&GroupKey::OffsetCommit(key)))
}

/// A committed offset.
pub(super) fn offset(group: &str, topic: &str, partition: i32, commit: &Commit) -> Record {
    let end = commit.expire_ms();
    let value = OffsetCommitValue {
        offset: commit.offset,
        leader_epoch: commit.leader_epoch,
        metadata: commit.metadata().into(),
        commit_timestamp: commit.commit_ms,
        expire_timestamp: end.unwrap_or(-1),
        topic_id: commit.topic_id,
    };
    let version = if end.is_some() { OFFSET_COMMIT_WITH_END } else { OFFSET_COMMIT };
    let value = made(encode_value(&value, version));
    Record { key: offset_key(group, topic, partition), value: Some(value) }
}

/// The end of a committed offset.
pub(super) fn offset_tombstone(group: &str, topic: &str, partition: i32) -> Record {
    Record { key: offset_key(group, topic, partition), value: None }
}

/// A group, or with no value its end.
pub(super) fn group(group: &str, value: Option<Vec<u8>>) -> Record {
    let key = GroupKey::GroupMetadata(GroupMetadataKey { group: group.into() });
    Record { key: made(encode_key(&key)), value }
}

/// The value of a group's record.
///
/// # Panics
/// The group has members and no protocol that all of them can run.
pub(super) fn group_value(group: &Classic) -> Vec<u8> {
    let protocol = group.protocol_name.as_deref().unwrap_or_default();
    let members = group.members().map(|member| {
        let Some(subscription) = member.metadata(protocol) else {
            panic!("member {} cannot run its group's protocol {protocol:?}", member.id);
        };
        MemberMetadata {
            member_id: Str::Borrowed(&member.id),
            group_instance_id: member.instance_id.as_deref().map(Str::Borrowed),
            client_id: Str::Borrowed(&member.client_id),
            client_host: Str::Borrowed(&member.client_host),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout: member.session_timeout_ms,
            subscription: subscription.as_ref().into(),
            assignment: member.assignment.as_ref().into(),
        }
    });
    let value = GroupMetadataValue {
        protocol_type: group.protocol_type.as_deref().unwrap_or_default().into(),
        generation: group.generation,
        protocol: group.protocol_name.as_deref().map(Str::Borrowed),
        leader: group.leader.as_deref().map(Str::Borrowed),
        current_state_timestamp: group.state_since_ms.unwrap_or(-1),
        members: members.collect(),
    };
    made(encode_value(&value, GROUP_METADATA))
}

/// The value of a group that has just been made, whatever has happened to it since: nothing of that
/// is lasting yet.
pub(super) fn new_group_value(state_since_ms: i64) -> Vec<u8> {
    group_value(&Classic::new(state_since_ms))
}

// ---- reading

pub(super) fn read_key(key: &[u8]) -> Result<Key<'_>, Error> {
    const OFFSETS: [i16; 2] = [LegacyOffsetCommitKey::ID, OffsetCommitKey::ID];
    let id = match key {
        [high, low, ..] => i16::from_be_bytes([*high, *low]),
        _ => return Err(Error::Malformed("key without a type")),
    };
    if !OFFSETS.contains(&id) && id != GroupMetadataKey::ID {
        return Ok(Key::Other);
    }
    Ok(match decode_key(key)? {
        GroupKey::OffsetCommit(key) => Key::Offset(key),
        GroupKey::LegacyOffsetCommit(LegacyOffsetCommitKey { group, topic, partition }) => {
            Key::Offset(OffsetCommitKey { group, topic, partition })
        }
        GroupKey::GroupMetadata(key) => Key::Group(key),
        _ => Key::Other,
    })
}

pub(super) fn read_offset(value: &[u8]) -> Result<Commit, Error> {
    // The legacy value is version 0 of the present one.
    let value: OffsetCommitValue<'_> = decode_value_of(value)?;
    let end = (value.expire_timestamp != -1).then_some(value.expire_timestamp);
    Ok(Commit::new(
        value.offset,
        value.leader_epoch,
        &value.metadata,
        value.commit_timestamp,
        end,
        value.topic_id,
    ))
}

pub(super) fn read_group(value: &[u8]) -> Result<GroupMetadataValue<'_>, Error> {
    decode_value_of(value)
}
