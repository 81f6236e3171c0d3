//! DescribeQuorum (key 55): the quorum of one, which is the controller of this host. Runs on core 0, where the metadata log is.
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use netio::CoreId;
use record::TopicId;
use wire::{
    Decode, ErrorCode, Reader,
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
    // Kafka answers the one partition that has a quorum, alone; anything else makes all of the request wrong
    // (`KafkaRaftClient.handleDescribeQuorumRequest`).
    let one = matches!(body.topics.as_slice(), [t]
        if t.topic_name == METADATA_TOPIC && matches!(t.partitions.as_slice(), [p] if p.partition_index == 0));
    let log = shard.partitions.get(TopicId::METADATA, 0).filter(|_| one);
    let Some(log) = log else {
        let topics = body.topics.iter().map(|topic| ResponseTopicData {
            topic_name: topic.topic_name.clone().into_owned().into(),
            partitions: topic
                .partitions
                .iter()
                .map(|p| ResponsePartitionData {
                    partition_index: p.partition_index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                    error_message: Some(ErrorCode::UnknownTopicOrPartition.message().into()),
                    ..Default::default()
                })
                .collect(),
        });
        return request.answer(&DescribeQuorumResponse {
            error_message: None,
            topics: topics.collect(),
            ..Default::default()
        });
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
    let topic = ResponseTopicData {
        topic_name: METADATA_TOPIC.into(),
        partitions: vec![partition],
    };
    let node = Node {
        node_id: controller.id,
        listeners: vec![Listener {
            name: "PLAINTEXT".into(),
            host: controller.host.into(),
            port: controller.port,
        }],
    };
    let nodes = if request.version() >= 2 {
        vec![node]
    } else {
        Vec::new()
    };
    request.answer(&DescribeQuorumResponse {
        error_message: None,
        topics: vec![topic],
        nodes,
        ..Default::default()
    })
}
