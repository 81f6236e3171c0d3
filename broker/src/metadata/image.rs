//! The image: what all metadata records up to an offset say, as plain data that one core owns.
//!
//! It changes by [`Image::apply`] alone, in the order of the log, and every core that has applied
//! the same records holds the same image. It never judges: the controller does, before a record is
//! written. A record that refers to nothing is ignored.
//!
//! Applying a snapshot ([`Image::to_records`]) to the image that it was made from changes nothing,
//! so a log may hold both the old records and the snapshot.
use super::{
    records::{
        BrokerRegistrationChangeRecord, ConfigRecord, FeatureLevelRecord, MetadataRecord,
        PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
        RemoveTopicRecord, TopicRecord,
    },
    resource,
};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use record::TopicId;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, LazyLock},
};

/// Overrides of one resource: key to value.
pub type Configs = BTreeMap<String, String>;

/// All metadata of the cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Shared, as overrides are: a long answer keeps what it began with.
    topics: HashMap<TopicId, Arc<TopicImage>, FixedState>,
    /// Twice by name: hashed for the look-up of every request, ordered for lists.
    by_name: HashMap<Arc<str>, TopicId, FixedState>,
    ordered: BTreeMap<Arc<str>, TopicId>,
    partitions: usize,
    /// By resource type, then name.
    configs: BTreeMap<i8, BTreeMap<String, Arc<Configs>>>,
    features: BTreeMap<String, i16>,
    brokers: BTreeMap<i32, RegisterBrokerRecord>,
    producer_ids: Option<ProducerIdsRecord>,
}

/// A topic and its partitions, by index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicImage {
    pub name: Arc<str>,
    pub id: TopicId,
    pub partitions: Vec<PartitionImage>,
}

/// A partition as the controller wants it. Nodes are hosts (`node.id`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImage {
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub removing_replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    /// -1 = none.
    pub leader: i32,
    pub leader_recovery_state: i8,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    /// A log directory's id for each replica.
    pub directories: Vec<TopicId>,
    pub eligible_leader_replicas: Vec<i32>,
    pub last_known_elr: Vec<i32>,
}

static NO_CONFIGS: LazyLock<Arc<Configs>> = LazyLock::new(Arc::default);
/// `PartitionChangeRecord.leader`: unchanged (Kafka: `LeaderConstants.NO_LEADER_CHANGE`).
const NO_LEADER_CHANGE: i32 = -2;
const NO_RECOVERY_STATE_CHANGE: i8 = -1;

impl Image {
    /// The image that `records` make.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a MetadataRecord>) -> Self {
        let mut image = Self::default();
        for record in records {
            image.apply(record);
        }
        image
    }

    pub fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.shared_topic(name).map(|topic| &**topic)
    }

    /// As [`Self::topic`], to be kept: it stays as it is.
    pub fn shared_topic(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.by_name.get(name)?)
    }

    /// As [`Self::topic_by_id`], to be kept.
    pub fn shared_topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    pub fn topic_by_id(&self, id: TopicId) -> Option<&TopicImage> {
        self.topics.get(&id).map(|topic| &**topic)
    }

    /// Every topic, ordered by name.
    pub fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.ordered.values().map(|id| &*self.topics[id])
    }

    /// Topics from `name` on, `name` included, ordered by name.
    pub fn topics_from(&self, name: &str) -> impl Iterator<Item = &TopicImage> {
        let range = (Bound::Included(name), Bound::Unbounded);
        self.ordered.range::<str, _>(range).map(|(_, id)| &*self.topics[id])
    }

    /// The first topic behind `name`, by name; the first of all for none.
    pub fn topic_after(&self, name: Option<&str>) -> Option<&Arc<TopicImage>> {
        let after = name.map_or(Bound::Unbounded, Bound::Excluded);
        let (_, id) = self.ordered.range::<str, _>((after, Bound::Unbounded)).next()?;
        self.topics.get(id)
    }

    /// The last topic before `name`, by name.
    pub fn topic_before(&self, name: &str) -> Option<&Arc<TopicImage>> {
        let before = (Bound::Unbounded, Bound::Excluded(name));
        let (_, id) = self.ordered.range::<str, _>(before).next_back()?;
        self.topics.get(id)
    }

    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// Partitions of all topics.
    pub fn partition_count(&self) -> usize {
        self.partitions
    }

    pub fn partition(&self, id: TopicId, partition: i32) -> Option<&PartitionImage> {
        self.topics.get(&id)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Overrides of a resource (codes: [`resource`]); empty when it has none.
    pub fn configs(&self, resource_type: i8, name: &str) -> &Configs {
        self.shared_configs(resource_type, name)
    }

    /// As [`Self::configs`], to be kept: they stay as they are.
    pub fn shared_configs(&self, resource_type: i8, name: &str) -> &Arc<Configs> {
        self.configs
            .get(&resource_type)
            .and_then(|by_name| by_name.get(name))
            .unwrap_or(&NO_CONFIGS)
    }

    pub fn topic_configs(&self, name: &str) -> &Configs {
        self.configs(resource::TOPIC, name)
    }

    /// Overrides of one host.
    pub fn broker_configs(&self, node: i32) -> &Configs {
        self.configs(resource::BROKER, &node.to_string())
    }

    /// Overrides of all hosts: the resource with the empty name.
    pub fn default_broker_configs(&self) -> &Configs {
        self.configs(resource::BROKER, "")
    }

    /// Names of resources of a type that have overrides, in order.
    pub fn configured(&self, resource_type: i8) -> impl Iterator<Item = &str> {
        self.configs.get(&resource_type).into_iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Finalized features and their levels, by name.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// Registered hosts, by `node.id`.
    pub fn brokers(&self) -> &BTreeMap<i32, RegisterBrokerRecord> {
        &self.brokers
    }

    /// The first producer id that no block covers.
    pub fn next_producer_id(&self) -> i64 {
        self.producer_ids.as_ref().map_or(0, |r| r.next_producer_id)
    }

    /// Applies one record; false when it refers to something that does not exist.
    pub fn apply(&mut self, record: &MetadataRecord) -> bool {
        match record {
            MetadataRecord::Topic(r) => self.apply_topic(r),
            MetadataRecord::Partition(r) => self.apply_partition(r),
            MetadataRecord::PartitionChange(r) => self.apply_partition_change(r),
            MetadataRecord::RemoveTopic(r) => self.apply_remove_topic(r),
            MetadataRecord::Config(r) => self.apply_config(r),
            MetadataRecord::FeatureLevel(r) => self.apply_feature(r),
            MetadataRecord::ProducerIds(r) => {
                self.producer_ids = Some(r.clone());
                true
            }
            MetadataRecord::RegisterBroker(r) => {
                self.brokers.insert(r.broker_id, r.clone());
                true
            }
            MetadataRecord::BrokerRegistrationChange(r) => self.apply_registration_change(r),
        }
    }

    fn apply_topic(&mut self, r: &TopicRecord) -> bool {
        if let Some(topic) = self.topics.get(&r.topic_id) {
            return *topic.name == *r.name;
        }
        if self.by_name.contains_key(&*r.name) {
            return false;
        }
        let name: Arc<str> = r.name.as_ref().into();
        self.by_name.insert(name.clone(), r.topic_id);
        self.ordered.insert(name.clone(), r.topic_id);
        self.topics.insert(
            r.topic_id,
            Arc::new(TopicImage { name, id: r.topic_id, partitions: Vec::new() }),
        );
        true
    }

    fn apply_partition(&mut self, r: &PartitionRecord) -> bool {
        let Some(topic) = self.topics.get_mut(&r.topic_id) else {
            return false;
        };
        let topic = Arc::make_mut(topic);
        let Ok(index) = usize::try_from(r.partition_id) else {
            return false;
        };
        let partition = PartitionImage::of(r);
        if let Some(known) = topic.partitions.get_mut(index) {
            *known = partition;
            return true;
        }
        // Records of a topic's partitions are written in order: a hole is no state that a
        // controller makes.
        if topic.partitions.len() != index {
            return false;
        }
        topic.partitions.push(partition);
        self.partitions += 1;
        true
    }

    fn apply_partition_change(&mut self, r: &PartitionChangeRecord) -> bool {
        let Some(topic) = self.topics.get_mut(&r.topic_id) else {
            return false;
        };
        let index = usize::try_from(r.partition_id).ok();
        let Some(partition) = index.and_then(|i| Arc::make_mut(topic).partitions.get_mut(i)) else {
            return false;
        };
        partition.change(r);
        true
    }

    fn apply_remove_topic(&mut self, r: &RemoveTopicRecord) -> bool {
        let Some(topic) = self.topics.remove(&r.topic_id) else {
            return false;
        };
        self.by_name.remove(&topic.name);
        self.ordered.remove(&topic.name);
        self.partitions -= topic.partitions.len();
        self.remove_configs(resource::TOPIC, &topic.name);
        true
    }

    fn apply_config(&mut self, r: &ConfigRecord) -> bool {
        match &r.value {
            Some(value) => {
                let by_name = self.configs.entry(r.resource_type).or_default();
                let configs = by_name.entry(r.resource_name.to_string()).or_default();
                Arc::make_mut(configs).insert(r.name.to_string(), value.to_string());
                true
            }
            None => {
                let by_name = self.configs.get_mut(&r.resource_type);
                let Some(configs) = by_name.and_then(|by_name| by_name.get_mut(&*r.resource_name))
                else {
                    return false;
                };
                let configs = Arc::make_mut(configs);
                let removed = configs.remove(&*r.name).is_some();
                if configs.is_empty() {
                    self.remove_configs(r.resource_type, &r.resource_name);
                }
                removed
            }
        }
    }

    fn remove_configs(&mut self, resource_type: i8, name: &str) {
        if let Some(by_name) = self.configs.get_mut(&resource_type) {
            by_name.remove(name);
            if by_name.is_empty() {
                self.configs.remove(&resource_type);
            }
        }
    }

    fn apply_feature(&mut self, r: &FeatureLevelRecord<'static>) -> bool {
        if r.feature_level == 0 {
            return self.features.remove(&*r.name).is_some();
        }
        self.features.insert(r.name.to_string(), r.feature_level);
        true
    }

    fn apply_registration_change(&mut self, r: &BrokerRegistrationChangeRecord) -> bool {
        let Some(broker) = self.brokers.get_mut(&r.broker_id) else {
            return false;
        };
        // Kafka's BrokerRegistrationFencingChange: 1 fences, -1 unfences.
        match r.fenced {
            1 => broker.fenced = true,
            -1 => broker.fenced = false,
            _ => {}
        }
        if r.in_controlled_shutdown == 1 {
            broker.in_controlled_shutdown = true;
        }
        if !r.log_dirs.is_empty() {
            broker.log_dirs.clone_from(&r.log_dirs);
        }
        if r.cordoned_log_dirs.is_some() {
            broker.cordoned_log_dirs.clone_from(&r.cordoned_log_dirs);
        }
        true
    }

    /// A snapshot: records that make this image from nothing, in an order that refers only
    /// backwards.
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::with_capacity(self.partitions + 2 * self.topics.len() + 16);
        for (name, &feature_level) in &self.features {
            records.push(FeatureLevelRecord { name: name.clone().into(), feature_level }.into());
        }
        records.extend(self.brokers.values().cloned().map(MetadataRecord::from));
        for topic in self.topics() {
            records.push(
                TopicRecord { name: topic.name.to_string().into(), topic_id: topic.id }.into(),
            );
            records
                .extend((0..).zip(&topic.partitions).map(|(i, p)| p.to_record(topic.id, i).into()));
        }
        for (&resource_type, by_name) in &self.configs {
            for (resource_name, configs) in by_name {
                for (name, value) in &**configs {
                    let record = ConfigRecord {
                        resource_type,
                        resource_name: resource_name.clone().into(),
                        name: name.clone().into(),
                        value: Some(value.clone().into()),
                    };
                    records.push(record.into());
                }
            }
        }
        records.extend(self.producer_ids.clone().map(MetadataRecord::from));
        records
    }
}

impl PartitionImage {
    fn of(r: &PartitionRecord) -> Self {
        Self {
            replicas: r.replicas.clone(),
            isr: r.isr.clone(),
            removing_replicas: r.removing_replicas.clone(),
            adding_replicas: r.adding_replicas.clone(),
            leader: r.leader,
            leader_recovery_state: r.leader_recovery_state,
            leader_epoch: r.leader_epoch,
            partition_epoch: r.partition_epoch,
            directories: r.directories.clone(),
            eligible_leader_replicas: r.eligible_leader_replicas.clone().unwrap_or_default(),
            last_known_elr: r.last_known_elr.clone().unwrap_or_default(),
        }
    }

    /// Kafka's `PartitionRegistration.merge`: a leader that is named raises the leader epoch, even
    /// if it is the same one, and every change raises the partition epoch.
    fn change(&mut self, r: &PartitionChangeRecord) {
        let lists = [
            (&mut self.isr, &r.isr),
            (&mut self.replicas, &r.replicas),
            (&mut self.removing_replicas, &r.removing_replicas),
            (&mut self.adding_replicas, &r.adding_replicas),
            (&mut self.eligible_leader_replicas, &r.eligible_leader_replicas),
            (&mut self.last_known_elr, &r.last_known_elr),
        ];
        for (list, new) in lists {
            if let Some(new) = new {
                list.clone_from(new);
            }
        }
        if let Some(directories) = &r.directories {
            self.directories.clone_from(directories);
        }
        if r.leader != NO_LEADER_CHANGE {
            self.leader = r.leader;
            self.leader_epoch = self.leader_epoch.saturating_add(1);
        }
        if r.leader_recovery_state != NO_RECOVERY_STATE_CHANGE {
            self.leader_recovery_state = r.leader_recovery_state;
        }
        self.partition_epoch = self.partition_epoch.saturating_add(1);
    }

    /// The record that makes this partition.
    pub fn to_record(&self, topic_id: TopicId, partition_id: i32) -> PartitionRecord {
        let some = |list: &Vec<i32>| (!list.is_empty()).then(|| list.clone());
        PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader,
            leader_recovery_state: self.leader_recovery_state,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            eligible_leader_replicas: some(&self.eligible_leader_replicas),
            last_known_elr: some(&self.last_known_elr),
        }
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
