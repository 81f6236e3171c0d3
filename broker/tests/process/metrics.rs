//! `/metrics` of a broker that has had traffic, against what is written about it: every metric is
//! in docs/metrics.md, and every metric that the alert rules and the dashboard ask for is there.
use crate::host::Host;
use record::{BatchBuilder, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    time::Duration,
};
use wire::{
    ApiMessage, Decode, Reader, Request, ResponseHeader,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    find_coordinator::FindCoordinatorRequest,
    offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic},
    produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
};

/// Sends a request and gives what became of it, which is up to the test's end: tests are short.
fn call<Q: Request>(stream: &mut TcpStream, request: &Q, version: i16) -> Q::Response<'static> {
    let frame = wire::encode_request(request, 1, Some("test"), version).unwrap();
    stream.write_all(&frame.concat()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut frame = vec![0; i32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame).unwrap();
    let mut reader = Reader::new(frame.leak());
    let header_version = <Q::Response<'_> as ApiMessage>::header_version(version);
    ResponseHeader::decode(&mut reader, header_version).unwrap();
    Q::Response::decode(&mut reader, version).unwrap()
}

/// What a producer and a consumer group do, and one error.
fn traffic(host: &Host) {
    let mut stream = TcpStream::connect(("127.0.0.1", host.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let topics = vec![CreatableTopic {
        name: "t".into(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    }];
    let create = CreateTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() };
    assert_eq!(call(&mut stream, &create, 7).topics[0].error_code, 0);
    let mut batch = BatchBuilder::new();
    let now = Timestamp(1_750_000_000_000);
    batch.append(None, Some(b"value"), now, &[]).unwrap();
    let produce = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch.build_bytes().unwrap().into()),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = call(&mut stream, &produce, 9);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let fetch = |topic: &str| FetchRequest {
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: topic.to_owned().into(),
            partitions: vec![FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    };
    call(&mut stream, &fetch("t"), 4);
    let unknown = call(&mut stream, &fetch("unknown"), 4);
    assert_ne!(unknown.responses[0].partitions[0].error_code, 0);
    let find = FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..Default::default() };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    // The first question makes __consumer_offsets, whose coordinators load then.
    for _ in 0..1_000 {
        call(&mut stream, &find, 4);
        let answer = call(&mut stream, &commit, 8);
        if answer.topics[0].partitions[0].error_code == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no offset could be committed");
}

/// A metric as its row in docs/metrics.md says it: type, labels, what it is.
type Metric = (String, String, String);

/// The families of a scrape, by name.
fn families(text: &str) -> BTreeMap<String, Metric> {
    let mut families: BTreeMap<String, Metric> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            let help = help.trim_end_matches('.').to_owned();
            families.entry(name.to_owned()).or_default().2 = help;
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        {
            families.entry(name.to_owned()).or_default().0 = kind.to_owned();
        } else {
            let end = line.find(['{', ' ']).unwrap();
            let name = family_of(&line[..end]);
            let Some(family) = families.get_mut(name) else {
                panic!("{name} is of no family");
            };
            family.1 = labels(&line[end..]);
        }
    }
    families
}

/// The family of a sample: the same name, but for histograms.
fn family_of(name: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| {
            name.strip_suffix(suffix).filter(|n| n.ends_with("_seconds") || n.ends_with("_bytes"))
        })
        .unwrap_or(name)
}

/// The names in `{a="1",b="2"}`, as the page writes them.
fn labels(sample: &str) -> String {
    let quoted = sample.split("=\"");
    let names: Vec<String> = quoted
        .filter_map(|before| {
            let name = before.rsplit(['{', ',']).next()?;
            (before.contains(['{', ',']) && !name.contains(['"', '}', ' '])).then_some(name)
        })
        .filter(|name| *name != "le")
        .map(|name| format!("`{name}`"))
        .collect();
    names.join(", ")
}

fn repository(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Names of metrics in a text, as queries have them.
fn asked_for(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("millrace_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_is_written_about_metrics_is_what_a_broker_tells() {
    let host = Host::new(2).with(&["--single-port"]);
    let _process = host.start();
    host.wait_ready();
    traffic(&host);
    let answer = host.admin("/metrics").unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-length"), "{head}");
    // For `cargo xtask monitoring`.
    let left = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.txt");
    std::fs::write(left, text).unwrap();
    let told = families(text);

    let mut written = BTreeMap::new();
    for row in repository("docs/metrics.md").lines() {
        let Some(row) = row.strip_prefix("| `") else {
            continue;
        };
        let row = row.trim_end_matches(" |").replace("| |", "|  |");
        let cells: Vec<&str> = row.split(" | ").collect();
        if let [name, kind, labels, what] = cells[..] {
            let name = name.trim_end_matches('`').to_owned();
            let metric = (kind.to_owned(), labels.to_owned(), what.to_owned());
            let before = written.insert(name.clone(), metric);
            assert!(before.is_none(), "docs/metrics.md: {name} twice");
        }
    }
    for (name, (kind, labels, what)) in &told {
        let row = format!("| `{name}` | {kind} | {labels} | {what} |").replace("|  |", "| |");
        let there = written.get(name) == Some(&(kind.clone(), labels.clone(), what.clone()));
        assert!(there, "docs/metrics.md has no such row:\n{row}");
    }
    for name in written.keys() {
        assert!(told.contains_key(name), "docs/metrics.md: there is no {name}");
    }

    for file in ["packaging/prometheus/rules.yml", "packaging/grafana/millrace.json"] {
        let names = asked_for(&repository(file));
        assert!(names.len() > 10, "{file}: {names:?}");
        for name in names {
            assert!(told.contains_key(family_of(&name)), "{file}: there is no {name}");
        }
    }
}
