//! Kills and power cuts under load, and what must be there afterwards.
//!
//! Producers (idempotent ones that try again, plain ones that do not), consumers, committers of
//! offsets and an administrator work until a moment that the seed chooses; then the process is
//! killed, the power goes, or it is asked to stop. The host starts again, with as many cores as the
//! seed says and sometimes into another crash, and [`Model::check`] looks at all of it.
use crate::{
    bed::{Bed, Conn, How, SECOND_NS, read_answer, seeds},
    kafka::{
        self, Kafka, Producer, batch, commit_request, fetch_request, idempotent, produce_request,
    },
};
use schema::Random;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::{
    ErrorCode,
    create_topics::{CreatableTopic, CreateTopicsRequest},
    delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    fetch::FetchRequest,
    metadata::{MetadataRequest, MetadataRequestTopic},
    offset_commit::OffsetCommitRequest,
    produce::ProduceRequest,
};

const TOPICS: [&str; 2] = ["t0", "t1"];
const PARTITIONS: i32 = 3;
/// Longer than anything is on the wire.
const ANSWERS_TRAVEL_NS: u64 = 20_000_000;
/// Kafka's limit for idempotent producers.
const IN_FLIGHT: usize = 5;

/// `ListOffsetsRequest.EARLIEST_TIMESTAMP`
const EARLIEST: i64 = -2;

type Part = (usize, i32);

fn name_of(part: Part) -> &'static str {
    TOPICS[part.0]
}

/// What is known to be so, and what may be.
#[derive(Debug, Default)]
struct Model {
    /// Offsets that an ack or a consumer has shown, with their bytes: they stay so for ever.
    facts: BTreeMap<Part, BTreeMap<i64, Vec<u8>>>,
    /// Records of each producer that were sent, in order.
    sent: BTreeMap<usize, Vec<Vec<u8>>>,
    idempotent: BTreeSet<usize>,
    /// Acked and sent log starts (DeleteRecords).
    starts: BTreeMap<Part, (i64, i64)>,
    /// Acked and sent positions of groups.
    commits: BTreeMap<usize, (i64, i64)>,
    /// Topics of the administrator: true when they exist for sure, false when they do not; what is
    /// in doubt is not here.
    topics: BTreeMap<String, bool>,
}

impl Model {
    fn fact(&mut self, part: Part, offset: i64, value: &[u8], who: &str) {
        let known =
            self.facts.entry(part).or_default().entry(offset).or_insert_with(|| value.to_vec());
        assert!(
            known == value,
            "{part:?} offset {offset}: {who} has {}, and it was {}",
            show(value),
            show(known)
        );
    }

    /// Looks at everything, as a client that has just come.
    fn check(&mut self, bed: &mut Bed, kafka: &mut Kafka) {
        for topic in 0..TOPICS.len() {
            for partition in 0..PARTITIONS {
                let part = (topic, partition);
                let start = kafka.list_offset(bed, name_of(part), partition, EARLIEST).offset;
                let (acked, sent) = self.starts.entry(part).or_default();
                assert!(
                    (*acked..=*sent).contains(&start),
                    "{part:?} begins at {start}; {acked} was acked, {sent} sent"
                );
                *acked = start;
                let log = kafka.read_all(bed, name_of(part), partition, start);
                for ((offset, _), at) in log.iter().zip(start..) {
                    assert_eq!(*offset, at, "{part:?}: offsets have a gap or repeat");
                }
                for (offset, value) in self.facts.get(&part).into_iter().flatten() {
                    let Ok(at) = usize::try_from(offset - start) else {
                        continue;
                    };
                    let found = log.get(at).map(|(_, v)| v);
                    assert!(
                        found == Some(value),
                        "{part:?} offset {offset} of {} was acked or seen as {} and is {:?}",
                        log.len(),
                        show(value),
                        found.map(|v| show(v)),
                    );
                }
                self.check_order(part, &log);
                for (offset, value) in &log {
                    self.fact(part, *offset, value, "the checker");
                }
            }
        }
        for (group, (acked, sent)) in &mut self.commits {
            let found = kafka.committed(bed, &format!("group-{group}"), TOPICS[0], 0).unwrap();
            assert!(
                (*acked..=*sent).contains(&found),
                "group {group} is at {found}; {acked} was acked, {sent} sent"
            );
            // What was seen is committed for good.
            *acked = found;
        }
        for (topic, exists) in &self.topics {
            let asked =
                MetadataRequestTopic { name: Some(topic.clone().into()), ..Default::default() };
            let request = MetadataRequest {
                topics: Some(vec![asked]),
                allow_auto_topic_creation: false,
                ..Default::default()
            };
            let code = kafka.call(bed, 0, &request, 9).topics[0].error_code;
            let wanted = if *exists { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            assert_eq!(ErrorCode::from_code(code), Some(wanted), "topic {topic}");
        }
    }

    /// Records of a producer are in the order in which it sent them, each at most once; an
    /// idempotent one's without a hole.
    fn check_order(&self, part: Part, log: &[(i64, Vec<u8>)]) {
        let mut next: BTreeMap<usize, usize> = BTreeMap::new();
        for (offset, value) in log {
            let (producer, number) = parse(value);
            let sent = self.sent.get(&producer).and_then(|s| s.get(number));
            assert!(
                sent == Some(value),
                "{part:?} offset {offset}: {} was never sent so",
                show(value)
            );
            // What was before the log's start is not known here.
            let first = if log[0].0 > 0 { number } else { 0 };
            let next = next.entry(producer).or_insert(first);
            let right =
                if self.idempotent.contains(&producer) { number == *next } else { number >= *next };
            assert!(
                right,
                "{part:?} offset {offset}: {} where producer {producer} was at {next}",
                show(value)
            );
            *next = number + 1;
        }
    }
}

fn show(value: &[u8]) -> String {
    format!(
        "{} ({} bytes)",
        String::from_utf8_lossy(value.split(|&b| b == b' ').next().unwrap_or_default()),
        value.len()
    )
}

/// Producer and number of a record made by [`Work::values`].
fn parse(value: &[u8]) -> (usize, usize) {
    let text = value.split(|&b| b == b' ').next().and_then(|head| str::from_utf8(head).ok());
    let parsed = text
        .and_then(|t| t.split_once('-'))
        .and_then(|(p, n)| Some((p.parse().ok()?, n.parse().ok()?)));
    parsed.unwrap_or_else(|| panic!("a record that nobody made: {}", show(value)))
}

/// A batch that a producer has made and that was not acked.
struct Made {
    /// Number of its first record of this producer.
    first: usize,
    count: usize,
}

enum Work {
    Produce {
        part: Part,
        /// An idempotent one's id.
        id: Option<Producer>,
        /// Oldest first; the first `asked` of them have been sent on this connection.
        unacked: VecDeque<Made>,
        asked: usize,
        /// An answer was an error: nothing new is sent until the rest of the answers has come.
        failed: bool,
        large: bool,
    },
    Consume {
        part: Part,
        at: i64,
    },
    Commit {
        next: i64,
    },
    /// Moves the log's start.
    Trim {
        part: Part,
    },
    Administer {
        asked: Option<(String, bool)>,
        next: usize,
    },
}

struct Actor {
    number: usize,
    work: Work,
    conn: Option<Conn>,
    /// Correlation ids and API versions of requests under way.
    under_way: VecDeque<i32>,
    frame: Option<Vec<u8>>,
}

impl Actor {
    fn new(number: usize, work: Work) -> Self {
        Self { number, work, conn: None, under_way: VecDeque::new(), frame: None }
    }

    /// The core it talks to.
    fn home(&self, bed: &mut Bed, kafka: &mut Kafka) -> u16 {
        match &self.work {
            Work::Produce { part, .. } | Work::Consume { part, .. } | Work::Trim { part } => {
                kafka.leader(bed, name_of(*part), part.1)
            }
            Work::Commit { .. } => kafka.coordinator(bed, &format!("group-{}", self.number)),
            Work::Administer { .. } => bed.cores() - 1,
        }
    }

    /// The broker went away: what was under way is in doubt.
    fn disconnect(&mut self, model: &mut Model) {
        self.conn = None;
        self.under_way.clear();
        self.frame = None;
        match &mut self.work {
            Work::Produce { id, unacked, asked, failed, .. } => {
                if id.is_none() {
                    unacked.clear();
                }
                (*asked, *failed) = (0, false);
            }
            Work::Administer { asked, .. } => {
                if let Some((topic, _)) = asked.take() {
                    model.topics.remove(&topic);
                }
            }
            Work::Consume { .. } | Work::Commit { .. } | Work::Trim { .. } => {}
        }
    }

    fn wakes(&mut self) -> bool {
        let Some(conn) = &mut self.conn else {
            return false;
        };
        if self.frame.is_none() {
            self.frame = conn.poll();
        }
        self.frame.is_some() || conn.client.ended().is_some()
    }

    /// Takes the answers that have arrived.
    fn hear(&mut self, model: &mut Model) {
        let Some(conn) = &mut self.conn else { return };
        while let Some(frame) = self.frame.take().or_else(|| conn.poll()) {
            let id = self.under_way.pop_front().expect("an answer to a request");
            answered(&mut self.work, self.number, &frame, id, model);
        }
    }

    fn step(&mut self, model: &mut Model, random: &mut Random) {
        self.hear(model);
        let Some(conn) = &mut self.conn else { return };
        assert_eq!(conn.client.ended(), None, "actor {}: the connection was closed", self.number);
        while let Some(id) = ask(&mut self.work, self.number, conn, &self.under_way, model, random)
        {
            self.under_way.push_back(id);
        }
    }
}

fn values_of(model: &Model, number: usize, made: &Made) -> Vec<Vec<u8>> {
    model.sent[&number][made.first..made.first + made.count].to_vec()
}

/// Takes an answer.
fn answered(work: &mut Work, number: usize, frame: &[u8], id: i32, model: &mut Model) {
    match work {
        Work::Produce { part, id: producer, unacked, asked, failed, .. } => {
            let answer = read_answer::<ProduceRequest<'_>>(frame, id, 9);
            let answer = &answer.responses[0].partition_responses[0];
            let again = *failed || *asked == 0;
            *asked = asked.saturating_sub(usize::from(!again));
            if answer.error_code == 0 && !again {
                let made = unacked.pop_front().expect("a batch for each ack");
                for (value, offset) in
                    values_of(model, number, &made).iter().zip(answer.base_offset..)
                {
                    model.fact(*part, offset, value, "an ack");
                }
            } else if !again {
                let retriable =
                    [ErrorCode::NotEnoughReplicas.code(), ErrorCode::RequestTimedOut.code()];
                assert!(retriable.contains(&answer.error_code), "producer {number}: {answer:?}");
                *failed = true;
                if producer.is_none() {
                    unacked.pop_front();
                }
            }
        }
        Work::Consume { part, at } => {
            let answer = read_answer::<FetchRequest<'_>>(frame, id, 11);
            let data = &answer.responses[0].partitions[0];
            let start = model.starts.get(part).map_or(0, |s| s.1);
            if data.error_code == ErrorCode::OffsetOutOfRange.code() && *at < start {
                *at = start;
                return;
            }
            assert_eq!(data.error_code, 0, "consumer {number} at {at} of {part:?}: {data:?}");
            for (offset, value) in kafka::values(data, *at) {
                assert_eq!(offset, *at, "consumer {number} of {part:?}");
                model.fact(*part, offset, &value, "a consumer");
                *at += 1;
            }
        }
        Work::Trim { part } => {
            let answer = read_answer::<DeleteRecordsRequest<'_>>(frame, id, 2);
            let trimmed = &answer.topics[0].partitions[0];
            let (acked, sent) = model.starts.entry(*part).or_default();
            assert_eq!((trimmed.error_code, trimmed.low_watermark), (0, *sent));
            *acked = trimmed.low_watermark;
        }
        Work::Commit { next } => {
            let answer = read_answer::<OffsetCommitRequest<'_>>(frame, id, 8);
            let code = answer.topics[0].partitions[0].error_code;
            let code = ErrorCode::from_code(code).unwrap();
            if code == ErrorCode::None {
                model.commits.entry(number).or_insert((-1, -1)).0 = *next;
                *next += 1;
            } else {
                assert!(code.is_retriable(), "committer {number}: {code:?}");
            }
        }
        Work::Administer { asked, .. } => {
            let (topic, made) = asked.take().expect("an answer to a request");
            let code = if made {
                read_answer::<CreateTopicsRequest<'_>>(frame, id, 7).topics[0].error_code
            } else {
                read_answer::<DeleteTopicsRequest<'_>>(frame, id, 6).responses[0].error_code
            };
            assert_eq!(code, 0, "{topic}, made: {made}");
            model.topics.insert(topic, made);
        }
    }
}

/// Sends the next request, if it may be now.
fn ask(
    work: &mut Work,
    number: usize,
    conn: &mut Conn,
    under_way: &VecDeque<i32>,
    model: &mut Model,
    random: &mut Random,
) -> Option<i32> {
    match work {
        Work::Produce { part, id, unacked, asked, failed, large } => {
            if *failed {
                if !under_way.is_empty() {
                    return None;
                }
                (*failed, *asked) = (false, 0);
            }
            if under_way.len() >= if id.is_some() { IN_FLIGHT } else { 1 } {
                return None;
            }
            if *asked == unacked.len() {
                let all = model.sent.entry(number).or_default();
                let made = Made { first: all.len(), count: 1 + random.below(4) };
                for n in made.first..made.first + made.count {
                    let size = match random.below(40) {
                        0 if *large => 60_000,
                        1..=4 => 3_000,
                        _ => random.below(200),
                    };
                    all.push(format!("{number}-{n} {}", "x".repeat(size)).into_bytes());
                }
                unacked.push_back(made);
            }
            let made = &unacked[*asked];
            let values = values_of(model, number, made);
            let records = match id {
                Some(id) => idempotent(*id, made.first as i32, &values),
                None => batch(&values),
            };
            *asked += 1;
            let acks = if random.below(3) == 0 { 1 } else { -1 };
            Some(conn.send(&produce_request(name_of(*part), part.1, acks, records), 9))
        }
        _ if !under_way.is_empty() => None,
        Work::Consume { part, at } => {
            let request =
                FetchRequest { max_wait_ms: 20, ..fetch_request(name_of(*part), part.1, *at) };
            Some(conn.send(&request, 11))
        }
        Work::Trim { part } => {
            let (first, last) =
                (model.starts.get(part).map_or(0, |s| s.1), model.facts.get(part)?.keys().last()?);
            let offset = first + (last - first) / (4 + random.below(40) as i64);
            model.starts.entry(*part).or_default().1 = offset;
            let partitions = vec![DeleteRecordsPartition { partition_index: part.1, offset }];
            let topics = vec![DeleteRecordsTopic { name: name_of(*part).into(), partitions }];
            Some(conn.send(&DeleteRecordsRequest { topics, timeout_ms: 30_000 }, 2))
        }
        Work::Commit { next } => {
            model.commits.entry(number).or_insert((-1, -1)).1 = *next;
            Some(conn.send(
                &commit_request(&format!("group-{number}"), (-1, ""), TOPICS[0], 0, *next),
                8,
            ))
        }
        Work::Administer { asked, next } => {
            let living: Vec<&String> =
                model.topics.iter().filter(|(_, exists)| **exists).map(|(t, _)| t).collect();
            if living.len() > 4 || (!living.is_empty() && random.below(3) == 0) {
                let topic = living[random.below(living.len())].clone();
                *asked = Some((topic.clone(), false));
                let topics =
                    vec![DeleteTopicState { name: Some(topic.into()), ..Default::default() }];
                return Some(conn.send(
                    &DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() },
                    6,
                ));
            }
            // A name that was deleted is taken again now and then.
            let name = |n: usize| format!("a{n}");
            let free = (0..*next)
                .map(name)
                .find(|t| model.topics.get(t) == Some(&false))
                .filter(|_| random.below(2) == 0);
            let topic = free.unwrap_or_else(|| {
                *next += 1;
                name(*next - 1)
            });
            *asked = Some((topic.clone(), true));
            let topics = vec![CreatableTopic {
                name: topic.into(),
                num_partitions: 2,
                replication_factor: 1,
                ..Default::default()
            }];
            Some(
                conn.send(
                    &CreateTopicsRequest { topics, timeout_ms: 30_000, validate_only: false },
                    7,
                ),
            )
        }
    }
}

/// One world from its first start to its last check. Gives the hash of the run and what it proved.
fn live(seed: u64, rounds: usize) -> (u64, String) {
    let mut random = Random(seed ^ 0x5eed);
    let mut how = How::new(seed, 1 + random.below(3) as u16);
    how.settings.single_port = random.below(2) == 0;
    let mut bed = Bed::start(how);
    let mut kafka = Kafka::default();
    let mut model = Model::default();
    for topic in TOPICS {
        kafka.create_topic(&mut bed, topic, PARTITIONS).unwrap();
    }
    // The second has many small segments.
    kafka.set_config(&mut bed, TOPICS[1], "segment.ms", "15");
    let mut actors = Vec::new();
    for number in 0..11 {
        let part = (random.below(TOPICS.len()), random.below(PARTITIONS as usize) as i32);
        let work = match number {
            0..=4 => {
                let id = (number < 3).then(|| kafka.producer(&mut bed));
                if id.is_some() {
                    model.idempotent.insert(number);
                }
                Work::Produce {
                    part,
                    id,
                    unacked: VecDeque::new(),
                    asked: 0,
                    failed: false,
                    large: number % 2 == 0,
                }
            }
            5 | 6 => Work::Consume { part, at: 0 },
            7 | 8 => Work::Commit { next: 0 },
            9 => Work::Trim { part },
            _ => Work::Administer { asked: None, next: 0 },
        };
        actors.push(Actor::new(number, work));
    }
    for round in 0..rounds {
        for actor in &mut actors {
            let core = actor.home(&mut bed, &mut kafka);
            actor.conn = Some(bed.connect(core));
        }
        let end = bed.sim.now()
            + random.next_u64() % [10_000_000, 100_000_000, SECOND_NS][random.below(3)];
        while bed.sim.now() < end {
            for actor in &mut actors {
                actor.step(&mut model, &mut random);
            }
            bed.sim.run_until(end - bed.sim.now(), |_| actors.iter_mut().any(Actor::wakes));
        }
        fall(&mut bed, &mut random);
        // Answers that left before count.
        bed.sim.run_for(ANSWERS_TRAVEL_NS);
        for actor in &mut actors {
            actor.hear(&mut model);
            actor.disconnect(&mut model);
        }
        bed.how.settings.cores = 1 + random.below(3) as u16;
        while random.below(4) == 0 {
            bed.begin_restart();
            bed.sim.run_for(random.next_u64() % 30_000_000);
            fall(&mut bed, &mut random);
        }
        let fallen = bed.sim.now();
        bed.restart();
        let up = bed.sim.now();
        model.check(&mut bed, &mut kafka);
        let ms = |from: u64, to: u64| (to - from) / 1_000_000;
        println!(
            "seed {seed} round {round}: down at {} ms, {} cores up in {} ms, looked at in {} ms",
            ms(0, fallen),
            bed.how.settings.cores,
            ms(fallen, up),
            ms(up, bed.sim.now()),
        );
    }
    let records: usize = model.facts.values().map(BTreeMap::len).sum();
    let commits: i64 = model.commits.values().map(|c| c.0 + 1).sum();
    (
        bed.sim.trace_hash(),
        format!(
            "{records} records, {commits} commits, {} topics, {} ms",
            model.topics.len(),
            bed.sim.now() / 1_000_000
        ),
    )
}

/// The end of a process, one way or another.
fn fall(bed: &mut Bed, random: &mut Random) {
    match random.below(5) {
        0 => {
            bed.sim.stop(bed.node);
            let node = bed.node;
            // Sometimes in the middle of stopping.
            let patience =
                if random.below(2) == 0 { random.next_u64() % 20_000_000 } else { 60 * SECOND_NS };
            bed.sim.run_until(patience, |sim| sim.has_ended(node));
            bed.sim.power_cut(node);
        }
        1 | 2 => bed.sim.kill(bed.node),
        _ => bed.sim.power_cut(bed.node),
    }
}

#[test]
fn nothing_acked_is_lost_whatever_happens_to_the_process() {
    for seed in seeds(4) {
        let (_, what) = live(seed, 3);
        println!("seed {seed}: {what}");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let seed = seeds(1).start;
    assert_eq!(live(seed, 2), live(seed, 2));
}
