//! A classic group's membership: who is in it, what they agree on, who leads.
//!
//! ```text
//!            first join                     all joined, or time is up
//!   Empty -------------> PreparingRebalance ------------------------> CompletingRebalance
//!     ^                   |   ^        ^                                |            |
//!     +-- nobody joined --+   |        +--- member joins, leaves, ------+            | leader's
//!                             |             expires                                  | SyncGroup
//!                             +------------------ Stable <---------------------------+
//! ```
//! This file holds the rules; what an operation does with them, and with timers and answers, is
//! [`super::rebalance`]. Source of the rules: Kafka's `ClassicGroup`.

use super::member::Member;
use super::subscription;
use crate::coordinator::ReplyTo;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use wire::ErrorCode;

/// Protocol type of Kafka's consumers.
pub(super) const CONSUMER: &str = "consumer";

/// Where a group is in a rebalance. A group that is gone (Kafka: Dead) has no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; it may hold offsets.
    Empty,
    /// Members are to join again.
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// All work on the same generation.
    Stable,
}

impl GroupState {
    pub const ALL: [Self; 4] =
        [Self::Empty, Self::PreparingRebalance, Self::CompletingRebalance, Self::Stable];

    /// As Kafka's tools show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }

    const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Empty | Self::CompletingRebalance | Self::Stable, Self::PreparingRebalance)
                | (Self::PreparingRebalance, Self::Empty | Self::CompletingRebalance)
                | (Self::CompletingRebalance, Self::Stable)
        )
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Classic {
    pub(super) state: GroupState,
    /// In the first rebalance since it was empty: ms that the group waits for more members now, and
    /// may wait after that.
    pub(super) initial_delay: Option<(i32, i32)>,
    /// Wall clock ms of the last change of state; `None` if an old record did not say.
    pub(super) state_since_ms: Option<i64>,
    pub(super) protocol_type: Option<Arc<str>>,
    pub(super) protocol_name: Option<Arc<str>>,
    /// Rises with each rebalance.
    pub(super) generation: i32,
    pub(super) leader: Option<Arc<str>>,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids by instance id.
    static_members: BTreeMap<Arc<str>, Arc<str>>,
    /// Ids given out and not yet joined with.
    pending_join: BTreeSet<Arc<str>>,
    /// Members of this generation that have not synced.
    pending_sync: BTreeSet<Arc<str>>,
    awaiting_join: usize,
    /// How many members can run each protocol.
    supported: BTreeMap<Arc<str>, usize>,
    /// Topics of this generation; `None` while unknown.
    pub(super) subscribed: Option<BTreeSet<Box<str>>>,
    /// Someone joined since the initial delay began.
    pub(super) new_member_added: bool,
    /// See [`Classic::bytes`].
    member_bytes: usize,
    pending_bytes: usize,
}

impl Classic {
    pub(super) fn new(now_ms: i64) -> Self {
        Self {
            state: GroupState::Empty,
            initial_delay: None,
            state_since_ms: Some(now_ms),
            protocol_type: None,
            protocol_name: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            supported: BTreeMap::new(),
            subscribed: None,
            new_member_added: false,
            member_bytes: 0,
            pending_bytes: 0,
        }
    }

    // ---- looking

    pub(super) fn is(&self, state: GroupState) -> bool {
        self.state == state
    }

    pub(super) fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// By id.
    pub(super) fn members_from(&self, from: Bound<&str>) -> impl Iterator<Item = &Member> {
        let members = self.members.range::<str, _>((from, Bound::Unbounded));
        members.map(|(_, member)| member)
    }

    pub(super) fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    pub(super) fn is_pending(&self, id: &str) -> bool {
        self.pending_join.contains(id)
    }

    pub(super) fn pending_joins(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.pending_join.iter()
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    pub(super) fn static_member(&self, instance_id: &str) -> Option<&Arc<str>> {
        self.static_members.get(instance_id)
    }

    pub(super) fn all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    pub(super) fn all_synced(&self) -> bool {
        self.pending_sync.is_empty()
    }

    pub(super) fn pending_syncs(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pending_sync.iter()
    }

    /// The group waits for its slowest member.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0)
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether the offsets of `topic` are in use. While the subscriptions are not known, all are.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    /// Memory held by members, and by ids that were given out, about.
    pub(super) fn bytes(&self) -> usize {
        self.member_bytes + self.pending_bytes
    }

    /// # Errors
    /// FENCED_INSTANCE_ID: the instance id belongs to another member by now. UNKNOWN_MEMBER_ID:
    /// nobody has it.
    pub(super) fn check_member(
        &self,
        id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_member(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if **current != *id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    // ---- agreement

    /// Whether a member with these could be in the group: any at all while it is empty, else one
    /// that all have.
    pub(super) fn supports<'a>(
        &self,
        protocol_type: &str,
        mut protocols: impl ExactSizeIterator<Item = &'a str>,
    ) -> bool {
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && protocols.len() > 0;
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.any(|protocol| self.all_support(protocol))
    }

    fn all_support(&self, protocol: &str) -> bool {
        self.supported.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// Each member votes for the first of its protocols that all can run; most votes win, of equals
    /// the one that the first members voted for.
    pub(super) fn select_protocol(&self) -> Arc<str> {
        let mut votes: Vec<(&Arc<str>, usize)> = Vec::new();
        for member in self.members() {
            let Some(vote) =
                member.protocols.iter().find(|protocol| self.all_support(&protocol.name))
            else {
                continue;
            };
            match votes.iter_mut().find(|(name, _)| *name == &vote.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&vote.name, 1)),
            }
        }
        let mut winner: Option<(&Arc<str>, usize)> = None;
        for (name, count) in votes {
            if winner.is_none_or(|(_, most)| count > most) {
                winner = Some((name, count));
            }
        }
        let Some((name, _)) = winner else {
            panic!(
                "{} members without a common protocol: {:?}",
                self.members.len(),
                self.supported
            );
        };
        Arc::clone(name)
    }

    /// Topics that the members subscribe to, where they are consumers and tell.
    pub(super) fn subscriptions(&self) -> Option<BTreeSet<Box<str>>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut all = BTreeSet::new();
        for member in self.members() {
            all.extend(
                subscription::topics(member.metadata(protocol)?)?.into_iter().map(Box::from),
            );
        }
        Some(all)
    }

    // ---- change

    /// # Panics
    /// The picture above has no such arrow.
    pub(super) fn transition_to(&mut self, next: GroupState, now_ms: i64) {
        assert!(self.state.may_become(next), "a group cannot go from {:?} to {next:?}", self.state);
        self.state = next;
        self.state_since_ms = Some(now_ms);
    }

    /// Adds a member that [`Classic::supports`] accepted.
    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        assert_eq!(
            self.protocol_type.as_deref(),
            Some(protocol_type),
            "a member of another protocol type"
        );
        if let Some(instance_id) = &member.instance_id {
            let before =
                self.static_members.insert(Arc::clone(instance_id), Arc::clone(&member.id));
            assert_eq!(before, None, "instance id {instance_id:?} is in the group already");
        }
        if self.leader.is_none() {
            self.leader = Some(Arc::clone(&member.id));
        }
        self.remove_pending(&member.id);
        self.count(&member);
        let before = self.members.insert(Arc::clone(&member.id), member);
        assert!(before.is_none(), "member {before:?} added twice");
    }

    /// Takes out a member, or an id that was given out. Who leads next is the first that is left.
    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let removed = self.members.remove(id);
        if let Some(member) = &removed {
            self.uncount(member);
            if let Some(instance_id) = &member.instance_id {
                self.static_members.remove(instance_id);
            }
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.remove_pending(id);
        self.pending_sync.remove(id);
        removed
    }

    fn remove_pending(&mut self, id: &str) {
        if self.pending_join.remove(id) {
            self.pending_bytes -= pending_bytes(id);
        }
    }

    fn count(&mut self, member: &Member) {
        for protocol in &member.protocols {
            *self.supported.entry(Arc::clone(&protocol.name)).or_default() += 1;
        }
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.member_bytes += member.bytes();
    }

    fn uncount(&mut self, member: &Member) {
        for protocol in &member.protocols {
            if let Some(count) = self.supported.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(&protocol.name);
                }
            }
        }
        self.awaiting_join -= usize::from(member.awaiting_join.is_some());
        self.member_bytes -= member.bytes();
    }

    /// Changes a member and keeps the counts right. Nothing happens if there is no such member.
    pub(super) fn update<T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Member) -> T,
    ) -> Option<T> {
        let (id, mut member) = self.members.remove_entry(id)?;
        self.uncount(&member);
        let result = change(&mut member);
        self.count(&member);
        self.members.insert(id, member);
        Some(result)
    }

    /// Takes the JoinGroup that a member waits in.
    pub(super) fn take_join(&mut self, id: &str) -> Option<ReplyTo> {
        let reply_to = self.members.get_mut(id)?.awaiting_join.take();
        self.awaiting_join -= usize::from(reply_to.is_some());
        reply_to
    }

    /// Takes the SyncGroup that a member waits in.
    pub(super) fn take_sync(&mut self, id: &str) -> Option<ReplyTo> {
        self.members.get_mut(id)?.awaiting_sync.take()
    }

    /// Gives `instance_id`'s place to `new_id`; all else stays. The old member, out of the group,
    /// is returned with whatever it waits in.
    ///
    /// # Panics
    /// `old_id` is no member.
    pub(super) fn replace_static(
        &mut self,
        instance_id: &str,
        old_id: &str,
        new_id: Arc<str>,
    ) -> Member {
        let Some(old) = self.members.remove(old_id) else {
            panic!("static member {old_id} to be replaced is not in the group");
        };
        self.uncount(&old);
        let new = Member {
            id: Arc::clone(&new_id),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            ..old.clone()
        };
        self.count(&new);
        self.members.insert(Arc::clone(&new_id), new);
        if self.is_leader(old_id) {
            self.leader = Some(Arc::clone(&new_id));
        }
        // Kafka leaves the old id here; then the group rebalances for a member that is long gone.
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(Arc::clone(&new_id));
        }
        self.static_members.insert(instance_id.into(), new_id);
        old
    }

    /// Remembers an id that was given out.
    pub(super) fn add_pending(&mut self, id: Arc<str>) {
        assert!(!self.members.contains_key(&id), "{id} is a member already");
        let bytes = pending_bytes(&id);
        if self.pending_join.insert(id) {
            self.pending_bytes += bytes;
        }
    }

    pub(super) fn synced(&mut self, id: &str) {
        self.pending_sync.remove(id);
    }

    pub(super) fn clear_pending_syncs(&mut self) {
        self.pending_sync.clear();
    }

    pub(super) fn all_must_sync(&mut self) {
        self.pending_sync = self.members.keys().cloned().collect();
    }

    /// A leader that did not join in time is replaced by one that did; false if nobody did.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = self.leader.as_deref().and_then(|id| self.members.get(id)) else {
            return false;
        };
        if leader.awaiting_join.is_some() {
            return true;
        }
        let joined = self
            .members()
            .find(|member| member.awaiting_join.is_some())
            .map(|member| Arc::clone(&member.id));
        match joined {
            Some(id) => {
                self.leader = Some(id);
                true
            }
            None => false,
        }
    }

    /// The members that are there form the next generation; without any, the group is empty.
    pub(super) fn next_generation(&mut self, now_ms: i64) {
        // Kafka's number wraps too; a negative generation would mean "none".
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        let next = if self.members.is_empty() {
            self.protocol_name = None;
            GroupState::Empty
        } else {
            self.protocol_name = Some(self.select_protocol());
            GroupState::CompletingRebalance
        };
        self.subscribed = self.subscriptions();
        self.transition_to(next, now_ms);
        self.clear_pending_syncs();
    }

    /// What must always hold.
    ///
    /// # Panics
    /// It does not.
    pub(super) fn check(&self) {
        let awaiting = self.members().filter(|member| member.awaiting_join.is_some()).count();
        assert_eq!(awaiting, self.awaiting_join, "members in a join");
        assert!(
            self.members.values().all(|m| m.awaiting_join.is_none() || m.awaiting_sync.is_none()),
            "{self:?}"
        );
        assert!(
            awaiting == 0 || self.is(GroupState::PreparingRebalance),
            "a join waits in {:?}",
            self.state
        );
        let syncing = self.members().filter(|member| member.awaiting_sync.is_some()).count();
        assert!(
            syncing == 0 || self.is(GroupState::CompletingRebalance),
            "a sync waits in {:?}",
            self.state
        );
        assert_eq!(
            self.members.is_empty(),
            self.leader.is_none(),
            "members and a leader, or neither"
        );
        assert!(
            self.leader.iter().all(|id| self.members.contains_key(id)),
            "leader {:?} is no member",
            self.leader
        );
        assert!(
            self.pending_sync.iter().all(|id| self.members.contains_key(id)),
            "a sync of nobody is awaited"
        );
        assert!(
            self.pending_join.iter().all(|id| !self.members.contains_key(id)),
            "a member is yet to join"
        );
        assert!(self.static_members.iter().all(|(instance, id)| {
            self.members.get(id).is_some_and(|member| member.instance_id.as_ref() == Some(instance))
        }));
        let pending: usize = self.pending_join.iter().map(|id| pending_bytes(id)).sum();
        assert_eq!(self.pending_bytes, pending, "bytes of ids given out");
        assert_eq!(
            self.member_bytes,
            self.members().map(Member::bytes).sum::<usize>(),
            "bytes of members"
        );
        if matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) {
            assert!(!self.members.is_empty(), "{:?} without members", self.state);
            let protocol = self.protocol_name.as_deref().unwrap_or_default();
            assert!(self.all_support(protocol), "not all members can run {protocol:?}");
        }
        if self.is(GroupState::Empty) {
            assert!(self.members.is_empty(), "Empty with members");
        }
    }
}

/// Memory of an id that was given out, with its timer, about.
fn pending_bytes(id: &str) -> usize {
    160 + id.len()
}
