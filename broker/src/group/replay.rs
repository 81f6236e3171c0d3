//! The state from its records, one after the other as they stand in the log.

use super::classic::{Classic, GroupState};
use super::member::{Member, Protocol};
use super::records::{self, Key};
use super::state::{Coordinator, Group};
use std::sync::Arc;
use wire::Error;
use wire::records::group::GroupMetadataValue;

impl Coordinator {
    /// Applies a record of the log; `value` is `None` for a tombstone. `now_ms` (wall clock) stands
    /// for times that the log does not tell. Returns false for a record of a kind that is not
    /// served, which is passed over. No limit is looked at: what was accepted once is kept.
    ///
    /// # Errors
    /// The record is of a kind that is served, and cannot be read.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>, now_ms: i64) -> Result<bool, Error> {
        match records::read_key(key)? {
            Key::Other => return Ok(false),
            Key::Offset(key) => {
                let commit = value.map(records::read_offset).transpose()?;
                self.replay_offset(&key.group, &key.topic, key.partition, commit, now_ms);
            }
            Key::Group(key) => match value {
                None => self.replay_group_tombstone(&key.group, now_ms),
                Some(value) => {
                    let group = records::read_group(value)?;
                    self.replay_group(&key.group, &group, value);
                }
            },
        }
        Ok(true)
    }

    fn replay_offset(
        &mut self,
        group_id: &str,
        topic: &str,
        partition: i32,
        commit: Option<super::offsets::Commit>,
        now_ms: i64,
    ) {
        let group = match (self.groups.get_mut(group_id), &commit) {
            (Some(group), _) => group,
            (None, None) => return,
            (None, Some(_)) => {
                // Committed by hand: there was never a record of the group itself.
                let id: Arc<str> = group_id.into();
                self.insert(Group::new(Arc::clone(&id), now_ms));
                match self.groups.get_mut(&id) {
                    Some(group) => group,
                    None => return,
                }
            }
        };
        let before = group.offsets.bytes();
        match commit {
            Some(commit) => group.offsets.put(topic, partition, commit),
            None => {
                group.offsets.remove(topic, partition);
            }
        }
        self.bytes = self.bytes + group.offsets.bytes() - before;
    }

    fn replay_group_tombstone(&mut self, id: &str, now_ms: i64) {
        if let Some(group) = self.remove(id)
            && !group.offsets.is_empty()
        {
            // A log that was compacted may end the group before its offsets.
            self.insert(Group { offsets: group.offsets, ..Group::new(group.id, now_ms) });
        }
    }

    fn replay_group(&mut self, id: &str, value: &GroupMetadataValue<'_>, bytes: &[u8]) {
        let before = self.remove(id);
        let (id, offsets) = match before {
            Some(group) => (group.id, group.offsets),
            None => (id.into(), super::offsets::Offsets::default()),
        };
        self.insert(Group {
            id,
            classic: classic(value),
            offsets,
            persisted: Some(bytes.to_vec()),
        });
    }
}

/// The group as its record has it: Stable with the members of the last generation, or Empty.
fn classic(value: &GroupMetadataValue<'_>) -> Classic {
    let mut classic = Classic::new(value.current_state_timestamp);
    let known_since = value.current_state_timestamp != -1;
    classic.state_since_ms = known_since.then_some(value.current_state_timestamp);
    classic.generation = value.generation;
    let protocol: Arc<str> = value.protocol.as_deref().unwrap_or_default().into();
    classic.protocol_name = value.protocol.as_deref().map(Arc::from);
    for member in &value.members {
        let instance_id = member.group_instance_id.as_deref();
        // Twice the same member is nothing that either broker writes; the first one counts.
        if classic.member(&member.member_id).is_some()
            || instance_id.is_some_and(|instance_id| classic.static_member(instance_id).is_some())
        {
            continue;
        }
        let known =
            Protocol { name: Arc::clone(&protocol), metadata: member.subscription.as_ref().into() };
        let member = Member {
            id: member.member_id.as_ref().into(),
            instance_id: instance_id.map(Arc::from),
            client_id: member.client_id.as_ref().into(),
            client_host: member.client_host.as_ref().into(),
            // Records of old had none: the session timeout stands for it.
            rebalance_timeout_ms: match member.rebalance_timeout {
                -1 => member.session_timeout,
                timeout_ms => timeout_ms,
            },
            session_timeout_ms: member.session_timeout,
            protocols: vec![known],
            assignment: member.assignment.as_ref().into(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
        };
        classic.add(member, &value.protocol_type);
    }
    if classic.len() > 0 {
        classic.state = GroupState::Stable;
        if let Some(leader) = value.leader.as_deref().and_then(|id| classic.member(id)) {
            classic.leader = Some(Arc::clone(&leader.id));
        }
    } else {
        classic.protocol_type =
            Some(&*value.protocol_type).filter(|kind| !kind.is_empty()).map(Arc::from);
    }
    classic.subscribed = classic.subscriptions();
    classic
}
