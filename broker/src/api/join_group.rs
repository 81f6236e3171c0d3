//! JoinGroup (key 11): a member enters, or a group's next generation begins. Answered when the
//! rebalance is complete.
use crate::{
    core::request::{Request, Stage},
    group::{self, Response},
    shard::Shard,
};
use wire::{
    Decode, Reader,
    join_group::{JoinGroupRequest, JoinGroupResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = JoinGroupRequest::decode(reader, request.version())?;
    let part = group::Request::JoinGroup(&body);
    super::groups::one(shard, request, &body.group_id, part, |_, pending, answer| {
        let Response::JoinGroup(answer) = answer else { unreachable!("{answer:?} to JoinGroup") };
        Ok(Stage::Reply(pending.encode(&in_version(answer, pending.version))?))
    })
}

/// "No protocol" is the empty name up to version 6, and null since (Kafka: `JoinGroupResponse`).
fn in_version(mut answer: JoinGroupResponse<'static>, version: i16) -> JoinGroupResponse<'static> {
    let name = answer.protocol_name.unwrap_or_default();
    answer.protocol_name = (version < 7 || !name.is_empty()).then_some(name);
    answer
}
