//! Scenarios: named loads in TOML files, and the set that a comparison runs by default.
//!
//! ```toml
//! name = "one-record"
//! title = "One 100 B record a request, 50 connections"
//! [workload]
//! partitions = 6
//! [workload.produce]
//! connections = 50
//! record_bytes = 100
//! [peers.kafka.topic_configs]      # only for this peer
//! "flush.messages" = "1"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::workload::Workload;

/// A named load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    /// One line, for tables.
    pub title: String,
    /// What it shows, for reports.
    #[serde(default)]
    pub about: String,
    pub workload: Workload,
    /// By peer: what differs for it.
    #[serde(default)]
    pub peers: BTreeMap<String, ForPeer>,
}

/// What differs for one peer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForPeer {
    pub topic_configs: BTreeMap<String, String>,
    /// Why it does not take part.
    pub skip: Option<String>,
}

macro_rules! standard {
    ($($name:literal),* $(,)?) => {
        /// The standard set, in the order of a comparison.
        const STANDARD: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../scenarios/", $name, ".toml")))),*
        ];
    };
}

standard! {
    "batch-64k",
    "batch-900k",
    "one-record",
    "latency-1k",
    "latency-20mb",
    "latency-50mb",
    "durable",
    "partitions-1000",
    "partitions-10000",
    "hot-consume",
}

/// Share of a scenario's own warm-up in a quick run: one that warms up longer than others needs it.
const QUICK_WARMUP: f64 = 1.0 / 3.0;
/// Seconds that count in a quick run: enough to see that it works, and roughly how.
const QUICK_MEASURE_S: f64 = 2.5;
/// 10^6 bytes that a quick run stores beforehand, at most.
const QUICK_STORED: u64 = 500;

impl Scenario {
    /// From a file's text.
    ///
    /// # Errors
    /// It is not TOML, has unknown keys, or describes a load that cannot be made.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.workload.validate().with_context(|| format!("scenario {}", scenario.name))?;
        Ok(scenario)
    }

    /// One of the standard set by its name, or a file by its path.
    ///
    /// # Errors
    /// Neither; or as [`parse`](Self::parse).
    pub fn load(name: &str) -> Result<Self> {
        if let Some((_, text)) = STANDARD.iter().find(|(n, _)| *n == name) {
            return Self::parse(text);
        }
        if !Path::new(name).is_file() {
            let all: Vec<_> = STANDARD.iter().map(|(n, _)| *n).collect();
            bail!("no scenario {name}: neither a file nor one of {}", all.join(", "));
        }
        let text = std::fs::read_to_string(name)?;
        Self::parse(&text).with_context(|| name.to_owned())
    }

    /// The standard set.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn standard() -> Result<Vec<Self>> {
        STANDARD.iter().map(|(_, text)| Self::parse(text)).collect()
    }

    /// Shorter.
    #[must_use]
    pub fn quick(mut self) -> Self {
        use crate::workload::Start;
        let workload = &mut self.workload;
        workload.warmup_s *= QUICK_WARMUP;
        workload.measure_s = workload.measure_s.min(QUICK_MEASURE_S);
        if let Some(consume) = &mut workload.consume
            && let Start::Stored(megabytes) = &mut consume.from
        {
            *megabytes = (*megabytes).min(QUICK_STORED);
        }
        self
    }

    /// The load for one peer; `Err` with the reason if it does not take part.
    ///
    /// # Errors
    /// The reason.
    pub fn for_peer(&self, peer: &str) -> Result<Workload> {
        let mut workload = self.workload.clone();
        if let Some(own) = self.peers.get(peer) {
            if let Some(reason) = &own.skip {
                bail!("{reason}");
            }
            workload
                .topic_configs
                .extend(own.topic_configs.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        Ok(workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_set_is_right_and_named_after_its_files() {
        let all = Scenario::standard().unwrap();
        for (scenario, (name, _)) in all.iter().zip(STANDARD) {
            assert_eq!(scenario.name, *name);
            assert!(!scenario.title.is_empty());
            let quick = scenario.clone().quick();
            quick.workload.validate().unwrap();
            assert!(quick.workload.measure_s <= QUICK_MEASURE_S);
        }
    }

    #[test]
    fn unknown_keys_and_names_are_errors() {
        assert!(Scenario::parse("name='x'\ntitle='y'\n[workload]\nspeed=1").is_err());
        assert!(Scenario::load("no-such").unwrap_err().to_string().contains("batch-64k"));
    }

    #[test]
    fn a_peer_has_its_own_configurations() {
        let durable = Scenario::load("durable").unwrap();
        let kafka = durable.for_peer("kafka").unwrap();
        assert_eq!(kafka.topic_configs["flush.messages"], "1");
        assert!(durable.for_peer("millrace").unwrap().topic_configs.is_empty());
        assert!(durable.for_peer("tansu").is_err());
    }
}
