//! Instructions that a core spends on a request, counted by callgrind: the same on a busy machine
//! and on a quiet one.
//!
//! A broker with one core and the settings of production runs in the simulation; requests go to it
//! one after the other until it is warm, then [`REQUESTS`] more are counted. What counts is what a
//! core does in its steps, from reaping completions to queueing sends, background flushes included;
//! what the simulation does in place of the kernel, and the client, do not count.
//!
//! Copies and clears of more than a few KiB are one instruction that repeats itself (`rep movsb`,
//! `rep stosb`), which callgrind counts by the byte: for large batches a count is mostly the bytes
//! that were moved.
//!
//! `cargo xtask instructions` runs this and compares with `broker/benches/ratchet.toml`. Not seen
//! here: system calls, caches, and what io_uring's own driver spends.
#![allow(clippy::unwrap_used)]

mod load;

#[path = "../../tests/sim/bed.rs"]
#[allow(dead_code)]
mod bed;

#[path = "../../tests/sim/kafka.rs"]
#[allow(dead_code)]
mod kafka;

use gungraun::{
    Callgrind, EntryPoint, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use load::Load;

/// Requests that are counted; `xtask` divides by the same number.
const REQUESTS: usize = 1000;
/// Requests before those.
const WARM: usize = 300;

#[library_benchmark]
#[bench::produce_one_record(Load::produce(1, 1, 100))]
#[bench::produce_64k(Load::produce(1, 64, 1000))]
#[bench::produce_20_partitions(Load::produce(20, 1, 1000))]
#[bench::fetch_64k_at_the_tail(Load::fetch(1, 64, 1000))]
#[bench::fetch_20_partitions(Load::fetch(20, 1, 1000))]
fn request(mut load: Load) -> Load {
    load.counted_requests();
    load
}

library_benchmark_group!(name = paths; benchmarks = request);

main!(
    config = LibraryBenchmarkConfig::default().tool(
        Callgrind::with_args([
            // Collection is on inside of a core's step, and off again inside of the simulation's
            // driver; what was collected before the counted requests is thrown away.
            "--collect-atstart=no",
            "--toggle-collect=*netio::core::turn::Core::step*",
            "--toggle-collect=*netio::world::driver::SimDriver*",
            "--zero-before=*Load::counted_requests*",
            "--cache-sim=no",
        ])
        .entry_point(EntryPoint::None)
    );
    library_benchmark_groups = paths
);
