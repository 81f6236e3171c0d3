//! Plain settings of the cores and their rings. No configuration file is read here.
use std::path::PathBuf;

/// How the cores of one process run.
#[derive(Clone, Debug)]
pub struct Options {
    /// CPU of each core; `None` leaves it to the scheduler. One core is started per entry.
    pub cpus: Vec<Option<usize>>,
    /// Lock file of the data directory: taken before anything is read, registered with every ring.
    pub lock_file: Option<PathBuf>,
    /// Submission queue entries of a ring.
    pub ring_entries: u32,
    /// Provided receive buffers of a core: how many, and bytes of each.
    pub recv_buffers: u16,
    pub recv_buffer_bytes: u32,
    /// Most connections a core holds.
    pub connections_max: usize,
    /// Output bytes of one connection above which `Io::is_congested` says so, and below which
    /// `Event::Writable` comes.
    pub output_high_bytes: usize,
    pub output_low_bytes: usize,
    /// Slots of a mesh lane, per pair of cores.
    pub lane_slots: usize,
    /// How long a core spins without an event before it parks, in microseconds; adapts between 0
    /// and this.
    pub spin_us_max: u64,
    /// Longest time background tasks run in one turn, in microseconds.
    pub background_slice_us: u64,
    /// Nice value of the cores' threads, -20 to 0: below 0, kernel threads and others on their CPUs
    /// do not hold an ack back for a time slice. A wish: a process without the right to it (root,
    /// CAP_SYS_NICE, RLIMIT_NICE) runs at its own.
    pub nice: i32,
    /// CPUs for io-wq workers and the control thread; empty = no affinity.
    pub control_cpus: Vec<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpus: vec![None],
            lock_file: None,
            ring_entries: 1024,
            recv_buffers: 256,
            recv_buffer_bytes: 16 << 10,
            connections_max: 10_000,
            output_high_bytes: 1 << 20,
            output_low_bytes: 256 << 10,
            lane_slots: 1024,
            spin_us_max: 50,
            background_slice_us: 200,
            nice: 0,
            control_cpus: Vec::new(),
        }
    }
}
