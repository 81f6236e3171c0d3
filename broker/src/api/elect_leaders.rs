//! ElectLeaders (key 43): a partition has one replica, which leads it, so no election is ever
//! needed (`ReplicationControlManager.electLeaders`).
use super::partitions::{Answers, Partitions, Place, named};
use crate::{
    answer::{Portion, shown},
    core::request::{Request, Stage},
    shard::Shard,
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
    let asked = body.topic_partitions.unwrap_or_default();
    let known = asked.iter().map(|t| {
        let partitions = shard.image.topic(&t.topic).map_or(0, |known| known.partitions.len());
        u32::try_from(partitions).unwrap_or(u32::MAX)
    });
    let known: Vec<u32> = known.collect();
    let topics = named(asked.iter().map(|t| (&*t.topic, &t.partitions[..])));
    drop(asked);
    let partitions = Partitions::new(topics, Elections { known });
    shard.answer_in_portions(request.pending, ElectLeadersResponse::default, partitions)
}

struct Elections {
    /// How many partitions each topic had when it was asked for: the answer may be written twice.
    known: Vec<u32>,
}

impl Answers for Elections {
    type Row = i32;
    const LASTS: bool = true;

    fn topic<'t>(&self, topic: Place<'t>) -> impl Encode + 't {
        ReplicaElectionResult { topic: topic.name.into(), partition_result: Vec::new() }
    }

    fn partition(
        &mut self,
        _: &mut Shard,
        topic: Place<'_>,
        &partition_id: &i32,
        out: &mut Portion,
    ) -> Result<(), wire::Error> {
        let partitions = self.known.get(topic.at).copied().unwrap_or_default();
        let known = u32::try_from(partition_id).is_ok_and(|p| p < partitions);
        let (error, why) = if known {
            let error = ErrorCode::ElectionNotNeeded;
            (error, error.message().into())
        } else {
            let why = format!("No such partition as {}-{partition_id}", shown(topic.name));
            (ErrorCode::UnknownTopicOrPartition, why.into())
        };
        out.put_inner(&PartitionResult {
            partition_id,
            error_code: error.code(),
            error_message: Some(why),
        })
    }
}
