//! A partition that this core leads: what the broker knows of it beside its log.
use super::{
    acked::Acked,
    traffic::TopicTraffic,
    waiters::{AckWaiters, Watchers},
};
use crate::config::topic::TopicConfig;
use record::TopicId;
use std::{rc::Rc, sync::Arc};
use storage::LogSlot;

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    User,
    /// `__consumer_offsets`: a group coordinator stands behind it.
    Offsets,
    /// `__cluster_metadata`: the controller stands behind it. Clients do not see it.
    Metadata,
}

/// A led partition.
#[derive(Debug)]
pub struct Leader {
    pub topic: TopicId,
    /// Shared with the control thread.
    pub name: Arc<str>,
    pub partition: i32,
    pub slot: LogSlot,
    pub role: Role,
    pub epoch: i32,
    pub config: Rc<TopicConfig>,
    pub acks: AckWaiters,
    pub watchers: Watchers,
    pub acked: Acked,
    pub traffic: Rc<TopicTraffic>,
    /// The first fault of its log: it takes no appends since.
    pub failed: Option<Rc<str>>,
}
