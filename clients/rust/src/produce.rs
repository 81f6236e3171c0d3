//! Producing: acks, idempotence, codecs, headers, time stamps, sizes.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseRecord, Producer};

use crate::kit::*;

pub fn add(cases: &mut Cases) {
    cases.add("produce_acks_0", || acks("0"));
    cases.add("produce_acks_1", || acks("1"));
    cases.add("produce_acks_all", || acks("all"));
    cases.add("produce_idempotent", idempotent);
    cases.add("produce_batches", batches);
    cases.add("codec_gzip", || codec("gzip"));
    cases.add("codec_snappy", || codec("snappy"));
    cases.add("codec_lz4", || codec("lz4"));
    cases.add("codec_zstd", || codec("zstd"));
    cases.add("headers_and_null_values", headers);
    cases.add("timestamps", timestamps);
    cases.add("large_message", large);
    cases.add("message_too_large_error", too_large);
    cases.add("auto_create", auto_create);
    cases.add("transaction_refused_fast", transaction);
}

fn acks(level: &str) -> String {
    let name = topic("acks", 3, &[]);
    send_by(&producer(&[("acks", level)]), &name, 3, 0, 300);
    check_sent(&read_all(&name, 3, 300), 3);
    String::new()
}

fn idempotent() -> String {
    let name = topic("idempotent", 1, &[]);
    let producer = producer(&[("batch.num.messages", "10"), ("linger.ms", "0")]);
    let mut offsets = send_by(&producer, &name, 1, 0, 1000);
    // Two threads take the answers: the producer's own, and the one that flushes.
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq(0..1000), "acked offsets");
    check_sent(&read_all(&name, 1, 1000), 1);
    String::new()
}

fn batches() -> String {
    let name = topic("batches", 2, &[]);
    let producer = producer(&[("linger.ms", "20"), ("batch.size", "500000")]);
    send_by(&producer, &name, 2, 0, 20_000);
    check_sent(&read_all(&name, 2, 20_000), 2);
    String::new()
}

fn codec(kind: &str) -> String {
    let name = topic(kind, 1, &[]);
    let producer = producer(&[("compression.type", kind), ("linger.ms", "50")]);
    let value = |n: usize| format!("{n}{}", "abcdefgh".repeat(40));
    for n in 0..2000 {
        let value = value(n);
        let record = BaseRecord::<(), _>::to(&name).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("queue");
    }
    assert!(flush(&producer).iter().all(Result::is_ok), "deliveries");
    for (n, one) in read_all(&name, 1, 2000).iter().enumerate() {
        assert_eq!(text(one.payload()), Some(value(n).as_str()));
    }
    String::new()
}

fn headers() -> String {
    let name = topic("headers", 1, &[]);
    let sent = [("twice", Some("1")), ("twice", Some("2")), ("null", None), ("empty", Some(""))];
    let mut headers = OwnedHeaders::new();
    for (key, value) in sent {
        headers = headers.insert(Header { key, value });
    }
    let producer = producer(&[]);
    let first = BaseRecord::<(), str>::to(&name).payload("").headers(headers);
    producer.send(first).map_err(|(error, _)| error).expect("queue");
    let second = BaseRecord::<str, ()>::to(&name).key("key");
    producer.send(second).map_err(|(error, _)| error).expect("queue");
    flush(&producer);
    let read = read_all(&name, 1, 2);
    let headers = read[0].headers().expect("headers");
    let got: Vec<_> = headers.iter().map(|one| (one.key, text(one.value))).collect();
    assert_eq!(got, sent);
    assert_eq!((read[0].key(), text(read[0].payload())), (None, Some("")));
    assert_eq!((text(read[1].key()), read[1].payload()), (Some("key"), None));
    String::new()
}

fn timestamps() -> String {
    const EARLY: i64 = 1_500_000_000_000;
    let created = topic("created", 1, &[]);
    let appended = topic("appended", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let producer = producer(&[]);
    let before = now_ms();
    for name in [&created, &appended] {
        let record = BaseRecord::<(), str>::to(name).payload("x").timestamp(EARLY);
        producer.send(record).map_err(|(error, _)| error).expect("queue");
    }
    flush(&producer);
    let after = now_ms();
    assert_eq!(read_all(&created, 1, 1)[0].timestamp(), Timestamp::CreateTime(EARLY));
    match read_all(&appended, 1, 1)[0].timestamp() {
        Timestamp::LogAppendTime(at) => assert!((before..=after).contains(&at), "{at}"),
        other => panic!("not LogAppendTime: {other:?}"),
    }
    String::new()
}

fn put(producer: &Sender, name: &str, value: &[u8]) -> Result<(), rdkafka::error::KafkaError> {
    let record = BaseRecord::<(), [u8]>::to(name).payload(value);
    producer.send(record).map_err(|(error, _)| error).expect("queue");
    flush(producer).pop().expect("one delivery").map(drop)
}

fn large() -> String {
    let name = topic("large", 1, &[]);
    let value: Vec<u8> = (0..1_000_000u32).map(|n| n.wrapping_mul(2_654_435_761) as u8).collect();
    let producer = producer(&[("message.max.bytes", "2000000")]);
    for _ in 0..5 {
        put(&producer, &name, &value).expect("delivered");
    }
    for one in read_all(&name, 1, 5) {
        assert!(one.payload() == Some(&value), "content differs");
    }
    String::new()
}

fn too_large() -> String {
    let name = topic("too-large", 1, &[("max.message.bytes", "50000")]);
    let producer = producer(&[("message.max.bytes", "10000000")]);
    refused(RDKafkaErrorCode::MessageSizeTooLarge, put(&producer, &name, &[0; 60_000]));
    put(&producer, &name, &[0; 40_000]).expect("delivered");
    let read = read_all(&name, 1, 1);
    assert_eq!(read[0].payload().map(<[u8]>::len), Some(40_000));
    String::new()
}

fn auto_create() -> String {
    let name = unique("auto-create");
    send(&name, 1, 10);
    check_sent(&read_all(&name, 1, 10), 1);
    String::new()
}

fn transaction() -> String {
    let producer = producer(&[("transactional.id", &unique("txn"))]);
    if millrace() {
        let error = producer.init_transactions(std::time::Duration::from_secs(50));
        let error = error.expect_err("init_transactions succeeded");
        let rdkafka::error::KafkaError::Transaction(told) = &error else {
            return format!("refused: {error}");
        };
        assert!(!told.is_retriable(), "a retriable error: {error}");
        return format!("refused: {error}");
    }
    let name = topic("transaction", 1, &[]);
    producer.init_transactions(PATIENCE).expect("init");
    producer.begin_transaction().expect("begin");
    put(&producer, &name, b"x").expect("delivered");
    producer.commit_transaction(PATIENCE).expect("commit");
    let reader = consumer(&[("isolation.level", "read_committed")]);
    rdkafka::consumer::Consumer::assign(&reader, &from(&name, 1, 0)).expect("assign");
    assert_eq!(take(&reader, 1)[0].payload(), Some(b"x".as_slice()));
    "served: this broker has transactions".to_owned()
}
