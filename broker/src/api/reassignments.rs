//! AlterPartitionReassignments and ListPartitionReassignments (keys 45 and 46): a partition's place
//! follows from its id, and it has one replica. The replica that it has may be named, which changes
//! nothing; the controller says to what else.
use crate::{
    controller::{TOO_MANY, is_too_much},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    alter_partition_reassignments::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
    },
    list_partition_reassignments::{
        ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    },
};

pub(crate) fn alter<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = AlterPartitionReassignmentsRequest::decode(reader, request.version())?;
    let partitions: usize = body.topics.iter().map(|topic| topic.partitions.len()).sum();
    if is_too_much(partitions.max(body.topics.len())) {
        return request.answer(&AlterPartitionReassignmentsResponse {
            error_code: ErrorCode::PolicyViolation.code(),
            error_message: Some(TOO_MANY.into()),
            ..Default::default()
        });
    }
    shard.decide(request, Some(body.timeout_ms), |controller| {
        controller.alter_partition_reassignments(&body)
    })
}

pub(crate) fn list<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    ListPartitionReassignmentsRequest::decode(reader, request.version())?;
    request
        .answer(&ListPartitionReassignmentsResponse { error_message: None, ..Default::default() })
}
