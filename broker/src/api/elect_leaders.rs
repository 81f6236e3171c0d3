//! ElectLeaders (key 43): a partition has one replica, which leads it, so no election is ever needed
//! (`ReplicationControlManager.electLeaders`).
use super::partitions::{Answers, Partitions, named};
use crate::{
    answer::{Portion, shown},
    shard::{
        Shard,
        reply::{Request, Stage},
    },
};
use wire::{
    Decode, Encode, ErrorCode, Reader,
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
    let topics = body.topic_partitions.unwrap_or_default();
    let topics = named(topics.iter().map(|t| (&*t.topic, &t.partitions[..])));
    let partitions = Partitions::new(topics, Elections);
    shard.answer_in_portions(request.pending, ElectLeadersResponse::default, partitions)
}

struct Elections;

impl Answers for Elections {
    fn topic<'t>(&self, name: &'t str) -> impl Encode + 't {
        ReplicaElectionResult { topic: name.into(), partition_result: Vec::new() }
    }

    fn partition(
        &mut self,
        shard: &mut Shard,
        topic: &str,
        partition_id: i32,
        out: &mut Portion,
    ) -> Result<(), wire::Error> {
        let known = shard.image.topic(topic);
        let partitions = known.map_or(0, |t| t.partitions.len());
        let known = usize::try_from(partition_id).is_ok_and(|p| p < partitions);
        let (error, why) = if known {
            let error = ErrorCode::ElectionNotNeeded;
            (error, error.message().into())
        } else {
            let why = format!("No such partition as {}-{partition_id}", shown(topic));
            (ErrorCode::UnknownTopicOrPartition, why.into())
        };
        out.put_inner(&PartitionResult {
            partition_id,
            error_code: error.code(),
            error_message: Some(why),
        })
    }
}
