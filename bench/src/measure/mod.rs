//! What is measured: latencies, what processes and the host did meanwhile, floors of the machine.

pub mod floors;
pub mod host;
pub mod latency;
pub mod manifest;
pub mod memory;
