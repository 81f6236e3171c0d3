//! What holds for every topic and for this host unless a topic says otherwise.
//!
//! Layers, the first that has a value wins, as in Kafka: set for this host (dynamic), set for all
//! hosts (dynamic), given at start (file, environment, command line), the key's default.
use super::{
    catalogue::{Key, Kind, Synonym, catalogue},
    value::Value,
};
use crate::metadata::{Configs, Image, resource};
use std::sync::Arc;

/// Where a value comes from; the numbers are those of `DescribeConfigsResponse.ConfigSource`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    Topic = 1,
    Node = 2,
    Cluster = 3,
    Static = 4,
    Default = 5,
}

impl Source {
    pub fn code(self) -> i8 {
        self as i8
    }
}

/// A value that a key would have if the ones before it were not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layered {
    pub name: String,
    pub value: String,
    pub source: Source,
}

/// Values of broker keys, cheap to copy. The default value is Kafka's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    given: Arc<Configs>,
    cluster: Arc<Configs>,
    node: Arc<Configs>,
}

impl Defaults {
    /// What was given at start; values have been accepted by [`Key::accept`].
    pub fn new(given: Configs) -> Self {
        Self { given: Arc::new(given), ..Self::default() }
    }

    /// These, under what the image says of all hosts and of `node`.
    #[must_use]
    pub fn with(&self, image: &Image, node: i32) -> Self {
        Self {
            given: self.given.clone(),
            cluster: image.shared_configs(resource::BROKER, "").clone(),
            node: image.shared_configs(resource::BROKER, &node.to_string()).clone(),
        }
    }

    /// What was given at start.
    pub fn given(&self) -> &Configs {
        &self.given
    }

    /// The value in force of a broker key, by its own name; `None` = null.
    pub fn get(&self, key: &Key) -> Option<Value> {
        let layers =
            [self.node.get(key.name), self.cluster.get(key.name), self.given.get(key.name)];
        // A value that does not parse was written by another version: the next layer counts.
        layers
            .into_iter()
            .flatten()
            .find_map(|text| key.parse(text).ok())
            .or_else(|| key.default_value())
    }

    /// An integer in force. Panics for a name that is not an integer key: names are ours.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.named(name) {
            None => None,
            Some(Value::Integer(value)) => Some(value),
            Some(other) => panic!("{name} is not an integer: {other:?}"),
        }
    }

    /// A boolean in force; false for null. Panics for a name that is not a boolean key.
    pub fn boolean(&self, name: &str) -> bool {
        match self.named(name) {
            None => false,
            Some(Value::Boolean(value)) => value,
            Some(other) => panic!("{name} is not a boolean: {other:?}"),
        }
    }

    /// Text in force, as [`Value`] shows it.
    pub fn text(&self, name: &str) -> Option<String> {
        self.named(name).map(|value| value.to_string())
    }

    fn named(&self, name: &str) -> Option<Value> {
        self.get(
            catalogue().broker(name).unwrap_or_else(|| panic!("no broker configuration {name}")),
        )
    }

    /// The first of several integer keys that is not null, in the unit of the first
    /// (`log.retention.ms`, `.minutes`, ..). What is negative in any unit is -1
    /// (`KafkaConfig.logRetentionTimeMillis`).
    pub fn first(&self, synonyms: &[Synonym]) -> Option<Value> {
        synonyms.iter().find_map(|synonym| {
            let value = self.named(synonym.name)?;
            Some(match value {
                Value::Integer(v) if synonym.factor != 1 => {
                    Value::Integer(if v < 0 { -1 } else { v.saturating_mul(synonym.factor) })
                }
                value => value,
            })
        })
    }

    /// The value of a topic key for a topic that has these overrides.
    pub fn topic(&self, key: &Key, overrides: &Configs) -> Option<Value> {
        let own = overrides.get(key.name).and_then(|text| key.parse(text).ok());
        own.or_else(|| self.first(&key.synonyms)).or_else(|| key.default_value())
    }

    /// Every layer's value of a broker key and its synonyms, as `DescribeConfigs` lists them: by
    /// layer, then by precedence of the synonym, from the first that has the asked name.
    pub fn layers(&self, name: &str) -> Vec<Layered> {
        let Some(key) = catalogue().broker(name) else {
            return Vec::new();
        };
        // A listener's own key comes before the key for all listeners.
        let names: Vec<&str> = match key.synonyms.as_slice() {
            [] if name == key.name => vec![key.name],
            [] => vec![name, key.name],
            synonyms => synonyms.iter().map(|s| s.name).collect(),
        };
        let mut found = Vec::new();
        for (source, layer) in [
            (Source::Node, &self.node),
            (Source::Cluster, &self.cluster),
            (Source::Static, &self.given),
        ] {
            for &name in &names {
                if let Some(value) = layer.get(name) {
                    found.push(Layered { name: name.to_owned(), value: value.clone(), source });
                }
            }
        }
        for &name in &names {
            // Exactly this name: a listener's key has no default of its own.
            if let Some(value) =
                catalogue().broker(name).filter(|key| key.name == name).and_then(|key| key.default)
            {
                found.push(Layered {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    source: Source::Default,
                });
            }
        }
        let first = found.iter().position(|l| l.name == name).unwrap_or(found.len());
        found.split_off(first)
    }

    /// Names that any layer above the keys' defaults has, in order within a layer.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.given.keys().chain(self.cluster.keys()).chain(self.node.keys()).map(String::as_str)
    }

    /// All hosts' dynamic values.
    pub fn cluster(&self) -> &Configs {
        &self.cluster
    }

    /// Refuses a broker key and value that cannot stand in a file or on a command line; what is
    /// accepted is returned as it will be kept.
    pub fn check_given(name: &str, value: &str) -> Result<(), String> {
        let Some(key) = catalogue().broker(name) else {
            if let Some(cure) = super::gone::cure(name) {
                return Err(cure);
            }
            let hint = catalogue().suggest(Kind::Broker, name);
            let topic = catalogue().topic(name).and_then(|key| key.synonyms.first());
            return Err(match (topic, hint) {
                (Some(synonym), _) => format!(
                    "{name} configures topics; for all topics it is called {}",
                    synonym.name
                ),
                (None, Some(hint)) => format!("{name} is unknown; did you mean {hint}?"),
                (None, None) => format!("{name} is unknown to Kafka 4.3 and to Millrace"),
            });
        };
        if key.altered == super::catalogue::Altered::OnlyDynamic {
            return Err(format!(
                "{name} can be set only while the server runs, with kafka-configs"
            ));
        }
        key.accept(value).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{MetadataRecord, records::ConfigRecord, resource};

    fn given(values: &[(&str, &str)]) -> Defaults {
        Defaults::new(values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn image(values: &[(&str, &str, &str)]) -> Image {
        let records: Vec<MetadataRecord> = values
            .iter()
            .map(|(node, name, value)| {
                ConfigRecord {
                    resource_type: resource::BROKER,
                    resource_name: (*node).to_owned().into(),
                    name: (*name).to_owned().into(),
                    value: Some((*value).to_owned().into()),
                }
                .into()
            })
            .collect();
        Image::of(&records)
    }

    #[test]
    fn retention_in_three_units() {
        let retention = |defaults: &Defaults| {
            defaults.topic(catalogue().topic("retention.ms").unwrap(), &Configs::new())
        };
        assert_eq!(retention(&given(&[])), Some(Value::Integer(604_800_000)));
        assert_eq!(
            retention(&given(&[("log.retention.hours", "1")])),
            Some(Value::Integer(3_600_000))
        );
        assert_eq!(retention(&given(&[("log.retention.hours", "-1")])), Some(Value::Integer(-1)));
        let minutes = [("log.retention.minutes", "2"), ("log.retention.hours", "1")];
        assert_eq!(retention(&given(&minutes)), Some(Value::Integer(120_000)));
        let all = given(&[minutes[0], minutes[1], ("log.retention.ms", "5")]);
        assert_eq!(retention(&all), Some(Value::Integer(5)));
    }

    #[test]
    fn layers_in_order() {
        let image =
            image(&[("", "log.segment.bytes", "3000000"), ("7", "log.segment.bytes", "4000000")]);
        let start = given(&[("log.segment.bytes", "2000000")]);
        assert_eq!(start.integer("log.segment.bytes"), Some(2_000_000));
        assert_eq!(start.with(&image, 1).integer("log.segment.bytes"), Some(3_000_000));
        let defaults = start.with(&image, 7);
        assert_eq!(defaults.integer("log.segment.bytes"), Some(4_000_000));
        let layers: Vec<_> =
            defaults.layers("log.segment.bytes").into_iter().map(|l| (l.value, l.source)).collect();
        assert_eq!(
            layers,
            [
                ("4000000".to_owned(), Source::Node),
                ("3000000".to_owned(), Source::Cluster),
                ("2000000".to_owned(), Source::Static),
                ("1073741824".to_owned(), Source::Default)
            ]
        );
    }

    #[test]
    fn synonyms_before_the_asked_name_are_not_listed() {
        let defaults = given(&[("log.retention.minutes", "2")]);
        let names = |name| defaults.layers(name).into_iter().map(|l| l.name).collect::<Vec<_>>();
        assert_eq!(
            names("log.retention.minutes"),
            ["log.retention.minutes", "log.retention.hours"]
        );
        assert_eq!(names("log.retention.hours"), ["log.retention.hours"]);
        assert!(names("log.retention.ms").is_empty());
    }

    #[test]
    fn what_cannot_be_given() {
        assert!(Defaults::check_given("num.partitions", "3").is_ok());
        assert!(
            Defaults::check_given("num.partition", "3")
                .unwrap_err()
                .contains("did you mean num.partitions?")
        );
        assert!(
            Defaults::check_given("retention.ms", "3").unwrap_err().contains("log.retention.ms")
        );
        assert!(Defaults::check_given("num.partitions", "x").is_err());
        assert!(Defaults::check_given("leader.replication.throttled.rate", "5").is_err());
        assert!(Defaults::check_given("remote.log.storage.system.enable", "true").is_err());
    }
}
