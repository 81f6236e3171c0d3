//! OffsetCommit (key 8): a group's positions. Partitions that do not exist are refused here, the
//! rest by the coordinator.
use super::{
    groups::{one, unknown_partition},
    split::merged,
};
use crate::{
    core::request::{Request, Stage},
    group::{self, Response},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    offset_commit::{
        OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
        OffsetCommitResponseTopic,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let mut body = OffsetCommitRequest::decode(reader, request.version())?;
    let by_id = request.version() >= 10;
    // Name and id of each topic, as far as they are known; what does not exist is set apart.
    let mut refused: Vec<OffsetCommitResponseTopic<'static>> = Vec::new();
    for topic in &mut body.topics {
        let known = if by_id {
            shard.image.topic_by_id(topic.topic_id)
        } else {
            shard.image.topic(&topic.name)
        };
        let missing =
            if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
        let error_of = |shard: &Shard, name: &str, partition: i32| match known {
            None => Some(missing),
            Some(_) => unknown_partition(shard, name, partition),
        };
        if let Some(known) = known {
            if by_id {
                topic.name = known.name.to_string().into();
            }
            topic.topic_id = known.id;
        }
        let mut partitions = Vec::new();
        let name = topic.name.clone();
        topic.partitions.retain(|p| match error_of(shard, &name, p.partition_index) {
            None => true,
            Some(error) => {
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                });
                false
            }
        });
        if !partitions.is_empty() {
            refused.push(OffsetCommitResponseTopic {
                name: topic.name.clone().into_owned().into(),
                topic_id: topic.topic_id,
                partitions,
            });
        }
    }
    body.topics.retain(|t| !t.partitions.is_empty());
    if body.topics.is_empty() {
        // The coordinator is not asked, so no group comes to be (Kafka:
        // `KafkaApis.handleOffsetCommitRequest`).
        return request.answer(&OffsetCommitResponse { topics: refused, ..Default::default() });
    }
    let part = group::Request::OffsetCommit(&body);
    one(shard, request, &body.group_id, part, move |_, pending, answer| {
        let Response::OffsetCommit(mut answer) = answer else {
            unreachable!("{answer:?} to OffsetCommit")
        };
        answer.topics = merged([std::mem::take(&mut answer.topics), refused]);
        Ok(Stage::Reply(pending.encode(&answer)?))
    })
}
