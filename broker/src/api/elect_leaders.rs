//! ElectLeaders (key 43): a partition has one replica, which leads it, so no election is ever needed
//! (`ReplicationControlManager.electLeaders`).
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{
    Decode, ErrorCode, Reader,
    elect_leaders::{
        ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
    },
};

/// `ElectionType`: preferred and unclean.
const ELECTION_TYPES: [i8; 2] = [0, 1];

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ElectLeadersRequest::decode(reader, request.version())?;
    let mut response = ElectLeadersResponse::default();
    if !ELECTION_TYPES.contains(&body.election_type) {
        response.error_code = ErrorCode::InvalidRequest.code();
        return request.answer(&response);
    }
    // Asked for all partitions, Kafka leaves out what has its leader already: everything.
    for topic in body.topic_partitions.unwrap_or_default() {
        let partitions = shard
            .image
            .topic(&topic.topic)
            .map_or(0, |t| t.partitions.len());
        let result = |&partition_id: &i32| {
            let known = usize::try_from(partition_id).is_ok_and(|p| p < partitions);
            let (error, why) = if known {
                let error = ErrorCode::ElectionNotNeeded;
                (error, error.message().to_owned())
            } else {
                let why = format!("No such partition as {}-{partition_id}", topic.topic);
                (ErrorCode::UnknownTopicOrPartition, why)
            };
            PartitionResult {
                partition_id,
                error_code: error.code(),
                error_message: Some(why.into()),
            }
        };
        let partition_result = topic.partitions.iter().map(result).collect();
        response
            .replica_election_results
            .push(ReplicaElectionResult {
                topic: topic.topic.into_owned().into(),
                partition_result,
            });
    }
    request.answer(&response)
}
