//! A warm broker, and one request that is sent to it over and over.

use crate::{
    WARM,
    bed::{Bed, Conn, How, read_answer},
    kafka::{Kafka, batch},
};
use netio::sim::{DiskOptions, NetOptions, SimOptions};
use std::fmt;
use wire::{
    Records,
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
};

const TOPIC: &str = "counted";
/// What a Kafka 4.3 client speaks: topics by id.
const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 17;
/// Longer than the age of a flush and the rounds of the store's timer behind it.
const SETTLE_NS: u64 = 8_000_000_000;

/// A broker and a request.
pub(crate) struct Load {
    bed: Bed,
    conn: Conn,
    request: Asked,
}

enum Asked {
    Produce(ProduceRequest<'static>),
    /// And the bytes of records that every answer has.
    Fetch(FetchRequest<'static>, usize),
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").field("bed", &self.bed.how).finish()
    }
}

impl Load {
    /// `acks=all` to this many partitions, a batch each of so many records of so many bytes.
    pub(crate) fn produce(partitions: i32, records: usize, bytes: usize) -> Self {
        let (mut bed, mut client) = broker();
        let topic_id = client.create_topic(&mut bed, TOPIC, partitions).unwrap();
        let one = batch(&vec![vec![b'v'; bytes]; records]);
        let parts = (0..partitions)
            .map(|index| PartitionProduceData { index, records: Some(Records::from(one.clone())) });
        let request = ProduceRequest {
            transactional_id: None,
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: "".into(),
                topic_id,
                partition_data: parts.collect(),
            }],
        };
        Self::warm(bed, Asked::Produce(request))
    }

    /// Fetches of the last batch of so many partitions, which holds so many records of so many
    /// bytes.
    pub(crate) fn fetch(partitions: i32, records: usize, bytes: usize) -> Self {
        let (mut bed, mut client) = broker();
        let topic_id = client.create_topic(&mut bed, TOPIC, partitions).unwrap();
        let one = batch(&vec![vec![b'v'; bytes]; records]);
        let mut asked = Vec::new();
        for partition in 0..partitions {
            // The second one is asked for: a fetch in the middle of what is in memory.
            for _ in 0..2 {
                let answer = client.produce(&mut bed, TOPIC, partition, one.clone());
                assert_eq!(answer.error_code, 0, "{answer:?}");
            }
            asked.push(FetchPartition {
                partition,
                fetch_offset: i64::try_from(records).unwrap(),
                partition_max_bytes: 1 << 20,
                ..Default::default()
            });
        }
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 50 << 20,
            session_epoch: -1,
            topics: vec![FetchTopic { topic_id, partitions: asked, ..Default::default() }],
            ..FetchRequest::default()
        };
        let bytes = one.len() * usize::try_from(partitions).unwrap();
        Self::warm(bed, Asked::Fetch(request, bytes))
    }

    fn warm(bed: Bed, request: Asked) -> Self {
        let mut load = Self { conn: bed.connect(0), bed, request };
        load.requests(WARM);
        // What the store does once after its first appends, such as filling the next file of its
        // log with zeros, would fall into the count or not, as a change of some other delay has it.
        load.bed.sim.run_until(SETTLE_NS, |_| false);
        load.requests(WARM);
        load
    }

    /// What is counted: callgrind knows it by its name.
    #[inline(never)]
    pub(crate) fn counted_requests(&mut self, count: usize) {
        self.requests(count);
    }

    fn requests(&mut self, count: usize) {
        for _ in 0..count {
            match &self.request {
                Asked::Produce(request) => {
                    let id = self.conn.send(request, PRODUCE_VERSION);
                    let frame = self.bed.frame(&mut self.conn).unwrap();
                    let answer = read_answer::<ProduceRequest<'_>>(&frame, id, PRODUCE_VERSION);
                    let parts = answer.responses.iter().flat_map(|t| &t.partition_responses);
                    let codes = parts.map(|p| p.error_code);
                    let wanted = request.topic_data[0].partition_data.iter().map(|_| 0);
                    assert!(codes.eq(wanted), "{answer:?}");
                }
                Asked::Fetch(request, bytes) => {
                    let id = self.conn.send(request, FETCH_VERSION);
                    let frame = self.bed.frame(&mut self.conn).unwrap();
                    let answer = read_answer::<FetchRequest<'_>>(&frame, id, FETCH_VERSION);
                    let parts = answer.responses.iter().flat_map(|t| &t.partitions);
                    let got: usize = parts
                        .filter_map(|p| p.records.as_ref())
                        .map(|r| r.contiguous().len())
                        .sum();
                    assert_eq!(got, *bytes, "bytes of records in a fetch");
                }
            }
        }
    }
}

/// One core with the storage settings of production; the same delays everywhere and no accidents,
/// so that a change of the broker is the only thing that changes a count.
fn broker() -> (Bed, Kafka) {
    const DELAY_NS: u64 = 20_000;
    let how = How::new(1, 1);
    let how = How {
        sim: SimOptions {
            disk: DiskOptions {
                latency_ns: (DELAY_NS, DELAY_NS),
                slow: 0.0,
                ..DiskOptions::default()
            },
            net: NetOptions {
                delay_ns: (DELAY_NS, DELAY_NS),
                slow: 0.0,
                piece_bytes_max: usize::MAX >> 1,
                ..NetOptions::default()
            },
            step_ns: (1_000, 1_000),
            multishot_ends: 0.0,
            ..SimOptions::seeded(1)
        },
        storage: storage::Options::new("data"),
        ..how
    };
    (Bed::start(how), Kafka::default())
}
