//! Committed metadata, applied in order to this core's image, and its logs opened and closed
//! accordingly.
use super::{Shard, message::Message};
use crate::{
    config::topic::TopicConfig,
    core::placement::core_of,
    metadata::MetadataRecord,
    partition::{Leader, leader::Role, traffic::TopicTraffic},
};
use netio::CoreId;
use record::{LeaderEpoch, TopicId};
use std::{collections::BTreeSet, rc::Rc, sync::Arc};
use storage::LogId;

/// `__consumer_offsets` (Kafka: `Topic.GROUP_METADATA_TOPIC_NAME`).
pub use crate::controller::topics::OFFSETS_TOPIC;

/// What the partitions of a topic have in common when they are opened.
struct TopicOpened<'a> {
    id: TopicId,
    name: &'a Arc<str>,
    role: Role,
    config: &'a Rc<TopicConfig>,
    traffic: &'a Rc<TopicTraffic>,
}

impl Shard {
    /// Metadata was committed: applies it, and tells core 0 when this core serves accordingly.
    pub(crate) fn on_metadata(&mut self, through: i64, records: &[MetadataRecord]) {
        self.apply_metadata(through, records);
        let core = self.me;
        if core == CoreId(0) {
            self.on_applied(core, through);
        } else {
            self.tell(CoreId(0), Message::Applied { core, through });
        }
    }

    /// Applies records to the image and to what this core owns.
    pub(crate) fn apply_metadata(&mut self, through: i64, records: &[MetadataRecord]) {
        assert!(
            through >= self.image_through,
            "metadata through {through} after {}",
            self.image_through
        );
        let mut touched = BTreeSet::new();
        let mut removed = Vec::new();
        let mut all_configs = false;
        for record in records {
            if let MetadataRecord::RemoveTopic(r) = record {
                let id = r.topic_id;
                touched.remove(&id);
                if let Some(topic) = self.image.topic_by_id(id) {
                    removed.push((id, topic.name.clone(), topic.partitions.len()));
                }
            }
            self.image.apply(record);
            match record {
                MetadataRecord::Topic(r) => drop(touched.insert(r.topic_id)),
                MetadataRecord::Partition(r) => drop(touched.insert(r.topic_id)),
                MetadataRecord::PartitionChange(r) => drop(touched.insert(r.topic_id)),
                MetadataRecord::Config(r) if r.resource_type == TOPIC_RESOURCE => {
                    if let Some(topic) = self.image.topic(&r.resource_name) {
                        touched.insert(topic.id);
                    }
                }
                MetadataRecord::Config(_) => all_configs = true,
                _ => {}
            }
        }
        self.image_through = through;
        let mut gone = Vec::new();
        for (id, name, partitions) in removed {
            self.close_topic(id, partitions);
            gone.push((name.to_string(), id));
        }
        self.forget_offsets_of(gone);
        if all_configs {
            touched.extend(self.image.topics().map(|t| t.id));
        }
        for id in touched {
            self.open_topic(id);
        }
    }

    /// Opens the logs of a topic's partitions that this core leads, and gives them their epoch and
    /// configuration.
    fn open_topic(&mut self, id: TopicId) {
        let Some(topic) = self.image.topic_by_id(id) else {
            return;
        };
        let (name, traffic) = self.traffic.open(id, &topic.name);
        let epochs: Vec<(i32, i32)> = topic
            .partitions
            .iter()
            .enumerate()
            .filter(|(_, p)| p.leader == self.settings.node_id)
            .filter_map(|(i, p)| Some((i32::try_from(i).ok()?, p.leader_epoch)))
            .filter(|&(i, _)| core_of(id, i, self.settings.cores) == self.me)
            .collect();
        let config = Rc::new(self.topic_config(&name));
        let role = if &*name == OFFSETS_TOPIC { Role::Offsets } else { Role::User };
        for (partition, epoch) in epochs {
            let topic = TopicOpened { id, name: &name, role, config: &config, traffic: &traffic };
            self.open_partition(&topic, partition, epoch);
        }
    }

    pub(crate) fn topic_config(&self, name: &str) -> TopicConfig {
        let mut config = TopicConfig::resolve(
            self.image.topic_configs(name),
            &self.defaults.with(&self.image, self.settings.node_id),
        );
        if name == OFFSETS_TOPIC {
            // Bounded by snapshots: see `coordinate`.
            config.log.delete = false;
            config.internal = true;
        }
        config
    }

    fn open_partition(&mut self, topic: &TopicOpened<'_>, partition: i32, epoch: i32) {
        let &TopicOpened { id: topic, name, role, config, traffic } = topic;
        if let Some(leader) =
            self.partitions.slot(topic, partition).and_then(|s| self.partitions.at_mut(s))
        {
            let slot = leader.slot;
            if leader.epoch != epoch {
                leader.epoch = epoch;
                self.store.set_epoch(slot, LeaderEpoch(epoch));
            }
            if leader.config != *config {
                leader.config = config.clone();
                self.store.set_config(slot, config.log.clone());
            }
            return;
        }
        let id = LogId { topic, partition };
        let slot = match self.store.find(id) {
            Some(slot) => {
                self.store.set_config(slot, config.log.clone());
                self.store.set_epoch(slot, LeaderEpoch(epoch));
                slot
            }
            None => match self.store.create(id, name, config.log.clone(), LeaderEpoch(epoch)) {
                Ok(slot) => slot,
                Err(error) => {
                    tracing::error!(partition = format!("{name}-{partition}"), %error, "log cannot be made");
                    return;
                }
            },
        };
        let failed: Option<Rc<str>> = self.store.failure(slot).map(Into::into);
        if let Some(reason) = &failed {
            self.tell_failed(format!("{name}-{partition}"), reason);
        }
        self.partitions.insert(Leader {
            topic,
            name: name.clone(),
            partition,
            slot,
            role,
            epoch,
            config: config.clone(),
            acks: Default::default(),
            watchers: Default::default(),
            acked: Default::default(),
            traffic: traffic.clone(),
            failed,
        });
        if role == Role::Offsets {
            self.open_coordinator(partition, slot);
        }
    }

    fn close_topic(&mut self, id: TopicId, partitions: usize) {
        self.traffic.close(id);
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let Some(mut leader) = self.partitions.remove(id, partition) else {
                continue;
            };
            let waiters: Vec<_> = leader.acks.drain().collect();
            for waiter in waiters {
                self.settle_produce(
                    waiter.op,
                    waiter.index,
                    Some((wire::ErrorCode::UnknownTopicOrPartition, "the topic was deleted")),
                );
            }
            self.wake(leader.watchers.take_all());
            self.fail_delete_records(leader.slot, wire::ErrorCode::UnknownTopicOrPartition);
            if leader.role == Role::Offsets {
                self.close_coordinator(partition);
            }
            if leader.failed.is_some() {
                let (core, name) = (self.me.0, format!("{}-{partition}", leader.name));
                self.health.send_modify(|now| now.forget_failed(core, &name));
            }
            self.store.delete(leader.slot);
        }
    }
}

/// Kafka's `ConfigResource.Type.TOPIC`.
const TOPIC_RESOURCE: i8 = 2;
