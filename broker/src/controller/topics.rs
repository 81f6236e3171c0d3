//! CreateTopics and automatic creation (`ReplicationControlManager.createTopics`).
use super::{
    Batch, Controller, HINTS_MAX, Outcome, Refusal,
    partitions::{consistent, new_partition},
    replicas::{Assigned, Clipped},
};
use crate::{
    config::{Defaults, describe},
    core::placement::core_of,
    metadata::{Configs, Image, MetadataRecord, records::TopicRecord, resource},
};
use netio::CoreId;
use record::TopicId;
use std::collections::{BTreeMap, BTreeSet};
use wire::{
    ErrorCode, Str,
    create_topics::{
        CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    },
};

/// Consumer groups' topic (Kafka: `Topic.GROUP_METADATA_TOPIC_NAME`).
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
const METADATA_TOPIC: &str = "__cluster_metadata";
const NAME_LENGTH_MAX: usize = 249;

/// Whether a topic may have this name (`Topic.validate`).
pub fn is_valid_name(name: &str) -> bool {
    check_name(name).is_ok()
}

/// Says what is wrong with a name.
pub fn check_name(name: &str) -> Result<(), String> {
    let wrong = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > NAME_LENGTH_MAX => {
            let shown: String = name.chars().take(NAME_LENGTH_MAX).collect();
            format!(
                "the length of '{shown}' is longer than the max allowed length {NAME_LENGTH_MAX}"
            )
        }
        _ if !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) =>
        {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {wrong}"))
}

/// A name as metrics have it: `.` and `_` are one there.
fn unified(name: &str) -> String {
    name.replace('.', "_")
}

/// Names that a request makes, and what they would be taken for.
#[derive(Debug, Default)]
struct NewNames<'a> {
    names: BTreeSet<&'a str>,
    /// Names with a dot or an underscore by what they are in metrics, those that exist included,
    /// once one is asked for.
    unified: Option<BTreeMap<String, String>>,
}

impl<'a> NewNames<'a> {
    fn insert(&mut self, name: &'a str) {
        self.names.insert(name);
        if let Some(known) = &mut self.unified {
            known.insert(unified(name), name.to_owned());
        }
    }

    /// A name that metrics could not tell from this one.
    fn colliding(&mut self, name: &str, image: &Image) -> Option<&str> {
        let known = self.unified.get_or_insert_with(|| {
            let names = image.topics().map(|t| &*t.name).chain(self.names.iter().copied());
            let names = names.filter(|name| name.contains(['.', '_']));
            names.map(|name| (unified(name), name.to_owned())).collect()
        });
        known.get(&unified(name)).map(String::as_str)
    }
}

/// A topic as it is to be.
struct Plan<'a> {
    name: &'a str,
    configs: Configs,
    replicas: Vec<Vec<i32>>,
    /// Replicas of a partition that were asked for.
    asked: usize,
    /// The core on which the topic's first partition has to be.
    begins: Option<CoreId>,
}

impl Plan<'_> {
    fn clipped(&self) -> Option<Clipped> {
        Clipped::of(self.name, self.asked, self.replicas.first()?.len())
    }
}

impl Controller {
    /// Versions 2 to 7. `random` makes topic ids.
    pub fn create_topics(
        &self,
        request: &CreateTopicsRequest<'_>,
        mut random: impl FnMut() -> u64,
    ) -> Outcome<Created> {
        self.hints.set(HINTS_MAX);
        let mut batch = Batch::default();
        let mut count = BTreeMap::new();
        for topic in &request.topics {
            *count.entry(&*topic.name).or_insert(0) += 1;
        }
        if self.is_too_much(request, &count) {
            return Outcome::unchanged(Created::refused(count.into_keys()));
        }
        let mut new = NewNames::default();
        let mut partitions = 0;
        let mut clipped = Vec::new();
        let mut topics = Vec::with_capacity(count.len());
        let mut overrides = BTreeMap::new();
        for topic in &request.topics {
            let result = match count.get_mut(&*topic.name) {
                Some(0) | None => continue,
                Some(1) => self.plan(topic, &mut new, partitions).and_then(|plan| {
                    let id = self.new_topic_id(plan.begins, &mut random);
                    let made = created(&plan, id);
                    let (planned, less) = (plan.replicas.len(), plan.clipped());
                    let own = plan.configs.clone();
                    batch.add(plan.into_records(id))?;
                    if !own.is_empty() {
                        overrides.insert(topics.len(), own);
                    }
                    clipped.extend(less);
                    partitions += planned;
                    new.insert(&topic.name);
                    Ok(made)
                }),
                Some(more) => {
                    *more = 0;
                    Err(Refusal::new(ErrorCode::InvalidRequest, "Duplicate topic name."))
                }
            };
            topics.push(result.unwrap_or_else(|refusal| CreatableTopicResult {
                name: topic.name.to_string().into(),
                error_code: refusal.error.code(),
                error_message: Some(refusal.message),
                configs: Some(Vec::new()),
                ..Default::default()
            }));
        }
        let response = Created { topics, overrides, defaults: self.defaults() };
        if request.validate_only {
            return Outcome::unchanged(response);
        }
        Outcome { records: batch.records, response, clipped }
    }

    /// Records for topics that a client named and that do not exist. The topic of consumer groups
    /// gets Kafka's configuration for it, and one replica a partition whatever the default factor
    /// is: without it there would be no groups. The response has the names that could be topics and
    /// cannot be made, with why.
    pub fn auto_create(
        &self,
        names: &[String],
        mut random: impl FnMut() -> u64,
    ) -> Outcome<Vec<(String, Refusal)>> {
        let mut batch = Batch::default();
        let (mut refused, mut clipped) = (Vec::new(), Vec::new());
        let mut new = NewNames::default();
        let mut partitions = 0;
        for name in names {
            if self.image.topic(name).is_some()
                || new.names.contains(name.as_str())
                || self.check_new_name(name, &mut new).is_err()
            {
                continue;
            }
            let internal = name == OFFSETS_TOPIC;
            let count = if internal {
                self.settings.offsets_partitions
            } else {
                self.settings.default_partitions
            };
            let count = usize::try_from(count).unwrap_or(1).max(1);
            let asked = if internal { 1 } else { self.default_factor() };
            let placed =
                self.room_for(count, partitions).and_then(|()| self.place(0, count, asked));
            let replicas = match placed {
                Ok(replicas) => replicas,
                Err(refusal) => {
                    refused.push((name.clone(), refusal));
                    continue;
                }
            };
            let configs = if internal { self.offsets_configs() } else { Configs::new() };
            let plan = Plan { name, configs, replicas, asked, begins: None };
            let less = plan.clipped();
            let records = plan.into_records(self.new_topic_id(None, &mut random));
            if let Err(refusal) = batch.add(records) {
                refused.push((name.clone(), refusal));
                break;
            }
            clipped.extend(less);
            partitions += count;
            new.insert(name);
        }
        Outcome { records: batch.records, response: refused, clipped }
    }

    fn plan<'a>(
        &self,
        topic: &'a CreatableTopic<'_>,
        new: &mut NewNames<'_>,
        others: usize,
    ) -> Result<Plan<'a>, Refusal> {
        let name = &*topic.name;
        self.check_new_name(name, new)?;
        let configs = self.creation_configs(topic)?;
        let refuse = |error, why: &'static str| Err(Refusal::new(error, why));
        let (replicas, asked, begins) = if topic.assignments.is_empty() {
            if topic.replication_factor < -1 || topic.replication_factor == 0 {
                return refuse(
                    ErrorCode::InvalidReplicationFactor,
                    "Replication factor must be larger than 0, or -1 to use the default value.",
                );
            }
            if topic.num_partitions < -1 || topic.num_partitions == 0 {
                return refuse(
                    ErrorCode::InvalidPartitions,
                    "Number of partitions was set to an invalid non-positive value.",
                );
            }
            let count = if topic.num_partitions == -1 {
                self.settings.default_partitions
            } else {
                topic.num_partitions
            };
            let count = usize::try_from(count).unwrap_or(1).max(1);
            self.room_for(count, others)?;
            let factor =
                usize::try_from(topic.replication_factor).unwrap_or_else(|_| self.default_factor());
            (self.place(0, count, factor)?, factor, None)
        } else {
            if topic.replication_factor != -1 {
                return refuse(
                    ErrorCode::InvalidRequest,
                    "A manual partition assignment was specified, but replication factor was not set to -1.",
                );
            }
            if topic.num_partitions != -1 {
                return refuse(
                    ErrorCode::InvalidRequest,
                    "A manual partition assignment was specified, but numPartitions was not set to -1.",
                );
            }
            self.room_for(topic.assignments.len(), others)?;
            self.manual(topic)?
        };
        Ok(Plan { name, configs, replicas, asked, begins })
    }

    /// Replicas by partition of a manual assignment, how many were asked for, and the core on which
    /// the topic has to begin.
    #[allow(clippy::type_complexity)]
    fn manual(
        &self,
        topic: &CreatableTopic<'_>,
    ) -> Result<(Vec<Vec<i32>>, usize, Option<CoreId>), Refusal> {
        let refuse = |why: String| Err(Refusal::new(ErrorCode::InvalidReplicaAssignment, why));
        let mut by_index = BTreeMap::new();
        let mut factor = None;
        for assignment in &topic.assignments {
            let index = assignment.partition_index;
            if by_index.contains_key(&index) {
                return refuse(format!(
                    "Found multiple manual partition assignments for partition {index}"
                ));
            }
            let assigned = self.assigned(&assignment.broker_ids)?;
            consistent(assigned.asked, factor)?;
            factor = Some(assigned.asked);
            by_index.insert(index, assigned);
        }
        if !by_index.keys().copied().eq((0..).take(by_index.len())) {
            return refuse("partitions should be a consecutive 0-based integer sequence".into());
        }
        let partitions: Vec<Assigned> = by_index.into_values().collect();
        let begins = self.begins(&partitions)?;
        let replicas = partitions.into_iter().map(|p| p.hosts).collect();
        Ok((replicas, factor.unwrap_or(1), begins))
    }

    fn check_new_name(&self, name: &str, new: &mut NewNames<'_>) -> Result<(), Refusal> {
        if name == METADATA_TOPIC {
            let why = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
            return Err(Refusal::new(ErrorCode::InvalidRequest, why));
        }
        if self.image.topic(name).is_some() {
            let why = format!("Topic '{name}' already exists.");
            return Err(Refusal::new(ErrorCode::TopicAlreadyExists, why));
        }
        check_name(name).map_err(|why| Refusal::new(ErrorCode::InvalidTopicException, why))?;
        if name.contains(['.', '_'])
            && let Some(other) = new.colliding(name, &self.image)
        {
            let why = format!("Topic '{name}' collides with existing topic: {other}");
            return Err(Refusal::new(ErrorCode::InvalidTopicException, why));
        }
        Ok(())
    }

    fn creation_configs(&self, topic: &CreatableTopic<'_>) -> Result<Configs, Refusal> {
        let nulls: Vec<&str> =
            topic.configs.iter().filter(|c| c.value.is_none()).map(|c| &*c.name).collect();
        if !nulls.is_empty() {
            let why = format!(
                "Null value not supported for topic configs: {}",
                super::configs::listed(&nulls, ",")
            );
            return Err(Refusal::new(ErrorCode::InvalidConfig, why));
        }
        let value = |c: &wire::create_topics::CreatableTopicConfig<'_>| {
            Some((c.name.to_string(), c.value.as_ref()?.to_string()))
        };
        let configs: Configs = topic.configs.iter().filter_map(value).collect();
        self.check_topic_configs(&topic.name, &configs, &Configs::new())?;
        Ok(configs)
    }

    /// `GroupCoordinatorService.groupMetadataTopicConfigs`
    fn offsets_configs(&self) -> Configs {
        let segment_bytes = self.defaults().text("offsets.topic.segment.bytes").unwrap_or_default();
        [
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", &segment_bytes),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn default_factor(&self) -> usize {
        let factor = self.defaults.integer("default.replication.factor");
        factor.and_then(|f| usize::try_from(f).ok()).unwrap_or(1).max(1)
    }

    /// An id that no topic has and with which, where that is asked for, the topic begins on a core.
    /// One in as many as there are cores does.
    fn new_topic_id(&self, begins: Option<CoreId>, random: &mut impl FnMut() -> u64) -> TopicId {
        loop {
            let id = TopicId::from_random(random(), random());
            let core = core_of(id, 0, self.settings.cores);
            if begins.is_none_or(|begins| begins == core) && self.image.topic_by_id(id).is_none() {
                return id;
            }
        }
    }

    /// Whether a request asks for more partitions than one may
    /// (`ReplicationControlManager.validateTotalNumberOfPartitions`): found before anything is made
    /// of it. Topics that are named twice do not count.
    fn is_too_much(
        &self,
        request: &CreateTopicsRequest<'_>,
        count: &BTreeMap<&str, usize>,
    ) -> bool {
        let default = self.settings.default_partitions;
        let wanted = |topic: &CreatableTopic<'_>| match topic.num_partitions {
            _ if count.get(&*topic.name) != Some(&1) => 0,
            _ if !topic.assignments.is_empty() => topic.assignments.len(),
            -1 => usize::try_from(default).unwrap_or(1),
            some => usize::try_from(some).unwrap_or(0),
        };
        request.topics.iter().map(wanted).sum::<usize>() > super::RECORDS_MAX
    }
}

fn created(plan: &Plan<'_>, topic_id: TopicId) -> CreatableTopicResult<'static> {
    CreatableTopicResult {
        name: plan.name.to_owned().into(),
        topic_id,
        num_partitions: i32::try_from(plan.replicas.len()).unwrap_or(i32::MAX),
        replication_factor: plan
            .replicas
            .first()
            .map_or(1, |r| i16::try_from(r.len()).unwrap_or(i16::MAX)),
        configs: Some(Vec::new()),
        error_message: None,
        ..Default::default()
    }
}

/// The answer to CreateTopics, without the configurations of topics: they are most of it, and are
/// described when it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    pub topics: Vec<CreatableTopicResult<'static>>,
    /// Of those that have some, by their place.
    overrides: BTreeMap<usize, Configs>,
    defaults: Defaults,
}

/// What is said of each topic of a request that asks for too many partitions.
pub(crate) fn too_many<'n>(name: impl Into<Str<'n>>) -> CreatableTopicResult<'n> {
    CreatableTopicResult {
        name: name.into(),
        error_code: ErrorCode::PolicyViolation.code(),
        error_message: Some(super::TOO_MANY_PARTITIONS.into()),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}

impl Created {
    /// Of topics without overrides.
    pub(super) fn of(topics: Vec<CreatableTopicResult<'static>>) -> Self {
        Self { topics, overrides: BTreeMap::new(), defaults: Defaults::default() }
    }

    /// All of a request is refused, since it asks for too many partitions.
    fn refused<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self::of(names.map(|name| too_many(name.to_owned())).collect())
    }

    /// What is said of a topic, with its configurations.
    pub fn result(&self, at: usize) -> CreatableTopicResult<'static> {
        let topic = &self.topics[at];
        let mut result = topic.clone();
        if topic.error_code == 0 {
            let none = Configs::new();
            let overrides = self.overrides.get(&at).unwrap_or(&none);
            let described = describe::topic(overrides, &self.defaults);
            let configs = described.map(|config| CreatableTopicConfigs {
                name: config.name.into(),
                value: config.value.map(Into::into),
                read_only: config.read_only,
                config_source: config.source.code(),
                is_sensitive: config.sensitive,
            });
            result.configs = Some(configs.collect());
        }
        result
    }
}

impl Plan<'_> {
    /// Configurations go before partitions, as Kafka writes them.
    fn into_records(self, topic_id: TopicId) -> Vec<MetadataRecord> {
        let mut records = Vec::with_capacity(1 + self.configs.len() + self.replicas.len());
        records.push(TopicRecord { name: self.name.to_owned().into(), topic_id }.into());
        for (name, value) in &self.configs {
            records.push(super::configs::record(resource::TOPIC, self.name, name, Some(value)));
        }
        let partitions = self.replicas.into_iter().enumerate();
        records.extend(partitions.map(|(index, replicas)| {
            MetadataRecord::from(new_partition(topic_id, index, replicas))
        }));
        records
    }
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;
