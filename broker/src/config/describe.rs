//! What DescribeConfigs says of a resource: every key with its value, where that comes from, and
//! what else could give it (`ConfigHelper`).
use super::{
    catalogue::{Key, Kind, catalogue},
    defaults::{Defaults, Layered, Source},
    value::Value,
};
use crate::metadata::Configs;

/// One key of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    /// `None` for null, and always for a sensitive key.
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    /// In order of precedence, the one in force first.
    pub synonyms: Vec<Layered>,
    /// `DescribeConfigsResponse.ConfigType`
    pub type_code: i8,
    /// What the key does here.
    pub note: String,
}

/// Every key of a topic with these overrides, by name.
pub fn topic(overrides: &Configs, defaults: &Defaults) -> impl Iterator<Item = Described> {
    catalogue().keys(Kind::Topic).filter(|key| !key.internal).map(move |key| {
        let value = defaults.topic(key, overrides).map(|v| v.to_string());
        let mut synonyms =
            key.synonyms.first().map(|s| defaults.layers(s.name)).unwrap_or_default();
        if overrides.contains_key(key.name) {
            let own = Layered {
                name: key.name.to_owned(),
                value: value.clone().unwrap_or_default(),
                source: Source::Topic,
            };
            synonyms.insert(0, own);
        }
        described(key, key.name, value, synonyms, false)
    })
}

/// Every key of this host, by name; keys that can only be set while the server runs are there when
/// they are.
pub fn broker(defaults: &Defaults) -> impl Iterator<Item = Described> {
    let known = catalogue().keys(Kind::Broker).filter(|key| !key.internal).map(|key| key.name);
    let known = known.filter(|name| {
        !is_only_dynamic(name) || !defaults.layers(name).iter().all(|l| l.source == Source::Default)
    });
    // listener.name.<listener>.<key>, which is known by its ending.
    let prefixed = defaults.names().filter(|name| name.starts_with("listener.name."));
    let mut names: Vec<&str> = known.chain(prefixed).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().filter_map(move |name| {
        let key = catalogue().broker(name)?;
        let synonyms = defaults.layers(name);
        let value = if name == key.name {
            defaults.get(key).map(|v| v.to_string())
        } else {
            synonyms.first().map(|l| l.value.clone())
        };
        Some(described(key, name, value, synonyms, !key.is_dynamic()))
    })
}

/// What is set for all hosts together.
pub fn cluster(defaults: &Defaults) -> impl Iterator<Item = Described> {
    defaults.cluster().iter().filter_map(move |(name, text)| {
        let key = catalogue().broker(name)?;
        let mut synonyms = defaults.layers(name);
        synonyms.retain(|l| l.source == Source::Cluster);
        Some(described(key, name, Some(text.clone()), synonyms, !key.is_dynamic()))
    })
}

fn is_only_dynamic(name: &str) -> bool {
    catalogue()
        .broker(name)
        .is_some_and(|key| key.altered == super::catalogue::Altered::OnlyDynamic)
}

fn described(
    key: &Key,
    name: &str,
    value: Option<String>,
    mut synonyms: Vec<Layered>,
    read_only: bool,
) -> Described {
    let sensitive = key.is_sensitive();
    if sensitive {
        synonyms.iter_mut().for_each(|s| s.value.clear());
    }
    Described {
        name: name.to_owned(),
        value: value.filter(|_| !sensitive),
        source: synonyms.first().map_or(Source::Default, |s| s.source),
        read_only,
        sensitive,
        synonyms,
        type_code: key.value_type.code(),
        note: key.note(),
    }
}

/// Whether a value in force is a key's default, for a reader of `millrace config`.
pub fn is_default(key: &Key, value: &Value) -> bool {
    key.default_value().as_ref() == Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(values: &[(&str, &str)]) -> Configs {
        values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn find(mut all: impl Iterator<Item = Described>, name: &str) -> Described {
        all.find(|d| d.name == name).unwrap_or_else(|| panic!("{name} is not described"))
    }

    #[test]
    fn a_topic_is_described_as_kafka_does() {
        let defaults = Defaults::new(configs(&[("log.segment.bytes", "2000000")]));
        let overrides = configs(&[("max.message.bytes", " 9 ")]);
        let all: Vec<_> = topic(&overrides, &defaults).collect();
        assert!(all.is_sorted_by(|a, b| a.name < b.name));
        assert!(!all.iter().any(|d| d.name == "internal.segment.bytes"));

        let own = find(topic(&overrides, &defaults), "max.message.bytes");
        assert_eq!(
            (own.value.as_deref(), own.source, own.type_code),
            (Some("9"), Source::Topic, 3)
        );
        assert_eq!(
            own.synonyms.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["max.message.bytes", "message.max.bytes"]
        );

        let given = find(topic(&overrides, &defaults), "segment.bytes");
        assert_eq!((given.value.as_deref(), given.source), (Some("2000000"), Source::Static));
        assert_eq!(given.synonyms.len(), 2);

        // A null default stands before the hours: Kafka lists no synonym at all.
        let retention = find(topic(&overrides, &defaults), "retention.ms");
        assert_eq!(
            (retention.value.as_deref(), retention.source),
            (Some("604800000"), Source::Default)
        );
        assert!(retention.synonyms.is_empty());
    }

    #[test]
    fn a_broker_s_secrets_are_not_told() {
        let name = "listener.name.internal.ssl.keystore.password";
        let defaults = Defaults::new(configs(&[(name, "secret"), ("node.id", "1")]));
        let secret = find(broker(&defaults), name);
        assert!(secret.sensitive && secret.value.is_none() && !secret.read_only);
        assert!(secret.synonyms.iter().all(|s| s.value.is_empty()));
        let node = find(broker(&defaults), "node.id");
        assert_eq!(
            (node.value.as_deref(), node.source, node.read_only),
            (Some("1"), Source::Static, true)
        );
        assert!(!broker(&defaults).any(|d| d.name == "leader.replication.throttled.rate"));
        assert!(
            broker(&defaults)
                .any(|d| d.name == "num.partitions" && d.value.as_deref() == Some("1"))
        );
        assert_eq!(cluster(&defaults).count(), 0);
    }
}
