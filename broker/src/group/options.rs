//! What a group coordinator runs with, and what bounds it.

/// Settings, Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// `group.min.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_ms_max: i32,
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i32,
    /// How long a new member may wait in its first join, since it cannot heartbeat yet (not
    /// configurable in Kafka).
    pub new_member_join_timeout_ms: i32,
    /// `group.max.size`
    pub group_size_max: usize,
    /// `offset.metadata.max.bytes`; Kafka counts UTF-16 code units.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_ms: u64,
    /// What Kafka does not bound.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            new_member_join_timeout_ms: 5 * 60 * 1_000,
            group_size_max: usize::try_from(i32::MAX).unwrap_or(usize::MAX),
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1_000,
            offsets_retention_check_ms: 600_000,
            limits: Limits::default(),
        }
    }
}

/// Bounds of one coordinator, that is of one partition of `__consumer_offsets`.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Groups; a new one beyond is refused with COORDINATOR_NOT_AVAILABLE.
    pub groups: usize,
    /// Members and those about to become one, of a group; the next is refused with
    /// GROUP_MAX_SIZE_REACHED.
    pub members_per_group: usize,
    /// Memory held by groups and offsets, estimated: what the core's budget leaves to this
    /// coordinator ([`super::Coordinator::set_bytes_max`]). What takes no more than before goes on
    /// beyond it. New groups and members, larger subscriptions and assignments are refused with
    /// COORDINATOR_NOT_AVAILABLE, on which clients find the coordinator and try again: memory may
    /// come free. New commits are refused with INVALID_COMMIT_OFFSET_SIZE, on which the commit
    /// fails: a code to try again on would make members leave their coordinator for it.
    pub bytes: usize,
    /// Longest group id in bytes; a longer one is INVALID_GROUP_ID.
    pub group_id_bytes: usize,
    /// Largest GroupMetadata record. A SyncGroup that would make a larger one fails with
    /// UNKNOWN_SERVER_ERROR, as in Kafka, whose bound is the topic's `max.message.bytes`.
    pub record_bytes: usize,
    /// Work of one tick on expired offsets: groups looked at, and tombstones written.
    pub expiry_groups_per_tick: usize,
    /// See above.
    pub expiry_records_per_tick: usize,
}

/// Longest string in the format of records.
pub(crate) const STRING_BYTES_MAX: usize = 0x7fff;

impl Default for Limits {
    fn default() -> Self {
        Self {
            groups: 100_000,
            members_per_group: 20_000,
            bytes: 256 << 20,
            group_id_bytes: STRING_BYTES_MAX,
            record_bytes: 1_000_000,
            expiry_groups_per_tick: 1_000,
            expiry_records_per_tick: 2_000,
        }
    }
}
