//! What a core is started with, and what it says of its start and of its end.
use crate::{config::Defaults, settings::Settings};
use netio::CoreId;
use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};
use tokio::sync::watch;

/// Everything a core needs to start.
#[derive(Clone, Debug)]
pub struct Plan {
    pub settings: Settings,
    pub defaults: Defaults,
    pub storage: storage::Options,
    /// Told `true` when every core serves.
    pub ready: Arc<watch::Sender<Progress>>,
}

/// How far the start has come, and how the cores are since.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub serving: Vec<(CoreId, SocketAddr)>,
    pub cluster_id: String,
    pub recovery: String,
    /// Why there is no service. The first reason is kept: those after it are its consequences.
    pub failed: Option<String>,
    pub ready: bool,
    /// After a stop: what it left for the next start, and why.
    pub left: Option<String>,
    /// Cores whose write-ahead log has failed, and why: they take no records until another start.
    pub failed_logs: BTreeMap<u16, String>,
    /// Cores that have partitions that are read-only after a fault of their own files.
    pub failed_partitions: BTreeMap<u16, FailedPartitions>,
    /// Cores that refuse records for want of space, and why.
    pub refusing: BTreeMap<u16, String>,
}

/// Partitions of a core that take no records until another start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedPartitions {
    pub count: usize,
    /// Some of them, and why.
    pub named: BTreeMap<String, String>,
}

impl FailedPartitions {
    /// Partitions that are named.
    const NAMED_MAX: usize = 8;

    pub(crate) fn add(&mut self, partition: String, reason: String) {
        self.count += 1;
        if self.named.len() < Self::NAMED_MAX {
            self.named.insert(partition, reason);
        }
    }

    /// It was deleted.
    pub(crate) fn remove(&mut self, partition: &str) {
        self.count = self.count.saturating_sub(1);
        self.named.remove(partition);
    }
}

impl Progress {
    /// A partition of `core` that had failed was deleted.
    pub(crate) fn forget_failed(&mut self, core: u16, partition: &str) {
        if let Some(failed) = self.failed_partitions.get_mut(&core) {
            failed.remove(partition);
            if failed.count == 0 {
                self.failed_partitions.remove(&core);
            }
        }
    }

    /// A core cannot start.
    pub fn fail(&mut self, reason: String) {
        self.failed.get_or_insert(reason);
    }
}

/// Why a start does not come through, and what to do where the error does not say so itself.
pub(crate) fn reason(error: &storage::Error, data: &Path) -> String {
    match error {
        storage::Error::Io(io) if io.is_full() => format!(
            "{io}: the volume of {} is full: free space there, or make it larger, and start again; nothing is lost",
            data.display()
        ),
        other => other.to_string(),
    }
}
