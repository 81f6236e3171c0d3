//! Counters of one core, read by the program each time it reports.

/// Totals since start, and what is held now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Passes of the core's loop.
    pub steps: u64,
    /// Turns of the program.
    pub turns: u64,
    /// `io_uring_enter` calls.
    pub enters: u64,
    pub submitted: u64,
    pub completions: u64,
    pub parks: u64,
    pub busy_ns: u64,
    pub accepted: u64,
    /// Connections closed at once because `Options::connections_max` were open.
    pub refused: u64,
    /// Open now.
    pub connections: u64,
    /// Memory of connections' own receive buffers now (not those that the program or the kernel
    /// has).
    pub receive_buffer_bytes: u64,
    /// Large receive buffers of former connections, kept for the next ones.
    pub spare_buffer_bytes: u64,
    /// Output queued or being sent now.
    pub output_bytes: u64,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}
