//! DescribeProducers (key 61): producers with state in a partition.
use super::{
    partitions::{Answers, Partitions, Place, named},
    split::{merged, must_split, scatter_topics},
};
use crate::{
    answer::{
        Portion,
        concat::Skip,
        distinct::{keep_firsts, keep_numbers_once},
    },
    core::request::{Request, Stage},
    shard::{Shard, forward::Split},
};
use std::hash::Hash;
use wire::{
    Decode, Encode, Reader,
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
    let mut body = DescribeProducersRequest::decode(reader, request.version())?;
    // A partition that is named twice is described once. (Kafka describes it each time; its clients
    // keep answers by partition.)
    for topic in &mut body.topics {
        keep_numbers_once(&mut topic.partition_indexes);
    }
    keep_firsts(
        shard.secret,
        &mut body.topics,
        |topic, hasher| (&topic.name, &topic.partition_indexes).hash(hasher),
        |a, b| a.name == b.name && a.partition_indexes == b.partition_indexes,
    );
    if must_split(shard, request) {
        let bare = DescribeProducersRequest { topics: Vec::new() };
        return scatter_topics(shard, request, body.topics, &bare);
    }
    let topics = body.topics.iter().map(|t| (&*t.name, &t.partition_indexes[..]));
    let named = named(topics);
    drop(body);
    let partitions = Partitions::new(named, Producers);
    shard.answer_in_portions(request.pending, DescribeProducersResponse::default, partitions)
}

struct Producers;

impl Answers for Producers {
    type Row = i32;
    const LASTS: bool = false;

    fn topic<'t>(&self, topic: Place<'t>) -> impl Encode + 't {
        TopicResponse { name: topic.name.into(), partitions: Vec::new() }
    }

    fn partition(
        &mut self,
        shard: &mut Shard,
        topic: Place<'_>,
        &partition_index: &i32,
        out: &mut Portion,
    ) -> Result<(), wire::Error> {
        let mut answer = PartitionResponse { partition_index, ..Default::default() };
        let producers = match shard.led(topic.name, partition_index, -1) {
            Ok((slot, _)) => shard.store.producers(slot),
            Err(error) => {
                answer.error_code = error.code();
                Vec::new()
            }
        };
        let tail = out.begin_inner(&answer, producers.len())?;
        for p in producers {
            out.put_inner(&ProducerState {
                producer_id: p.producer_id,
                producer_epoch: p.producer_epoch.into(),
                last_sequence: p.last_sequence,
                last_timestamp: p.last_timestamp,
                coordinator_epoch: p.coordinator_epoch,
                current_txn_start_offset: p.current_txn_start.map_or(-1, |o| o.0),
            })?;
        }
        out.end(&tail);
        Ok(())
    }
}

impl Split for DescribeProducersRequest<'_> {
    const SKIP: Option<Skip> = Some(|r, version| PartitionResponse::decode(r, version).map(drop));

    fn merge<'r: 'r>(answers: Vec<DescribeProducersResponse<'r>>) -> DescribeProducersResponse<'r> {
        DescribeProducersResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
