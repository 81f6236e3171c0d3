//! A client's bytes to a whole broker, in the simulation.
//!
//! ```text
//! byte 0: seed; byte 1: bit 0: the rest is sent as it is; bit 1: two cores; bit 2: one port for them;
//! bits 3 and 4: what a well-behaved client does first; then requests:
//! API (line of the broker's table), version, length of the body (u16, big-endian), body
//! ```
//! Whatever comes: no panic, answers in the order of the requests and well-formed in the version
//! asked, bounded memory; other clients are served as before, and the broker stops in order.
//! `MILLRACE_FUZZ_SHOW=1` prints what was answered.
use crate::{api, meter::peak};
use broker::{
    api::TABLE,
    config::Defaults,
    core::plan::{Plan, Progress},
    limits::Limits,
    settings::{GroupSettings, Settings},
    shard::{boot, message::Message},
};
use netio::{
    Boot, Program, Turn,
    sim::{Client, DiskOptions, NodeId, NodeOptions, Sim, SimOptions},
};
use record::{BatchBuilder, Timestamp};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::watch;
use wire::{
    ApiKey, Reader, Request, RequestHeader, Writer,
    api_versions::ApiVersionsRequest,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    encode_request,
    find_coordinator::FindCoordinatorRequest,
    frame, header,
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
    metadata::MetadataRequest,
    produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
};

const PORT: u16 = 9092;
const SECOND: u64 = 1_000_000_000;
/// Longest that a well-behaved client waits.
const PATIENCE_NS: u64 = 60 * SECOND;
const REQUESTS_MAX: usize = 64;
/// What one life of a small broker may hold: its buffers, and what the limits below let in.
const HELD_MAX: usize = 96 << 20;

/// # Panics
/// On a finding.
pub fn run(data: &[u8]) {
    let [seed, how, rest @ ..] = data else { return };
    let ((), held) = peak(|| talk(u64::from(*seed), *how, rest));
    assert!(held <= HELD_MAX, "{held} bytes held");
}

fn talk(seed: u64, how: u8, rest: &[u8]) {
    let cores = 1 + u16::from(how >> 1 & 1);
    let mut sim = Sim::new(SimOptions {
        disk: DiskOptions { slow: 0.0, ..DiskOptions::default() },
        ..SimOptions::seeded(seed)
    });
    let (ready, progress) = watch::channel(Progress::default());
    let plan = plan(cores, how & 4 != 0, Arc::new(ready));
    let node =
        sim.add_node(NodeOptions::default(), (0..cores).map(|_| boot(plan.clone())).collect());
    assert!(
        sim.run_until(PATIENCE_NS, |_| progress.borrow().ready),
        "does not start: {:?}",
        progress.borrow()
    );

    let first = connect(&sim, node);
    let mut talker = Talker::new(first);
    if how & 8 != 0 {
        // One after the other: requests of a connection may overtake each other's effects.
        talker.ask(&create_topic());
        assert!(talker.wait(&mut sim), "a topic is not answered");
        talker.ask(&produce());
        assert!(talker.wait(&mut sim), "a batch is not answered");
    }
    if how & 16 != 0 {
        talker.ask(&FindCoordinatorRequest {
            coordinator_keys: vec!["g".into()],
            ..FindCoordinatorRequest::default()
        });
        assert!(talker.wait(&mut sim), "a group's coordinator is not named");
        sim.run_for(SECOND);
        talker.ask(&join());
        assert!(talker.wait(&mut sim), "a member of a new group is not answered");
    }
    if how & 1 != 0 {
        talker.client.send(rest.to_vec());
    } else {
        talker.script(rest);
    }
    // Long enough for whatever has a deadline of its own; a fetch may wait for longer.
    sim.run_for(4 * SECOND);
    if how & 1 == 0 {
        talker.check();
    }

    let mut other = Talker::new(connect(&sim, node));
    let (client_software_name, client_software_version) = ("fuzz".into(), "1".into());
    other.ask(&ApiVersionsRequest { client_software_name, client_software_version });
    other.ask(&MetadataRequest { topics: None, ..MetadataRequest::default() });
    assert!(other.wait(&mut sim), "others are not served any more");
    drop(talker);
    drop(other);
    stop(&mut sim, node);
    assert!(sim.run_until(PATIENCE_NS, |sim| sim.has_ended(node)), "does not stop");
}

fn stop(sim: &mut Sim, node: NodeId) {
    sim.stop(node);
}

fn connect(sim: &Sim, node: NodeId) -> Client {
    sim.client((node.ip(), PORT).into())
}

fn plan(cores: u16, single_port: bool, ready: Arc<watch::Sender<Progress>>) -> Plan {
    let limits = Limits {
        connections_max: 100,
        connections_per_ip_max: 100,
        frame_bytes_max: 1 << 20,
        request_bytes_max: 4 << 20,
        fetch_bytes_max: 1 << 20,
        fetch_sessions_max: 10,
        partitions_max: 100,
        ..Limits::default()
    };
    let settings = Settings {
        node_id: 1,
        id_stride: 1000,
        cores,
        single_port,
        listen: (std::net::Ipv4Addr::UNSPECIFIED, PORT).into(),
        advertised_host: "broker".into(),
        advertised_port: PORT,
        rack: None,
        limits,
        auto_create_topics: true,
        default_partitions: 2,
        offsets_partitions: 2,
        metrics: Default::default(),
        group: GroupSettings { initial_rebalance_delay_ms: 10, ..GroupSettings::default() },
        delete_topic_enable: true,
    };
    let storage = storage::Options {
        group_bytes: 64 << 10,
        wal_file_bytes: 256 << 10,
        wal_first_file_bytes: 128 << 10,
        unflushed_bytes_max: 2 << 20,
        flush_bytes: 64 << 10,
        cache_bytes: 1 << 20,
        reserve_bytes: 0,
        ..storage::Options::new("data")
    };
    Plan { settings, defaults: Defaults::default(), storage, ready }
}

struct NotStarted;
impl Program for NotStarted {
    fn turn(&mut self, _: &mut Vec<netio::Event>) -> Turn {
        Turn::Done
    }
}

fn boot(plan: Plan) -> Boot<Message> {
    Box::new(move |io, mesh| {
        Box::pin(async move {
            let progress = plan.ready.clone();
            match boot::boot(plan, io, mesh).await {
                Ok(shard) => Box::new(shard) as Box<dyn Program>,
                Err(reason) => {
                    progress.send_modify(|progress| progress.failed = Some(reason));
                    Box::new(NotStarted)
                }
            }
        })
    })
}

/// A connection, and the requests that wait for their answers.
struct Talker {
    client: Client,
    received: Vec<u8>,
    waiting: VecDeque<(i32, ApiKey, i16)>,
    next: i32,
}

impl Talker {
    fn new(client: Client) -> Talker {
        Talker { client, received: Vec::new(), waiting: VecDeque::new(), next: 0 }
    }

    /// A good request, in the latest version that the broker serves.
    fn ask<T: Request>(&mut self, request: &T) {
        let version = broker::api::find(T::API_KEY).map_or(0, |line| line.max);
        // By name, for it knows no id; and a member that is not asked to come again.
        let version = match T::API_KEY {
            ApiKey::Produce => 9,
            ApiKey::JoinGroup => 3,
            _ => version,
        };
        let slices = encode_request(request, self.next, Some("talker"), version);
        let slices = slices.unwrap_or_else(|error| panic!("{} v{version}: {error}", T::NAME));
        self.client.send(slices.concat());
        self.waiting.push_back((self.next, T::API_KEY, version));
        self.next += 1;
    }

    fn script(&mut self, mut rest: &[u8]) {
        for _ in 0..REQUESTS_MAX {
            let [line, version, high, low, after @ ..] = rest else { break };
            let (body, after) =
                after.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(after.len()));
            rest = after;
            let line = TABLE[usize::from(*line) % TABLE.len()];
            let version = line.min + i16::from(*version) % (line.max - line.min + 1);
            let head = RequestHeader {
                api_key: line.key.code(),
                api_version: version,
                correlation_id: self.next,
                client_id: Some("fuzz".into()),
            };
            let mut writer = Writer::new();
            let written = wire::Encode::encode(
                &head,
                &mut writer,
                header::request_version(line.key, version),
            );
            written.unwrap_or_else(|error| panic!("{error}"));
            let head = writer.into_vec();
            let size = u32::try_from(head.len() + body.len()).unwrap_or(0);
            self.client.send([&size.to_be_bytes()[..], &head, body].concat());
            self.waiting.push_back((self.next, line.key, version));
            self.next += 1;
        }
    }

    /// All answers come.
    fn wait(&mut self, sim: &mut Sim) -> bool {
        let deadline = sim.now() + PATIENCE_NS;
        while !self.waiting.is_empty() && sim.now() < deadline && self.client.ended().is_none() {
            let before = self.client.available();
            sim.run_until(deadline - sim.now(), |_| {
                self.client.available() > before || self.client.ended().is_some()
            });
            self.check();
        }
        self.waiting.is_empty()
    }

    /// What has come is in order and well-formed.
    fn check(&mut self) {
        self.received.extend(self.client.take());
        let mut at = 0;
        while let Some(found) = frame::parse(&self.received[at..], 100 << 20)
            .unwrap_or_else(|error| panic!("answered with {error}"))
        {
            at += frame::SIZE_BYTES + found.body.len();
            let mut reader = Reader::new(found.body);
            let id = reader
                .i32()
                .unwrap_or_else(|error| panic!("an answer of {} bytes: {error}", found.body.len()));
            let (key, version) = loop {
                let next =
                    self.waiting.pop_front().unwrap_or_else(|| panic!("an answer {id} to nothing"));
                if next.0 == id {
                    break (next.1, next.2);
                }
                // With acks=0 there is none.
                assert_eq!(next.1, ApiKey::Produce, "answer {id} before that to {next:?}");
            };
            if header::response_version(key, version) == 1 {
                assert_eq!(
                    reader.uvarint(),
                    Ok(0),
                    "tags in the header of an answer to {key:?} v{version}"
                );
            }
            let body = reader.remaining();
            if std::env::var_os("MILLRACE_FUZZ_SHOW").is_some() {
                eprintln!(
                    "{key:?} v{version}: answered with {} bytes: {}",
                    body.len(),
                    body[..body.len().min(100)].escape_ascii()
                );
            }
            let (_, response) = api::kinds()
                .iter()
                .find(|(request, _)| request.key == key)
                .unwrap_or_else(|| panic!("{key:?}"));
            assert!((response.check)(body, version), "{key:?} v{version} answered with {body:?}");
        }
        self.received.drain(..at);
    }
}

fn create_topic() -> CreateTopicsRequest<'static> {
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 2,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 5_000, ..CreateTopicsRequest::default() }
}

/// A batch as a producer sends it.
pub fn batch() -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for n in 0..3_u8 {
        let appended = batch.append(Some(&[n]), Some(b"value"), Timestamp(1_750_000_000_000), &[]);
        appended.unwrap_or_else(|error| panic!("{error}"));
    }
    batch.build().unwrap_or_else(|error| panic!("{error}"))
}

fn produce() -> ProduceRequest<'static> {
    let partition = |index| PartitionProduceData {
        index,
        records: Some(wire::Records::Slices(vec![batch().into()])),
    };
    let topic = TopicProduceData {
        name: "t".into(),
        partition_data: vec![partition(0), partition(1)],
        ..TopicProduceData::default()
    };
    ProduceRequest {
        acks: -1,
        timeout_ms: 5_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    }
}

fn join() -> JoinGroupRequest<'static> {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: b"\0\0\0\0\0\x01\0\x01t\0\0\0\0".into(),
        }],
        ..JoinGroupRequest::default()
    }
}
