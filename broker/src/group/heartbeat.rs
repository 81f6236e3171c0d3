//! Heartbeat: a member is alive, and learns whether it is to join again.

use super::classic::GroupState::PreparingRebalance;
use super::state::Coordinator;
use super::{Outcome, Response};
use crate::coordinator::Now;
use wire::ErrorCode;
use wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};

pub(super) fn process(
    coordinator: &mut Coordinator,
    request: &HeartbeatRequest<'_>,
    now: Now,
    out: &mut Outcome,
) -> Response {
    let error = match coordinator.check_group_id(&request.group_id) {
        Ok(()) => coordinator
            .turn(&request.group_id, now, out, |turn| {
                let classic = &turn.group.classic;
                if let Err(error) =
                    classic.check_member(&request.member_id, request.group_instance_id.as_deref())
                {
                    return error;
                }
                if request.generation_id != classic.generation {
                    return ErrorCode::IllegalGeneration;
                }
                let preparing = classic.is(PreparingRebalance);
                turn.renew_session(&request.member_id);
                if preparing { ErrorCode::RebalanceInProgress } else { ErrorCode::None }
            })
            .unwrap_or(ErrorCode::UnknownMemberId),
        Err(error) => error,
    };
    Response::Heartbeat(HeartbeatResponse { error_code: error.into(), ..Default::default() })
}
