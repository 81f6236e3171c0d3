//! A Kafka broker that somebody else has started: `NAME=HOST:PORT[@PID]`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::{About, Peer, Place};
use crate::engine::Target;
use crate::measure::host::ProcessSample;

/// A broker that is there and stays.
#[derive(Debug)]
pub(super) struct Running {
    about: About,
    target: Target,
}

impl Running {
    pub(super) fn new(name: &str, address: &str, place: &Place) -> Result<Self> {
        let (bootstrap, pid) = match address.split_once('@') {
            Some((bootstrap, pid)) => {
                let pid = pid.parse().with_context(|| format!("{pid} is no process id"))?;
                (bootstrap, Some(pid))
            }
            None => (address, None),
        };
        let target = Target { pid, cpus: place.client_cpus.clone(), ..Target::at(bootstrap) };
        target.cluster().with_context(|| format!("peer {name}"))?;
        let about = About {
            name: name.to_owned(),
            version: format!("a broker at {bootstrap}"),
            ack_means: "not known".to_owned(),
            command: "started elsewhere".to_owned(),
            settings: BTreeMap::new(),
            first_ack_s: None,
            rss_idle_bytes: pid.and_then(ProcessSample::of).map(|s| s.rss_bytes),
        };
        Ok(Self { about, target })
    }
}

impl Peer for Running {
    fn about(&self) -> &About {
        &self.about
    }

    fn target(&self) -> Target {
        self.target.clone()
    }

    fn stop(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
