//! Runs named cases side by side, each within its time, and helps them with clients and checks.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message, OwnedMessage};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

/// Answers from a broker take at most this long.
pub const PATIENCE: Duration = Duration::from_secs(30);

type Body = fn() -> String;

#[derive(Default)]
pub struct Cases(Vec<(&'static str, u64, Body)>);

impl Cases {
    /// A case that is done within a minute, or has failed. It fails by panic.
    pub fn add(&mut self, name: &'static str, body: Body) {
        self.add_within(name, 60, body);
    }

    pub fn add_within(&mut self, name: &'static str, seconds: u64, body: Body) {
        if environment("CLIENT_CASE", "").split(',').any(|part| name.contains(part)) {
            self.0.push((name, seconds, body));
        }
    }

    pub fn run(self) {
        // The panic's text goes into the case's line, with its place.
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map(|at| format!(" ({}:{})", at.file(), at.line()));
            let text = info.payload().downcast_ref::<String>().cloned();
            let text = text
                .or_else(|| info.payload().downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = format!("{}{}", text.unwrap_or_default(), place.unwrap_or_default());
            PANIC.with(|cell| cell.replace(text));
        }));
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        println!("CLIENT rdkafka 0.39.0, librdkafka {librdkafka}");
        for (name, _, _) in &self.0 {
            println!("PLAN {name}");
        }
        let jobs = environment("CLIENT_JOBS", "6").parse().expect("CLIENT_JOBS is a number");
        let queue = Arc::new(Mutex::new(self.0.into_iter()));
        let workers: Vec<_> = (0..jobs)
            .map(|_: usize| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || {
                    loop {
                        let next = queue.lock().expect("queue").next();
                        let Some((name, seconds, body)) = next else {
                            break;
                        };
                        run_one(name, seconds, body);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("a worker only waits");
        }
        // A case that hangs must not keep the program alive.
        std::process::exit(0);
    }
}

thread_local! {
    static PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

fn run_one(name: &'static str, seconds: u64, body: Body) {
    let start = Instant::now();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let outcome = std::panic::catch_unwind(body);
        let _ = sender.send(outcome.map_err(|_| PANIC.with(|cell| cell.take())));
    });
    let (word, text) = match receiver.recv_timeout(Duration::from_secs(seconds)) {
        Ok(Ok(remark)) => ("ok", remark),
        Ok(Err(text)) => ("fail", text),
        Err(_) => ("fail", format!("not done within {seconds} s")),
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut text = words.join(" ");
    if text.chars().count() > 1000 {
        text = text.chars().take(1000).collect();
    }
    println!("CASE {name} {word} {} {text}", start.elapsed().as_millis());
}

pub fn environment(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

pub fn millrace() -> bool {
    environment("CLIENT_PEER", "millrace") == "millrace"
}

pub fn unique(what: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(what) & 0xffff_ffff;
    format!("rust-{what}-{random:08x}")
}

pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_millis().try_into().expect("fits")
}

/// Asks again until it is so; the case's own time limits it.
pub fn eventually(mut truth: impl FnMut() -> bool) {
    while !truth() {
        thread::sleep(Duration::from_millis(20));
    }
}

pub fn refused<T: Debug>(expected: RDKafkaErrorCode, got: KafkaResult<T>) {
    match got {
        Err(KafkaError::AdminOp(code)) => assert_eq!(code, expected),
        Err(error) => assert_eq!(error.rdkafka_error_code(), Some(expected), "{error}"),
        Ok(value) => panic!("expected {expected:?}, got {value:?}"),
    }
}

// Clients

pub fn config(pairs: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", environment("CLIENT_BOOTSTRAP", "127.0.0.1:9092"));
    for (key, value) in pairs {
        config.set(*key, *value);
    }
    config
}

/// Keeps what became of each message, in the order of the answers.
#[derive(Default)]
pub struct Deliveries(pub Mutex<Vec<Result<OwnedMessage, KafkaError>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let kept = match result {
            Ok(message) => Ok(message.detach()),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().expect("deliveries").push(kept);
    }
}

pub type Sender = ThreadedProducer<Deliveries>;

/// A producer whose retries cannot change the order: idempotent, or one request at a time.
pub fn producer(pairs: &[(&str, &str)]) -> Sender {
    let mut config = config(&[("linger.ms", "2"), ("message.timeout.ms", "40000")]);
    if pairs.iter().any(|(key, _)| *key == "acks") {
        config.set("max.in.flight", "1");
    } else {
        config.set("enable.idempotence", "true");
    }
    for (key, value) in pairs {
        config.set(*key, *value);
    }
    config.create_with_context(Deliveries::default()).expect("producer")
}

/// Waits for all answers and returns what became of the messages since the last call.
pub fn flush(producer: &Sender) -> Vec<Result<OwnedMessage, KafkaError>> {
    producer.flush(Duration::from_secs(40)).expect("flush");
    std::mem::take(&mut *producer.context().0.lock().expect("deliveries"))
}

pub fn consumer(pairs: &[(&str, &str)]) -> BaseConsumer {
    let group = unique("group");
    let mut config = config(&[
        ("group.id", &group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ]);
    for (key, value) in pairs {
        config.set(*key, *value);
    }
    config.create().expect("consumer")
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    config(&[]).create().expect("admin")
}

pub fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

// Topics and records

pub fn create(
    name: &str,
    partitions: i32,
    replicas: i32,
    configs: &[(&str, &str)],
) -> KafkaResult<()> {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
    for (key, value) in configs {
        topic = topic.set(key, value);
    }
    let done = block_on(admin().create_topics([&topic], &options()))?;
    match done.into_iter().next().expect("one answer") {
        Ok(_) => Ok(()),
        Err((_, code)) => Err(KafkaError::AdminOp(code)),
    }
}

/// Creates a topic and waits until every partition has a leader that serves it.
pub fn topic(what: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
    let name = unique(what);
    create(&name, partitions, 1, configs).expect("create topic");
    await_topic(&name, partitions);
    name
}

pub fn await_topic(name: &str, partitions: i32) {
    let asking = consumer(&[]);
    for partition in 0..partitions {
        eventually(|| asking.fetch_watermarks(name, partition, PATIENCE).is_ok());
    }
}

/// Sends records "k-n" / "v-n", n counted from `from`, round the partitions; all must arrive.
pub fn send_by(producer: &Sender, name: &str, partitions: i32, from: i32, count: i32) -> Vec<i64> {
    for n in from..from + count {
        let (key, value) = (format!("k-{n}"), format!("v-{n}"));
        let record = BaseRecord::to(name).partition(n % partitions).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("queue");
    }
    let done = flush(producer);
    assert_eq!(done.len(), usize::try_from(count).expect("positive"), "deliveries");
    done.into_iter().map(|one| one.expect("delivered").offset()).collect()
}

pub fn send(name: &str, partitions: i32, count: i32) {
    send_by(&producer(&[]), name, partitions, 0, count);
}

pub fn from(name: &str, partitions: i32, at: i64) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(name, partition, Offset::Offset(at)).expect("offset");
    }
    list
}

/// Exactly `count` messages.
pub fn take(consumer: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let mut messages = Vec::new();
    while messages.len() < count {
        if let Some(message) = consumer.poll(Duration::from_millis(500)) {
            messages.push(message.expect("message").detach());
        }
    }
    messages
}

pub fn read_all(name: &str, partitions: i32, count: usize) -> Vec<OwnedMessage> {
    let consumer = consumer(&[]);
    consumer.assign(&from(name, partitions, 0)).expect("assign");
    let messages = take(&consumer, count);
    assert!(consumer.poll(Duration::from_millis(200)).is_none(), "messages too many");
    messages
}

pub fn text(bytes: Option<&[u8]>) -> Option<&str> {
    bytes.map(|bytes| std::str::from_utf8(bytes).expect("text"))
}

/// Checks records of `send`: offsets without gaps, numbers in order per partition.
pub fn check_sent(messages: &[OwnedMessage], partitions: i32) {
    let mut next = HashMap::new();
    for one in messages {
        let offset = next.entry(one.partition()).or_insert(0);
        assert_eq!(one.offset(), *offset, "offset in partition {}", one.partition());
        *offset += 1;
        let n = one.offset() * i64::from(partitions) + i64::from(one.partition());
        assert_eq!(text(one.key()), Some(format!("k-{n}").as_str()), "key");
        assert_eq!(text(one.payload()), Some(format!("v-{n}").as_str()), "value");
    }
}
