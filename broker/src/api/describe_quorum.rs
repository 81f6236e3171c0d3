//! DescribeQuorum (key 55): the quorum of one, which is the controller of this host. Runs on core
//! 0, where the metadata log is.
use super::partitions::{Answers, Named, Partitions, Place};
use crate::{
    answer::Portion,
    core::request::{Request, Stage},
    shard::Shard,
};
use netio::CoreId;
use record::TopicId;
use wire::{
    Decode, Encode, ErrorCode, Reader,
    describe_quorum::{
        DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, ReplicaState,
        ResponsePartitionData, ResponseTopicData,
    },
};

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeQuorumRequest::decode(reader, request.version())?;
    // Kafka answers the one partition that has a quorum, alone; anything else makes all of the
    // request wrong (`KafkaRaftClient.handleDescribeQuorumRequest`).
    let one = matches!(body.topics.as_slice(), [t]
        if t.topic_name == METADATA_TOPIC && matches!(t.partitions.as_slice(), [p] if p.partition_index == 0));
    let log = shard.partitions.get(TopicId::METADATA, 0).filter(|_| one);
    let Some(log) = log else {
        let named = body.topics.iter().map(|t| (&*t.topic_name, t.partitions.len()));
        let mut topics = Named::with_room(named);
        for topic in &body.topics {
            topics.push(&topic.topic_name, topic.partitions.iter().map(|p| p.partition_index));
        }
        drop(body);
        let around = || DescribeQuorumResponse { error_message: None, ..Default::default() };
        let partitions = Partitions::new(topics, Unknown);
        return shard.answer_in_portions(request.pending, around, partitions);
    };
    let controller = shard.settings.endpoint(CoreId(0));
    let offsets = shard.store.offsets(log.slot);
    let now = shard.io.wall();
    let voter = ReplicaState {
        replica_id: controller.id,
        log_end_offset: offsets.high_watermark.0,
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
        ..Default::default()
    };
    let partition = ResponsePartitionData {
        partition_index: 0,
        error_message: None,
        leader_id: controller.id,
        leader_epoch: log.epoch,
        high_watermark: offsets.high_watermark.0,
        current_voters: vec![voter],
        ..Default::default()
    };
    let topic =
        ResponseTopicData { topic_name: METADATA_TOPIC.into(), partitions: vec![partition] };
    let node = Node {
        node_id: controller.id,
        listeners: vec![Listener {
            name: "PLAINTEXT".into(),
            host: controller.host.into(),
            port: controller.port,
        }],
    };
    let nodes = if request.version() >= 2 { vec![node] } else { Vec::new() };
    request.answer(&DescribeQuorumResponse {
        error_message: None,
        topics: vec![topic],
        nodes,
        ..Default::default()
    })
}

struct Unknown;

impl Answers for Unknown {
    type Row = i32;
    const LASTS: bool = true;

    fn topic<'t>(&self, topic: Place<'t>) -> impl Encode + 't {
        ResponseTopicData { topic_name: topic.name.into(), partitions: Vec::new() }
    }

    fn partition(
        &mut self,
        _: &mut Shard,
        _: Place<'_>,
        &partition_index: &i32,
        out: &mut Portion,
    ) -> Result<(), wire::Error> {
        out.put_inner(&ResponsePartitionData {
            partition_index,
            error_code: ErrorCode::UnknownTopicOrPartition.code(),
            error_message: Some(ErrorCode::UnknownTopicOrPartition.message().into()),
            ..Default::default()
        })
    }
}
