//! Administration: topics, partitions, configurations, records.

use std::collections::HashMap;

use futures_executor::block_on;
use rdkafka::admin::{
    AlterConfig, ConfigEntry, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;

use crate::kit::*;

pub fn add(cases: &mut Cases) {
    cases.add("create_topic", create_topic);
    cases.add("create_topic_config", create_topic_config);
    cases.add("create_partitions", create_partitions);
    cases.add("delete_topic", delete_topic);
    cases.add("list_topics", list_topics);
    cases.add("describe_topic", describe_topic);
    cases.add("describe_configs", describe_configs);
    cases.add("describe_broker_configs", describe_broker_configs);
    cases.add("alter_configs_legacy", alter_configs);
    cases.add("delete_records", delete_records);
}

/// The one answer of an admin call that answers by name.
fn one<N>(done: Vec<Result<N, (N, RDKafkaErrorCode)>>) -> KafkaResult<()> {
    match done.into_iter().next().expect("one answer") {
        Ok(_) => Ok(()),
        Err((_, code)) => Err(KafkaError::AdminOp(code)),
    }
}

fn listed() -> Vec<String> {
    let found = consumer(&[]).fetch_metadata(None, PATIENCE).expect("metadata");
    found.topics().iter().map(|topic| topic.name().to_owned()).collect()
}

fn create_topic() -> String {
    let name = topic("create", 3, &[]);
    refused(RDKafkaErrorCode::TopicAlreadyExists, create(&name, 1, 1, &[]));
    refused(RDKafkaErrorCode::InvalidTopic, create("not a name", 1, 1, &[]));
    refused(RDKafkaErrorCode::InvalidReplicationFactor, create(&unique("many"), 1, 7, &[]));
    let tried = unique("tried");
    let wanted = NewTopic::new(&tried, 1, TopicReplication::Fixed(1));
    let validate = options().validate_only(true);
    one(block_on(admin().create_topics([&wanted], &validate)).expect("validate")).expect("valid");
    assert!(!listed().contains(&tried), "validation created it");
    String::new()
}

fn configs(resource: ResourceSpecifier<'_>) -> HashMap<String, ConfigEntry> {
    let found = block_on(admin().describe_configs([&resource], &options())).expect("describe");
    let found = found.into_iter().next().expect("one answer").expect("described");
    found.entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect()
}

fn entry(found: &HashMap<String, ConfigEntry>, name: &str, value: &str, source: ConfigSource) {
    let entry = &found[name];
    assert_eq!(entry.value.as_deref(), Some(value), "{name}");
    assert_eq!(entry.source, source, "source of {name}");
}

fn create_topic_config() -> String {
    let name = topic("configured", 1, &[("retention.ms", "123456"), ("segment.bytes", "1048576")]);
    let found = configs(ResourceSpecifier::Topic(&name));
    entry(&found, "retention.ms", "123456", ConfigSource::DynamicTopic);
    entry(&found, "segment.bytes", "1048576", ConfigSource::DynamicTopic);
    for bad in [("no.such.key", "1"), ("retention.ms", "soon")] {
        refused(RDKafkaErrorCode::InvalidConfig, create(&unique("bad"), 1, 1, &[bad]));
    }
    String::new()
}

fn create_partitions() -> String {
    let name = topic("more", 1, &[]);
    let grow = |count| {
        one(block_on(admin().create_partitions([&NewPartitions::new(&name, count)], &options()))?)
    };
    grow(4).expect("4 partitions");
    await_topic(&name, 4);
    send(&name, 4, 40);
    check_sent(&read_all(&name, 4, 40), 4);
    refused(RDKafkaErrorCode::InvalidPartitions, grow(2));
    String::new()
}

fn delete_topic() -> String {
    let name = topic("delete", 2, &[]);
    send(&name, 2, 20);
    let delete = || one(block_on(admin().delete_topics(&[&name], &options()))?);
    delete().expect("delete");
    eventually(|| !listed().contains(&name));
    refused(RDKafkaErrorCode::UnknownTopicOrPartition, delete());
    String::new()
}

fn list_topics() -> String {
    let name = topic("list", 1, &[]);
    assert!(listed().contains(&name), "not listed");
    String::new()
}

fn describe_topic() -> String {
    let name = topic("describe", 6, &[]);
    let found = consumer(&[]).fetch_metadata(Some(&name), PATIENCE).expect("metadata");
    let partitions = found.topics()[0].partitions();
    assert_eq!(partitions.len(), 6);
    for one in partitions {
        assert_eq!(one.replicas(), [one.leader()], "replicas");
        assert_eq!(one.isr(), [one.leader()], "in-sync replicas");
    }
    String::new()
}

fn describe_configs() -> String {
    let name = topic("configs", 1, &[("retention.ms", "86400000")]);
    let found = configs(ResourceSpecifier::Topic(&name));
    entry(&found, "retention.ms", "86400000", ConfigSource::DynamicTopic);
    entry(&found, "cleanup.policy", "delete", ConfigSource::Default);
    entry(&found, "max.message.bytes", "1048588", ConfigSource::Default);
    String::new()
}

fn describe_broker_configs() -> String {
    let found = consumer(&[]).fetch_metadata(None, PATIENCE).expect("metadata");
    let found = configs(ResourceSpecifier::Broker(found.brokers()[0].id()));
    entry(&found, "num.partitions", "1", ConfigSource::Default);
    entry(&found, "message.max.bytes", "1048588", ConfigSource::Default);
    assert!(found["socket.request.max.bytes"].is_read_only, "read-only is not marked");
    String::new()
}

fn alter_configs() -> String {
    let name = topic("legacy", 1, &[("retention.bytes", "1000000")]);
    let topic = || ResourceSpecifier::Topic(&name);
    let change = AlterConfig::new(topic()).set("retention.ms", "55555");
    let done = block_on(admin().alter_configs([&change], &options())).expect("alter");
    done.into_iter().next().expect("one answer").expect("altered");
    eventually(|| configs(topic())["retention.ms"].value.as_deref() == Some("55555"));
    entry(&configs(topic()), "retention.bytes", "-1", ConfigSource::Default);
    String::new()
}

/// Deletes the records of partition 0 before `at`.
pub fn delete_before(name: &str, at: i64) -> KafkaResult<()> {
    let done = block_on(admin().delete_records(&from(name, 1, at), &options()))?;
    done.elements()[0].error()
}

fn delete_records() -> String {
    let name = topic("delete-records", 1, &[]);
    send(&name, 1, 100);
    delete_before(&name, 60).expect("delete");
    let reader = consumer(&[]);
    reader.assign(&from(&name, 1, 10)).expect("assign");
    assert_eq!(take(&reader, 40)[0].offset(), 60, "first offset that is left");
    refused(RDKafkaErrorCode::OffsetOutOfRange, delete_before(&name, 1000));
    String::new()
}
