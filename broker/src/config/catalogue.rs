//! Every configuration key of Kafka 4.3 and of Millrace, with what it does here.
//!
//! The tables lie beside this file. `topic.table` and `broker.table` hold facts imported from
//! Kafka's classes (`cargo xtask configs`), `ours.table` the keys that only Millrace has,
//! `effects.table` what a key does here. One line is one key, its columns divided by spaces:
//!
//! ```text
//! name type default allowed importance altered synonyms
//! retention.ms long 604800000 -1.. medium topic log.retention.ms,log.retention.minutes*60000,log.retention.hours*3600000
//! ```
//!
//! `default` may be `null`, `required`, or `""`. `altered` says how an admin may change it:
//! `topic`; `static` (at start only), `per-broker`, `cluster-wide`, `only-dynamic`. A synonym's
//! factor makes its unit the key's. The texts of Kafka's documentation are not here.
use super::value::{Allowed, Type, Value};
use std::{collections::BTreeMap, sync::LazyLock};

/// Whom a key configures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Topic,
    Broker,
}

/// How a key may be changed while the server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Altered {
    Topic,
    /// Not at all.
    Static,
    /// For one broker, not for all at once.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
    /// As `ClusterWide`, and it cannot stand in a file.
    OnlyDynamic,
}

/// What a key does in Millrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Acts,
    /// Kept and described; nothing more.
    Stored,
    /// Values other than the default are refused.
    Refused,
}

/// A broker key that a topic key, or another broker key, takes its value from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub factor: i64,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: &'static str,
    pub value_type: Type,
    /// `None` = null, or that it must be given.
    pub default: Option<&'static str>,
    pub allowed: Allowed,
    /// Kafka does not describe it.
    pub internal: bool,
    pub altered: Altered,
    /// In order of precedence. Of a topic key: broker keys. Of a broker key: itself among them, or
    /// none.
    pub synonyms: Vec<Synonym>,
    pub effect: Effect,
    /// The only values accepted, when not all that Kafka allows are.
    accepted: Option<Vec<&'static str>>,
    why: &'static str,
}

/// All keys, by kind and name.
#[derive(Debug)]
pub struct Catalogue {
    topic: BTreeMap<&'static str, Key>,
    broker: BTreeMap<&'static str, Key>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let effects = effects(include_str!("tables/effects.table"));
    let mut catalogue = Catalogue { topic: BTreeMap::new(), broker: BTreeMap::new() };
    let mut add = |kind: Kind, line: &'static str| {
        let key = Key::of(kind, line, &effects)
            .unwrap_or_else(|| panic!("a line of a configuration table: {line}"));
        let keys = match kind {
            Kind::Topic => &mut catalogue.topic,
            Kind::Broker => &mut catalogue.broker,
        };
        let name = key.name;
        assert!(keys.insert(name, key).is_none(), "configuration {name} is twice in the tables");
    };
    lines(include_str!("tables/topic.table")).for_each(|line| add(Kind::Topic, line));
    lines(include_str!("tables/broker.table")).for_each(|line| add(Kind::Broker, line));
    for line in lines(include_str!("tables/ours.table")) {
        match line.split_once(' ') {
            Some(("topic", key)) => add(Kind::Topic, key),
            Some(("broker", key)) => add(Kind::Broker, key),
            _ => panic!("a line of a configuration table: {line}"),
        }
    }
    catalogue
});

/// The catalogue; read from its tables once.
pub fn catalogue() -> &'static Catalogue {
    &CATALOGUE
}

/// A name that is longer is like none that is known.
const NAME_BYTES_MAX: usize = 128;

impl Catalogue {
    pub fn keys(&self, kind: Kind) -> impl Iterator<Item = &Key> {
        self.of(kind).values()
    }

    pub fn topic(&self, name: &str) -> Option<&Key> {
        self.topic.get(name)
    }

    /// A broker key; `listener.name.<listener>.<key>` is the key.
    pub fn broker(&self, name: &str) -> Option<&Key> {
        self.broker.get(name).or_else(|| self.broker.get(listener_key(name)?))
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<&Key> {
        match kind {
            Kind::Topic => self.topic(name),
            Kind::Broker => self.broker(name),
        }
    }

    /// The known name that is most like an unknown one, if any is near. It is compared with all of
    /// them, which costs as much as some hundred look-ups.
    pub fn suggest(&self, kind: Kind, name: &str) -> Option<&'static str> {
        // No known name is that long, and the comparison takes the product of both lengths.
        if name.len() > NAME_BYTES_MAX {
            return None;
        }
        let near = |known: &&'static str| (strsim::jaro_winkler(known, name), *known);
        let best = self.of(kind).keys().map(near).max_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 > 0.85).then_some(best.1)
    }

    fn of(&self, kind: Kind) -> &BTreeMap<&'static str, Key> {
        match kind {
            Kind::Topic => &self.topic,
            Kind::Broker => &self.broker,
        }
    }
}

/// The key behind `listener.name.<listener>.<key>` or `listener.name.<listener>.<mechanism>.<key>`.
fn listener_key(name: &str) -> Option<&str> {
    let (_, key) = name.strip_prefix("listener.name.")?.split_once('.')?;
    let mechanism = ["plain", "scram-sha-256", "scram-sha-512", "oauthbearer", "gssapi"];
    Some(match key.split_once('.') {
        Some((first, rest)) if mechanism.contains(&first) => rest,
        _ => key,
    })
}

impl Key {
    fn of(kind: Kind, line: &'static str, effects: &[EffectLine]) -> Option<Self> {
        let mut columns = line.split(' ');
        let name = columns.next()?;
        let value_type = Type::of(columns.next()?)?;
        let default = match columns.next()? {
            "null" | "required" => None,
            "\"\"" => Some(""),
            value => Some(value),
        };
        let allowed = Allowed::of(columns.next()?)?;
        let internal = columns.next()?.ends_with(",internal");
        let altered = match columns.next()? {
            "topic" => Altered::Topic,
            "static" => Altered::Static,
            "per-broker" => Altered::PerBroker,
            "cluster-wide" => Altered::ClusterWide,
            "only-dynamic" => Altered::OnlyDynamic,
            _ => return None,
        };
        let synonyms = match columns.next() {
            None => Vec::new(),
            Some(list) => list.split(',').map(Synonym::of).collect::<Option<_>>()?,
        };
        let effect = effects.iter().find(|e| e.kind == kind && e.fits(name));
        Some(Self {
            name,
            value_type,
            default,
            allowed,
            internal,
            altered,
            synonyms,
            effect: effect.map_or(Effect::Stored, |e| e.effect),
            accepted: effect.and_then(|e| e.accepted.clone()),
            why: effect.map_or("", |e| e.why),
        })
    }

    /// True when its value is never shown.
    pub fn is_sensitive(&self) -> bool {
        self.value_type == Type::Password
    }

    /// True when an admin may change it.
    pub fn is_dynamic(&self) -> bool {
        self.altered != Altered::Static
    }

    /// Reads and checks a value as Kafka does.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let shown = if self.is_sensitive() { "[hidden]" } else { text };
        let refuse =
            |why: &str| format!("Invalid value {shown} for configuration {}: {why}", self.name);
        let value = self.value_type.parse(text).map_err(refuse)?;
        let value = self.allowed.without_repeats(value);
        self.allowed.check(&value).map_err(|why| refuse(&why))?;
        Ok(value)
    }

    /// As [`Self::parse`], and refuses values whose promise is not kept here.
    pub fn accept(&self, text: &str) -> Result<Value, String> {
        let value = self.parse(text)?;
        let shown = value.to_string();
        let promised = match (self.effect, &self.accepted) {
            (Effect::Refused, _) => {
                self.default_value().map_or(shown.is_empty(), |default| default == value)
            }
            (_, Some(accepted)) => accepted.contains(&shown.as_str()),
            (_, None) => true,
        };
        if promised {
            return Ok(value);
        }
        let shown = if self.is_sensitive() { "[hidden]" } else { &shown };
        Err(format!("{}={shown} is refused: {}", self.name, self.why))
    }

    pub fn default_value(&self) -> Option<Value> {
        self.default.and_then(|text| self.value_type.parse(text).ok())
    }

    /// One sentence on what it does here.
    pub fn note(&self) -> String {
        match (self.effect, &self.accepted) {
            (Effect::Acts, None) => "Acts as in Apache Kafka.".to_owned(),
            (Effect::Acts, Some(accepted)) => {
                let accepted: Vec<_> =
                    accepted.iter().map(|v| if v.is_empty() { "nothing" } else { v }).collect();
                format!(
                    "Acts as in Apache Kafka; accepted: {} ({}).",
                    accepted.join(", "),
                    self.why
                )
            }
            (Effect::Stored, _) => "Stored and described; without effect in Millrace.".to_owned(),
            (Effect::Refused, _) => format!("Only the default is accepted: {}.", self.why),
        }
    }
}

impl Synonym {
    fn of(text: &'static str) -> Option<Self> {
        match text.split_once('*') {
            None => Some(Self { name: text, factor: 1 }),
            Some((name, factor)) => Some(Self { name, factor: factor.parse().ok()? }),
        }
    }
}

#[derive(Debug)]
struct EffectLine {
    kind: Kind,
    name: &'static str,
    effect: Effect,
    accepted: Option<Vec<&'static str>>,
    why: &'static str,
}

impl EffectLine {
    fn fits(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.name,
        }
    }
}

fn effects(table: &'static str) -> Vec<EffectLine> {
    let read = |line: &'static str| {
        let (kind, rest) = line.split_once(' ')?;
        let (name, rest) = rest.trim_start().split_once(' ')?;
        let (effect, rest) = rest.trim_start().split_once(' ')?;
        let rest = rest.trim_start();
        let (accepted, why) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(EffectLine {
            kind: match kind {
                "topic" => Kind::Topic,
                "broker" => Kind::Broker,
                _ => return None,
            },
            name,
            effect: match effect {
                "acts" => Effect::Acts,
                "refused" => Effect::Refused,
                _ => return None,
            },
            accepted: (accepted != "-")
                .then(|| accepted.split('|').map(|v| if v == "\"\"" { "" } else { v }).collect()),
            why: why.trim(),
        })
    };
    lines(table)
        .map(|line| read(line).unwrap_or_else(|| panic!("a line of the table of effects: {line}")))
        .collect()
}

pub(super) fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_kafka_is_there_and_its_default_is_what_it_allows() {
        let all = catalogue();
        assert_eq!(all.keys(Kind::Topic).count(), 34 + 3);
        assert!(all.keys(Kind::Broker).count() > 363);
        for key in all.keys(Kind::Topic).chain(all.keys(Kind::Broker)) {
            if let Some(default) = key.default.filter(|_| key.allowed != Allowed::NonEmpty) {
                key.accept(default).unwrap_or_else(|why| panic!("{}: {why}", key.name));
            }
        }
    }

    #[test]
    fn synonyms_are_keys_of_brokers() {
        let all = catalogue();
        for key in all.keys(Kind::Topic).chain(all.keys(Kind::Broker)) {
            for synonym in &key.synonyms {
                assert!(all.broker(synonym.name).is_some(), "{} of {}", synonym.name, key.name);
            }
        }
        assert_eq!(
            all.topic("segment.ms").unwrap().synonyms,
            [
                Synonym { name: "log.roll.ms", factor: 1 },
                Synonym { name: "log.roll.hours", factor: 3_600_000 }
            ]
        );
    }

    #[test]
    fn every_line_of_effects_fits_a_key() {
        let all = catalogue();
        for line in effects(include_str!("tables/effects.table")) {
            assert!(all.keys(line.kind).any(|key| line.fits(key.name)), "{line:?}");
            assert_eq!(
                line.why.is_empty(),
                line.effect == Effect::Acts && line.accepted.is_none(),
                "{line:?}"
            );
        }
    }

    #[test]
    fn promises_that_are_not_kept_are_refused() {
        let all = catalogue();
        let refused =
            |kind, name: &str, value: &str| all.get(kind, name).unwrap().accept(value).unwrap_err();
        assert!(refused(Kind::Topic, "cleanup.policy", "compact").contains("not compacted"));
        assert!(refused(Kind::Topic, "cleanup.policy", "compact,delete").contains("not compacted"));
        assert!(refused(Kind::Topic, "remote.storage.enable", "true").contains("remote"));
        assert!(refused(Kind::Broker, "authorizer.class.name", "a.B").contains("authorizer"));
        assert!(
            refused(Kind::Topic, "segment.bytes", "1")
                .starts_with("Invalid value 1 for configuration segment.bytes")
        );
        assert!(all.topic("cleanup.policy").unwrap().accept(" delete").is_ok());
        assert!(all.topic("flush.ms").unwrap().accept("1").is_ok(), "stored");
    }

    #[test]
    fn unknown_keys_get_a_suggestion() {
        let all = catalogue();
        assert_eq!(all.suggest(Kind::Topic, "retention.mss"), Some("retention.ms"));
        assert_eq!(all.suggest(Kind::Broker, "num.partition"), Some("num.partitions"));
        assert_eq!(all.suggest(Kind::Broker, "xyzzy"), None);
        assert!(all.broker("listener.name.internal.plain.sasl.jaas.config").is_some());
        assert!(all.broker("listener.name.internal.ssl.keystore.location").is_some());
        assert!(all.broker("listener.name.internal.nothing").is_none());
    }
}
