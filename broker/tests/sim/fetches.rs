//! What a fetch waits for, what it says when its time is over, and how much it brings.
use crate::{
    bed::{Bed, Conn, How, SECOND_NS, every_mode, read_answer, seeds},
    kafka::{Kafka, batch, fetch_request, fetch_topic, produce_request, values, with_topic},
};
use std::collections::BTreeMap;
use wire::{
    ErrorCode, Records, Uuid,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    fetch::{FetchRequest, FetchResponse, FetchTopic, PartitionData},
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    produce::ProduceRequest,
};

const UNKNOWN_NAME: ErrorCode = ErrorCode::UnknownTopicOrPartition;

fn in_every_mode(test: impl Fn(&mut Bed, &mut Kafka)) {
    for seed in seeds(2) {
        for how in every_mode(seed) {
            test(&mut Bed::start(how), &mut Kafka::default());
        }
    }
}

/// A topic by its id.
fn by_id(topic_id: Uuid, partitions: &[(i32, i64)]) -> FetchTopic<'static> {
    FetchTopic { topic_id, ..fetch_topic("", partitions) }
}

fn data<'a>(
    answer: &'a FetchResponse<'static>,
) -> Vec<(&'a FetchTopicAnswer, &'a PartitionData<'static>)> {
    let topics = answer.responses.iter();
    topics.flat_map(|t| t.partitions.iter().map(move |p| (t, p))).collect()
}

type FetchTopicAnswer = wire::fetch::FetchableTopicResponse<'static>;

/// Errors of an answer, in its order.
fn errors(answer: &FetchResponse<'static>) -> Vec<ErrorCode> {
    let code = |p: &PartitionData<'_>| ErrorCode::from_code(p.error_code).unwrap();
    data(answer).into_iter().map(|(_, p)| code(p)).collect()
}

/// The answer to a fetch, and how many milliseconds it took.
fn timed(
    bed: &mut Bed,
    conn: &mut Conn,
    request: &FetchRequest<'_>,
    version: i16,
) -> (FetchResponse<'static>, u64) {
    let before = bed.sim.now();
    let answer = bed.call(conn, request, version);
    (answer, (bed.sim.now() - before) / 1_000_000)
}

/// Sends a fetch that is to wait, produces a record into `t-0`, and gives the answer.
fn woken(
    bed: &mut Bed,
    kafka: &mut Kafka,
    conn: &mut Conn,
    request: &FetchRequest<'_>,
    version: i16,
) -> FetchResponse<'static> {
    let id = conn.send(request, version);
    bed.sim.run_for(SECOND_NS);
    assert!(conn.poll().is_none(), "it does not wait");
    assert_eq!(kafka.produce(bed, "t", 0, batch(&["news"])).error_code, 0);
    let before = bed.sim.now();
    let answer = bed.answer::<FetchRequest<'_>>(conn, id, version).unwrap();
    assert!(bed.sim.now() - before < SECOND_NS, "it is not woken");
    answer
}

#[test]
fn what_nobody_knows_does_not_end_the_wait_for_the_rest() {
    in_every_mode(|bed, kafka| {
        let core = kafka.leader(bed, "t", 0);
        let id = kafka.metadata(bed, core, &["t"]).topics[0].topic_id;
        let other = Uuid::from_random(7, 7);
        // Unknown by name, by id, by the partition's number; the version, and the error.
        let names = |at| vec![fetch_topic("gone", &[(0, 0)]), fetch_topic("t", &[(0, at)])];
        let ids = |at| vec![by_id(other, &[(0, 0)]), by_id(id, &[(0, at)])];
        let number = |at| vec![fetch_topic("t", &[(99, 0), (0, at)])];
        let number_of_id = |at| vec![by_id(id, &[(-1, 0), (0, at)])];
        type Topics<'a> = &'a dyn Fn(i64) -> Vec<FetchTopic<'static>>;
        let forms: [(Topics<'_>, i16, ErrorCode); 4] = [
            (&names, 11, UNKNOWN_NAME),
            (&ids, 13, ErrorCode::UnknownTopicId),
            (&number, 6, UNKNOWN_NAME),
            (&number_of_id, 18, UNKNOWN_NAME),
        ];
        let mut end = 0;
        for (topics, version, error) in forms {
            let mut conn = bed.connect(core);
            let request = |topics, epoch, session_id, max_wait_ms| FetchRequest {
                topics,
                max_wait_ms,
                session_id,
                session_epoch: epoch,
                ..fetch_request("t", 0, 0)
            };
            // Outside of sessions: until the end of its time, until there is news.
            let wait = request(topics(end), -1, 0, 500);
            let (answer, waited) = timed(bed, &mut conn, &wait, version);
            assert_eq!(errors(&answer), [error, ErrorCode::None]);
            assert!((500..800).contains(&waited), "version {version}: {waited} ms");
            let answer =
                woken(bed, kafka, &mut conn, &request(topics(end), -1, 0, 60_000), version);
            assert_eq!(errors(&answer), [error, ErrorCode::None]);
            assert_eq!(values(data(&answer)[1].1, end).len(), 1);
            end += 1;
            // With nothing else there is nothing to wait for.
            let mut alone = request(topics(end), -1, 0, 60_000);
            match &mut alone.topics[..] {
                [_, known] => known.partitions.clear(),
                [both] => both.partitions.truncate(1),
                _ => unreachable!(),
            }
            let (answer, waited) = timed(bed, &mut conn, &alone, version);
            assert_eq!(errors(&answer), [error]);
            assert!(waited < 100, "nothing can come: {waited} ms");
            if version < 7 {
                continue;
            }
            // In a session the error is told each time, and hastens none.
            let (opened, waited) = timed(bed, &mut conn, &request(topics(end), 0, 0, 500), version);
            assert_eq!(errors(&opened), [error, ErrorCode::None]);
            assert!((500..800).contains(&waited), "version {version}: {waited} ms");
            let next = |epoch, max_wait_ms| request(vec![], epoch, opened.session_id, max_wait_ms);
            for epoch in 1..4 {
                let (answer, waited) = timed(bed, &mut conn, &next(epoch, 500), version);
                assert_eq!(errors(&answer), [error]);
                assert!((500..800).contains(&waited), "version {version}: {waited} ms");
            }
            let answer = woken(bed, kafka, &mut conn, &next(4, 60_000), version);
            assert_eq!(errors(&answer), [error, ErrorCode::None]);
            end += 1;
        }
    });
}

#[test]
fn what_the_look_itself_finds_is_told_at_once() {
    in_every_mode(|bed, kafka| {
        kafka.produce(bed, "t", 0, batch(&["a"]));
        let core = kafka.leader(bed, "t", 0);
        let mut conn = bed.connect(core);
        let wait = FetchRequest { max_wait_ms: 60_000, ..fetch_request("t", 0, 1) };
        let mut beyond = wait.clone();
        beyond.topics[0].partitions[0].fetch_offset = 2;
        let mut fenced = wait.clone();
        fenced.topics[0].partitions[0].current_leader_epoch = 1_000;
        for (request, error) in
            [(beyond, ErrorCode::OffsetOutOfRange), (fenced, ErrorCode::UnknownLeaderEpoch)]
        {
            let (answer, waited) = timed(bed, &mut conn, &request, 11);
            assert_eq!(errors(&answer), [error]);
            assert!(waited < 100, "{error:?} after {waited} ms");
        }
        // Deleted while it is waited for.
        for version in [11, 13] {
            let topic_id = kafka.create_topic(bed, "short", 1).unwrap();
            let core = kafka.leader(bed, "short", 0);
            let mut conn = bed.connect(core);
            let topics = match version {
                11 => vec![fetch_topic("short", &[(0, 0)])],
                _ => vec![by_id(topic_id, &[(0, 0)])],
            };
            let request = FetchRequest { topics, session_epoch: -1, ..wait.clone() };
            let id = conn.send(&request, version);
            bed.sim.run_for(SECOND_NS);
            let before = bed.sim.now();
            assert_eq!(kafka.delete_topic(bed, "short"), ErrorCode::None);
            let answer = bed.answer::<FetchRequest<'_>>(&mut conn, id, version);
            assert_eq!(errors(&answer.unwrap()), [UNKNOWN_NAME]);
            assert!(bed.sim.now() - before < SECOND_NS);
        }
    });
}

#[test]
fn news_between_the_look_and_the_wait_are_not_missed() {
    const STEPS: i64 = 40;
    for seed in seeds(3) {
        let (mut bed, mut kafka, core) = with_topic(How::new(seed, 1));
        kafka.create_topic(&mut bed, "cold", 1).unwrap();
        for n in 0..100 {
            kafka.produce(&mut bed, "cold", 0, batch(&[vec![n; 50_000]]));
        }
        bed.sim.run_for(5 * SECOND_NS);
        let (mut consumer, mut producer) = (bed.connect(core), bed.connect(core));
        for step in 0..STEPS {
            // Of one partition a batch comes from the disk, the other is looked at in memory. Both
            // together are enough.
            let mut cold = fetch_topic("cold", &[(0, step)]);
            cold.partitions[0].partition_max_bytes = 1;
            let fetch = FetchRequest {
                max_wait_ms: 60_000,
                min_bytes: 50_600,
                topics: vec![cold, fetch_topic("t", &[(0, step)])],
                ..fetch_request("t", 0, 0)
            };
            let produce = produce_request("t", 0, -1, batch(&[vec![1; 1_000]]));
            let produced = producer.send(&produce, 9);
            bed.sim.run_for(step as u64 * 5_000);
            let id = consumer.send(&fetch, 11);
            let before = bed.sim.now();
            let acked = bed.answer::<ProduceRequest<'_>>(&mut producer, produced, 9);
            assert!(acked.is_some());
            let answer = bed.answer::<FetchRequest<'_>>(&mut consumer, id, 11).unwrap();
            let waited = (bed.sim.now() - before) / 1_000_000;
            assert!(waited < 1_000, "seed {seed}, step {step}: woken after {waited} ms");
            assert_eq!(errors(&answer), [ErrorCode::None; 2]);
        }
    }
}

#[test]
fn nobody_waits_for_more_than_a_partition_may_give() {
    in_every_mode(|bed, kafka| {
        for n in 0..3 {
            kafka.produce(bed, "t", 0, batch(&[vec![n; 6_000]]));
        }
        let core = kafka.leader(bed, "t", 0);
        let mut conn = bed.connect(core);
        let mut request =
            FetchRequest { max_wait_ms: 2_000, min_bytes: 10_000, ..fetch_request("t", 0, 0) };
        request.topics[0].partitions[0].partition_max_bytes = 10_000;
        // There is more, but the second batch does not fit: waiting does not change that.
        let (answer, waited) = timed(bed, &mut conn, &request, 11);
        assert_eq!(values(data(&answer)[0].1, 0).len(), 1);
        assert!(waited < 100, "{waited} ms");
        // Of the last there is no more.
        request.topics[0].partitions[0].fetch_offset = 2;
        let (answer, waited) = timed(bed, &mut conn, &request, 11);
        assert_eq!(values(data(&answer)[0].1, 2).len(), 1);
        assert!(waited >= 2_000, "{waited} ms");
    });
}

/// To delete all records of `t-0` before `offset`.
fn records_request(offset: i64) -> DeleteRecordsRequest<'static> {
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![DeleteRecordsPartition { partition_index: 0, offset }],
        }],
        timeout_ms: 30_000,
    }
}

fn delete_records(bed: &mut Bed, kafka: &mut Kafka, offset: i64) {
    let core = kafka.leader(bed, "t", 0);
    let answer = kafka.call(bed, core, &records_request(offset), 2);
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
}

/// A look-up by time goes to the disk. What is deleted meanwhile is not what it answers.
#[test]
fn a_look_up_by_time_says_what_is_there_at_its_end() {
    for seed in seeds(3) {
        let mut how = How::new(seed, 1);
        // What is sent first arrives first, on any connection.
        (how.sim.net.delay_ns, how.sim.net.slow) = ((10_000, 10_000), 0.0);
        let (mut bed, mut kafka, core) = with_topic(how);
        for n in 0..100 {
            kafka.produce(&mut bed, "t", 0, batch(&[vec![n; 50_000]]));
        }
        bed.sim.run_for(5 * SECOND_NS);
        let (mut reader, mut admin) = (bed.connect(core), bed.connect(core));
        let look_up = |topic: &str| ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.to_owned().into(),
                partitions: vec![ListOffsetsPartition {
                    partition_index: 0,
                    current_leader_epoch: -1,
                    timestamp: 0,
                }],
            }],
            ..Default::default()
        };
        let mut found = |bed: &mut Bed, topic: &str, step: u64, then: &dyn Fn(&mut Conn) -> i32| {
            let looked = reader.send(&look_up(topic), 7);
            bed.sim.run_for(step * 5_000);
            then(&mut admin);
            let mut frames = (None, None);
            bed.sim.run_until(60 * SECOND_NS, |_| {
                let deleted = frames.1.is_some();
                let looked = frames.0.take();
                frames.0 = looked.or_else(|| reader.poll().map(|f| (f, deleted)));
                frames.1 = frames.1.take().or_else(|| admin.poll());
                frames.0.is_some() && frames.1.is_some()
            });
            let (frame, deleted) = frames.0.unwrap();
            let mut answer = read_answer::<ListOffsetsRequest<'_>>(&frame, looked, 7);
            (answer.topics.remove(0).partitions.remove(0), deleted)
        };
        for step in 1..40 {
            let to = step as i64 * 2;
            let delete = records_request(to);
            let (answer, deleted) = found(&mut bed, "t", step, &|admin| admin.send(&delete, 2));
            assert_eq!(answer.error_code, 0);
            if deleted {
                assert_eq!(answer.offset, to, "seed {seed}, step {step}");
            }
        }
        for step in 0..12 {
            let topic = &format!("short-{step}");
            kafka.create_topic(&mut bed, topic, 1).unwrap();
            for n in 0..40 {
                kafka.produce(&mut bed, topic, 0, batch(&[vec![n; 50_000]]));
            }
            bed.sim.run_for(3 * SECOND_NS);
            let request = DeleteTopicsRequest {
                topics: vec![DeleteTopicState {
                    name: Some(topic.clone().into()),
                    topic_id: Uuid::default(),
                }],
                timeout_ms: 30_000,
                ..Default::default()
            };
            let (answer, deleted) =
                found(&mut bed, topic, step * 2, &|admin| admin.send(&request, 6));
            let error = ErrorCode::from_code(answer.error_code).unwrap();
            assert!([ErrorCode::None, UNKNOWN_NAME].contains(&error), "{error:?}");
            assert!(!deleted || error == UNKNOWN_NAME, "seed {seed}, step {step}");
        }
    }
}

/// How a long poll ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Deadline,
    /// Its client closes for writing.
    Finish,
    Stop,
}

#[test]
fn a_long_poll_says_what_is_there_at_its_end() {
    for end in [End::Deadline, End::Finish, End::Stop] {
        in_every_mode(|bed, kafka| {
            for n in 0..4 {
                kafka.produce(bed, "t", 0, batch(&[format!("{n}")]));
            }
            let core = kafka.leader(bed, "t", 0);
            let ask = |offset| FetchRequest {
                max_wait_ms: 5_000,
                min_bytes: 1 << 20,
                ..fetch_request("t", 0, offset)
            };
            let mut conns = [0, 3].map(|offset| {
                let mut conn = bed.connect(core);
                let id = conn.send(&ask(offset), 11);
                (conn, id)
            });
            bed.sim.run_for(SECOND_NS);
            delete_records(bed, kafka, 2);
            match end {
                End::Deadline => {}
                End::Finish => conns.iter().for_each(|(conn, _)| conn.client.finish()),
                End::Stop => bed.sim.stop(bed.node),
            }
            let mut answers = Vec::new();
            for (conn, id) in &mut conns {
                answers.push(bed.answer::<FetchRequest<'_>>(conn, *id, 11));
            }
            for (answer, is_deleted) in answers.into_iter().zip([true, false]) {
                let Some(answer) = answer else {
                    // Another core may have stopped before it could be asked: no answer is no wrong
                    // one.
                    let asks = bed.how.settings.single_port && bed.cores() > 1;
                    assert!(asks && matches!(end, End::Stop), "{end:?}: not answered");
                    continue;
                };
                let found = data(&answer)[0].1;
                if is_deleted {
                    assert_eq!(errors(&answer), [ErrorCode::OffsetOutOfRange], "{end:?}");
                    assert!(values(found, 0).is_empty());
                } else {
                    assert_eq!((found.error_code, found.log_start_offset), (0, 2), "{end:?}");
                    assert_eq!(values(found, 0), [(3, b"3".to_vec())]);
                }
            }
        });
    }
}

#[test]
fn who_goes_on_with_a_session_ends_what_waits_in_it() {
    in_every_mode(|bed, kafka| {
        let core = kafka.leader(bed, "t", 0);
        let mut one = bed.connect(core);
        let request = |epoch, session_id, max_wait_ms, topics| FetchRequest {
            session_id,
            session_epoch: epoch,
            max_wait_ms,
            topics,
            ..fetch_request("t", 0, 0)
        };
        let opened = bed.call(&mut one, &request(0, 0, 0, fetch_request("t", 0, 0).topics), 11);
        let session = opened.session_id;
        let waits = one.send(&request(1, session, 3_000, vec![]), 11);
        bed.sim.run_for(SECOND_NS);
        // With one port for several cores, a session is known to one of them.
        let (mut two, second) = loop {
            let mut two = bed.connect(core);
            let second = bed.call(&mut two, &request(2, session, 0, vec![]), 11);
            if second.error_code != ErrorCode::FetchSessionIdNotFound.code() {
                break (two, second);
            }
        };
        assert_eq!((second.error_code, second.session_id), (0, session));
        let late = bed.answer::<FetchRequest<'_>>(&mut one, waits, 11).unwrap();
        assert_eq!(late.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
        // A session that remembers nothing any more ends.
        let mut forget = request(3, session, 0, vec![]);
        forget.forgotten_topics_data = vec![wire::fetch::ForgottenTopic {
            topic: "t".into(),
            partitions: vec![0],
            ..Default::default()
        }];
        let ended = bed.call(&mut two, &forget, 11);
        assert_eq!((ended.error_code, ended.session_id), (0, 0));
        let gone = bed.call(&mut two, &request(4, session, 0, vec![]), 11);
        assert_eq!(gone.error_code, ErrorCode::FetchSessionIdNotFound.code());
    });
}

#[test]
fn a_partition_named_twice_is_fetched_as_named_last() {
    in_every_mode(|bed, kafka| {
        for n in 0..3 {
            kafka.produce(bed, "t", 0, batch(&[format!("{n}")]));
        }
        let core = kafka.leader(bed, "t", 0);
        let mut conn = bed.connect(core);
        for epoch in [-1, 0] {
            for topics in [
                vec![fetch_topic("t", &[(0, 0), (0, 2)])],
                vec![fetch_topic("t", &[(0, 0)]), fetch_topic("t", &[(0, 2)])],
            ] {
                let request =
                    FetchRequest { topics, session_epoch: epoch, ..fetch_request("t", 0, 0) };
                let answer = bed.call(&mut conn, &request, 11);
                assert_eq!(errors(&answer), [ErrorCode::None], "answered once");
                assert_eq!(values(data(&answer)[0].1, 0), [(2, b"2".to_vec())]);
            }
        }
    });
}

// ---- limits of size -----------------------------------------------------------------------------

const PARTITIONS: i32 = 8;

/// Single-port brokers with a topic "many" whose partitions are on all of their cores.
fn one_port(seed: u64, cores: u16) -> (Bed, Kafka, Conn) {
    let mut bed = Bed::start(How::new(seed, cores).single_port());
    let mut kafka = Kafka::default();
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "many".into(),
            num_partitions: PARTITIONS,
            replication_factor: 1,
            ..Default::default()
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    assert_eq!(kafka.call(&mut bed, 0, &request, 7).topics[0].error_code, 0);
    let conn = bed.connect(0);
    (bed, kafka, conn)
}

fn bytes_of(data: &PartitionData<'_>) -> usize {
    data.records.as_ref().map_or(0, |r| Records::contiguous(r).len())
}

/// A consumer in a session: goes on where it is, and counts its fetches that brought something of
/// each partition.
struct Consumer {
    session: (i32, i32),
    limits: (i32, i32),
    at: BTreeMap<i32, i64>,
    moved: Vec<(i32, i64)>,
    pub brought: BTreeMap<i32, usize>,
}

impl Consumer {
    fn new(limits: (i32, i32)) -> Self {
        Self {
            session: (0, 0),
            limits,
            at: (0..PARTITIONS).map(|p| (p, 0)).collect(),
            moved: (0..PARTITIONS).map(|p| (p, 0)).collect(),
            brought: BTreeMap::new(),
        }
    }

    /// One fetch; the bytes of records of each partition that had some, and how many batches.
    fn fetch(&mut self, bed: &mut Bed, conn: &mut Conn) -> Vec<(i32, usize, usize)> {
        let mut topic = fetch_topic("many", &std::mem::take(&mut self.moved));
        for partition in &mut topic.partitions {
            partition.partition_max_bytes = self.limits.1;
        }
        let request = FetchRequest {
            max_bytes: self.limits.0,
            session_id: self.session.0,
            session_epoch: self.session.1,
            topics: vec![topic],
            ..fetch_request("many", 0, 0)
        };
        let answer = bed.call(conn, &request, 11);
        assert_eq!(answer.error_code, 0);
        self.session = (answer.session_id, self.session.1 + 1);
        let mut got = Vec::new();
        for (_, data) in data(&answer) {
            let index = data.partition_index;
            let found = values(data, self.at[&index]);
            if let Some(last) = found.last() {
                self.at.insert(index, last.0 + 1);
                self.moved.push((index, last.0 + 1));
                *self.brought.entry(index).or_default() += 1;
                got.push((index, bytes_of(data), found.len()));
            }
        }
        got
    }
}

#[test]
fn one_batch_of_all_may_be_larger_than_the_request_allows() {
    for seed in seeds(2) {
        for cores in [1, 2, 4] {
            let (mut bed, mut kafka, mut conn) = one_port(seed, cores);
            for n in 0..3 {
                for partition in 0..PARTITIONS {
                    kafka.produce(&mut bed, "many", partition, batch(&[vec![n; 5_000]]));
                }
            }
            // Too large for the request, too large for a partition: the first that has something,
            // and each in its turn.
            for limits in [(1, 1 << 20), (0, 0), (50 << 20, 100)] {
                let mut consumer = Consumer::new(limits);
                for round in 0..3 * PARTITIONS {
                    let got = consumer.fetch(&mut bed, &mut conn);
                    let got: Vec<_> = got.iter().map(|g| (g.0, g.2)).collect();
                    assert_eq!(got, [(round % PARTITIONS, 1)], "{cores} cores, {limits:?}");
                }
                assert!(consumer.fetch(&mut bed, &mut conn).is_empty());
            }
            // What fits is brought, and no more.
            for max_bytes in [11_000, 40_000, 60_000] {
                let mut consumer = Consumer::new((max_bytes, 1 << 20));
                let mut batches = 0;
                for _ in 0..3 * PARTITIONS {
                    let got = consumer.fetch(&mut bed, &mut conn);
                    let bytes: usize = got.iter().map(|g| g.1).sum();
                    assert!(bytes <= max_bytes as usize, "{cores} cores: {bytes} of {max_bytes}");
                    batches += got.iter().map(|g| g.2).sum::<usize>();
                }
                assert_eq!(batches, 3 * PARTITIONS as usize, "{cores} cores, {max_bytes}");
            }
            // A fetch without a session has the order of its request.
            let mut request = fetch_request("many", 0, 0);
            request.max_bytes = 1;
            for first in 0..PARTITIONS {
                let order: Vec<_> =
                    (0..PARTITIONS).map(|n| ((first + n) % PARTITIONS, 0)).collect();
                request.topics = vec![fetch_topic("many", &order)];
                let answer = bed.call(&mut conn, &request, 11);
                let with = |d: &&(&FetchTopicAnswer, &PartitionData<'_>)| bytes_of(d.1) > 0;
                let data = data(&answer);
                let some: Vec<_> = data.iter().filter(with).map(|d| d.1.partition_index).collect();
                assert_eq!(some, [first], "{cores} cores");
            }
        }
    }
}

#[test]
fn large_batches_do_not_starve_behind_small_ones_of_other_cores() {
    for seed in seeds(2) {
        for cores in [1, 2, 4] {
            let (mut bed, mut kafka, mut conn) = one_port(seed, cores);
            const LARGE: i32 = 3;
            for n in 0..4 {
                kafka.produce(&mut bed, "many", LARGE, batch(&[vec![n; 50_000]]));
            }
            let mut consumer = Consumer::new((20_000, 1 << 20));
            for _ in 0..6 * PARTITIONS {
                for partition in (0..PARTITIONS).filter(|&p| p != LARGE) {
                    kafka.produce(&mut bed, "many", partition, batch(&[vec![7; 100]]));
                }
                let got = consumer.fetch(&mut bed, &mut conn);
                let large = got.iter().any(|g| g.0 == LARGE);
                let bytes: usize = got.iter().map(|g| g.1).sum();
                assert!(bytes <= if large { 50_200 } else { 20_000 }, "{got:?}");
            }
            assert_eq!(consumer.at[&LARGE], 4, "{cores} cores: {:?}", consumer.brought);
        }
    }
}

#[test]
fn what_the_others_leave_goes_to_who_has_more_than_its_share() {
    for seed in seeds(2) {
        for cores in [1, 2, 4] {
            let (mut bed, mut kafka, mut conn) = one_port(seed, cores);
            for partition in 0..4 {
                kafka.produce(&mut bed, "many", partition, batch(&[vec![1; 30_000]]));
            }
            let mut consumer = Consumer::new((100_000, 1 << 20));
            let mut brought = Vec::new();
            while let got = consumer.fetch(&mut bed, &mut conn)
                && !got.is_empty()
            {
                brought.push(got.iter().map(|g| g.2).sum::<usize>());
            }
            assert_eq!(brought, [3, 1], "{cores} cores: three fit into an answer");
        }
    }
}
