//! A member of a classic group.

use crate::coordinator::ReplyTo;
use std::sync::Arc;
use wire::join_group::JoinGroupRequestProtocol;

/// A protocol that a member can run, with what it wants to tell the leader (Kafka: assignor and
/// subscription).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) name: Arc<str>,
    pub(super) metadata: Arc<[u8]>,
}

/// Protocols of a request in order of preference, as they lie there: most joins are answered
/// without keeping them. A name said twice counts once, or it would vote twice.
#[derive(Debug)]
pub(super) struct Offered<'a> {
    request: &'a [JoinGroupRequestProtocol<'a>],
    /// Places of those that count.
    firsts: Vec<u32>,
}

impl<'a> Offered<'a> {
    pub(super) fn of(request: &'a [JoinGroupRequestProtocol<'a>]) -> Self {
        let firsts = crate::answer::distinct::firsts(request, |a, b| a.name.cmp(&b.name));
        Self { request, firsts }
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> {
        self.firsts.iter().map(|&at| {
            let protocol = &self.request[at as usize];
            (&*protocol.name, &*protocol.metadata)
        })
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &'a str> {
        self.iter().map(|(name, _)| name)
    }

    /// Memory that they would hold, as [`protocols_bytes`].
    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(name, metadata)| PROTOCOL_BYTES + name.len() + metadata.len()).sum()
    }

    /// As a member keeps them.
    pub(super) fn to_vec(&self) -> Vec<Protocol> {
        let protocol = |(name, metadata): (&str, &[u8])| Protocol {
            name: name.into(),
            metadata: metadata.into(),
        };
        self.iter().map(protocol).collect()
    }
}

/// What a protocol takes beside its bytes, about.
const PROTOCOL_BYTES: usize = 64;

/// Memory held by them, about.
pub(super) fn protocols_bytes(protocols: &[Protocol]) -> usize {
    let each = protocols.iter().map(|p| PROTOCOL_BYTES + p.name.len() + p.metadata.len());
    each.sum()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: Arc<str>,
    /// `group.instance.id` of a static member (KIP-345).
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Box<str>,
    pub(super) client_host: Box<str>,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// In order of preference; names differ.
    pub(super) protocols: Vec<Protocol>,
    /// From the leader, of the last generation that became stable.
    pub(super) assignment: Arc<[u8]>,
    /// A JoinGroup that waits for the group; [`super::classic::Classic`] counts these.
    pub(super) awaiting_join: Option<ReplyTo>,
    /// A SyncGroup that waits for the leader's.
    pub(super) awaiting_sync: Option<ReplyTo>,
    /// In its first join, which times out.
    pub(super) is_new: bool,
}

impl Member {
    /// What the member says under `protocol`.
    pub(super) fn metadata(&self, protocol: &str) -> Option<&Arc<[u8]>> {
        self.protocols.iter().find(|known| *known.name == *protocol).map(|known| &known.metadata)
    }

    /// Whether it joins with what the coordinator knows of it already.
    pub(super) fn matches(&self, offered: &Offered<'_>) -> bool {
        let own = self.protocols.iter().map(|p| (&*p.name, &*p.metadata));
        own.eq(offered.iter())
    }

    /// A member that waits for the coordinator need not heartbeat; a new one may be gone while it
    /// waits.
    pub(super) fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        let instance_id = self.instance_id.as_ref().map_or(0, |id| id.len());
        320 + 2 * self.id.len()
            + 2 * instance_id
            + self.client_id.len()
            + self.client_host.len()
            + self.assignment.len()
            + protocols_bytes(&self.protocols)
    }
}
