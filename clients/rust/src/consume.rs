//! Consuming: positions, offsets by time, long polls, sessions, limits.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};

use crate::admin::delete_before;
use crate::kit::*;

pub fn add(cases: &mut Cases) {
    cases.add("consume_from_beginning", beginning);
    cases.add("consume_from_timestamp", from_timestamp);
    cases.add("list_offsets_earliest", || watermarks(|low, _| assert_eq!(low, 30)));
    cases.add("list_offsets_latest", || watermarks(|_, high| assert_eq!(high, 100)));
    cases.add("seek", seek);
    cases.add("long_poll", long_poll);
    cases.add("fetch_many_partitions", many_partitions);
    cases.add("fetch_max_bytes", max_bytes);
    cases.add("offset_out_of_range", out_of_range);
    cases.add("read_committed", read_committed);
}

fn beginning() -> String {
    let name = topic("beginning", 4, &[]);
    send(&name, 4, 4000);
    check_sent(&read_all(&name, 4, 4000), 4);
    String::new()
}

const EARLY: i64 = 1_600_000_000_000;
const HOUR: i64 = 3_600_000;

/// 100 records an hour apart.
fn hourly() -> String {
    let name = topic("hourly", 1, &[("retention.ms", "-1")]);
    let producer = producer(&[("batch.num.messages", "5")]);
    for n in 0..100 {
        let value = format!("v-{n}");
        let record = BaseRecord::<(), _>::to(&name).payload(&value).timestamp(EARLY + HOUR * n);
        producer.send(record).map_err(|(error, _)| error).expect("queue");
    }
    assert!(flush(&producer).iter().all(Result::is_ok), "deliveries");
    name
}

fn from_timestamp() -> String {
    let name = hourly();
    let consumer = consumer(&[]);
    let offset_at = |time: i64| {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&name, 0, Offset::Offset(time)).expect("offset");
        let found = consumer.offsets_for_times(asked, PATIENCE).expect("offsets for times");
        found.elements()[0].offset()
    };
    for n in [0, 1, 42, 99] {
        assert_eq!(offset_at(EARLY + HOUR * n - 1), Offset::Offset(n));
    }
    assert_eq!(offset_at(EARLY + HOUR * 2000), Offset::End);
    consumer.assign(&from(&name, 1, 42)).expect("assign");
    assert_eq!(take(&consumer, 58)[0].payload(), Some(b"v-42".as_slice()));
    String::new()
}

fn watermarks(check: fn(i64, i64)) -> String {
    let name = hourly();
    delete_before(&name, 30).expect("delete records");
    let (low, high) = consumer(&[]).fetch_watermarks(&name, 0, PATIENCE).expect("watermarks");
    check(low, high);
    String::new()
}

fn seek() -> String {
    let name = topic("seek", 1, &[]);
    send(&name, 1, 500);
    let consumer = consumer(&[]);
    consumer.assign(&from(&name, 1, 0)).expect("assign");
    take(&consumer, 1);
    for at in [250, 499, 1, 0, 333] {
        consumer.seek(&name, 0, Offset::Offset(at), PATIENCE).expect("seek");
        let first = take(&consumer, 1).remove(0);
        assert_eq!(first.offset(), at);
        assert_eq!(text(first.payload()), Some(format!("v-{at}").as_str()));
    }
    String::new()
}

/// A fetch would wait 120 s by itself, twice the time of this case.
fn long_poll() -> String {
    let name = topic("long-poll", 1, &[]);
    let consumer = consumer(&[("fetch.wait.max.ms", "120000"), ("socket.timeout.ms", "150000")]);
    consumer.assign(&from(&name, 1, 0)).expect("assign");
    let producer = producer(&[]);
    for n in 0..5 {
        assert!(consumer.poll(Duration::from_millis(300)).is_none(), "too early");
        send_by(&producer, &name, 1, n, 1);
        let value = format!("v-{n}");
        assert_eq!(text(take(&consumer, 1)[0].payload()), Some(value.as_str()));
    }
    // Its close would wait for the fetch under way.
    std::mem::forget(consumer);
    String::new()
}

fn many_partitions() -> String {
    const PARTITIONS: i32 = 100;
    let name = topic("many", PARTITIONS, &[]);
    let consumer = consumer(&[]);
    consumer.assign(&from(&name, PARTITIONS, 0)).expect("assign");
    let producer = producer(&[]);
    let mut messages = Vec::new();
    for round in 0..5 {
        send_by(&producer, &name, PARTITIONS, round * PARTITIONS, PARTITIONS);
        messages.extend(take(&consumer, 100));
    }
    check_sent(&messages, PARTITIONS);
    String::new()
}

fn max_bytes() -> String {
    let name = topic("max-bytes", 1, &[]);
    let producer = producer(&[("batch.num.messages", "1")]);
    for n in 0..20 {
        let value = vec![0u8; 50_000 + n];
        let record = BaseRecord::<(), _>::to(&name).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("queue");
    }
    flush(&producer);
    let consumer = consumer(&[
        ("fetch.max.bytes", "1024"),
        ("max.partition.fetch.bytes", "1024"),
        ("message.max.bytes", "1000"),
    ]);
    consumer.assign(&from(&name, 1, 0)).expect("assign");
    let sizes = take(&consumer, 20)
        .iter()
        .map(|one| one.payload().map_or(0, <[u8]>::len))
        .collect::<Vec<_>>();
    assert!(sizes.into_iter().eq(50_000..50_020), "sizes");
    String::new()
}

fn out_of_range() -> String {
    let name = topic("range", 1, &[]);
    send(&name, 1, 10);
    let strict = consumer(&[("auto.offset.reset", "error")]);
    strict.assign(&from(&name, 1, 1000)).expect("assign");
    let error = loop {
        match strict.poll(Duration::from_millis(500)) {
            Some(Err(error)) => break error,
            Some(Ok(_)) => panic!("a message, not an error"),
            None => {}
        }
    };
    assert!(matches!(error, KafkaError::MessageConsumption(_)), "{error:?}");
    let lenient = consumer(&[]);
    lenient.assign(&from(&name, 1, 1000)).expect("assign");
    check_sent(&take(&lenient, 10), 1);
    String::new()
}

fn read_committed() -> String {
    let name = topic("committed", 2, &[]);
    send(&name, 2, 200);
    let consumer = consumer(&[("isolation.level", "read_committed")]);
    consumer.assign(&from(&name, 2, 0)).expect("assign");
    check_sent(&take(&consumer, 200), 2);
    String::new()
}
