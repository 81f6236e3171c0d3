//! DescribeProducers (key 61): producers with state in a partition.
use super::split::{merged, must_split, scatter_topics};
use crate::shard::{
    Shard,
    forward::Split,
    reply::{Request, Stage},
};
use wire::{
    Decode, Reader,
    describe_producers::{
        DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState,
        TopicResponse,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeProducersRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        let part = |topics| DescribeProducersRequest { topics };
        return scatter_topics(shard, request, body.topics, part);
    }
    let mut topics = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|&partition_index| {
                let mut answer = PartitionResponse {
                    partition_index,
                    ..Default::default()
                };
                match shard.led(&topic.name, partition_index, -1) {
                    Ok((slot, _)) => {
                        answer.active_producers = shard
                            .store
                            .producers(slot)
                            .into_iter()
                            .map(|p| ProducerState {
                                producer_id: p.producer_id,
                                producer_epoch: p.producer_epoch.into(),
                                last_sequence: p.last_sequence,
                                last_timestamp: p.last_timestamp,
                                coordinator_epoch: p.coordinator_epoch,
                                current_txn_start_offset: p.current_txn_start.map_or(-1, |o| o.0),
                            })
                            .collect();
                    }
                    Err(error) => {
                        answer.error_code = error.code();
                    }
                }
                answer
            })
            .collect();
        topics.push(TopicResponse {
            name: topic.name.clone().into_owned().into(),
            partitions,
        });
    }
    request.answer(&DescribeProducersResponse {
        throttle_time_ms: 0,
        topics,
    })
}

impl Split for DescribeProducersRequest<'_> {
    fn merge<'r: 'r>(answers: Vec<DescribeProducersResponse<'r>>) -> DescribeProducersResponse<'r> {
        DescribeProducersResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
