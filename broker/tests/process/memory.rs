//! Memory limits of the real system: seen at the start, fitted to, or refused with the number.
use crate::host::{Host, Process, wrapped};
use record::{BatchBuilder, Timestamp};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
};
use wire::{
    Records,
    alter_configs::{AlterConfigsRequest, AlterConfigsResource},
    create_topics::{CreatableTopic, CreateTopicsRequest},
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
};

#[test]
fn an_address_space_too_small_is_an_error_that_names_the_least() {
    let host = Host::new(2);
    let ended = Process::spawn(&mut wrapped(&host.command(), "ulimit -v 131072")).end();
    assert_eq!(ended.code(), 78, "{ended:?}");
    for part in ["128 MiB (ulimit -v)", "2 cores need", "--cores 1"] {
        assert!(ended.error.contains(part), "{part}: {ended:?}");
    }
    assert!(!host.data().exists(), "nothing was begun");
}

#[test]
fn what_was_given_and_cannot_fit_is_named() {
    let host = Host::new(2).with(&["--set", "millrace.cache.bytes=900000000"]);
    let mut command = host.command();
    let ended = Process::spawn(command.args(["--set", "millrace.memory.bytes=536870912"])).end();
    assert_eq!(ended.code(), 78, "{ended:?}");
    for part in ["512 MiB (millrace.memory.bytes)", "millrace.cache.bytes=900000000"] {
        assert!(ended.error.contains(part), "{part}: {ended:?}");
    }
}

#[test]
fn defaults_are_fitted_and_said() {
    let host = Host::new(2);
    let process = Process::spawn(&mut wrapped(&host.command(), "ulimit -v 1048576"));
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.out.contains("of 1024 MiB (ulimit -v)"), "{ended:?}");
    let mut config = host.command();
    let ended = Process::spawn(&mut wrapped(config.arg("config"), "ulimit -v 1048576")).end();
    let fitted = |line: &&str| line.starts_with("millrace.unflushed.bytes.max=");
    let line = ended.out.lines().find(fitted).unwrap();
    assert!(line.contains("fitted to the memory limit"), "{line}");
}

/// A control group of this test's own, removed at its end.
struct Group(PathBuf);

impl Group {
    /// `None` where this process may not make one.
    fn with_limit(bytes: u64) -> Option<Self> {
        let name = format!("millrace-test-{}", std::process::id());
        for (parent, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let dir = PathBuf::from(parent).join(&name);
            if fs::create_dir(&dir).is_err() {
                continue;
            }
            let group = Self(dir);
            if fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once its process is dead, which the kernel may take a moment to see.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_control_group_is_a_limit() {
    let Some(group) = Group::with_limit(512 << 20) else {
        // Without the right to make one, the tests of `cli::memory` on written files must do.
        return;
    };
    let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
    let host = Host::new(2);
    let process = Process::spawn(&mut wrapped(&host.command(), &enter));
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let said = format!("of 512 MiB ({}/memory.", group.0.display());
    assert!(ended.out.contains(&said), "{ended:?}");
}

/// Sends a request, and gives the answer's body with its header.
fn call<Q: wire::Request>(stream: &mut TcpStream, request: &Q, version: i16) -> Vec<u8> {
    send(stream, request, version);
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    answer
}

fn send<Q: wire::Request>(stream: &mut TcpStream, request: &Q, version: i16) {
    let slices = wire::encode_request(request, 1, Some("test"), version).unwrap();
    stream.write_all(&slices.concat()).unwrap();
}

#[test]
fn readers_that_take_nothing_share_one_memory() {
    const READERS: usize = 60;
    // Answers of 8 MiB, and about as much for all that are not taken.
    let host = Host::new(1).with(&["--set", "millrace.memory.bytes=230000000"]);
    let process = host.start();
    host.wait_ready();
    let connect = || TcpStream::connect(("127.0.0.1", host.port)).unwrap();
    let mut stream = connect();
    let topic = CreatableTopic {
        name: "t".into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    };
    let create =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    call(&mut stream, &create, 5);
    for _ in 0..160 {
        let mut batch = BatchBuilder::new();
        let value = vec![b'x'; 100_000];
        batch.append(None, Some(&value), Timestamp(1), &[]).unwrap();
        let produce = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: "t".into(),
                partition_data: vec![PartitionProduceData {
                    index: 0,
                    records: Some(Records::from(batch.build_bytes().unwrap())),
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        call(&mut stream, &produce, 8);
    }
    let fetch = FetchRequest {
        max_bytes: 50 << 20,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: 50 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..FetchRequest::default()
    };
    let readers: Vec<TcpStream> = (0..READERS)
        .map(|_| {
            let mut reader = connect();
            send(&mut reader, &fetch, 11);
            // Something of its answer is there, and no more is taken.
            reader.peek(&mut [0]).unwrap();
            reader
        })
        .collect();
    let metrics = host.admin("/metrics").unwrap();
    let line = metrics.lines().find_map(|l| l.strip_prefix("millrace_output_bytes{core=\"0\"} "));
    let queued: usize = line.unwrap().parse().unwrap();
    // Without the bound: 8 MiB each, but for what the kernel takes.
    assert!((1 << 20..32 << 20).contains(&queued), "{queued} bytes");
    // Who reads gets his batch.
    for mut reader in readers {
        let mut size = [0; 4];
        reader.read_exact(&mut size).unwrap();
        assert!(i32::from_be_bytes(size) > 100_000);
    }
    drop(process);
}

/// A line of `/metrics` without labels.
fn resident_mib(metrics: &str) -> u64 {
    let line = metrics.lines().find_map(|l| l.strip_prefix("process_resident_memory_bytes "));
    line.unwrap().parse::<f64>().unwrap() as u64 >> 20
}

/// The C library gives nothing back by itself of what lies between used pieces: these requests
/// leave about 100 MiB.
#[test]
fn memory_of_a_burst_is_given_back() {
    const BEYOND_MIB: u64 = 24;
    let host = Host::new(1);
    let process = host.start();
    host.wait_ready();
    let before = resident_mib(&host.admin("/metrics").unwrap());
    let resources = (0..10_000).map(|i| AlterConfigsResource {
        resource_type: 2,
        resource_name: format!("n{i:07}").into(),
        configs: Vec::new(),
    });
    let alter = AlterConfigsRequest { resources: resources.collect(), validate_only: false };
    let burst: Vec<_> = (0..48)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", host.port)).unwrap();
            send(&mut stream, &alter, 0);
            stream
        })
        .collect();
    for mut stream in burst {
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut answer).unwrap();
    }
    // Asked more often, it would not be at rest.
    let given_back = (0..60).any(|_| {
        std::thread::sleep(std::time::Duration::from_secs(1));
        resident_mib(&host.admin("/metrics").unwrap()) < before + BEYOND_MIB
    });
    assert!(given_back, "{} MiB", resident_mib(&host.admin("/metrics").unwrap()));
    drop(process);
}
