//! Plain settings: of a core's store, and of one log. No configuration file is read here.
use std::path::PathBuf;

/// When an ack may go out (topic configuration `millrace.durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// On the device.
    #[default]
    Device,
    /// Written without dsync: survives a killed process.
    Written,
    /// In the core's group.
    Memory,
}

/// Settings of a core's store.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory (`wal/` and `kafka/` below it).
    pub data: PathBuf,
    pub group_bytes: usize,
    pub groups_in_flight: usize,
    /// Longest time a batch waits for company while the device is idle, microseconds.
    pub linger_us: u64,
    pub wal_file_bytes: u64,
    /// Pre-written before the first serve; later files are made in the background.
    pub wal_first_file_bytes: u64,
    /// Unflushed WAL of this core above which appends are refused as `Busy`.
    pub unflushed_bytes_max: u64,
    /// Unflushed bytes of a core that start a flush, and age (ms) of the oldest that does.
    pub flush_bytes: u64,
    pub flush_age_ms: u64,
    /// Tail cache of this core beyond what is unflushed, bytes.
    pub cache_bytes: usize,
    /// Memory of groups beyond the unflushed ones and twice the cache, held by slow readers, from
    /// which tail reads are copies.
    pub held_bytes_max: u64,
    /// Space kept free: produce is refused below it.
    pub reserve_bytes: u64,
    /// `producer.id.expiration.ms`
    pub producer_id_expiration_ms: i64,
    /// Idempotent producers remembered, over all logs of the core; about 200 bytes each.
    pub producer_ids_max: usize,
    /// `log.retention.check.interval.ms`
    pub retention_check_ms: u64,
    /// Segment files open at once.
    pub open_files_max: usize,
    /// Most bytes of cold reads in memory at once.
    pub cold_read_bytes_max: usize,
    /// Most bytes read ahead of readers of old data; 0: none are.
    pub read_ahead_bytes_max: usize,
}

impl Options {
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            group_bytes: 1 << 20,
            groups_in_flight: 2,
            linger_us: 0,
            wal_file_bytes: 64 << 20,
            wal_first_file_bytes: 16 << 20,
            unflushed_bytes_max: 256 << 20,
            flush_bytes: 32 << 20,
            flush_age_ms: 5_000,
            cache_bytes: 64 << 20,
            held_bytes_max: 64 << 20,
            reserve_bytes: 1 << 30,
            producer_id_expiration_ms: 86_400_000,
            producer_ids_max: 1_000_000,
            retention_check_ms: 300_000,
            open_files_max: 1_024,
            cold_read_bytes_max: 64 << 20,
            read_ahead_bytes_max: 32 << 20,
        }
    }
}

/// Settings of one log; Kafka's topic configurations of the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub durability: Durability,
    pub segment_bytes: u64,
    pub segment_ms: i64,
    /// -1 = no limit.
    pub retention_ms: i64,
    /// -1 = no limit.
    pub retention_bytes: i64,
    /// `file.delete.delay.ms`
    pub file_delete_delay_ms: i64,
    pub index_interval_bytes: u32,
    pub segment_index_bytes: u32,
    /// False for internal logs that are bounded by snapshots (retention is not applied; see
    /// [`crate::Store::delete_records`]).
    pub delete: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Device,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 86_400_000,
            retention_ms: 7 * 86_400_000,
            retention_bytes: -1,
            file_delete_delay_ms: 60_000,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            delete: true,
        }
    }
}
