//! AlterPartitionReassignments and ListPartitionReassignments (keys 45 and 46): a partition's place follows from its id, and
//! it has one replica. The replicas that it has may be asked for, which changes nothing; others are refused.
use crate::shard::{
    Shard,
    reply::{Request, Stage},
    route::core_of,
};
use wire::{
    Decode, ErrorCode, Reader,
    alter_partition_reassignments::{
        AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse,
        ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
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
    let mut responses = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let judged = |asked: &ReassignablePartition| {
            let judged = judge(shard, &topic.name, asked);
            ReassignablePartitionResponse {
                partition_index: asked.partition_index,
                error_code: judged
                    .as_ref()
                    .map_or_else(|(error, _)| error.code(), |()| 0),
                error_message: judged.err().map(|(_, why)| why.into()),
            }
        };
        responses.push(ReassignableTopicResponse {
            name: topic.name.clone().into_owned().into(),
            partitions: topic.partitions.iter().map(judged).collect(),
        });
    }
    request.answer(&AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: body.allow_replication_factor_change,
        error_message: None,
        responses,
        ..Default::default()
    })
}

fn judge(
    shard: &Shard,
    topic: &str,
    asked: &ReassignablePartition,
) -> Result<(), (ErrorCode, String)> {
    let known = shard
        .image
        .topic(topic)
        .filter(|t| usize::try_from(asked.partition_index).is_ok_and(|p| p < t.partitions.len()));
    let Some(known) = known else {
        let why = format!(
            "Unable to find a partition {topic}-{}.",
            asked.partition_index
        );
        return Err((ErrorCode::UnknownTopicOrPartition, why));
    };
    let error = ErrorCode::NoReassignmentInProgress;
    let Some(replicas) = &asked.replicas else {
        return Err((error, error.message().to_owned()));
    };
    let core = core_of(known.id, asked.partition_index, shard.settings.cores);
    let node = shard.settings.client_id_of(core);
    if *replicas == [node] {
        return Ok(());
    }
    let why = format!("The partition has one replica, on node {node}, and cannot be moved.");
    Err((ErrorCode::InvalidReplicaAssignment, why))
}

pub(crate) fn list<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    ListPartitionReassignmentsRequest::decode(reader, request.version())?;
    request.answer(&ListPartitionReassignmentsResponse {
        error_message: None,
        ..Default::default()
    })
}
