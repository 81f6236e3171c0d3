//! Metadata (key 3): brokers of the cluster (one per core, or one per host in single-port mode),
//! topics, leaders.
use crate::{
    answer::{
        Elements, Portion, Progress,
        distinct::{Names, Secret, firsts_of_many, keep_firsts},
    },
    controller::RECORDS_MAX,
    core::{
        placement::core_of,
        request::{Request, Stage},
    },
    metadata::TopicImage,
    settings::Settings,
    shard::{Shard, control::AUTO_CREATE_MS, metadata::OFFSETS_TOPIC},
};
use netio::{CoreId, Instant};
use record::TopicId;
use std::{hash::Hash, rc::Rc, sync::Arc};
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
    let all = body.topics.as_ref().is_none_or(|t| version == 0 && t.is_empty());
    let wanted = match body.topics {
        Some(topics) if !all => wanted(shard.secret, &topics),
        _ => Wanted::All { behind: None },
    };
    let mut missing = Names::default();
    if let Wanted::Names(names) = &wanted
        && body.allow_auto_topic_creation
        && shard.auto_create_topics()
    {
        names
            .iter()
            .filter(|name| shard.image.topic(name).is_none())
            .for_each(|name| missing.push(name));
    }
    let topics = Topics {
        wanted,
        at: 0,
        settings: shard.settings.clone(),
        operations: if body.include_topic_authorized_operations {
            ALL_TOPIC_OPERATIONS
        } else {
            NO_OPERATIONS
        },
        open: None,
    };
    let around = around(shard, body.include_cluster_authorized_operations);
    if missing.len() == 0 {
        return shard.answer_in_portions(request.pending, around, topics);
    }
    if shard.me != CoreId(0) {
        return Ok(shard.forward(request, CoreId(0)));
    }
    let missing = Missing { names: missing, at: 0, records: 0 };
    let pending = request.pending;
    // Without them the answer says that they are not there, on which clients ask again.
    make_missing(shard, missing, request.deadline(AUTO_CREATE_MS), move |shard| {
        shard.finish_in_portions(pending, around, topics);
    });
    Ok(Stage::Later)
}

/// Topics that are not there and may be made by the way.
struct Missing {
    names: Names,
    at: usize,
    /// Records that were proposed for those before.
    records: usize,
}

/// Makes topics, some at a time: a name of a few bytes becomes a topic's records, and its
/// partitions' logs. As many as one request may make (`QuorumController.MAX_RECORDS_PER_USER_OP`,
/// at which Kafka makes none); clients that need more ask again.
fn make_missing(
    shard: &mut Shard,
    mut missing: Missing,
    deadline: Instant,
    then: impl FnOnce(&mut Shard) + 'static,
) {
    let portion = (CREATED_AT_ONCE / shard.controller().default_partitions()).max(1);
    while missing.records < RECORDS_MAX {
        let names = (missing.at..).map_while(|at| missing.names.get(at)).take(portion);
        let names: Vec<String> = names.map(str::to_owned).collect();
        if names.is_empty() {
            break;
        }
        missing.at += names.len();
        let records = shard.auto_create(&names);
        // Of many that cannot be made no stack is built.
        if records.is_empty() {
            continue;
        }
        missing.records += records.len();
        return shard.propose_then(records, deadline, move |shard, done| match done {
            Ok(()) => make_missing(shard, missing, deadline, then),
            Err(_) => then(shard),
        });
    }
    // What others make may be under way.
    shard.propose_then(Vec::new(), deadline, move |shard, _| then(shard));
}

/// Partitions of topics that are made by the way in one portion.
const CREATED_AT_ONCE: usize = 64;

/// Versions 10 and 11 have topic ids in the schema and not yet in the protocol: Kafka refuses the
/// request (`KafkaApis.handleTopicMetadataRequest`).
fn refused_ids<'a>(body: &'a MetadataRequest<'_>, version: i16) -> Option<MetadataResponse<'a>> {
    let topics = body.topics.as_ref().filter(|_| version < 12)?;
    if topics.iter().all(|t| t.name.is_some() && t.topic_id.is_zero()) {
        return None;
    }
    let topics = topics
        .iter()
        .map(|t| MetadataResponseTopic {
            is_internal: false,
            ..unknown(
                Some(t.name.as_deref().unwrap_or_default()),
                t.topic_id,
                ErrorCode::InvalidRequest,
            )
        })
        .collect();
    Some(MetadataResponse { topics, ..Default::default() })
}

#[derive(Debug)]
enum Wanted {
    /// Every topic, by name, behind one.
    All {
        behind: Option<Arc<str>>,
    },
    Names(Names),
    Ids(Vec<TopicId>),
}

/// Each topic once, however often it is named. Where one is asked for by id, all are: names beside
/// ids count for nothing (Kafka: `KafkaApis.handleTopicMetadataRequest`).
fn wanted(secret: Secret, topics: &[MetadataRequestTopic<'_>]) -> Wanted {
    let by_id = topics.iter().any(|t| !t.topic_id.is_zero());
    if !by_id {
        let hash = |t: &MetadataRequestTopic<'_>, hasher: &mut _| t.name.hash(hasher);
        let firsts = firsts_of_many(secret, topics, hash, |a, b| a.name == b.name);
        let names = firsts.into_iter().map(|at| topics[at as usize].name.as_deref());
        return Wanted::Names(names.map(Option::unwrap_or_default).collect());
    }
    let mut ids: Vec<TopicId> =
        topics.iter().map(|t| t.topic_id).filter(|id| !id.is_zero()).collect();
    keep_firsts(secret, &mut ids, |id, hasher| id.0.hash(hasher), |a, b| a == b);
    Wanted::Ids(ids)
}

/// What is said of the cluster, around its topics.
fn around(
    shard: &Shard,
    cluster_operations: bool,
) -> impl Fn() -> MetadataResponse<'static> + use<> {
    let (settings, cluster_id) = (shard.settings.clone(), shard.cluster_id.clone());
    move || MetadataResponse {
        brokers: settings.endpoints_as(|e, rack| MetadataResponseBroker {
            node_id: e.id,
            host: e.host.into(),
            port: e.port.into(),
            rack,
        }),
        cluster_id: Some(cluster_id.to_string().into()),
        controller_id: settings.client_id_of(CoreId(0)),
        cluster_authorized_operations: if cluster_operations {
            ALL_CLUSTER_OPERATIONS
        } else {
            NO_OPERATIONS
        },
        ..Default::default()
    }
}

/// Topics, one after the other, and of a large one some partitions at a time.
struct Topics {
    wanted: Wanted,
    at: usize,
    settings: Rc<Settings>,
    operations: i32,
    /// The topic that is being written, as it was when it was begun; how many of its partitions
    /// are; what comes behind them.
    open: Option<(Arc<TopicImage>, usize, Vec<u8>)>,
}

impl Topics {
    /// Begins the next topic, or writes that it is not there; false when there is none.
    fn next(&mut self, shard: &Shard, out: &mut Portion) -> Result<bool, wire::Error> {
        let image = &shard.image;
        let found = match &mut self.wanted {
            Wanted::All { behind } => {
                let Some(topic) = image.topic_after(behind.as_deref()) else {
                    return Ok(false);
                };
                *behind = Some(topic.name.clone());
                Ok(topic)
            }
            Wanted::Names(names) => match names.get(self.at) {
                None => return Ok(false),
                Some(name) => image.shared_topic(name).ok_or_else(|| {
                    let valid = crate::controller::topics::is_valid_name(name);
                    let error = if valid {
                        ErrorCode::UnknownTopicOrPartition
                    } else {
                        ErrorCode::InvalidTopicException
                    };
                    MetadataResponseTopic {
                        topic_authorized_operations: self.operations,
                        ..unknown(Some(name), TopicId::ZERO, error)
                    }
                }),
            },
            Wanted::Ids(ids) => match ids.get(self.at) {
                None => return Ok(false),
                // An id that nobody knows is no resource to be authorized for.
                Some(&id) => image.shared_topic_by_id(id).ok_or_else(|| MetadataResponseTopic {
                    topic_authorized_operations: NO_OPERATIONS,
                    ..unknown(None, id, ErrorCode::UnknownTopicId)
                }),
            },
        };
        match found {
            Ok(topic) => {
                let head = MetadataResponseTopic {
                    error_code: 0,
                    name: Some((&*topic.name).into()),
                    topic_id: topic.id,
                    is_internal: is_internal(&topic.name),
                    partitions: Vec::new(),
                    topic_authorized_operations: self.operations,
                };
                let tail = out.begin(&head, topic.partitions.len())?;
                self.open = Some((topic.clone(), 0, tail));
            }
            Err(unknown) => out.put(&unknown)?,
        }
        self.at += 1;
        Ok(true)
    }
}

impl Elements for Topics {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        loop {
            if let Some((topic, written, tail)) = &mut self.open {
                while *written < topic.partitions.len() {
                    if out.is_full() {
                        return Ok(Progress::More);
                    }
                    out.put_inner(&partition(&self.settings, topic, *written))?;
                    *written += 1;
                }
                out.end(tail);
                self.open = None;
            }
            if out.is_full() {
                return Ok(Progress::More);
            }
            if !self.next(shard, out)? {
                return Ok(Progress::Done);
            }
        }
    }
}

fn unknown(name: Option<&str>, id: TopicId, error: ErrorCode) -> MetadataResponseTopic<'_> {
    MetadataResponseTopic {
        error_code: error.code(),
        is_internal: name.is_some_and(is_internal),
        name: name.map(Into::into),
        topic_id: id,
        ..Default::default()
    }
}

fn partition(settings: &Settings, topic: &TopicImage, index: usize) -> MetadataResponsePartition {
    let p = &topic.partitions[index];
    let partition_index = i32::try_from(index).unwrap_or(i32::MAX);
    let core = core_of(topic.id, partition_index, settings.cores);
    // Records speak of hosts; clients see the host's leading core.
    let visible = |host: &i32| {
        if *host == settings.node_id { settings.client_id_of(core) } else { *host }
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
}

/// Bits of `AclOperation` codes that Kafka answers without an authorizer: all that exist for the
/// resource. Topic: READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, DESCRIBE_CONFIGS 10,
/// ALTER_CONFIGS 11.
pub const ALL_TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// Cluster: CREATE 5, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11,
/// IDEMPOTENT_WRITE 12.
pub const ALL_CLUSTER_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
