//! What acts on the partitions of a topic: its overrides, resolved over the defaults into typed
//! values.
use super::{
    Defaults,
    catalogue::{Key, catalogue},
    value::Value,
};
use crate::metadata::Configs;
use record::{Compression, TimestampType, validate::ValidateOptions};
use storage::{Durability, LogConfig};

/// Configuration of a topic's partitions, as far as it acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `max.message.bytes`: of a batch, header included.
    pub max_message_bytes: usize,
    pub validate: ValidateOptions,
    /// `compression.type` other than `producer`: the codec that batches are stored in, and its
    /// level.
    pub compression: Option<(Compression, Option<i32>)>,
    /// Kafka's own topics: clients do not write them.
    pub internal: bool,
    pub log: LogConfig,
}

impl TopicConfig {
    /// Values that were checked when they were set, so what does not parse (a log of another
    /// version) counts as not set.
    pub fn resolve(overrides: &Configs, defaults: &Defaults) -> Self {
        let values = Values { overrides, defaults };
        let policy = values.list("cleanup.policy");
        let compacted = policy.iter().any(|p| p == "compact");
        let compression = compression(&values);
        Self {
            max_message_bytes: values.size("max.message.bytes"),
            validate: ValidateOptions {
                // What is taken apart is looked at to its end.
                deep: compression.is_some()
                    || !values.text("millrace.record.validation").eq_ignore_ascii_case("header"),
                compacted,
                max_decompressed: values.size("max.decompressed.message.bytes"),
                timestamp_type: if values.text("message.timestamp.type") == "LogAppendTime" {
                    TimestampType::LogAppendTime
                } else {
                    TimestampType::CreateTime
                },
                timestamp_before_max_ms: values.integer("message.timestamp.before.max.ms"),
                timestamp_after_max_ms: values.integer("message.timestamp.after.max.ms"),
            },
            compression,
            internal: false,
            log: LogConfig {
                durability: durability(&values.text("millrace.durability")),
                segment_bytes: values.size("segment.bytes") as u64,
                segment_ms: values.integer("segment.ms"),
                retention_ms: values.integer("retention.ms"),
                retention_bytes: values.integer("retention.bytes"),
                file_delete_delay_ms: values.integer("file.delete.delay.ms"),
                index_interval_bytes: values.narrow("index.interval.bytes"),
                segment_index_bytes: values.narrow("segment.index.bytes"),
                delete: policy.iter().any(|p| p == "delete"),
            },
        }
    }
}

fn compression(values: &Values<'_>) -> Option<(Compression, Option<i32>)> {
    let level = |name: &str| i32::try_from(values.integer(name)).ok();
    let codec = match &*values.text("compression.type") {
        "uncompressed" => Compression::None,
        name => Compression::from_name(name)?,
    };
    let level = match codec {
        // -1 is the codec's own.
        Compression::Gzip => level("compression.gzip.level").filter(|&level| level > 0),
        Compression::Zstd => level("compression.zstd.level"),
        // The LZ4 of this program has one level, Snappy has none.
        Compression::Lz4 | Compression::Snappy | Compression::None => None,
    };
    Some((codec, level))
}

fn durability(text: &str) -> Durability {
    match text.to_ascii_lowercase().as_str() {
        "memory" => Durability::Memory,
        "written" => Durability::Written,
        // The safe one for whatever else.
        _ => Durability::Device,
    }
}

struct Values<'a> {
    overrides: &'a Configs,
    defaults: &'a Defaults,
}

impl Values<'_> {
    fn value(&self, name: &str) -> Value {
        let key: &Key =
            catalogue().topic(name).unwrap_or_else(|| panic!("no topic configuration {name}"));
        self.defaults
            .topic(key, self.overrides)
            .unwrap_or_else(|| panic!("topic configuration {name} has no default"))
    }

    fn integer(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Integer(value) => value,
            other => panic!("{name} is not an integer: {other:?}"),
        }
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.integer(name)).unwrap_or(0)
    }

    fn narrow(&self, name: &str) -> u32 {
        u32::try_from(self.integer(name).max(0)).unwrap_or(u32::MAX)
    }

    fn text(&self, name: &str) -> String {
        self.value(name).to_string()
    }

    fn list(&self, name: &str) -> Vec<String> {
        match self.value(name) {
            Value::List(items) => items,
            other => panic!("{name} is not a list: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(values: &[(&str, &str)]) -> Configs {
        values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn without_overrides_it_is_kafkas_default() {
        let config = TopicConfig::resolve(&Configs::new(), &Defaults::default());
        assert_eq!(config.log, LogConfig::default());
        assert_eq!(config.validate, ValidateOptions::default());
        assert_eq!(config.max_message_bytes, 1_048_588);
    }

    #[test]
    fn overrides_act() {
        let overrides = configs(&[
            ("retention.ms", "1000"),
            ("retention.bytes", "5"),
            ("segment.bytes", "1048576"),
            ("segment.ms", "7"),
            ("max.message.bytes", "100"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "8"),
            ("message.timestamp.after.max.ms", "9"),
            ("millrace.durability", "Written"),
            ("millrace.record.validation", "Header"),
            ("cleanup.policy", ""),
        ]);
        let config = TopicConfig::resolve(&overrides, &Defaults::default());
        assert_eq!(config.log.retention_ms, 1000);
        assert_eq!(config.log.retention_bytes, 5);
        assert_eq!(config.log.segment_bytes, 1 << 20);
        assert_eq!(config.log.segment_ms, 7);
        assert_eq!(config.log.durability, Durability::Written);
        assert!(!config.log.delete);
        assert_eq!(config.max_message_bytes, 100);
        assert_eq!(config.validate.timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(
            (config.validate.timestamp_before_max_ms, config.validate.timestamp_after_max_ms),
            (8, 9)
        );
        assert!(!config.validate.deep && !config.validate.compacted);
    }

    #[test]
    fn batches_are_stored_as_they_came_or_in_the_topic_s_codec() {
        let resolve = |values: &[_]| TopicConfig::resolve(&configs(values), &Defaults::default());
        let config = resolve(&[]);
        assert!(config.compression.is_none() && config.validate.deep);
        // A batch that is recoded is looked at whatever the topic says.
        let quick = ("millrace.record.validation", "header");
        assert!(!resolve(&[quick]).validate.deep);
        assert!(resolve(&[quick, ("compression.type", "lz4")]).validate.deep);
        for (name, wanted) in [
            ("uncompressed", (Compression::None, None)),
            ("gzip", (Compression::Gzip, None)),
            ("lz4", (Compression::Lz4, None)),
            ("snappy", (Compression::Snappy, None)),
            ("zstd", (Compression::Zstd, Some(3))),
        ] {
            let config = resolve(&[("compression.type", name)]);
            assert_eq!(config.compression, Some(wanted));
            assert!(config.validate.deep);
        }
        let level = resolve(&[("compression.type", "gzip"), ("compression.gzip.level", "9")]);
        assert_eq!(level.compression, Some((Compression::Gzip, Some(9))));
    }

    #[test]
    fn what_does_not_parse_counts_as_not_set() {
        let config = TopicConfig::resolve(
            &configs(&[("retention.ms", "soon"), ("millrace.durability", "hope")]),
            &Defaults::default(),
        );
        assert_eq!(config.log, LogConfig::default());
    }

    #[test]
    fn the_server_s_values_are_under_the_topic_s() {
        let defaults =
            Defaults::new(configs(&[("log.segment.bytes", "2000000"), ("message.max.bytes", "7")]));
        let config = TopicConfig::resolve(&configs(&[("max.message.bytes", "9")]), &defaults);
        assert_eq!((config.log.segment_bytes, config.max_message_bytes), (2_000_000, 9));
    }
}
