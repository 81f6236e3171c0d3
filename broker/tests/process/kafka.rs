//! A client of one connection after the other: what these tests ask of a broker over the wire.
use crate::host::Host;
use record::{BatchBuilder, Batches, Timestamp};
use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};
use wire::{
    ApiMessage, Decode, Reader, Records, Request, ResponseHeader,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
};

const TIMEOUT_MS: i32 = 30_000;

/// Of a broker with one core.
#[derive(Debug)]
pub(crate) struct Kafka {
    stream: TcpStream,
}

impl Kafka {
    pub(crate) fn of(host: &Host) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", host.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream }
    }

    /// Sends a request and gives what `look` makes of its answer.
    fn call<Q: Request, T>(
        &mut self,
        request: &Q,
        version: i16,
        look: impl FnOnce(Q::Response<'_>) -> T,
    ) -> T {
        let frame = wire::encode_request(request, 1, Some("test"), version).unwrap();
        self.stream.write_all(&frame.concat()).unwrap();
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        self.stream.read_exact(&mut frame).unwrap();
        let mut reader = Reader::new(&frame);
        let header_version = <Q::Response<'_> as ApiMessage>::header_version(version);
        ResponseHeader::decode(&mut reader, header_version).unwrap();
        look(Q::Response::decode(&mut reader, version).unwrap())
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: i32) -> i16 {
        let topics = vec![CreatableTopic {
            name: name.to_owned().into(),
            num_partitions: partitions,
            replication_factor: 1,
            ..Default::default()
        }];
        let create = CreateTopicsRequest { topics, timeout_ms: TIMEOUT_MS, validate_only: false };
        self.call(&create, 5, |answer| answer.topics[0].error_code)
    }

    pub(crate) fn delete_topic(&mut self, name: &str) -> i16 {
        let topic = DeleteTopicState { name: Some(name.to_owned().into()), ..Default::default() };
        let delete = DeleteTopicsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            ..Default::default()
        };
        self.call(&delete, 6, |answer| answer.responses[0].error_code)
    }

    /// The offset of a batch, or why it was refused.
    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &Batch,
    ) -> Result<i64, i16> {
        let produce = ProduceRequest {
            acks: -1,
            timeout_ms: TIMEOUT_MS,
            topic_data: vec![TopicProduceData {
                name: topic.to_owned().into(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(Records::from(batch.0.clone())),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        self.call(&produce, 8, |answer| {
            let partition = &answer.responses[0].partition_responses[0];
            match partition.error_code {
                0 => Ok(partition.base_offset),
                code => Err(code),
            }
        })
    }

    /// A batch to each partition, in one request.
    pub(crate) fn produce_to_all(&mut self, topic: &str, partitions: i32, batch: &Batch) {
        let data = (0..partitions).map(|index| PartitionProduceData {
            index,
            records: Some(Records::from(batch.0.clone())),
        });
        let topic_data = vec![TopicProduceData {
            name: topic.to_owned().into(),
            partition_data: data.collect(),
            ..Default::default()
        }];
        let produce =
            ProduceRequest { acks: -1, timeout_ms: TIMEOUT_MS, topic_data, ..Default::default() };
        self.call(&produce, 8, |answer| {
            for partition in &answer.responses[0].partition_responses {
                assert_eq!(partition.error_code, 0, "{topic}-{}", partition.index);
            }
        });
    }

    /// Base offsets of all batches of a partition, from its beginning to its end.
    pub(crate) fn read(&mut self, topic: &str, partition: i32) -> BTreeSet<i64> {
        let (mut at, mut found) = (0, BTreeSet::new());
        loop {
            let fetch = FetchRequest {
                max_bytes: 32 << 20,
                topics: vec![FetchTopic {
                    topic: topic.to_owned().into(),
                    partitions: vec![FetchPartition {
                        partition,
                        fetch_offset: at,
                        partition_max_bytes: 32 << 20,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..FetchRequest::default()
            };
            let next = self.call(&fetch, 11, |answer| {
                let partition = &answer.responses[0].partitions[0];
                assert_eq!(
                    partition.error_code, 0,
                    "{topic}-{} at {at}",
                    partition.partition_index
                );
                let mut next = None;
                for bytes in partition.records.iter().flat_map(Records::slices) {
                    for view in Batches::new(bytes) {
                        found.insert(view.base_offset.0);
                        next = Some(view.next_offset().0);
                    }
                }
                next
            });
            match next {
                Some(next) => at = next,
                None => return found,
            }
        }
    }
}

/// A batch of one record, with its checksum.
#[derive(Debug)]
pub(crate) struct Batch(bytes::Bytes);

impl Batch {
    pub(crate) fn of(bytes: usize) -> Self {
        let mut batch = BatchBuilder::new();
        let value = vec![b'x'; bytes];
        batch.append(None, Some(&value), Timestamp(1_750_000_000_000), &[]).unwrap();
        Self(batch.build_bytes().unwrap())
    }
}
