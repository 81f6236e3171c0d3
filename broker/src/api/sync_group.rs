//! SyncGroup (key 14): the leader hands in the assignment, every member gets its part.
use crate::{
    group::{self, Response},
    shard::{
        Shard,
        reply::{Request, Stage},
    },
};
use wire::{
    Decode, ErrorCode, Reader,
    sync_group::{SyncGroupRequest, SyncGroupResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = SyncGroupRequest::decode(reader, request.version())?;
    // Nullable in the schema, and mandatory since version 5 (KIP-559; Kafka: `KafkaApis.handleSyncGroupRequest`).
    if request.version() >= 5 && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        return request.answer(&SyncGroupResponse {
            error_code: ErrorCode::InconsistentGroupProtocol.code(),
            ..Default::default()
        });
    }
    let part = group::Request::SyncGroup(&body);
    super::groups::one(
        shard,
        request,
        &body.group_id,
        part,
        |pending, answer| match answer {
            Response::SyncGroup(answer) => pending.encode(&answer),
            other => unreachable!("{other:?} to SyncGroup"),
        },
    )
}
