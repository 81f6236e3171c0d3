//! OffsetDelete (key 47): forgets committed positions of topics that the group is not subscribed
//! to.
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
    Decode, Reader,
    offset_delete::{
        OffsetDeleteRequest, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let mut body = OffsetDeleteRequest::decode(reader, request.version())?;
    let mut refused: Vec<OffsetDeleteResponseTopic<'static>> = Vec::new();
    for topic in &mut body.topics {
        let mut partitions = Vec::new();
        let name = topic.name.clone();
        topic.partitions.retain(|p| match unknown_partition(shard, &name, p.partition_index) {
            None => true,
            Some(error) => {
                partitions.push(OffsetDeleteResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.code(),
                });
                false
            }
        });
        if !partitions.is_empty() {
            refused.push(OffsetDeleteResponseTopic { name: name.into_owned().into(), partitions });
        }
    }
    body.topics.retain(|t| !t.partitions.is_empty());
    let part = group::Request::OffsetDelete(&body);
    one(shard, request, &body.group_id, part, move |_, pending, answer| {
        let Response::OffsetDelete(mut answer) = answer else {
            unreachable!("{answer:?} to OffsetDelete")
        };
        if answer.error_code == 0 {
            answer.topics = merged([std::mem::take(&mut answer.topics), refused]);
        }
        Ok(Stage::Reply(pending.encode(&answer)?))
    })
}
