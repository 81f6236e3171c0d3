//! The course of a rebalance: what members wait for, and for how long.
//!
//! Differences of time to Kafka: an assignment takes effect when its record is appended and not
//! when it is committed; nobody can tell, since no answer leaves before the commit.

use super::classic::GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
use super::member::Member;
use super::options::Options;
use super::request::{join_error, owned, sync_error};
use super::state::Group;
use super::timers::Timers;
use super::{Outcome, Response, records};
use crate::coordinator::{Now, ReplyTo};
use std::borrow::Cow;
use std::sync::Arc;
use wire::ErrorCode;
use wire::join_group::{JoinGroupResponse, JoinGroupResponseMember};
use wire::sync_group::SyncGroupResponse;

/// Least time between two looks at a group that waits for members who are all away.
const ALL_AWAY_MS_MIN: i32 = 100;

/// Work on one group within one operation.
pub(super) struct Turn<'a> {
    pub(super) options: &'a Options,
    pub(super) timers: &'a mut Timers,
    pub(super) group: &'a mut Group,
    pub(super) out: &'a mut Outcome,
    pub(super) now: Now,
    /// Bytes that the group may grow by.
    pub(super) room: usize,
    /// Counts what was refused for want of them.
    pub(super) refused: &'a mut u64,
}

impl Turn<'_> {
    // ---- answers

    pub(super) fn reply_join(&mut self, to: ReplyTo, answer: JoinGroupResponse<'static>) {
        self.out.reply(to, Response::JoinGroup(answer));
    }

    pub(super) fn reply_sync(&mut self, to: ReplyTo, answer: SyncGroupResponse<'static>) {
        self.out.reply(to, Response::SyncGroup(answer));
    }

    /// The present generation, as a member that has joined it is told.
    pub(super) fn joined(&self, member_id: &str) -> JoinGroupResponse<'static> {
        let classic = &self.group.classic;
        let members = if classic.is_leader(member_id) { self.all_members() } else { Vec::new() };
        JoinGroupResponse {
            error_code: ErrorCode::None.into(),
            generation_id: classic.generation,
            protocol_type: classic.protocol_type.as_deref().map(owned),
            protocol_name: Some(owned(classic.protocol_name.as_deref().unwrap_or_default())),
            leader: owned(classic.leader.as_deref().unwrap_or_default()),
            member_id: owned(member_id),
            members,
            ..Default::default()
        }
    }

    /// What the leader needs for its assignment.
    pub(super) fn all_members(&self) -> Vec<JoinGroupResponseMember<'static>> {
        let classic = &self.group.classic;
        let protocol = classic.protocol_name.as_deref().unwrap_or_default();
        let members = classic.members().map(|member| JoinGroupResponseMember {
            member_id: owned(&member.id),
            group_instance_id: member.instance_id.as_deref().map(owned),
            metadata: Cow::Owned(
                member.metadata(protocol).map_or_else(Vec::new, |bytes| bytes.to_vec()),
            ),
        });
        members.collect()
    }

    /// Leaves the member waiting for the group. A join that it waits in already was given up by its
    /// client: it is told to join again.
    pub(super) fn park_join(&mut self, member_id: &str, reply_to: ReplyTo) {
        let before =
            self.group.classic.update(member_id, |member| member.awaiting_join.replace(reply_to));
        if let Some(Some(before)) = before {
            self.reply_join(before, join_error(member_id, ErrorCode::RebalanceInProgress));
        }
    }

    /// The same for SyncGroup.
    pub(super) fn park_sync(&mut self, member_id: &str, reply_to: ReplyTo) {
        let before =
            self.group.classic.update(member_id, |member| member.awaiting_sync.replace(reply_to));
        if let Some(Some(before)) = before {
            self.reply_sync(before, sync_error(ErrorCode::RebalanceInProgress));
        }
    }

    // ---- members

    /// A whole session from now.
    pub(super) fn renew_session(&mut self, member_id: &str) {
        if let Some(member) = self.group.classic.member(member_id) {
            let deadline = self.now.after(member.session_timeout_ms);
            self.timers.schedule(self.group.session_timer(&member.id), deadline);
        }
    }

    /// Takes out a member, or an id that was given out, with its timer. What it waits in is
    /// answered with UNKNOWN_MEMBER_ID, so that a client that is alive joins anew.
    pub(super) fn remove_member(&mut self, member_id: &str) {
        self.timers.cancel(&self.group.session_timer(&member_id.into()));
        if let Some(member) = self.group.classic.remove(member_id) {
            self.release(&member, "", ErrorCode::UnknownMemberId);
        }
    }

    /// Answers what a member that is no more waits in.
    pub(super) fn release(&mut self, member: &Member, told_id: &str, error: ErrorCode) {
        if let Some(reply_to) = member.awaiting_join {
            self.reply_join(reply_to, join_error(told_id, error));
        }
        if let Some(reply_to) = member.awaiting_sync {
            self.reply_sync(reply_to, sync_error(error));
        }
    }

    // ---- records

    /// Makes the group as it is now lasting.
    pub(super) fn persist(&mut self) {
        self.persist_value(records::group_value(&self.group.classic));
    }

    pub(super) fn persist_value(&mut self, value: Vec<u8>) {
        self.out.records.push(records::group(&self.group.id, Some(value.clone())));
        self.group.persisted = Some(value);
    }

    // ---- the course

    /// Members have changed: everybody is to join again, or, if that is under way, it may be over.
    pub(super) fn prepare_or_complete(&mut self) {
        if self.group.classic.is(PreparingRebalance) {
            self.maybe_complete_join();
        } else {
            self.prepare_rebalance();
        }
    }

    /// Everybody is to join again, and `member_id` has.
    pub(super) fn prepare_rebalance_with(&mut self, member_id: &str, reply_to: ReplyTo) {
        self.park_join(member_id, reply_to);
        self.prepare_rebalance();
    }

    /// Everybody is to join again.
    pub(super) fn prepare_rebalance(&mut self) {
        if self.group.classic.is(CompletingRebalance) {
            self.withdraw_assignments(ErrorCode::RebalanceInProgress);
        }
        self.group.classic.clear_pending_syncs();
        self.timers.cancel(&self.group.sync_timer());
        let was_empty = self.group.classic.is(Empty);
        self.group.classic.transition_to(PreparingRebalance, self.now.wall_ms);
        if was_empty {
            // The first members of a group come one after the other: wait for more, and for more
            // still as long as they come, up to the rebalance timeout.
            let delay_ms = self.options.initial_rebalance_delay_ms;
            let remaining_ms =
                self.group.classic.rebalance_timeout_ms().saturating_sub(delay_ms).max(0);
            self.group.classic.initial_delay = Some((delay_ms, remaining_ms));
            self.timers.schedule(self.group.join_timer(), self.now.after(delay_ms));
        } else if self.group.classic.all_joined() {
            self.complete_join();
        } else {
            let deadline = self.now.after(self.group.classic.rebalance_timeout_ms());
            self.timers.schedule(self.group.join_timer(), deadline);
        }
    }

    /// Ends the joining if nobody is missing. A group's first rebalance ends by time only.
    pub(super) fn maybe_complete_join(&mut self) {
        let classic = &self.group.classic;
        if classic.is(PreparingRebalance) && classic.initial_delay.is_none() && classic.all_joined()
        {
            self.complete_join();
        }
    }

    /// Those who have joined are the next generation. Static members stay even if they have not.
    pub(super) fn complete_join(&mut self) {
        self.timers.cancel(&self.group.join_timer());
        let absent: Vec<Arc<str>> = self
            .group
            .classic
            .members()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| Arc::clone(&member.id))
            .collect();
        for id in absent {
            tracing::info!(
                group = &*self.group.id,
                member = &*id,
                "member did not join again in time"
            );
            self.remove_member(&id);
        }
        self.group.classic.initial_delay = None;
        self.group.classic.new_member_added = false;
        if !self.group.classic.elect_joined_leader() && self.group.classic.len() > 0 {
            // Only static members, all of them away: their sessions decide. A member may have named
            // a timeout of nothing.
            let again_ms = self.group.classic.rebalance_timeout_ms().max(ALL_AWAY_MS_MIN);
            let deadline = self.now.after(again_ms);
            self.timers.schedule(self.group.join_timer(), deadline);
            return;
        }
        self.group.classic.next_generation(self.now.wall_ms);
        let generation = self.group.classic.generation;
        let (group, members) = (&*self.group.id, self.group.classic.len());
        tracing::info!(group, generation, members, "rebalance: all members have joined");
        if self.group.classic.is(Empty) {
            self.persist();
            return;
        }
        let ids: Vec<Arc<str>> =
            self.group.classic.members().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            if let Some(reply_to) = self.group.classic.take_join(id) {
                let answer = self.joined(id);
                self.reply_join(reply_to, answer);
            }
            self.renew_session(id);
            self.group.classic.update(id, |member| member.is_new = false);
        }
        self.group.classic.all_must_sync();
        let deadline = self.now.after(self.group.classic.rebalance_timeout_ms());
        self.timers.schedule(self.group.sync_timer(), deadline);
    }

    /// The leader has assigned.
    pub(super) fn complete_sync(&mut self, mut assignment: impl FnMut(&str) -> Option<Arc<[u8]>>) {
        let bytes_max = self.group.bytes().saturating_add(self.room);
        let ids: Vec<Arc<str>> =
            self.group.classic.members().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            let new = assignment(id).unwrap_or_else(|| [].into());
            self.group.classic.update(id, |member| member.assignment = new);
        }
        let value = records::group_value(&self.group.classic);
        if value.len() > self.options.limits.record_bytes {
            self.withdraw_assignments(ErrorCode::UnknownServerError);
            self.prepare_or_complete();
            return;
        }
        let persisted = self.group.persisted.as_ref().map_or(0, Vec::len);
        if self.group.bytes() - persisted + value.len() > bytes_max {
            *self.refused += 1;
            self.withdraw_assignments(ErrorCode::CoordinatorNotAvailable);
            self.prepare_or_complete();
            return;
        }
        self.persist_value(value);
        self.release_syncs(ErrorCode::None);
        self.group.classic.transition_to(Stable, self.now.wall_ms);
    }

    /// Nobody has an assignment, and who waits for one is told `error`.
    fn withdraw_assignments(&mut self, error: ErrorCode) {
        let ids: Vec<Arc<str>> =
            self.group.classic.members().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            self.group.classic.update(id, |member| member.assignment = [].into());
        }
        self.release_syncs(error);
    }

    fn release_syncs(&mut self, error: ErrorCode) {
        let ids: Vec<Arc<str>> =
            self.group.classic.members().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            if let Some(reply_to) = self.group.classic.take_sync(id) {
                let answer = if error.is_none() { self.synced(id) } else { sync_error(error) };
                self.reply_sync(reply_to, answer);
                // Its session may have run out while it waited, which counted for nothing.
                self.renew_session(id);
            }
        }
    }

    /// A member's assignment in the present generation.
    pub(super) fn synced(&self, member_id: &str) -> SyncGroupResponse<'static> {
        let classic = &self.group.classic;
        let assignment =
            classic.member(member_id).map_or_else(Vec::new, |member| member.assignment.to_vec());
        SyncGroupResponse {
            protocol_type: classic.protocol_type.as_deref().map(owned),
            protocol_name: classic.protocol_name.as_deref().map(owned),
            assignment: Cow::Owned(assignment),
            ..Default::default()
        }
    }

    // ---- time

    /// A member, or one about to become one, was not heard of for a session.
    pub(super) fn on_session_timeout(&mut self, member_id: &str) {
        let classic = &self.group.classic;
        if classic.is_pending(member_id) {
            self.remove_member(member_id);
            if self.group.classic.is(PreparingRebalance) && self.group.classic.all_joined() {
                self.complete_join();
            }
        } else if classic.member(member_id).is_some_and(|member| !member.has_satisfied_heartbeat())
        {
            tracing::info!(
                group = &*self.group.id,
                member = member_id,
                "session of a member has ended"
            );
            self.remove_member(member_id);
            self.after_removal();
        }
    }

    /// One member less.
    fn after_removal(&mut self) {
        let classic = &self.group.classic;
        if classic.is(Stable) || classic.is(CompletingRebalance) {
            self.prepare_or_complete();
        } else if classic.is(PreparingRebalance) && classic.all_joined() {
            self.complete_join();
        }
    }

    /// The group has waited for joins.
    pub(super) fn on_join_timeout(&mut self) {
        if !self.group.classic.is(PreparingRebalance) {
            return;
        }
        match self.group.classic.initial_delay {
            Some((delay_ms, remaining_ms))
                if self.group.classic.new_member_added && remaining_ms != 0 =>
            {
                self.group.classic.new_member_added = false;
                let next_ms = self.options.initial_rebalance_delay_ms.min(remaining_ms);
                let left_ms = remaining_ms.saturating_sub(delay_ms).max(0);
                self.group.classic.initial_delay = Some((next_ms, left_ms));
                self.timers.schedule(self.group.join_timer(), self.now.after(next_ms));
            }
            _ => self.complete_join(),
        }
    }

    /// The group has waited for syncs: who did not is out.
    pub(super) fn on_sync_timeout(&mut self) {
        let classic = &self.group.classic;
        if !(classic.is(CompletingRebalance) || classic.is(Stable)) || classic.all_synced() {
            return;
        }
        let absent: Vec<Arc<str>> = classic.pending_syncs().cloned().collect();
        for id in absent {
            tracing::info!(group = &*self.group.id, member = &*id, "member did not sync in time");
            self.remove_member(&id);
        }
        self.prepare_rebalance();
    }

    /// The group comes from the log.
    pub(super) fn on_loaded(&mut self) {
        let ids: Vec<Arc<str>> =
            self.group.classic.members().map(|member| Arc::clone(&member.id)).collect();
        for id in &ids {
            self.renew_session(id);
        }
        if ids.len() > self.options.group_size_max {
            // The setting was lowered: members join again, and those beyond it are refused.
            self.prepare_rebalance();
        }
    }
}
