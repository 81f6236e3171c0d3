//! Metadata (key 3): brokers of the cluster (one per core, or one per host in single-port mode), topics, leaders.
use crate::{
    metadata::TopicImage,
    shard::{
        Shard,
        control::AUTO_CREATE_MS,
        metadata::OFFSETS_TOPIC,
        reply::{Request, Stage},
        route::core_of,
    },
};
use netio::CoreId;
use record::TopicId;
use std::collections::BTreeSet;
use wire::{
    Decode, ErrorCode, Reader,
    metadata::{
        MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
        MetadataResponsePartition, MetadataResponseTopic,
    },
};

/// "Not asked for": the value of authorized operations when they were not.
pub(super) const NO_OPERATIONS: i32 = i32::MIN;

/// Topics of Kafka's own (`Topic.INTERNAL_TOPICS`), here or not.
pub(super) fn is_internal(topic: &str) -> bool {
    [OFFSETS_TOPIC, "__transaction_state", "__share_group_state"].contains(&topic)
}

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = MetadataRequest::decode(reader, request.version())?;
    let version = request.version();
    if let Some(refused) = refused_ids(&body, version) {
        return request.answer(&refused);
    }
    // In version 0 an empty list means all topics; later, null does.
    let all = body
        .topics
        .as_ref()
        .is_none_or(|t| version == 0 && t.is_empty());
    let wanted: Vec<Wanted> = match body.topics {
        Some(topics) if !all => wanted(topics),
        _ => shard
            .image
            .topics()
            .map(|t| Wanted::Name(t.name.to_string()))
            .collect(),
    };
    let operations = (
        body.include_cluster_authorized_operations,
        body.include_topic_authorized_operations,
    );
    let missing: Vec<String> = wanted
        .iter()
        .filter_map(|w| match w {
            Wanted::Name(name) if shard.image.topic(name).is_none() => Some(name.clone()),
            _ => None,
        })
        .collect();
    let create =
        !all && !missing.is_empty() && body.allow_auto_topic_creation && shard.auto_create_topics();
    if !create {
        let response = answer(shard, &wanted, operations);
        return request.answer(&response);
    }
    if shard.me != CoreId(0) {
        return Ok(shard.forward(request, CoreId(0)));
    }
    let records = shard.auto_create(&missing);
    let pending = request.pending;
    // Without them the answer says that they are not there, on which clients ask again.
    let deadline = request.deadline(AUTO_CREATE_MS);
    shard.propose_then(records, deadline, move |shard, _| {
        let response = answer(shard, &wanted, operations);
        shard.finish(&pending, &response);
    });
    Ok(Stage::Later)
}

/// Versions 10 and 11 have topic ids in the schema and not yet in the protocol: Kafka refuses the request (`KafkaApis.handleTopicMetadataRequest`).
fn refused_ids(body: &MetadataRequest<'_>, version: i16) -> Option<MetadataResponse<'static>> {
    let topics = body.topics.as_ref().filter(|_| version < 12)?;
    if topics
        .iter()
        .all(|t| t.name.is_some() && t.topic_id.is_zero())
    {
        return None;
    }
    let name = |t: &MetadataRequestTopic<'_>| t.name.clone().unwrap_or_default().into_owned();
    let topics = topics
        .iter()
        .map(|t| MetadataResponseTopic {
            is_internal: false,
            ..unknown(Some(name(t)), t.topic_id, ErrorCode::InvalidRequest)
        })
        .collect();
    Some(MetadataResponse {
        topics,
        ..Default::default()
    })
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wanted {
    Name(String),
    Id(TopicId),
}

/// Each topic once, however often it is named. Where one is asked for by id, all are: names beside ids count for nothing
/// (Kafka: `KafkaApis.handleTopicMetadataRequest`).
fn wanted(topics: Vec<MetadataRequestTopic<'_>>) -> Vec<Wanted> {
    let by_id = topics.iter().any(|t| !t.topic_id.is_zero());
    let mut named = BTreeSet::new();
    topics
        .into_iter()
        .filter(|t| !(by_id && t.topic_id.is_zero()))
        .map(|t| match t.name {
            Some(name) if !by_id => Wanted::Name(name.into_owned()),
            _ => Wanted::Id(t.topic_id),
        })
        .filter(|topic| named.insert(topic.clone()))
        .collect()
}

fn answer(
    shard: &Shard,
    wanted: &[Wanted],
    (cluster_operations, topic_operations): (bool, bool),
) -> MetadataResponse<'static> {
    let settings = &shard.settings;
    let brokers = settings.endpoints_as(|e, rack| MetadataResponseBroker {
        node_id: e.id,
        host: e.host.into(),
        port: e.port.into(),
        rack,
    });
    let topics = wanted
        .iter()
        .map(|w| {
            let mut topic = match w {
                Wanted::Name(name) => match shard.image.topic(name) {
                    Some(topic) => describe(shard, topic),
                    None => {
                        let valid = crate::controller::topics::is_valid_name(name);
                        let error = if valid {
                            ErrorCode::UnknownTopicOrPartition
                        } else {
                            ErrorCode::InvalidTopicException
                        };
                        unknown(Some(name.clone()), TopicId::ZERO, error)
                    }
                },
                Wanted::Id(id) => match shard.image.topic_by_id(*id) {
                    Some(topic) => describe(shard, topic),
                    None => unknown(None, *id, ErrorCode::UnknownTopicId),
                },
            };
            // An id that nobody knows is no resource to be authorized for.
            topic.topic_authorized_operations = if topic_operations && topic.name.is_some() {
                ALL_TOPIC_OPERATIONS
            } else {
                NO_OPERATIONS
            };
            topic
        })
        .collect();
    MetadataResponse {
        brokers,
        cluster_id: Some(shard.cluster_id.to_string().into()),
        controller_id: settings.client_id_of(CoreId(0)),
        topics,
        cluster_authorized_operations: if cluster_operations {
            ALL_CLUSTER_OPERATIONS
        } else {
            NO_OPERATIONS
        },
        ..Default::default()
    }
}

fn unknown(name: Option<String>, id: TopicId, error: ErrorCode) -> MetadataResponseTopic<'static> {
    MetadataResponseTopic {
        error_code: error.code(),
        is_internal: name.as_deref().is_some_and(is_internal),
        name: name.map(Into::into),
        topic_id: id,
        ..Default::default()
    }
}

fn describe(shard: &Shard, topic: &TopicImage) -> MetadataResponseTopic<'static> {
    let settings = &shard.settings;
    let partitions = topic
        .partitions
        .iter()
        .enumerate()
        .map(|(index, p)| {
            let partition_index = i32::try_from(index).unwrap_or(i32::MAX);
            let core = core_of(topic.id, partition_index, settings.cores);
            // Records speak of hosts; clients see the host's leading core.
            let visible = |host: &i32| {
                if *host == settings.node_id {
                    settings.client_id_of(core)
                } else {
                    *host
                }
            };
            MetadataResponsePartition {
                error_code: 0,
                partition_index,
                leader_id: visible(&p.leader),
                leader_epoch: p.leader_epoch,
                replica_nodes: p.replicas.iter().map(visible).collect(),
                isr_nodes: p.isr.iter().map(visible).collect(),
                offline_replicas: Vec::new(),
            }
        })
        .collect();
    MetadataResponseTopic {
        error_code: 0,
        name: Some(topic.name.to_string().into()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions,
        ..Default::default()
    }
}

/// Bits of `AclOperation` codes that Kafka answers without an authorizer: all that exist for the resource.
/// Topic: READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11.
pub const ALL_TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// Cluster: CREATE 5, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11, IDEMPOTENT_WRITE 12.
pub const ALL_CLUSTER_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
