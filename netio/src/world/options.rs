//! What a simulation is told: the seed, and how unkind the disk and the network are.

/// A world.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Decides everything that is not decided by the programs.
    pub seed: u64,
    pub disk: DiskOptions,
    pub net: NetOptions,
    /// Virtual time one step of a core takes, in nanoseconds: from, to.
    pub step_ns: (u64, u64),
    /// Wall clock at virtual time 0, milliseconds since the epoch.
    pub wall_start_ms: i64,
    /// Probability that a multishot operation ends after a completion although it could go on
    /// (Linux may clear `F_MORE` at any time).
    pub multishot_ends: f64,
    /// Trace lines kept for [`crate::sim::Sim::trace_lines`]; 0 = only the hash.
    pub trace_lines: usize,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            disk: DiskOptions::default(),
            net: NetOptions::default(),
            step_ns: (200, 3_000),
            wall_start_ms: 1_750_000_000_000,
            multishot_ends: 0.05,
            trace_lines: 0,
        }
    }
}

impl SimOptions {
    /// The defaults under `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}

/// A disk. Probabilities are per operation. The defaults have latency, no errors, and the strictest
/// reading of what a power cut may take.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    pub capacity_bytes: u64,
    /// Latency of an operation, in nanoseconds: from, to. Syncs take four times as long.
    pub latency_ns: (u64, u64),
    /// Additional nanoseconds per KiB transferred.
    pub ns_per_kib: u64,
    /// Probability that an operation takes `slow_ns` more.
    pub slow: f64,
    pub slow_ns: u64,
    /// EIO on a read; on a write (a part of which may have landed); on a sync (what it should have
    /// made durable stays at risk, and a later sync that succeeds says nothing about it, as on
    /// Linux).
    pub read_error: f64,
    pub write_error: f64,
    pub sync_error: f64,
    /// A read returns one flipped bit; the disk itself stays right.
    pub read_flip: f64,
    pub names: Names,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            capacity_bytes: 64 << 30,
            latency_ns: (10_000, 120_000),
            ns_per_kib: 400,
            slow: 0.005,
            slow_ns: 20_000_000,
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            read_flip: 0.0,
            names: Names::Strict,
        }
    }
}

/// What a power cut does to creations, renames and removals whose directory was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Any subset of them is lost; a file's sync says nothing about its name (POSIX).
    Strict,
    /// A suffix of them is lost, over all directories, and a file's sync makes its name durable
    /// with all that came before (a journal, like ext4's).
    Journal,
}

/// A network. Both directions of a connection have their own delays; bytes of one direction never
/// overtake each other.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// Delay of a piece, in nanoseconds: from, to.
    pub delay_ns: (u64, u64),
    /// Probability that a piece is late by `slow_ns` (a retransmission).
    pub slow: f64,
    pub slow_ns: u64,
    /// A send arrives in pieces of 1 to this many bytes.
    pub piece_bytes_max: usize,
    /// Bytes of one direction sent and not yet received by the program; above it sends wait.
    pub window_bytes: usize,
    /// Most bytes of one received buffer.
    pub provided_bytes: usize,
    /// Established connections that wait for accept, per listener; more are refused.
    pub backlog: usize,
    /// How long bytes may wait for a cut link or a dead host before their connection fails with
    /// ETIMEDOUT.
    pub timeout_ns: u64,
    /// Peers of a host without power see a reset, as if its address were taken over; otherwise they
    /// wait for `timeout_ns`.
    pub reset_on_power_cut: bool,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            delay_ns: (5_000, 150_000),
            slow: 0.002,
            slow_ns: 5_000_000,
            piece_bytes_max: 48 << 10,
            window_bytes: 256 << 10,
            provided_bytes: 16 << 10,
            backlog: 1024,
            timeout_ns: 5_000_000_000,
            reset_on_power_cut: true,
        }
    }
}

/// A node: a host with a disk, and the process on it.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Made (and durable) before the first start; relative names are below the root of the node's
    /// disk.
    pub data_dir: String,
    /// Options of the process's cores. `cpus` is not used: the number of cores is the number of
    /// boots.
    pub process: crate::Options,
    /// Own disk options; the world's otherwise.
    pub disk: Option<DiskOptions>,
    /// Added to the wall clock of this node, in milliseconds.
    pub wall_skew_ms: i64,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            process: crate::Options::default(),
            disk: None,
            wall_skew_ms: 0,
        }
    }
}
