//! Tokens of a core's timers.

/// What a timer is for. The top bit of a token is the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Once a second.
    Housekeeping,
    /// A fetch's time is over.
    Fetch,
    /// A coordinator has something to expire.
    Coordinators,
    /// A request has waited for room in the log as long as it may.
    Deferred,
    /// A change of metadata takes longer than its request allows.
    Proposal,
    /// Stopping takes too long, or is to tell how far it has come.
    Stop,
}

pub(crate) const KIND_SHIFT: u32 = 56;

/// The token of a timer for `id`.
pub fn token(kind: Timer, id: u64) -> u64 {
    assert!(id < 1 << KIND_SHIFT, "timer id {id:#x}");
    (kind as u64) << KIND_SHIFT | id
}
