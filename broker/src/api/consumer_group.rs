//! ConsumerGroupHeartbeat and ConsumerGroupDescribe (keys 68 and 69): groups of KIP-848, which are
//! not served yet.
//!
//! Both are offered and answer UNSUPPORTED_VERSION, as Kafka does while `group.version` is 0
//! (`KafkaApis.handleConsumerGroupHeartbeat`). If they were not offered, librdkafka with
//! `group.protocol=consumer` would wait for a broker that has them, without a word; so it is told.
//! Clients of the classic protocol never ask.
use crate::{
    answer::{Portion, distinct::keep_once},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    consumer_group_describe::{
        ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup,
    },
    consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse},
};

const WHY: &str =
    "the consumer group protocol of KIP-848 is not served: set group.protocol=classic";

pub(crate) fn heartbeat<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    ConsumerGroupHeartbeatRequest::decode(reader, request.version())?;
    request.answer(&ConsumerGroupHeartbeatResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        error_message: Some(WHY.into()),
        ..Default::default()
    })
}

/// Admin clients then ask for the group with DescribeGroups. A group that is named twice is
/// answered once.
pub(crate) fn describe<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let mut body = ConsumerGroupDescribeRequest::decode(reader, request.version())?;
    keep_once(shard.secret, &mut body.group_ids);
    let groups = body.group_ids.iter().map(|group_id| &**group_id).collect();
    let write = |_, group_id: &str, out: &mut Portion| {
        out.put(&DescribedGroup {
            error_code: ErrorCode::UnsupportedVersion.code(),
            group_id: group_id.into(),
            ..Default::default()
        })
    };
    shard.refuse_all::<ConsumerGroupDescribeResponse<'_>>(request.pending, groups, write)
}
