//! Consumer groups: rebalances of both kinds, static members, commits, and what admins see.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_executor::block_on;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::kit::*;

pub fn add(cases: &mut Cases) {
    cases.add_within("group_rebalance", 90, || {
        two_members(&[("partition.assignment.strategy", "range")]);
        String::new()
    });
    cases.add_within("group_cooperative", 90, || {
        let (taken, given) =
            two_members(&[("partition.assignment.strategy", "cooperative-sticky")]);
        assert_eq!(taken, given, "taken from the first member, given to the second");
        String::new()
    });
    cases.add_within("group_static_member", 90, static_member);
    cases.add("group_subscribe", subscribe);
    cases.add("group_regex", regex);
    cases.add("commit_and_resume", resume);
    cases.add("commit_metadata_roundtrip", metadata);
    cases.add("list_groups", list);
    cases.add("describe_group", describe);
    cases.add("delete_group", delete);
}

type Parts = BTreeSet<(String, i32)>;

fn parts(list: &TopicPartitionList) -> Parts {
    list.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
}

/// What a member was told.
#[derive(Default)]
struct Told {
    taken: Mutex<Parts>,
    rebalances: Mutex<u32>,
}

impl ClientContext for Told {}

impl ConsumerContext for Told {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) => self.taken.lock().expect("taken").append(&mut parts(list)),
            Rebalance::Assign(_) => *self.rebalances.lock().expect("rebalances") += 1,
            Rebalance::Error(_) => {}
        }
    }
}

struct Member(BaseConsumer<Told>);

impl Member {
    fn join(group: &str, topics: &[&str], pairs: &[(&str, &str)]) -> Self {
        let mut config = config(&[("group.id", group), ("auto.offset.reset", "earliest")]);
        for (key, value) in pairs {
            config.set(*key, *value);
        }
        let consumer: BaseConsumer<Told> =
            config.create_with_context(Told::default()).expect("consumer");
        consumer.subscribe(topics).expect("subscribe");
        Self(consumer)
    }

    fn poll(&self, seen: &mut BTreeSet<Vec<u8>>) {
        let mut wait = Duration::from_millis(50);
        while let Some(message) = self.0.poll(wait) {
            seen.insert(message.expect("message").payload().expect("value").to_vec());
            wait = Duration::ZERO;
        }
    }

    fn holds(&self) -> Parts {
        parts(&self.0.assignment().expect("assignment"))
    }

    fn rebalances(&self) -> u32 {
        *self.0.context().rebalances.lock().expect("rebalances")
    }
}

fn poll_until(
    members: &[&Member],
    seen: &mut BTreeSet<Vec<u8>>,
    truth: impl Fn(&BTreeSet<Vec<u8>>) -> bool,
) {
    while !truth(seen) {
        for member in members {
            member.poll(seen);
        }
    }
}

fn two_members(pairs: &[(&str, &str)]) -> (Parts, Parts) {
    let (name, group) = (topic("rebalance", 4, &[]), unique("rebalance"));
    let (producer, mut seen) = (producer(&[]), BTreeSet::new());
    let one = Member::join(&group, &[&name], pairs);
    send_by(&producer, &name, 4, 0, 100);
    poll_until(&[&one], &mut seen, |seen| one.holds().len() == 4 && seen.len() == 100);
    let two = Member::join(&group, &[&name], pairs);
    poll_until(&[&one, &two], &mut seen, |_| one.holds().len() == 2 && two.holds().len() == 2);
    assert_eq!(one.holds().union(&two.holds()).count(), 4, "held by both");
    send_by(&producer, &name, 4, 100, 100);
    poll_until(&[&one, &two], &mut seen, |seen| seen.len() == 200);
    let taken = one.0.context().taken.lock().expect("taken").clone();
    let given = two.holds();
    drop(two);
    send_by(&producer, &name, 4, 200, 100);
    poll_until(&[&one], &mut seen, |seen| one.holds().len() == 4 && seen.len() == 300);
    (taken, given)
}

fn static_member() -> String {
    let (name, group) = (topic("static", 4, &[]), unique("static"));
    let mut seen = BTreeSet::new();
    // Longer than this case: only the instance id can bring partitions back sooner.
    let session = ("session.timeout.ms", "120000");
    let one = Member::join(&group, &[&name], &[("group.instance.id", "one"), session]);
    poll_until(&[&one], &mut seen, |_| one.holds().len() == 4);
    let second = || Member::join(&group, &[&name], &[("group.instance.id", "two"), session]);
    let two = second();
    poll_until(&[&one, &two], &mut seen, |_| one.holds().len() == 2 && two.holds().len() == 2);
    let (before, rebalances) = (two.holds(), one.rebalances());
    drop(two);
    let two = second();
    poll_until(&[&one, &two], &mut seen, |_| two.holds().len() == 2);
    assert_eq!(two.holds(), before, "partitions after the restart");
    send(&name, 4, 100);
    poll_until(&[&one, &two], &mut seen, |seen| seen.len() == 100);
    assert_eq!(one.rebalances(), rebalances, "rebalances seen by the other member");
    String::new()
}

fn subscribe() -> String {
    let name = topic("subscribe", 3, &[]);
    send(&name, 3, 300);
    let mut seen = BTreeSet::new();
    let one = Member::join(&unique("subscribe"), &[&name], &[]);
    poll_until(&[&one], &mut seen, |seen| seen.len() == 300);
    assert_eq!(one.holds(), parts(&from(&name, 3, 0)));
    String::new()
}

fn regex() -> String {
    let group = unique("regex");
    let first = topic(&format!("{group}-a"), 1, &[]);
    let mut seen = BTreeSet::new();
    let refresh = [("topic.metadata.refresh.interval.ms", "300")];
    let one = Member::join(&group, &[&format!("^rust-{group}.*")], &refresh);
    let producer = producer(&[]);
    send_by(&producer, &first, 1, 0, 10);
    poll_until(&[&one], &mut seen, |seen| seen.len() == 10);
    let second = topic(&format!("{group}-b"), 1, &[]);
    send_by(&producer, &second, 1, 10, 10);
    poll_until(&[&one], &mut seen, |seen| seen.len() == 20);
    assert_eq!(one.holds().len(), 2, "partitions");
    String::new()
}

/// A group of one past member, with `at` committed of the topic's 100 records.
fn past_group(name: &str, at: i64, metadata: &str) -> String {
    let group = unique("past");
    send(name, 1, 100);
    let reader = consumer(&[("group.id", &group)]);
    reader.subscribe(&[name]).expect("subscribe");
    take(&reader, 100);
    let list = from(name, 1, at);
    if let Some(mut one) = list.find_partition(name, 0) {
        one.set_metadata(metadata);
    }
    reader.commit(&list, CommitMode::Sync).expect("commit");
    group
}

fn committed(group: &str, name: &str) -> (Offset, String) {
    let reader = consumer(&[("group.id", group)]);
    let found = reader.committed_offsets(from(name, 1, 0), PATIENCE).expect("committed");
    let one = &found.elements()[0];
    (one.offset(), one.metadata().to_owned())
}

fn resume() -> String {
    let name = topic("resume", 1, &[]);
    let group = past_group(&name, 40, "");
    let reader = consumer(&[("group.id", &group)]);
    reader.subscribe(&[&name]).expect("subscribe");
    assert_eq!(take(&reader, 60)[0].offset(), 40, "first offset");
    reader.commit_consumer_state(CommitMode::Sync).expect("commit");
    drop(reader);
    assert_eq!(committed(&group, &name).0, Offset::Offset(100));
    String::new()
}

fn metadata() -> String {
    let name = topic("metadata", 1, &[]);
    let group = past_group(&name, 7, "where – é");
    assert_eq!(committed(&group, &name), (Offset::Offset(7), "where – é".to_owned()));
    String::new()
}

fn list() -> String {
    let group = past_group(&topic("list", 1, &[]), 5, "");
    let found = consumer(&[]).fetch_group_list(None, PATIENCE).expect("groups");
    let one = found.groups().iter().find(|one| one.name() == group).expect("listed");
    assert_eq!((one.state(), one.protocol_type()), ("Empty", "consumer"));
    String::new()
}

fn describe() -> String {
    let (name, group) = (topic("describe", 2, &[]), unique("describe"));
    let one = Member::join(&group, &[&name], &[("client.id", "the-client")]);
    poll_until(&[&one], &mut BTreeSet::new(), |_| one.holds().len() == 2);
    let found = consumer(&[]).fetch_group_list(Some(&group), PATIENCE).expect("group");
    let is = &found.groups()[0];
    assert_eq!(is.state(), "Stable");
    let clients: Vec<_> = is.members().iter().map(|member| member.client_id()).collect();
    assert_eq!(clients, ["the-client"]);
    String::new()
}

fn delete() -> String {
    let (name, group) = (topic("delete", 1, &[]), unique("delete"));
    let delete = || {
        let done = block_on(admin().delete_groups(&[&group], &options()))?;
        match done.into_iter().next().expect("one answer") {
            Ok(_) => Ok(()),
            Err((_, code)) => Err(rdkafka::error::KafkaError::AdminOp(code)),
        }
    };
    let one = Member::join(&group, &[&name], &[]);
    poll_until(&[&one], &mut BTreeSet::new(), |_| one.holds().len() == 1);
    refused(RDKafkaErrorCode::NonEmptyGroup, delete());
    drop(one);
    delete().expect("delete");
    let found = consumer(&[]).fetch_group_list(None, PATIENCE).expect("groups");
    assert!(found.groups().iter().all(|one| one.name() != group), "still listed");
    refused(RDKafkaErrorCode::GroupIdNotFound, delete());
    String::new()
}
