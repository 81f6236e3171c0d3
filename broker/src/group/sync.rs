//! SyncGroup: the leader brings the assignment, the others come for theirs.

use super::classic::GroupState::{CompletingRebalance, PreparingRebalance, Stable};
use super::request::sync_error;
use super::state::Coordinator;
use super::{FixedHashMap, Outcome, Response};
use crate::coordinator::{Now, ReplyTo};
use crate::group::rebalance::Turn;
use std::sync::Arc;
use wire::ErrorCode;
use wire::sync_group::SyncGroupRequest;

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &SyncGroupRequest<'_>,
    reply_to: ReplyTo,
    now: Now,
    out: &mut Outcome,
) {
    let checked =
        coordinator.check_group_id(&request.group_id).and_then(|()| check(coordinator, request));
    if let Err(error) = checked {
        out.reply(reply_to, Response::SyncGroup(sync_error(error)));
        return;
    }
    coordinator.turn(&request.group_id, now, out, |turn| sync(turn, request, reply_to));
}

fn check(coordinator: &Coordinator, request: &SyncGroupRequest<'_>) -> Result<(), ErrorCode> {
    let group = coordinator.groups.get(&*request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
    let classic = &group.classic;
    classic.check_member(&request.member_id, request.group_instance_id.as_deref())?;
    if request.generation_id != classic.generation {
        return Err(ErrorCode::IllegalGeneration);
    }
    // Older versions do not say; a group that is joining has no protocol yet.
    let differ =
        |said: Option<&str>, is: Option<&str>| said.zip(is).is_some_and(|(said, is)| said != is);
    if differ(request.protocol_type.as_deref(), classic.protocol_type.as_deref())
        || differ(request.protocol_name.as_deref(), classic.protocol_name.as_deref())
    {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    if classic.is(PreparingRebalance) {
        return Err(ErrorCode::RebalanceInProgress);
    }
    Ok(())
}

fn sync(turn: &mut Turn<'_>, request: &SyncGroupRequest<'_>, reply_to: ReplyTo) {
    let id = &*request.member_id;
    turn.group.classic.synced(id);
    if turn.group.classic.all_synced() {
        turn.timers.cancel(&turn.group.sync_timer());
    }
    match turn.group.classic.state {
        CompletingRebalance => {
            turn.park_sync(id, reply_to);
            if turn.group.classic.is_leader(id) {
                // The last word on a member counts, as in Kafka.
                let mut assignments: FixedHashMap<&str, &[u8]> = FixedHashMap::default();
                for assignment in &request.assignments {
                    assignments.insert(&assignment.member_id, &assignment.assignment);
                }
                turn.complete_sync(|member| assignments.get(member).map(|bytes| Arc::from(*bytes)));
            }
        }
        Stable => {
            let answer = turn.synced(id);
            turn.reply_sync(reply_to, answer);
        }
        state => panic!("a member of a group in state {state:?} has a generation to sync"),
    }
}
