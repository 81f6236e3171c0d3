//! DescribeTopicPartitions (key 75): topics page by page, so that no answer is unbounded (KIP-966).
use super::metadata::ALL_TOPIC_OPERATIONS;
use crate::{
    controller::topics::{OFFSETS_TOPIC, is_valid_name},
    metadata::TopicImage,
    shard::{
        Shard,
        reply::{Request, Stage},
        route::core_of,
    },
};
use record::TopicId;
use wire::{
    Decode, ErrorCode, Reader,
    describe_topic_partitions::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
        DescribeTopicPartitionsResponseTopic, ResponseCursor,
    },
};

pub(crate) fn handle<'a>(shard: &mut Shard, request: &Request<'a>, reader: &mut Reader<'a>) -> Result<Stage, wire::Error> {
    let body = DescribeTopicPartitionsRequest::decode(reader, request.version())?;
    reader.expect_end()?;
    let all = body.topics.is_empty();
    let cursor = body.cursor.as_ref().map_or(("", 0), |c| (&*c.topic_name, c.partition_index));
    let mut names: Vec<&str> = if all {
        shard.image.topics_from(cursor.0).map(|t| &*t.name).collect()
    } else {
        body.topics.iter().map(|t| &*t.name).filter(|name| *name >= cursor.0).collect()
    };
    let lost = body.cursor.is_some() && !all && !names.contains(&cursor.0);
    if lost || cursor.1 < 0 {
        // There is no place for an error of the whole.
        let refused = body.topics.iter().map(|t| unknown(&t.name, ErrorCode::InvalidRequest));
        return request.answer(&DescribeTopicPartitionsResponse { topics: refused.collect(), ..Default::default() });
    }
    names.sort_unstable();
    names.dedup();
    let limit = shard.defaults.integer("max.request.partition.size.limit").unwrap_or(i64::MAX);
    let mut remaining = usize::try_from(limit.min(body.response_partition_limit.into())).unwrap_or(1).max(1);
    let mut response = DescribeTopicPartitionsResponse { next_cursor: None, ..Default::default() };
    for name in names {
        if remaining == 0 {
            response.next_cursor = Some(ResponseCursor { topic_name: name.to_owned().into(), partition_index: 0 });
            break;
        }
        let Some(topic) = shard.image.topic(name) else {
            let error = if is_valid_name(name) { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
            response.topics.push(unknown(name, error));
            continue;
        };
        let first = if name == cursor.0 { usize::try_from(cursor.1).unwrap_or(0) } else { 0 };
        let first = first.min(topic.partitions.len());
        let end = topic.partitions.len().min(first.saturating_add(remaining));
        response.topics.push(page(shard, topic, first, end));
        if end < topic.partitions.len() {
            let partition_index = i32::try_from(end).unwrap_or(i32::MAX);
            response.next_cursor = Some(ResponseCursor { topic_name: name.to_owned().into(), partition_index });
            break;
        }
        remaining -= end - first;
    }
    request.answer(&response)
}

fn unknown(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'static> {
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.to_owned().into()),
        topic_id: TopicId::ZERO,
        is_internal: name == OFFSETS_TOPIC,
        partitions: Vec::new(),
        topic_authorized_operations: ALL_TOPIC_OPERATIONS,
    }
}

fn page(shard: &Shard, topic: &TopicImage, first: usize, end: usize) -> DescribeTopicPartitionsResponseTopic<'static> {
    let settings = &shard.settings;
    let partition = |index: usize| {
        let p = &topic.partitions[index];
        let partition_index = i32::try_from(index).unwrap_or(i32::MAX);
        let core = core_of(topic.id, partition_index, settings.cores);
        // Records speak of hosts; clients see the host's leading core.
        let visible = |host: &i32| if *host == settings.node_id { settings.client_id_of(core) } else { *host };
        let all = |hosts: &[i32]| hosts.iter().map(visible).collect::<Vec<_>>();
        DescribeTopicPartitionsResponsePartition {
            error_code: 0,
            partition_index,
            leader_id: visible(&p.leader),
            leader_epoch: p.leader_epoch,
            replica_nodes: all(&p.replicas),
            isr_nodes: all(&p.isr),
            eligible_leader_replicas: Some(all(&p.eligible_leader_replicas)),
            last_known_elr: Some(all(&p.last_known_elr)),
            offline_replicas: Vec::new(),
        }
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: 0,
        name: Some(topic.name.to_string().into()),
        topic_id: topic.id,
        is_internal: &*topic.name == OFFSETS_TOPIC,
        partitions: (first..end).map(partition).collect(),
        topic_authorized_operations: ALL_TOPIC_OPERATIONS,
    }
}
