//! A broker made for lying: it keeps what it is given in memory and answers as it is told to.
//!
//! One thread a connection, no care for speed. What it does wrong, it does by order, so that a test
//! knows what the instrument must find.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use record::{BatchHeader, Offset, set_base_offset};
use wire::api_versions::{ApiVersion, ApiVersionsResponse};
use wire::create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse};
use wire::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use wire::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use wire::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use wire::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use wire::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use wire::{ApiKey, ApiMessage, Reader, RequestHeader, decode, encode_response};

/// What the broker does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Produce is answered only outside of the first `length` of each `period`.
    StallEvery {
        period: Duration,
        length: Duration,
    },
    /// From this many produce requests on, none is answered.
    MuteFrom(u64),
    /// The batch at this place of partition 0 is acknowledged and not kept.
    Lose(usize),
    /// It is kept twice.
    Repeat(usize),
    /// A byte of it is another one.
    Flip(usize),
    /// Produce is answered with this error code, every so many requests.
    Refuse {
        every: u64,
        code: i16,
    },
}

/// The broker's memory.
#[derive(Debug)]
struct State {
    /// (name, partitions); a partition is its batches.
    topics: Vec<(String, Vec<Partition>)>,
}

#[derive(Debug, Default)]
struct Partition {
    batches: Vec<Vec<u8>>,
    end: i64,
    appended: usize,
}

/// A running broker; its threads end with the test.
#[derive(Debug)]
pub(crate) struct Simulated {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fault: Fault,
    port: u16,
    started: Instant,
    state: Mutex<State>,
    grown: Condvar,
    produced: AtomicU64,
    records: AtomicU64,
}

impl Simulated {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            fault,
            port,
            started: Instant::now(),
            state: Mutex::new(State { topics: Vec::new() }),
            grown: Condvar::new(),
            produced: AtomicU64::new(0),
            records: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), shared) = (stream, Arc::clone(&accepting)) else {
                    return;
                };
                // A connection that ends is none of our business.
                thread::spawn(move || shared.serve(stream).ok());
            }
        });
        Self { address: format!("127.0.0.1:{port}"), shared }
    }

    /// Records that were given to it.
    pub(crate) fn records(&self) -> u64 {
        self.shared.records.load(Ordering::SeqCst)
    }

    /// Produce requests that came.
    pub(crate) fn produced(&self) -> u64 {
        self.shared.produced.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        loop {
            let mut size = [0; 4];
            stream.read_exact(&mut size)?;
            let mut frame = vec![0; usize::try_from(u32::from_be_bytes(size)).unwrap()];
            stream.read_exact(&mut frame)?;
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::parse(&mut reader).map_err(io::Error::other)?;
            let (version, id, body) =
                (header.api_version, header.correlation_id, reader.remaining());
            let answer = match ApiKey::from_code(header.api_key) {
                Some(ApiKey::ApiVersions) => encode(&versions(), id, version),
                Some(ApiKey::Metadata) => self.metadata(body, id, version),
                Some(ApiKey::CreateTopics) => self.create(body, id, version),
                Some(ApiKey::DeleteTopics) => self.delete(body, id, version),
                Some(ApiKey::ListOffsets) => self.list_offsets(body, id, version),
                Some(ApiKey::Fetch) => self.fetch(body, id, version),
                Some(ApiKey::Produce) => match self.produce(body, id, version) {
                    Some(answer) => answer,
                    None => continue,
                },
                other => return Err(io::Error::other(format!("not served: {other:?}"))),
            };
            stream.write_all(&answer)?;
        }
    }

    fn metadata(&self, body: &[u8], id: i32, version: i16) -> Vec<u8> {
        let request: MetadataRequest<'_> = decode(body, version).unwrap();
        let state = self.state.lock().unwrap();
        let wanted: Option<Vec<String>> = request.topics.map(|topics| {
            topics.into_iter().filter_map(|t| t.name.map(|n| n.into_owned())).collect()
        });
        let known = state
            .topics
            .iter()
            .filter(|(name, _)| wanted.as_ref().is_none_or(|w| w.contains(name)));
        let response = MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: "127.0.0.1".into(),
                port: i32::from(self.port),
                rack: None,
            }],
            controller_id: 1,
            topics: known
                .map(|(name, partitions)| MetadataResponseTopic {
                    name: Some(name.clone().into()),
                    partitions: (0..i32::try_from(partitions.len()).unwrap())
                        .map(|index| MetadataResponsePartition {
                            partition_index: index,
                            leader_id: 1,
                            replica_nodes: vec![1],
                            isr_nodes: vec![1],
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        encode(&response, id, version)
    }

    fn create(&self, body: &[u8], id: i32, version: i16) -> Vec<u8> {
        let request: CreateTopicsRequest<'_> = decode(body, version).unwrap();
        let mut state = self.state.lock().unwrap();
        let mut topics = Vec::new();
        for topic in request.topics {
            let partitions = (0..topic.num_partitions).map(|_| Partition::default());
            state.topics.push((topic.name.clone().into_owned(), partitions.collect()));
            topics.push(CreatableTopicResult { name: topic.name, ..Default::default() });
        }
        let response = CreateTopicsResponse { topics, ..Default::default() };
        encode(&response, id, version)
    }

    fn delete(&self, body: &[u8], id: i32, version: i16) -> Vec<u8> {
        let request: DeleteTopicsRequest<'_> = decode(body, version).unwrap();
        let mut state = self.state.lock().unwrap();
        state.topics.retain(|(name, _)| !request.topic_names.iter().any(|n| n == name));
        let response = DeleteTopicsResponse {
            responses: request
                .topic_names
                .into_iter()
                .map(|name| DeletableTopicResult { name: Some(name), ..Default::default() })
                .collect(),
            ..Default::default()
        };
        encode(&response, id, version)
    }

    fn list_offsets(&self, body: &[u8], id: i32, version: i16) -> Vec<u8> {
        let request: ListOffsetsRequest<'_> = decode(body, version).unwrap();
        let state = self.state.lock().unwrap();
        let response = ListOffsetsResponse {
            topics: request
                .topics
                .into_iter()
                .map(|topic| ListOffsetsTopicResponse {
                    partitions: topic
                        .partitions
                        .iter()
                        .map(|p| ListOffsetsPartitionResponse {
                            partition_index: p.partition_index,
                            offset: match p.timestamp {
                                -1 => state.partition(&topic.name, p.partition_index).end,
                                _ => 0,
                            },
                            ..Default::default()
                        })
                        .collect(),
                    name: topic.name,
                })
                .collect(),
            ..Default::default()
        };
        encode(&response, id, version)
    }

    /// `None`: nothing is answered.
    fn produce(&self, body: &[u8], id: i32, version: i16) -> Option<Vec<u8>> {
        let request: ProduceRequest<'_> = decode(body, version).unwrap();
        let number = self.produced.fetch_add(1, Ordering::SeqCst);
        let mut code = 0;
        match self.fault {
            Fault::StallEvery { period, length } => {
                let at = self.started.elapsed().as_nanos() % period.as_nanos();
                if at < length.as_nanos() {
                    let left = length.as_nanos() - at;
                    thread::sleep(Duration::from_nanos(left.try_into().unwrap()));
                }
            }
            Fault::MuteFrom(first) if number >= first => return None,
            Fault::Refuse { every, code: with } if number.is_multiple_of(every) => code = with,
            _ => {}
        }
        let mut state = self.state.lock().unwrap();
        let responses = request
            .topic_data
            .into_iter()
            .map(|topic| TopicProduceResponse {
                partition_responses: topic
                    .partition_data
                    .iter()
                    .map(|part| {
                        let bytes = part.records.as_ref().unwrap().contiguous();
                        let log = state.partition_mut(&topic.name, part.index);
                        let base_offset = log.end;
                        if code == 0 {
                            let records = log.append(bytes.into_owned(), self.fault);
                            self.records.fetch_add(records, Ordering::SeqCst);
                        }
                        PartitionProduceResponse {
                            index: part.index,
                            error_code: code,
                            base_offset,
                            ..Default::default()
                        }
                    })
                    .collect(),
                name: topic.name,
                ..Default::default()
            })
            .collect();
        self.grown.notify_all();
        let response = ProduceResponse { responses, ..Default::default() };
        Some(encode(&response, id, version))
    }

    fn fetch(&self, body: &[u8], id: i32, version: i16) -> Vec<u8> {
        let request: FetchRequest<'_> = decode(body, version).unwrap();
        let until = Instant::now() + Duration::from_millis(request.max_wait_ms.try_into().unwrap());
        let mut state = self.state.lock().unwrap();
        loop {
            let ready = request.topics.iter().any(|t| {
                let mut parts = t.partitions.iter();
                parts.any(|p| state.partition(&t.topic, p.partition).end > p.fetch_offset)
            });
            let left = until.saturating_duration_since(Instant::now());
            if ready || left.is_zero() {
                break;
            }
            state = self.grown.wait_timeout(state, left).unwrap().0;
        }
        let responses = request.topics.iter().map(|topic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|p| PartitionData {
                    partition_index: p.partition,
                    records: Some(
                        state
                            .partition(&topic.topic, p.partition)
                            .read(p.fetch_offset, p.partition_max_bytes)
                            .into(),
                    ),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
        let response = FetchResponse { responses: responses.collect(), ..Default::default() };
        encode(&response, id, version)
    }
}

impl State {
    fn partition(&self, topic: &str, index: i32) -> &Partition {
        let (_, partitions) = self.topics.iter().find(|(name, _)| name == topic).unwrap();
        &partitions[usize::try_from(index).unwrap()]
    }

    fn partition_mut(&mut self, topic: &str, index: i32) -> &mut Partition {
        let (_, partitions) = self.topics.iter_mut().find(|(name, _)| name == topic).unwrap();
        &mut partitions[usize::try_from(index).unwrap()]
    }
}

impl Partition {
    /// Records in it.
    fn append(&mut self, mut batch: Vec<u8>, fault: Fault) -> u64 {
        let records = BatchHeader::parse(&batch).unwrap().records_count;
        let place = self.appended;
        self.appended += 1;
        let copies = match fault {
            Fault::Lose(at) if at == place => 0,
            Fault::Repeat(at) if at == place => 2,
            _ => 1,
        };
        if fault == Fault::Flip(place) {
            let last = batch.len() - 2;
            batch[last] ^= 0x20;
        }
        for _ in 0..copies {
            set_base_offset(&mut batch, Offset(self.end));
            self.end += i64::from(records);
            self.batches.push(batch.clone());
        }
        u64::try_from(records).unwrap()
    }

    fn read(&self, from: i64, max_bytes: i32) -> bytes::Bytes {
        let mut out = Vec::new();
        let first =
            self.batches.partition_point(|b| BatchHeader::parse(b).unwrap().last_offset().0 < from);
        for batch in &self.batches[first..] {
            if !out.is_empty() && out.len() + batch.len() > usize::try_from(max_bytes).unwrap() {
                break;
            }
            out.extend_from_slice(batch);
        }
        out.into()
    }
}

fn versions() -> ApiVersionsResponse<'static> {
    // Names, not topic ids: those came later.
    let served = [
        (ApiKey::Produce, 3, 9),
        (ApiKey::Fetch, 4, 12),
        (ApiKey::ListOffsets, 1, 7),
        (ApiKey::Metadata, 4, 9),
        (ApiKey::ApiVersions, 0, 3),
        (ApiKey::CreateTopics, 2, 5),
        (ApiKey::DeleteTopics, 1, 5),
    ];
    ApiVersionsResponse {
        api_keys: served
            .into_iter()
            .map(|(key, min_version, max_version)| ApiVersion {
                api_key: key as i16,
                min_version,
                max_version,
            })
            .collect(),
        ..Default::default()
    }
}

fn encode<T: ApiMessage>(message: &T, id: i32, version: i16) -> Vec<u8> {
    encode_response(message, id, version).unwrap().concat()
}
