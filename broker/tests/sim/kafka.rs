//! What a Kafka client does, one call at a time: finds leaders and coordinators, produces, fetches,
//! commits.
use crate::bed::{Bed, Conn, How, PORT};
use bytes::Bytes;
use record::{BatchBuilder, Batches, ProducerEpoch, ProducerId, Timestamp};
use std::collections::BTreeMap;
use wire::{
    ErrorCode, Records, Request, Uuid,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData},
    find_coordinator::FindCoordinatorRequest,
    incremental_alter_configs::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    },
    init_producer_id::InitProducerIdRequest,
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
    },
    metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
    offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    produce::{PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData},
};

/// What the tests' beds say the time is, about.
pub(crate) const NOW: Timestamp = Timestamp(1_750_000_000_000);

/// Between two questions to a coordinator that is still loading.
const LOADING_NS: u64 = 1_000_000;

/// A client with one connection a core.
#[derive(Debug, Default)]
pub(crate) struct Kafka {
    conns: BTreeMap<u16, Conn>,
}

/// An idempotent producer's id and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer(pub(crate) ProducerId, pub(crate) ProducerEpoch);

/// A batch of one record per value.
pub(crate) fn batch<T: AsRef<[u8]>>(values: &[T]) -> Bytes {
    build(BatchBuilder::new(), values)
}

/// A batch of an idempotent producer, from this sequence on.
pub(crate) fn idempotent<T: AsRef<[u8]>>(producer: Producer, sequence: i32, values: &[T]) -> Bytes {
    build(BatchBuilder::new().producer(producer.0, producer.1, sequence), values)
}

fn build<T: AsRef<[u8]>>(mut batch: BatchBuilder, values: &[T]) -> Bytes {
    for value in values {
        batch.append(None, Some(value.as_ref()), NOW, &[]).unwrap();
    }
    batch.build_bytes().unwrap()
}

/// A produce request for one partition.
pub(crate) fn produce_request(
    topic: &str,
    partition: i32,
    acks: i16,
    records: Bytes,
) -> ProduceRequest<'static> {
    ProduceRequest {
        transactional_id: None,
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned().into(),
            topic_id: Uuid::default(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(Records::from(records)),
            }],
        }],
    }
}

/// A fetch of one partition outside of any session.
pub(crate) fn fetch_request(topic: &str, partition: i32, offset: i64) -> FetchRequest<'static> {
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![fetch_topic(topic, &[(partition, offset)])],
        ..FetchRequest::default()
    }
}

pub(crate) fn fetch_topic(topic: &str, partitions: &[(i32, i64)]) -> FetchTopic<'static> {
    FetchTopic {
        topic: topic.to_owned().into(),
        topic_id: Uuid::default(),
        partitions: partitions
            .iter()
            .map(|&(partition, fetch_offset)| FetchPartition {
                partition,
                fetch_offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            })
            .collect(),
    }
}

/// Offsets and values of the records that a fetch brought, in order; what is before `from` is left
/// out, as clients do.
pub(crate) fn values(data: &PartitionData<'_>, from: i64) -> Vec<(i64, Vec<u8>)> {
    let bytes = data.records.as_ref().map(Records::contiguous).unwrap_or_default();
    let mut found = Vec::new();
    for view in Batches::new(&bytes) {
        for record in view.records().expect("nothing is compressed here") {
            let record = record.unwrap();
            let offset = record.offset(view.header()).0;
            if offset >= from {
                found.push((offset, record.value.unwrap_or_default().to_vec()));
            }
        }
    }
    found
}

/// A broker that has the topic "t" with one partition, a client of it, and the core that leads it.
pub(crate) fn with_topic(how: How) -> (Bed, Kafka, u16) {
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", 1).unwrap();
    let core = kafka.leader(&mut bed, "t", 0);
    (bed, kafka, core)
}

impl Kafka {
    /// The connection to a core, made if there is none.
    pub(crate) fn conn(&mut self, bed: &Bed, core: u16) -> &mut Conn {
        let conn = self.conns.entry(core).or_insert_with(|| bed.connect(core));
        if conn.client.ended().is_some() {
            *conn = bed.connect(core);
        }
        conn
    }

    /// Sends a request to a core and waits for its answer.
    pub(crate) fn call<Q: Request>(
        &mut self,
        bed: &mut Bed,
        core: u16,
        request: &Q,
        version: i16,
    ) -> Q::Response<'static> {
        self.conn(bed, core);
        bed.call(self.conns.get_mut(&core).unwrap(), request, version)
    }

    pub(crate) fn metadata(
        &mut self,
        bed: &mut Bed,
        core: u16,
        topics: &[&str],
    ) -> MetadataResponse<'static> {
        let topics = topics
            .iter()
            .map(|t| MetadataRequestTopic {
                name: Some((*t).to_owned().into()),
                topic_id: Uuid::default(),
            })
            .collect();
        let request = MetadataRequest {
            topics: Some(topics),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        self.call(bed, core, &request, 12)
    }

    /// The core that an ordinary client would send requests for a partition to.
    pub(crate) fn leader(&mut self, bed: &mut Bed, topic: &str, partition: i32) -> u16 {
        let metadata = self.metadata(bed, 0, &[topic]);
        let found = &metadata.topics[0];
        assert_eq!(found.error_code, 0, "{topic}: {metadata:?}");
        let partition = found.partitions.iter().find(|p| p.partition_index == partition).unwrap();
        let broker = metadata
            .brokers
            .iter()
            .find(|b| b.node_id == partition.leader_id)
            .expect("the leader is one of the brokers");
        u16::try_from(broker.port).unwrap() - PORT
    }

    /// The core that coordinates a group.
    pub(crate) fn coordinator(&mut self, bed: &mut Bed, group: &str) -> u16 {
        let request = FindCoordinatorRequest {
            coordinator_keys: vec![group.to_owned().into()],
            ..Default::default()
        };
        let found = self.call(bed, 0, &request, 4);
        let found = &found.coordinators[0];
        assert_eq!(found.error_code, 0, "{found:?}");
        u16::try_from(found.port).unwrap() - PORT
    }

    pub(crate) fn create_topic(
        &mut self,
        bed: &mut Bed,
        topic: &str,
        partitions: i32,
    ) -> Result<Uuid, ErrorCode> {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: topic.to_owned().into(),
                num_partitions: partitions,
                replication_factor: 1,
                ..Default::default()
            }],
            timeout_ms: 30_000,
            validate_only: false,
        };
        let created = self.call(bed, 0, &request, 7);
        match created.topics[0].error_code {
            0 => Ok(created.topics[0].topic_id),
            code => Err(ErrorCode::from_code(code).unwrap()),
        }
    }

    pub(crate) fn set_config(&mut self, bed: &mut Bed, topic: &str, name: &str, value: &str) {
        self.set_resource_config(bed, (2, topic), name, value);
    }

    /// Of all brokers.
    pub(crate) fn set_broker_config(&mut self, bed: &mut Bed, name: &str, value: &str) {
        self.set_resource_config(bed, (4, ""), name, value);
    }

    fn set_resource_config(
        &mut self,
        bed: &mut Bed,
        (resource_type, resource): (i8, &str),
        name: &str,
        value: &str,
    ) {
        let configs = vec![AlterableConfig {
            name: name.to_owned().into(),
            config_operation: 0,
            value: Some(value.to_owned().into()),
        }];
        let resources = vec![AlterConfigsResource {
            resource_type,
            resource_name: resource.to_owned().into(),
            configs,
        }];
        let answer = self.call(
            bed,
            0,
            &IncrementalAlterConfigsRequest { resources, validate_only: false },
            1,
        );
        assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
    }

    pub(crate) fn delete_topic(&mut self, bed: &mut Bed, topic: &str) -> ErrorCode {
        let topics = vec![DeleteTopicState {
            name: Some(topic.to_owned().into()),
            topic_id: Uuid::default(),
        }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
        ErrorCode::from_code(self.call(bed, 0, &request, 6).responses[0].error_code).unwrap()
    }

    pub(crate) fn producer(&mut self, bed: &mut Bed) -> Producer {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            ..Default::default()
        };
        let got = self.call(bed, 0, &request, 4);
        assert_eq!(got.error_code, 0);
        Producer(ProducerId(got.producer_id), ProducerEpoch(got.producer_epoch))
    }

    /// Produces one batch at its leader, with acks=all.
    pub(crate) fn produce(
        &mut self,
        bed: &mut Bed,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> PartitionProduceResponse<'static> {
        let core = self.leader(bed, topic, partition);
        let mut answer = self.call(bed, core, &produce_request(topic, partition, -1, records), 9);
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// One fetch at the leader that does not wait.
    pub(crate) fn fetch(
        &mut self,
        bed: &mut Bed,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> PartitionData<'static> {
        let core = self.leader(bed, topic, partition);
        let mut answer = self.call(bed, core, &fetch_request(topic, partition, offset), 11);
        assert_eq!(answer.error_code, 0);
        answer.responses.remove(0).partitions.remove(0)
    }

    /// Everything that a consumer sees of a partition from `from` on, up to the high watermark.
    pub(crate) fn read_all(
        &mut self,
        bed: &mut Bed,
        topic: &str,
        partition: i32,
        from: i64,
    ) -> Vec<(i64, Vec<u8>)> {
        let (mut all, mut at) = (Vec::new(), from);
        loop {
            let data = self.fetch(bed, topic, partition, at);
            assert_eq!(data.error_code, 0, "{topic}-{partition} at {at}: {data:?}");
            let found = values(&data, at);
            let Some(last) = found.last() else {
                assert_eq!(
                    at, data.high_watermark,
                    "{topic}-{partition}: nothing at {at} and the watermark is beyond"
                );
                return all;
            };
            at = last.0 + 1;
            all.extend(found);
        }
    }

    pub(crate) fn list_offset(
        &mut self,
        bed: &mut Bed,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> ListOffsetsPartitionResponse {
        let core = self.leader(bed, topic, partition);
        let asked = ListOffsetsPartition {
            partition_index: partition,
            current_leader_epoch: -1,
            timestamp,
        };
        let topics =
            vec![ListOffsetsTopic { name: topic.to_owned().into(), partitions: vec![asked] }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
        self.call(bed, core, &request, 7).topics.remove(0).partitions.remove(0)
    }

    /// A commit of a consumer without a group's protocol. Waits for the coordinator, as clients do.
    pub(crate) fn commit(
        &mut self,
        bed: &mut Bed,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> ErrorCode {
        loop {
            let core = self.coordinator(bed, group);
            let request = commit_request(group, (-1, ""), topic, partition, offset);
            let answer = self.call(bed, core, &request, 8);
            let code = ErrorCode::from_code(answer.topics[0].partitions[0].error_code).unwrap();
            if code != ErrorCode::CoordinatorLoadInProgress {
                return code;
            }
            bed.sim.run_for(LOADING_NS);
        }
    }

    /// A group's committed offset; -1 for none. Waits for the coordinator, as clients do.
    pub(crate) fn committed(
        &mut self,
        bed: &mut Bed,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> Result<i64, ErrorCode> {
        loop {
            let core = self.coordinator(bed, group);
            let topics = vec![OffsetFetchRequestTopics {
                name: topic.to_owned().into(),
                partition_indexes: vec![partition],
                ..Default::default()
            }];
            let groups = vec![OffsetFetchRequestGroup {
                group_id: group.to_owned().into(),
                member_epoch: -1,
                topics: Some(topics),
                ..Default::default()
            }];
            let answer =
                self.call(bed, core, &OffsetFetchRequest { groups, ..Default::default() }, 8);
            let group = &answer.groups[0];
            match ErrorCode::from_code(group.error_code).unwrap() {
                ErrorCode::None => {
                    let found = &group.topics[0].partitions[0];
                    assert_eq!(found.error_code, 0, "{answer:?}");
                    return Ok(found.committed_offset);
                }
                ErrorCode::CoordinatorLoadInProgress => bed.sim.run_for(LOADING_NS),
                code => return Err(code),
            }
        }
    }
}

/// A commit by a member (generation and id); -1 and no id for a consumer without a group's
/// protocol.
pub(crate) fn commit_request(
    group: &str,
    member: (i32, &str),
    topic: &str,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest<'static> {
    OffsetCommitRequest {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: member.0,
        member_id: member.1.to_owned().into(),
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned().into(),
            topic_id: Uuid::default(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: -1,
                committed_metadata: Some("where we are".into()),
            }],
        }],
        ..Default::default()
    }
}
