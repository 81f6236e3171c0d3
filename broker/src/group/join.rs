//! JoinGroup: a member enters the group, or comes back with what it wants now.
//!
//! Answered when all members have joined, or at once where nothing changes. KIP-62 (rebalance
//! timeout), KIP-345 (static members), KIP-394 (member id first), KIP-814 (skipped assignment).

use super::classic::GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
use super::member::{self, Member, Offered};
use super::rebalance::Turn;
use super::request::join_error;
use super::state::Coordinator;
use super::{Outcome, Response, records, versions};
use crate::coordinator::{Context, Now, ReplyTo};
use std::borrow::Cow;
use std::sync::Arc;
use wire::ErrorCode;
use wire::join_group::{JoinGroupRequest, JoinGroupResponse};

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &JoinGroupRequest<'_>,
    context: &Context<'_>,
    reply_to: ReplyTo,
    now: Now,
    out: &mut Outcome,
) {
    let is_new = !coordinator.groups.contains_key(&*request.group_id);
    if let Err(error) = check(coordinator, request, is_new, now) {
        out.reply(reply_to, Response::JoinGroup(join_error(&request.member_id, error)));
        return;
    }
    let protocols = Offered::of(&request.protocols);
    let join = Join { request, context, reply_to, protocols };
    coordinator.turn(&request.group_id, now, out, |turn| {
        let since_ms = turn.group.classic.state_since_ms;
        join.run(turn);
        if is_new && turn.out.records.is_empty() {
            // The group outlives a restart from its first member on, as in Kafka.
            turn.persist_value(records::new_group_value(since_ms.unwrap_or(-1)));
        }
    });
}

/// What can be said without looking into the group; makes the group where a new member may.
fn check(
    coordinator: &mut Coordinator,
    request: &JoinGroupRequest<'_>,
    is_new: bool,
    now: Now,
) -> Result<(), ErrorCode> {
    coordinator.check_group_id(&request.group_id)?;
    let options = &coordinator.options;
    let allowed = options.session_timeout_ms_min..=options.session_timeout_ms_max;
    if !allowed.contains(&request.session_timeout_ms) {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    if is_new && !request.member_id.is_empty() {
        return Err(ErrorCode::UnknownMemberId);
    }
    coordinator.create(&request.group_id, now)
}

struct Join<'a> {
    request: &'a JoinGroupRequest<'a>,
    context: &'a Context<'a>,
    reply_to: ReplyTo,
    protocols: Offered<'a>,
}

impl Join<'_> {
    fn run(&self, turn: &mut Turn<'_>) {
        let id = &*self.request.member_id;
        if !self.is_accepted(turn) {
            turn.remove_member(id);
            return self.refuse(turn, "", ErrorCode::GroupMaxSizeReached);
        }
        if !turn.group.classic.supports(&self.request.protocol_type, self.protocols.names()) {
            return self.refuse(turn, id, ErrorCode::InconsistentGroupProtocol);
        }
        if self.need(turn) > turn.room {
            *turn.refused += 1;
            return self.refuse(turn, id, ErrorCode::CoordinatorNotAvailable);
        }
        match (id.is_empty(), self.request.group_instance_id.as_deref()) {
            (true, Some(instance_id)) => self.new_static(turn, instance_id),
            (true, None) => self.new_dynamic(turn),
            (false, instance_id) => self.known(turn, id, instance_id),
        }
    }

    fn refuse(&self, turn: &mut Turn<'_>, told_id: &str, error: ErrorCode) {
        turn.reply_join(self.reply_to, join_error(told_id, error));
    }

    /// Memory that the member may come to take, about; of one that is there already, what it takes
    /// more.
    fn need(&self, turn: &Turn<'_>) -> usize {
        let classic = &turn.group.classic;
        let protocols = self.protocols.bytes();
        let instance_id = self.request.group_instance_id.as_deref();
        let known = match (&*self.request.member_id, instance_id) {
            ("", None) => None,
            ("", Some(instance_id)) => {
                let id = classic.static_member(instance_id);
                id.and_then(|id| classic.member(id))
            }
            (id, _) => classic.member(id),
        };
        match known {
            Some(known) => protocols.saturating_sub(member::protocols_bytes(&known.protocols)),
            None => {
                let instance_id = instance_id.unwrap_or_default();
                512 + 4 * self.context.client_id.len() + 4 * instance_id.len() + protocols
            }
        }
    }

    /// Whether the group has a place for it (`group.max.size`). While members join again, those who
    /// come first keep theirs.
    fn is_accepted(&self, turn: &Turn<'_>) -> bool {
        let classic = &turn.group.classic;
        let id = &*self.request.member_id;
        let max = turn.options.group_size_max;
        let known = classic.member(id);
        let accepted = match classic.state {
            Empty => true,
            PreparingRebalance => {
                known.is_some_and(|member| member.awaiting_join.is_some())
                    || classic.awaiting_join() < max
            }
            CompletingRebalance | Stable => known.is_some() || classic.len() < max,
        };
        // Kafka does not count the ids that it gives out; unbounded they would be.
        let places = classic.len() + classic.pending_joins().len();
        accepted && (!id.is_empty() || places < turn.options.limits.members_per_group)
    }

    // ---- without a member id

    fn new_member_id(&self, prefix: &str) -> Arc<str> {
        // A record holds no longer string than 32,767 bytes; the UUID and its hyphen take 37.
        let end = prefix.floor_char_boundary(super::options::STRING_BYTES_MAX - 37);
        let random = self.context.random;
        // RFC 9562: version 4, variant 10.
        let bits = random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
        let hex = format!("{bits:032x}");
        let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
        let uuid: Vec<&str> = parts.iter().filter_map(|(from, to)| hex.get(*from..*to)).collect();
        format!("{}-{}", &prefix[..end], uuid.join("-")).into()
    }

    fn new_static(&self, turn: &mut Turn<'_>, instance_id: &str) {
        let new_id = self.new_member_id(instance_id);
        match turn.group.classic.static_member(instance_id).cloned() {
            Some(old_id) => self.replace_static(turn, instance_id, &old_id, new_id),
            None => self.add(turn, new_id),
        }
    }

    fn new_dynamic(&self, turn: &mut Turn<'_>) {
        let new_id = self.new_member_id(self.context.client_id);
        if !versions::join_requires_member_id(self.context.api_version) {
            return self.add(turn, new_id);
        }
        let deadline = turn.now.after(self.request.session_timeout_ms);
        turn.timers.schedule(turn.group.session_timer(&new_id), deadline);
        turn.group.classic.add_pending(Arc::clone(&new_id));
        self.refuse(turn, &new_id, ErrorCode::MemberIdRequired);
    }

    fn rebalance_timeout_ms(&self) -> i32 {
        if versions::join_has_rebalance_timeout(self.context.api_version) {
            self.request.rebalance_timeout_ms
        } else {
            self.request.session_timeout_ms
        }
    }

    fn add(&self, turn: &mut Turn<'_>, id: Arc<str>) {
        let member = Member {
            id: Arc::clone(&id),
            instance_id: self.request.group_instance_id.as_deref().map(Arc::from),
            client_id: self.context.client_id.into(),
            client_host: self.context.client_host.into(),
            rebalance_timeout_ms: self.rebalance_timeout_ms(),
            session_timeout_ms: self.request.session_timeout_ms,
            protocols: self.protocols.to_vec(),
            assignment: [].into(),
            awaiting_join: Some(self.reply_to),
            awaiting_sync: None,
            is_new: true,
        };
        let classic = &mut turn.group.classic;
        if classic.initial_delay.is_some() {
            classic.new_member_added = true;
        }
        classic.add(member, &self.request.protocol_type);
        // It cannot heartbeat before it knows its id, and its client may be gone: clients that time
        // out and try again would leave a member each. So the join itself has a limit.
        let deadline = turn.now.after(turn.options.new_member_join_timeout_ms);
        turn.timers.schedule(turn.group.session_timer(&id), deadline);
        turn.prepare_or_complete();
    }

    /// A static member comes back without its id: it takes the place of what it was.
    fn replace_static(
        &self,
        turn: &mut Turn<'_>,
        instance_id: &str,
        old_id: &Arc<str>,
        new_id: Arc<str>,
    ) {
        let old_leader = turn.group.classic.leader.clone();
        turn.timers.cancel(&turn.group.session_timer(old_id));
        let old = turn.group.classic.replace_static(instance_id, old_id, Arc::clone(&new_id));
        // There may be two clients with the instance id: the older one must stop.
        turn.release(&old, old_id, ErrorCode::FencedInstanceId);
        turn.renew_session(&new_id);
        match turn.group.classic.state {
            Stable => {
                self.set_member(turn, &new_id);
                let selected = turn.group.classic.select_protocol();
                if turn.group.classic.protocol_name.as_ref() == Some(&selected) {
                    turn.persist();
                    let answer = self.rejoined(turn, &new_id, old_leader.as_deref());
                    turn.reply_join(self.reply_to, answer);
                } else {
                    self.rejoin(turn, &new_id);
                }
            }
            CompletingRebalance => {
                // The leader may be assigning to the old id at this moment.
                self.set_member(turn, &new_id);
                turn.prepare_rebalance_with(&new_id, self.reply_to);
            }
            PreparingRebalance => {
                self.set_member(turn, &new_id);
                turn.park_join(&new_id, self.reply_to);
                turn.maybe_complete_join();
            }
            Empty => panic!("static member {old_id} in an empty group"),
        }
    }

    /// The answer to a static member whose return changes nothing: the generation goes on.
    fn rejoined(
        &self,
        turn: &Turn<'_>,
        id: &str,
        old_leader: Option<&str>,
    ) -> JoinGroupResponse<'static> {
        let answer = turn.joined(id);
        if versions::join_can_skip_assignment(self.context.api_version) {
            let skip_assignment = turn.group.classic.is_leader(id);
            return JoinGroupResponse { skip_assignment, ..answer };
        }
        // Before KIP-814 a leader would assign; so it is told of the leader that it was, and
        // follows.
        let leader = Cow::Owned(old_leader.unwrap_or_default().to_owned());
        JoinGroupResponse { leader, members: Vec::new(), ..answer }
    }

    // ---- with a member id

    fn known(&self, turn: &mut Turn<'_>, id: &str, instance_id: Option<&str>) {
        let classic = &turn.group.classic;
        if classic.is_pending(id) {
            // Only dynamic members are given an id first; with an instance id it is not that one.
            return match instance_id {
                None => self.add(turn, id.into()),
                Some(_) => self.refuse(turn, id, ErrorCode::UnknownMemberId),
            };
        }
        if let Err(error) = classic.check_member(id, instance_id) {
            return self.refuse(turn, id, error);
        }
        let is_same = classic.member(id).is_some_and(|member| member.matches(&self.protocols));
        let rejoins = match classic.state {
            PreparingRebalance => true,
            // It did not get the answer: here it is again.
            CompletingRebalance => !is_same,
            // The leader joins again to have everything assigned anew.
            Stable => !is_same || classic.is_leader(id),
            Empty => return self.refuse(turn, id, ErrorCode::UnknownMemberId),
        };
        if rejoins {
            self.set_member(turn, id);
            self.rejoin(turn, id);
        } else {
            let answer = turn.joined(id);
            turn.reply_join(self.reply_to, answer);
        }
    }

    /// What the member says of itself now.
    fn set_member(&self, turn: &mut Turn<'_>, id: &str) {
        turn.group.classic.update(id, |member| {
            member.protocols = self.protocols.to_vec();
            member.rebalance_timeout_ms = self.rebalance_timeout_ms();
            member.session_timeout_ms = self.request.session_timeout_ms;
        });
    }

    fn rejoin(&self, turn: &mut Turn<'_>, id: &str) {
        if turn.group.classic.is(PreparingRebalance) {
            turn.park_join(id, self.reply_to);
            turn.maybe_complete_join();
        } else {
            turn.prepare_rebalance_with(id, self.reply_to);
        }
    }
}
