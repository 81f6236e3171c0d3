//! LeaveGroup: members go, or an administrator sends static members away (KIP-345).

use super::classic::GroupState::{CompletingRebalance, Empty, PreparingRebalance, Stable};
use super::rebalance::Turn;
use super::request::{leave_response, owned};
use super::state::Coordinator;
use super::{Outcome, Response, versions};
use crate::coordinator::{Context, Now};
use std::borrow::Cow;
use wire::ErrorCode;
use wire::leave_group::{LeaveGroupRequest, MemberIdentity, MemberResponse};

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &LeaveGroupRequest<'_>,
    context: &Context<'_>,
    now: Now,
    out: &mut Outcome,
) -> Response {
    let version = context.api_version;
    if let Err(error) = coordinator.check_group_id(&request.group_id) {
        return Response::LeaveGroup(leave_response(version, error, Vec::new()));
    }
    let one;
    let leaving: &[MemberIdentity<'_>] = if versions::leave_is_batched(version) {
        &request.members
    } else {
        one =
            [MemberIdentity { member_id: Cow::Borrowed(&request.member_id), ..Default::default() }];
        &one
    };
    let members =
        coordinator.turn(&request.group_id, now, out, |turn| leave(turn, leaving)).unwrap_or_else(
            || leaving.iter().map(|member| answer(member, ErrorCode::UnknownMemberId)).collect(),
        );
    Response::LeaveGroup(leave_response(version, ErrorCode::None, members))
}

fn answer(member: &MemberIdentity<'_>, error: ErrorCode) -> MemberResponse<'static> {
    MemberResponse {
        member_id: owned(&member.member_id),
        group_instance_id: member.group_instance_id.as_deref().map(owned),
        error_code: error.into(),
    }
}

fn leave(turn: &mut Turn<'_>, leaving: &[MemberIdentity<'_>]) -> Vec<MemberResponse<'static>> {
    let mut answers = Vec::with_capacity(leaving.len());
    let mut someone_left = false;
    for member in leaving {
        let result = remove(turn, member);
        someone_left |= result.is_ok();
        answers.push(answer(member, result.err().unwrap_or(ErrorCode::None)));
    }
    if someone_left {
        match turn.group.classic.state {
            Stable | CompletingRebalance => turn.prepare_rebalance(),
            PreparingRebalance => turn.maybe_complete_join(),
            Empty => {}
        }
    }
    answers
}

fn remove(turn: &mut Turn<'_>, member: &MemberIdentity<'_>) -> Result<(), ErrorCode> {
    let classic = &turn.group.classic;
    let instance_id = member.group_instance_id.as_deref();
    if member.member_id.is_empty() {
        // An administrator names the instance only.
        let current =
            instance_id.and_then(|instance_id| classic.static_member(instance_id)).cloned();
        turn.remove_member(&current.ok_or(ErrorCode::UnknownMemberId)?);
        return Ok(());
    }
    if !classic.is_pending(&member.member_id) {
        classic.check_member(&member.member_id, instance_id)?;
    }
    turn.remove_member(&member.member_id);
    Ok(())
}
