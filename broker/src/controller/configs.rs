//! IncrementalAlterConfigs and AlterConfigs, for topics, this host, and all hosts
//! (`ConfigurationControlManager`, `ConfigAdminManager`).
//!
//! A value is refused for its own fault (unknown key, wrong type, out of bounds), and because its
//! promise would not be kept here. What is merely without effect is stored and described.
use super::{
    Batch, Controller, HINTS_MAX, Outcome, Refusal, code_and_message, replicas::ABOVE_HOSTS, topics,
};
use crate::{
    answer::{distinct::repeated, shown},
    config::{
        Kind, catalogue,
        catalogue::{Altered, Effect, Key},
        value::{Type, Value},
    },
    metadata::{Configs, MetadataRecord, records::ConfigRecord, resource},
};
use std::collections::{BTreeMap, BTreeSet};
use wire::{
    ErrorCode,
    alter_configs::{self, AlterConfigsRequest, AlterConfigsResponse},
    incremental_alter_configs::{
        self, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    },
};

/// A value longer than this does not fit into a record.
const VALUE_LENGTH_MAX: usize = i16::MAX as usize;

/// What becomes of a topic that asks to be compacted: looked at when it asks.
const COMPACTED_TOPICS: &str = "millrace.compacted.topics";

/// What to do with a key (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

#[derive(Debug)]
struct Change<'a> {
    name: &'a str,
    operation: Operation,
    value: &'a str,
}

/// A resource whose configuration can be altered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Resource {
    Topic(String),
    /// This host.
    Node(i32),
    /// All hosts.
    Cluster,
}

impl Resource {
    fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => resource::TOPIC,
            Self::Node(_) | Self::Cluster => resource::BROKER,
        }
    }

    /// As records name it.
    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Node(id) => id.to_string(),
            Self::Cluster => String::new(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Topic(_) => Kind::Topic,
            Self::Node(_) | Self::Cluster => Kind::Broker,
        }
    }
}

/// A record that sets or (with `None`) removes an override.
pub(super) fn record(
    resource_type: i8,
    resource: &str,
    name: &str,
    value: Option<&str>,
) -> MetadataRecord {
    let owned = |text: &str| text.to_owned().into();
    ConfigRecord {
        resource_type,
        resource_name: owned(resource),
        name: owned(name),
        value: value.map(owned),
    }
    .into()
}

impl Controller {
    pub fn incremental_alter_configs(
        &self,
        request: &IncrementalAlterConfigsRequest<'_>,
    ) -> Outcome<IncrementalAlterConfigsResponse<'static>> {
        self.hints.set(HINTS_MAX);
        let mut batch = Batch::default();
        let twice = repeated(&request.resources, |a, b| {
            let kinds = a.resource_type.cmp(&b.resource_type);
            kinds.then_with(|| a.resource_name.cmp(&b.resource_name))
        });
        let responses = request.resources.iter().zip(twice).map(|(resource, twice)| {
            let result = once(twice)
                .and_then(|()| {
                    let changes = resource
                        .configs
                        .iter()
                        .map(|c| (&*c.name, c.config_operation, c.value.as_deref()));
                    changes_of(changes)
                })
                .and_then(|changes| {
                    let target = self.resource(resource.resource_type, &resource.resource_name)?;
                    self.alter(&target, &changes)
                })
                .and_then(|records| batch.add(records));
            let (error_code, error_message) = code_and_message(&result);
            incremental_alter_configs::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.to_string().into(),
            }
        });
        let responses = responses.collect();
        let records = if request.validate_only { Vec::new() } else { batch.records };
        Outcome::new(records, IncrementalAlterConfigsResponse { responses, ..Default::default() })
    }

    /// The old way: what is named is set, all else of the resource is removed.
    pub fn alter_configs(
        &self,
        request: &AlterConfigsRequest<'_>,
    ) -> Outcome<AlterConfigsResponse<'static>> {
        self.hints.set(HINTS_MAX);
        let mut batch = Batch::default();
        let twice = repeated(&request.resources, |a, b| {
            let kinds = a.resource_type.cmp(&b.resource_type);
            kinds.then_with(|| a.resource_name.cmp(&b.resource_name))
        });
        let responses = request.resources.iter().zip(twice).map(|(resource, twice)| {
            let result = once(twice)
                .and_then(|()| {
                    let set = Operation::Set as i8;
                    changes_of(resource.configs.iter().map(|c| (&*c.name, set, c.value.as_deref())))
                })
                .and_then(|mut changes| {
                    let target = self.resource(resource.resource_type, &resource.resource_name)?;
                    let current = self.image.configs(target.code(), &target.name());
                    for name in current
                        .keys()
                        .filter(|name| !resource.configs.iter().any(|c| c.name == ***name))
                    {
                        changes.push(Change { name, operation: Operation::Delete, value: "" });
                    }
                    self.alter(&target, &changes)
                })
                .and_then(|records| batch.add(records));
            let (error_code, error_message) = code_and_message(&result);
            alter_configs::AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.to_string().into(),
            }
        });
        let responses = responses.collect();
        let records = if request.validate_only { Vec::new() } else { batch.records };
        Outcome::new(records, AlterConfigsResponse { responses, ..Default::default() })
    }

    fn resource(&self, resource_type: i8, name: &str) -> Result<Resource, Refusal> {
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
        match resource_type {
            resource::TOPIC if name.is_empty() => {
                invalid("Default topic resources are not allowed.".into())
            }
            resource::TOPIC => {
                topics::check_name(name)
                    .map_err(|why| Refusal::new(ErrorCode::InvalidTopicException, why))?;
                if self.image.topic(name).is_none() {
                    let why = format!("The topic '{name}' does not exist.");
                    return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, why));
                }
                Ok(Resource::Topic(name.to_owned()))
            }
            resource::BROKER if name.is_empty() => Ok(Resource::Cluster),
            resource::BROKER => {
                let Ok(id) = name.parse::<i32>() else {
                    return invalid(format!("Node id must be an integer, but it is: {name}"));
                };
                match self.settings.host_of(id) {
                    Some(host) if host == self.settings.node_id => Ok(Resource::Node(host)),
                    _ => {
                        invalid(format!("Unexpected broker id {name}: no core of this host has it"))
                    }
                }
            }
            resource::BROKER_LOGGER => {
                invalid("Log levels are set at start, by the environment variable RUST_LOG.".into())
            }
            resource::CLIENT_METRICS => invalid("Client metrics are not served.".into()),
            resource::GROUP => invalid("Group configurations are not served yet.".into()),
            other => invalid(format!("Unknown resource type {other}")),
        }
    }

    /// Records of one resource's changes.
    fn alter(
        &self,
        target: &Resource,
        changes: &[Change<'_>],
    ) -> Result<Vec<MetadataRecord>, Refusal> {
        let (code, name) = (target.code(), target.name());
        let current = self.image.configs(code, &name);
        let mut after = current.clone();
        let mut records = Vec::new();
        for change in changes {
            let known = catalogue().get(target.kind(), change.name);
            let value = match change.operation {
                Operation::Delete => None,
                Operation::Set => Some(change.value.to_owned()),
                operation => {
                    let Some(key) = known.filter(|key| key.value_type == Type::List) else {
                        let what =
                            if operation == Operation::Append { "APPEND" } else { "SUBTRACT" };
                        let why = format!(
                            "Can't {what} to key {} because its type is not LIST.",
                            change.name
                        );
                        return Err(Refusal::new(ErrorCode::InvalidConfig, why));
                    };
                    Some(edit_list(self.list_of(key, current), operation, change.value))
                }
            };
            // Brokers reload a file when its name is set again; nothing does so here, so an
            // unchanged value needs no record.
            if current.get(change.name) == value.as_ref() {
                continue;
            }
            records.push(record(code, &name, change.name, value.as_deref()));
            match value {
                Some(value) => after.insert(change.name.to_owned(), value),
                None => after.remove(change.name),
            };
        }
        match target {
            Resource::Topic(topic) => self.check_topic_configs(topic, &after, current)?,
            Resource::Node(_) | Resource::Cluster => {
                for change in changes {
                    self.check_broker_key(change.name, *target == Resource::Cluster)?;
                }
                self.check_broker_configs(&after, current)?;
            }
        }
        Ok(records)
    }

    /// A list's items before a change: the override, or the default of the key (`getParts`).
    fn list_of(&self, key: &Key, current: &Configs) -> Vec<String> {
        let text = current.get(key.name).map(String::as_str).or(key.default).unwrap_or_default();
        text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn keeps_compacted_topics(&self) -> bool {
        self.defaults().text(COMPACTED_TOPICS).is_some_and(|text| text == "keep")
    }

    /// Judges overrides of a topic. What did not change was judged before, perhaps by other rules.
    pub(super) fn check_topic_configs(
        &self,
        topic: &str,
        configs: &Configs,
        before: &Configs,
    ) -> Result<(), Refusal> {
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidConfig, why));
        for (name, value) in configs.iter().filter(|(name, value)| before.get(*name) != Some(value))
        {
            let Some(key) = catalogue().topic(name) else {
                return invalid(self.unknown(Kind::Topic, name));
            };
            check_length(name, value)?;
            // The groups' own topic is compacted in Kafka's way of speaking; it is bounded by
            // snapshots here. Others keep all their records where the operator agrees: Kafka does
            // not say when it compacts either.
            let compacts = name == "cleanup.policy"
                && (topic == topics::OFFSETS_TOPIC || self.keeps_compacted_topics());
            let judged = if compacts { key.parse(value) } else { key.accept(value) };
            if let Err(why) = judged {
                return invalid(why);
            }
        }
        let defaults = self.defaults();
        let lag = |name: &str| catalogue().topic(name).and_then(|key| defaults.topic(key, configs));
        if let (Some(Value::Integer(min)), Some(Value::Integer(max))) =
            (lag("min.compaction.lag.ms"), lag("max.compaction.lag.ms"))
            && min > max
        {
            return invalid(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
            ));
        }
        Ok(())
    }

    fn unknown(&self, kind: Kind, name: &str) -> String {
        let what = if kind == Kind::Topic { "topic" } else { "broker" };
        let name = shown(name);
        let mut hint = None;
        if let Some(left) = self.hints.get().checked_sub(1) {
            self.hints.set(left);
            hint = catalogue().suggest(kind, name);
        }
        match hint {
            Some(hint) => format!("Unknown {what} config name: {name}; did you mean {hint}?"),
            None => format!("Unknown {what} config name: {name}"),
        }
    }

    /// Whether an admin may change a broker key while the server runs.
    fn check_broker_key(&self, name: &str, all_hosts: bool) -> Result<(), Refusal> {
        let Some(key) = catalogue().broker(name) else {
            return Err(Refusal::new(ErrorCode::InvalidConfig, self.unknown(Kind::Broker, name)));
        };
        let invalid = |why: String| Err(Refusal::new(ErrorCode::InvalidRequest, why));
        match key.altered {
            Altered::Topic | Altered::Static => {
                invalid(format!("Cannot update these configs dynamically: [{name}]"))
            }
            Altered::PerBroker if all_hosts => invalid(format!(
                "Cannot update these configs at default cluster level, broker id must be specified: [{name}]"
            )),
            // What acts on topics acts at once. The rest of what acts is read at start.
            _ if key.effect == Effect::Acts && !acts_on_topics(key.name) => invalid(format!(
                "{name} is read when Millrace starts: set it in the configuration file and restart"
            )),
            _ => Ok(()),
        }
    }

    fn check_broker_configs(&self, configs: &Configs, before: &Configs) -> Result<(), Refusal> {
        for (name, value) in configs.iter().filter(|(name, value)| before.get(*name) != Some(value))
        {
            let Some(key) = catalogue().broker(name) else {
                return Err(Refusal::new(
                    ErrorCode::InvalidConfig,
                    self.unknown(Kind::Broker, name),
                ));
            };
            check_length(name, value)?;
            // Kafka answers INVALID_REQUEST here and not INVALID_CONFIG (KAFKA-13609).
            key.accept(value).map_err(|why| Refusal::new(ErrorCode::InvalidRequest, why))?;
        }
        Ok(())
    }
}

fn once(twice: bool) -> Result<(), Refusal> {
    if twice {
        return Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "Each resource must appear at most once.",
        ));
    }
    Ok(())
}

/// Names as a message repeats them: it cannot hold all that a request can name.
pub(super) fn listed(names: &[&str], between: &str) -> String {
    const NAMED: usize = 50;
    let some: Vec<&str> = names.iter().take(NAMED).map(|name| shown(name)).collect();
    let more = names.len() - some.len();
    let text = some.join(between);
    match more {
        0 => text,
        _ => format!("{text} and {more} more"),
    }
}

fn changes_of<'a>(
    asked: impl Iterator<Item = (&'a str, i8, Option<&'a str>)>,
) -> Result<Vec<Change<'a>>, Refusal> {
    let mut changes = Vec::new();
    let mut names = BTreeSet::new();
    let mut nulls = Vec::new();
    for (name, operation, value) in asked {
        if !names.insert(name) {
            return Err(Refusal::new(
                ErrorCode::InvalidRequest,
                "Error due to duplicate config keys",
            ));
        }
        let operation = match operation {
            0 => Operation::Set,
            1 => Operation::Delete,
            2 => Operation::Append,
            3 => Operation::Subtract,
            other => {
                return Err(Refusal::new(
                    ErrorCode::InvalidRequest,
                    format!("Unknown operations type {other}"),
                ));
            }
        };
        if value.is_none() && operation != Operation::Delete {
            nulls.push(name);
        }
        changes.push(Change { name, operation, value: value.unwrap_or_default() });
    }
    if !nulls.is_empty() {
        let why = format!("Null value not supported for : {}", listed(&nulls, ", "));
        return Err(Refusal::new(ErrorCode::InvalidRequest, why));
    }
    Ok(changes)
}

/// Items at the end of a change that are empty are none; they are as the only one (as Java's
/// `String.split`).
fn edit_list(mut items: Vec<String>, operation: Operation, value: &str) -> String {
    let value = match value.trim_end_matches(',') {
        "" if !value.is_empty() => return items.join(","),
        value => value,
    };
    // Of a value with many items each costs a look-up, and no walk through the others.
    if operation == Operation::Append {
        let mut known: BTreeSet<String> = items.iter().cloned().collect();
        for item in value.split(',') {
            if !known.contains(item) {
                known.insert(item.to_owned());
                items.push(item.to_owned());
            }
        }
    } else {
        // Each naming takes one item away, the first of those that are left.
        let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
        for item in value.split(',') {
            *gone.entry(item).or_default() += 1;
        }
        items.retain(|item| match gone.get_mut(item.as_str()) {
            Some(times) if *times > 0 => {
                *times -= 1;
                false
            }
            _ => true,
        });
    }
    items.join(",")
}

fn check_length(name: &str, value: &str) -> Result<(), Refusal> {
    if value.len() > VALUE_LENGTH_MAX || name.len() > VALUE_LENGTH_MAX {
        let why = format!(
            "The configuration value cannot be added because it exceeds the maximum value size of {VALUE_LENGTH_MAX} bytes."
        );
        return Err(Refusal::new(ErrorCode::InvalidConfig, why));
    }
    Ok(())
}

/// Whether it is looked at anew whenever it matters.
fn acts_on_topics(name: &str) -> bool {
    [COMPACTED_TOPICS, ABOVE_HOSTS].contains(&name)
        || catalogue()
            .keys(Kind::Topic)
            .any(|key| key.synonyms.iter().any(|synonym| synonym.name == name))
}

#[cfg(test)]
#[path = "configs_tests.rs"]
mod tests;
