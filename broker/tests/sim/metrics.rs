//! What `/metrics` tells: each request once in both listener modes, sums that are right, and bounds
//! that hold.
use crate::{
    bed::{Bed, How, PATIENCE_NS, SECOND_NS, every_mode},
    kafka::{Kafka, batch, fetch_topic},
};
use broker::{
    admin::{
        collect::{CoreNumbers, Numbers},
        exposition::Format,
        metrics::render,
    },
    shard::{
        message::Message,
        scrape::{GroupCursor, GroupPortion, PartitionPortion, TopicPortion},
        snapshot::Snapshot,
    },
};
use netio::CoreId;
use std::collections::BTreeMap;
use tokio::sync::oneshot;
use wire::{
    fetch::FetchRequest,
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
};

fn ask<T>(bed: &mut Bed, core: u16, of: impl FnOnce(oneshot::Sender<T>) -> Message) -> T {
    let (to, mut from) = oneshot::channel();
    let sender = bed.sim.sender::<Message>(bed.node);
    assert!(sender.send(CoreId(core), of(to)).is_ok());
    let mut answer = None;
    let there = bed.sim.run_until(PATIENCE_NS, |_| {
        answer = from.try_recv().ok();
        answer.is_some()
    });
    assert!(there, "core {core} does not answer");
    answer.unwrap()
}

/// What one scrape tells, as the control thread gathers it; and how many portions each core was
/// asked for.
fn scrape(bed: &mut Bed) -> (Samples, usize) {
    let mut portions = 0;
    let mut cores: Vec<CoreNumbers> = Vec::new();
    for core in 0..bed.cores() {
        let snapshot: Box<Snapshot> = ask(bed, core, |to| Message::Snapshot { to });
        let mut numbers = CoreNumbers { snapshot: *snapshot, ..CoreNumbers::default() };
        let mut next = Some(0);
        while let Some(from) = next {
            let portion: TopicPortion = ask(bed, core, |to| Message::Topics { from, to });
            numbers.topics.extend(portion.rows);
            next = portion.next;
        }
        let mut next = Some(GroupCursor::default());
        while let Some(from) = next {
            let portion: GroupPortion = ask(bed, core, |to| Message::Groups { from, to });
            numbers.groups.extend(portion.rows);
            (next, portions) = (portion.next, portions + 1);
        }
        cores.push(numbers);
    }
    for numbers in &mut cores {
        let mut next = Some(0);
        while let Some(from) = next {
            let core = numbers.snapshot.core;
            let portion: PartitionPortion = ask(bed, core, |to| Message::Partitions { from, to });
            numbers.partitions.extend(portion.rows);
            numbers.acked_not_durable_bytes += portion.acked_not_durable_bytes;
            (next, portions) = (portion.next, portions + 1);
        }
    }
    let numbers = Numbers {
        ready: true,
        core_count: bed.cores(),
        cores,
        bounds: bed.how.settings.metrics,
        ..Numbers::default()
    };
    let text = render(numbers, Format::Text).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    });
    (Samples(samples.collect()), portions)
}

#[derive(Clone, Debug)]
struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// The sum of all series of this name that have these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name, labels).map(|(_, &value)| value).sum()
    }

    fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.series(name, labels).count()
    }

    fn series(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = (&String, &f64)> {
        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let prefix = format!("{name}{{");
        self.0.iter().filter(move |(series, _)| {
            (series.starts_with(&prefix) || *series == prefix.trim_end_matches('{'))
                && labels.iter().all(|label| series.contains(label))
        })
    }
}

/// Produces a batch of `records` records to each partition: with one port by one request for all of
/// them.
fn produce_all(bed: &mut Bed, kafka: &mut Kafka, partitions: i32, records: usize) -> u64 {
    let batch = batch(&vec!["some value"; records]);
    if !bed.how.settings.single_port {
        for partition in 0..partitions {
            let answer = kafka.produce(bed, "t", partition, batch.clone());
            assert_eq!(answer.error_code, 0);
        }
        return partitions as u64;
    }
    let partition_data = (0..partitions)
        .map(|index| PartitionProduceData { index, records: Some(batch.clone().into()) });
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: partition_data.collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = kafka.call(bed, 0, &request, 9);
    let parts = &answer.responses[0].partition_responses;
    assert!(parts.iter().all(|p| p.error_code == 0), "{answer:?}");
    1
}

#[test]
fn a_request_counts_once_and_topics_add_up() {
    const PARTITIONS: i32 = 5;
    for how in every_mode(51) {
        let single = how.settings.single_port;
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", PARTITIONS).unwrap();
        let mut produces = 0;
        for _ in 0..3 {
            produces += produce_all(&mut bed, &mut kafka, PARTITIONS, 4);
        }
        let stored: usize = 3 * PARTITIONS as usize * batch(&["some value"; 4]).len();
        // Fetched from within the second batch on, and once more for nothing.
        let mut fetches = 0;
        for from in [5, 12] {
            let of = |partitions: &[(i32, i64)]| FetchRequest {
                max_wait_ms: 0,
                min_bytes: 1,
                max_bytes: 50 << 20,
                topics: vec![fetch_topic("t", partitions)],
                ..Default::default()
            };
            let all: Vec<(i32, i64)> = (0..PARTITIONS).map(|p| (p, from)).collect();
            if single {
                kafka.call(&mut bed, 0, &of(&all), 4);
                fetches += 1;
            } else {
                for one in all {
                    let core = kafka.leader(&mut bed, "t", one.0);
                    kafka.call(&mut bed, core, &of(&[one]), 4);
                    fetches += 1;
                }
            }
        }
        let (samples, _) = scrape(&mut bed);
        for (api, count) in [("Produce", produces), ("Fetch", fetches)] {
            let label = [("api", api)];
            let count = count as f64;
            assert_eq!(samples.sum("millrace_requests_total", &label), count, "{api}");
            assert_eq!(
                samples.sum("millrace_request_latency_seconds_count", &label),
                count,
                "{api}"
            );
        }
        let all = samples.sum("millrace_requests_total", &[]);
        let stage =
            |stage| samples.sum("millrace_stage_latency_seconds_count", &[("stage", stage)]);
        assert_eq!(stage("handle"), all, "single port: {single}");
        assert_eq!(stage("ack"), produces as f64, "single port: {single}");
        let topic = [("topic", "t")];
        let sum = |name: &str| samples.sum(name, &topic);
        assert_eq!(sum("millrace_topic_produced_records_total"), f64::from(3 * 4 * PARTITIONS));
        assert_eq!(sum("millrace_topic_produced_bytes_total"), stored as f64);
        assert_eq!(sum("millrace_topic_fetched_records_total"), f64::from(2 * 4 * PARTITIONS));
        assert_eq!(sum("millrace_topic_fetched_bytes_total"), (stored / 3 * 2) as f64);
        for way in ["produced", "fetched"] {
            let by_core = samples.sum(&format!("millrace_{way}_bytes_total"), &[]);
            assert_eq!(sum(&format!("millrace_topic_{way}_bytes_total")), by_core);
        }
        assert_eq!(sum("millrace_topic_partitions"), f64::from(PARTITIONS));
        assert_eq!(sum("millrace_log_end_offset"), f64::from(12 * PARTITIONS));
        assert_eq!(sum("millrace_log_size_bytes"), stored as f64);
        assert_eq!(sum("millrace_topic_log_bytes"), stored as f64);
        assert_eq!(samples.sum("millrace_ready", &[]), 1.0);
    }
}

#[test]
fn waiting_for_news_is_no_latency() {
    for how in every_mode(52) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 1).unwrap();
        let core = kafka.leader(&mut bed, "t", 0);
        let request = FetchRequest {
            max_wait_ms: 5_000,
            min_bytes: 1,
            max_bytes: 1 << 20,
            topics: vec![fetch_topic("t", &[(0, 0)])],
            ..Default::default()
        };
        // Its time runs out; then another is woken, but by too little.
        kafka.call(&mut bed, core, &request, 4);
        let patient = FetchRequest { min_bytes: 100_000, ..request };
        let mut waiting = bed.connect(core);
        let id = waiting.send(&patient, 4);
        bed.sim.run_for(SECOND_NS);
        assert_eq!(kafka.produce(&mut bed, "t", 0, batch(&["v"])).error_code, 0);
        assert!(bed.answer::<FetchRequest<'_>>(&mut waiting, id, 4).is_some());
        let (samples, _) = scrape(&mut bed);
        let fetch = [("api", "Fetch")];
        assert_eq!(samples.sum("millrace_request_latency_seconds_count", &fetch), 2.0);
        let seconds = samples.sum("millrace_request_latency_seconds_sum", &fetch);
        assert!(seconds < 0.5, "{seconds} s");
    }
}

#[test]
fn above_its_bound_a_kind_is_cut_short_and_sums_stay_right() {
    let mut how = How::new(53, 2);
    how.settings.metrics.topics_max = 2;
    how.settings.metrics.partitions_max = 7;
    how.settings.metrics.group_offsets_max = 5;
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    let truncated =
        |samples: &Samples, of| samples.sum("millrace_metrics_truncated", &[("of", of)]);
    // With the first group comes __consumer_offsets, which has counters of its own then.
    kafka.create_topic(&mut bed, "a", 2).unwrap();
    kafka.commit(&mut bed, "g", "a", 0, 0);
    let before = scrape(&mut bed).0;
    for of in ["topics", "partitions", "group_offsets"] {
        assert_eq!(truncated(&before, of), 0.0, "{of}");
    }
    for topic in ["b", "c", "d"] {
        kafka.create_topic(&mut bed, topic, 2).unwrap();
        for partition in 0..2 {
            kafka.produce(&mut bed, topic, partition, batch(&["v"; 10]));
            for group in ["g", "h"] {
                kafka.commit(&mut bed, group, topic, partition, 3);
            }
        }
    }
    let samples = scrape(&mut bed).0;
    for of in ["topics", "partitions", "group_offsets"] {
        assert_eq!(truncated(&samples, of), 1.0, "{of}");
    }
    let records = "millrace_topic_produced_records_total";
    assert_eq!(samples.count(records, &[]), 3, "{samples:?}");
    assert_eq!(samples.sum(records, &[("topic", "(other)")]), 60.0);
    assert_eq!(samples.count("millrace_log_end_offset", &[]), 7);
    // Those of four topics, of the offsets, and the metadata.
    assert_eq!(samples.sum("millrace_topic_partitions", &[]), 8.0 + 4.0 + 1.0);
    let committed = samples.count("millrace_group_committed_offset", &[]);
    assert_eq!(committed, 5);
    assert_eq!(samples.count("millrace_group_lag_records", &[]), committed);
    // A topic goes: nothing that others are counted in goes back.
    kafka.delete_topic(&mut bed, "c");
    let after = scrape(&mut bed).0;
    assert_eq!(after.sum(records, &[("topic", "(other)")]), 60.0);
}

#[test]
fn groups_are_told_by_state_with_their_lag() {
    for how in every_mode(54) {
        let mut bed = Bed::start(how);
        let mut kafka = Kafka::default();
        kafka.create_topic(&mut bed, "t", 3).unwrap();
        for partition in 0..3 {
            kafka.produce(&mut bed, "t", partition, batch(&["v"; 10]));
        }
        for (group, offset) in [("none", 0), ("some", 4), ("all", 10)] {
            for partition in 0..3 {
                kafka.commit(&mut bed, group, "t", partition, offset);
            }
        }
        let (samples, _) = scrape(&mut bed);
        assert_eq!(samples.sum("millrace_groups", &[("state", "Empty")]), 3.0);
        assert_eq!(samples.sum("millrace_groups", &[]), 3.0);
        for (group, lag) in [("none", 30.0), ("some", 18.0), ("all", 0.0)] {
            let label = [("group", group)];
            assert_eq!(samples.sum("millrace_group_lag_records", &label), lag);
            assert_eq!(samples.count("millrace_group_lag_records", &label), 3);
            assert_eq!(samples.count("millrace_group_members", &label), 1);
        }
    }
}

#[test]
fn many_partitions_and_offsets_come_in_portions_each_once() {
    const PARTITIONS: i32 = 2_000;
    let mut bed = Bed::start(How::new(55, 2));
    let mut kafka = Kafka::default();
    kafka.create_topic(&mut bed, "t", PARTITIONS).unwrap();
    for group in ["g", "h", "i"] {
        let core = kafka.coordinator(&mut bed, group);
        let partitions = (0..PARTITIONS).map(|partition_index| {
            wire::offset_commit::OffsetCommitRequestPartition {
                partition_index,
                ..Default::default()
            }
        });
        let request = wire::offset_commit::OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: -1,
            topics: vec![wire::offset_commit::OffsetCommitRequestTopic {
                name: "t".into(),
                partitions: partitions.collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        kafka.call(&mut bed, core, &request, 8);
    }
    let (samples, portions) = scrape(&mut bed);
    assert!(portions > 2 * 4 + 4, "{portions} portions");
    let topic = [("topic", "t")];
    for (name, count) in [
        ("millrace_log_end_offset", PARTITIONS),
        ("millrace_group_committed_offset", 3 * PARTITIONS),
        ("millrace_group_lag_records", 3 * PARTITIONS),
    ] {
        assert_eq!(samples.count(name, &topic), count as usize, "{name}");
    }
    let total = samples.sum("millrace_topic_partitions", &topic);
    assert_eq!(total, f64::from(PARTITIONS));
}

#[test]
fn memory_of_answers_that_have_not_left_is_told() {
    let mut bed = Bed::start(How::new(54, 1));
    let partitions = (0..45_000).map(|partition_index| ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: -1,
    });
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic { name: "t".into(), partitions: partitions.collect() }],
        ..Default::default()
    };
    let name = "millrace_answer_memory_bytes";
    assert_eq!(scrape(&mut bed).0.sum(name, &[("core", "0")]), 0.0);
    let mut conn = bed.connect(0);
    conn.send(&request, 1);
    // It is written over many turns.
    let most = (0..500).map(|_| scrape(&mut bed).0.sum(name, &[("core", "0")]));
    let most = most.fold(0.0, f64::max);
    assert!(most >= 65_536.0, "{most} bytes");
    assert!(bed.frame(&mut conn).is_some());
    assert_eq!(scrape(&mut bed).0.sum(name, &[("core", "0")]), 0.0);
}
