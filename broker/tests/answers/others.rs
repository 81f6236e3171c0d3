//! How long others wait while one request after the other is as long as a frame allows: a
//! measurement, not a test.
//!
//! It starts the binary on one core, sends each array of each API at its largest that is taken on
//! one connection, and asks ApiVersions every 2 ms on another. What it prints is a table for
//! docs/decisions/0010, which says how to run it.
use crate::{
    crowd::{self, Named, World},
    host::{self, Host},
    requests,
};
use broker::api::TABLE;
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use wire::{
    ApiKey, Request,
    api_versions::ApiVersionsRequest,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    init_producer_id::InitProducerIdRequest,
    metadata::{MetadataRequest, MetadataRequestTopic},
    offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
};

/// Between two questions of the other connection.
const EVERY: Duration = Duration::from_millis(2);
/// How long it is quiet before each request.
const QUIET: Duration = Duration::from_millis(10);
/// Elements of the array: nearly as many as a request may have (`millrace.request.elements.max`).
const ELEMENTS: usize = 49_990;
const PATIENCE: Duration = Duration::from_secs(20);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a frame, and gives the bytes of its answer; `None` if the connection ends.
fn exchange(stream: &mut TcpStream, frame: &[u8]) -> Option<Vec<u8>> {
    stream.write_all(frame).ok()?;
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).ok()?;
    Some(answer)
}

fn call<Q: Request>(stream: &mut TcpStream, request: &Q, version: i16) -> Q::Response<'static> {
    let frame = wire::encode_request(request, requests::ID, None, version).unwrap().concat();
    let answer = exchange(stream, &frame).unwrap();
    crate::bed::read_answer::<Q>(&answer, requests::ID, version)
}

/// A topic with many partitions, some with one, and a group.
fn world(port: u16) -> World {
    let mut stream = connect(port);
    let many = number("MILLRACE_PARTITIONS", 2) as i32;
    let topic = |name: String, num_partitions| CreatableTopic {
        name: name.into(),
        num_partitions,
        replication_factor: 1,
        ..Default::default()
    };
    let mut topics = vec![topic("known".into(), many)];
    topics.extend((1..20).map(|i| topic(format!("known{i}"), 1)));
    let request = CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false };
    let made = call(&mut stream, &request, 7);
    assert!(made.topics.iter().all(|t| t.error_code == 0), "{made:?}");
    let topic_id = made.topics.iter().find(|t| t.name == "known").unwrap().topic_id;
    call(&mut stream, &InitProducerIdRequest::default(), 4);
    let group_topic =
        MetadataRequestTopic { name: Some("__consumer_offsets".into()), ..Default::default() };
    let request = MetadataRequest {
        topics: Some(vec![group_topic]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    call(&mut stream, &request, 4);
    let commit = OffsetCommitRequest {
        group_id: "group".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "known".into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    let since = Instant::now();
    while call(&mut stream, &commit, 8).topics[0].partitions[0].error_code != 0 {
        assert!(since.elapsed() < PATIENCE, "the group's offset is not committed");
        std::thread::sleep(Duration::from_millis(20));
    }
    World { topic: "known".into(), topic_id: topic_id.0, group: "group".into() }
}

/// When the other connection asked, and when it had its answers, until `stop`.
fn others(port: u16, stop: &AtomicBool) -> Vec<(Instant, Instant)> {
    let mut stream = connect(port);
    let request = ApiVersionsRequest::default();
    let frame = wire::encode_request(&request, requests::ID, None, 1).unwrap().concat();
    let mut waits = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        exchange(&mut stream, &frame).unwrap();
        waits.push((asked, Instant::now()));
        std::thread::sleep((asked + EVERY).saturating_duration_since(Instant::now()));
    }
    waits
}

fn start(host: &Host) -> host::Process {
    let inner = host.command();
    let binary = std::env::var_os("MILLRACE_BINARY");
    let wrap = std::env::var("MILLRACE_WRAP").unwrap_or_default();
    let mut words = wrap.split_whitespace().map(std::ffi::OsString::from).collect::<Vec<_>>();
    words.push(binary.unwrap_or_else(|| inner.get_program().to_owned()));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let process = host::Process::spawn(&mut command);
    host.wait_ready();
    process
}

/// Processor time of a process's threads so far.
fn worked(process: &host::Process) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| {
        let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(of_task).sum())
}

fn ms(waited: Duration) -> f64 {
    waited.as_secs_f64() * 1e3
}

#[test]
#[ignore = "a measurement of some minutes"]
fn others_meanwhile() {
    let schemas = schema::requests();
    let bytes = number("MILLRACE_FRAME_BYTES", 1 << 20);
    let elements = number("MILLRACE_ELEMENTS", ELEMENTS);
    let times = number("MILLRACE_TIMES", 10);
    let only = std::env::var("MILLRACE_APIS").unwrap_or_default();
    let wanted = |key: ApiKey| only.is_empty() || only.split(',').any(|name| name == key.name());
    println!(
        "| request | answer, bytes | it took, ms | broker's work, ms | others meanwhile | p50 | p99 | worst, ms |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    for api in TABLE.iter().filter(|api| wanted(api.key)) {
        let mut host = Host::new(1);
        host.port = number("MILLRACE_PORT", host.port.into()) as u16;
        let process = start(&host);
        let world = world(host.port);
        let message = &schemas[&api.key.code()];
        for path in crowd::arrays(message, api.max) {
            for named in [Named::Same, Named::Distinct] {
                let frame = crowd::frame(
                    message,
                    api.key,
                    api.max,
                    &path,
                    (bytes, elements),
                    named,
                    &world,
                );
                let stop = AtomicBool::new(false);
                let before = worked(&process);
                let (answer, spans, waits) = std::thread::scope(|scope| {
                    let waits = scope.spawn(|| others(host.port, &stop));
                    let (mut spans, mut answer) = (Vec::new(), None);
                    let mut stream = connect(host.port);
                    for _ in 0..times {
                        std::thread::sleep(QUIET);
                        let begun = Instant::now();
                        answer = exchange(&mut stream, &frame);
                        spans.push((begun, Instant::now()));
                        if answer.is_none() {
                            stream = connect(host.port);
                        }
                    }
                    std::thread::sleep(QUIET);
                    stop.store(true, Ordering::Relaxed);
                    (answer, spans, waits.join().unwrap())
                });
                let worked = (worked(&process) - before) / times as u32;
                let took = spans.iter().map(|(begun, ended)| *ended - *begun).max().unwrap();
                let meanwhile = |(asked, had): &(Instant, Instant)| {
                    spans.iter().any(|(begun, ended)| asked < ended && had > begun)
                };
                let waits = waits.into_iter().filter(meanwhile);
                let mut waits: Vec<_> = waits.map(|(asked, had)| had - asked).collect();
                waits.sort();
                let at = |part: f64| {
                    let last = waits.len().saturating_sub(1) as f64;
                    waits.get((last * part).round() as usize).copied().map_or(0.0, ms)
                };
                println!(
                    "| {} {} {named:?} | {} | {:.0} | {:.1} | {} | {:.1} | {:.1} | {:.1} |",
                    api.key.name(),
                    path.join("."),
                    answer.map_or_else(|| "closed".to_owned(), |a| a.len().to_string()),
                    ms(took),
                    ms(worked),
                    waits.len(),
                    at(0.5),
                    at(0.99),
                    at(1.0),
                );
            }
        }
        process.signal("KILL");
        process.end();
    }
}
