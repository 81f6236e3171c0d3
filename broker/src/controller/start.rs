//! What a start writes before anybody is served.
use super::Controller;
use crate::metadata::{
    MetadataRecord,
    records::{FeatureLevelRecord, METADATA_VERSION, PartitionChangeRecord, RegisterBrokerRecord},
};
use netio::CoreId;
use record::TopicId;
use wire::records::metadata::register_broker::{BrokerEndpoint, BrokerFeature};

const METADATA_VERSION_MIN: i16 = 7;

impl Controller {
    /// The first start finalizes the features that work. Every start registers this host anew, with
    /// an incarnation id made of the caller's random bits, and raises the leader epoch of every
    /// partition that it leads: what was not durable before a crash belongs to an epoch that no
    /// later one can be mistaken for.
    pub fn start_records(&self, high: u64, low: u64) -> Vec<MetadataRecord> {
        let node = self.settings.node_id;
        let mut records = Vec::new();
        if !self.image.features().contains_key("metadata.version") {
            records.push(
                FeatureLevelRecord {
                    name: "metadata.version".into(),
                    feature_level: METADATA_VERSION,
                }
                .into(),
            );
        }
        records.push(self.registration(TopicId::from_random(high, low)).into());
        for topic in self.image.topics() {
            for (partition_id, partition) in (0..).zip(&topic.partitions) {
                let leads = partition.leader == node
                    || partition.leader < 0 && partition.isr.contains(&node);
                if leads {
                    // A leader that is named raises the epoch, also when it is the same.
                    let change = PartitionChangeRecord {
                        partition_id,
                        topic_id: topic.id,
                        leader: node,
                        ..Default::default()
                    };
                    records.push(change.into());
                }
            }
        }
        records
    }

    fn registration(&self, incarnation_id: TopicId) -> RegisterBrokerRecord {
        let settings = &self.settings;
        let cores = if settings.single_port { 1 } else { settings.cores };
        let endpoint = |core: u16| {
            let endpoint = settings.endpoint(CoreId(core));
            // Kafka wants a name for each; every core beyond the first is a listener of its own.
            let name = if core == 0 { "PLAINTEXT".to_owned() } else { format!("CORE-{core}") };
            BrokerEndpoint {
                name: name.into(),
                host: endpoint.host.into(),
                port: endpoint.port,
                security_protocol: 0,
            }
        };
        let before = self.image.brokers().get(&settings.node_id).map_or(-1, |b| b.broker_epoch);
        RegisterBrokerRecord {
            broker_id: settings.node_id,
            incarnation_id,
            broker_epoch: before + 1,
            end_points: (0..cores).map(endpoint).collect(),
            features: vec![BrokerFeature {
                name: "metadata.version".into(),
                min_supported_version: METADATA_VERSION_MIN,
                max_supported_version: METADATA_VERSION,
            }],
            rack: settings.rack.clone().map(Into::into),
            fenced: false,
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use crate::{config::Defaults, metadata::Image};

    #[test]
    fn a_first_start_registers_the_host_with_a_listener_for_each_core() {
        let controller = controller();
        let broker = &controller.image().brokers()[&1];
        assert!(!broker.fenced);
        assert_eq!(broker.end_points.iter().map(|e| e.port).collect::<Vec<_>>(), [9092, 9093]);
        assert_eq!(controller.image().features()["metadata.version"], METADATA_VERSION);
    }

    #[test]
    fn every_start_raises_the_epochs() {
        let mut first = controller();
        let records = first.auto_create(&["t".to_owned()], numbers()).records;
        for record in &records {
            first.apply(record);
        }
        let mut second = Controller::new(
            Image::of(&first.image().to_records()),
            settings(),
            Defaults::default(),
        );
        let records = second.start_records(3, 4);
        assert!(!records.iter().any(|r| matches!(r, MetadataRecord::FeatureLevel(_))));
        for record in &records {
            second.apply(record);
        }
        let (old, new) = (&first.image().brokers()[&1], &second.image().brokers()[&1]);
        assert_ne!(old.incarnation_id, new.incarnation_id);
        assert_eq!(new.broker_epoch, old.broker_epoch + 1);
        let partition = &second.image().topic("t").unwrap().partitions[0];
        assert_eq!(
            (partition.leader, partition.leader_epoch, partition.partition_epoch),
            (1, 1, 1)
        );
    }

    #[test]
    fn one_port_is_one_listener() {
        let controller =
            controller_with(crate::settings::Settings { single_port: true, ..settings() });
        assert_eq!(controller.image().brokers()[&1].end_points.len(), 1);
    }
}
