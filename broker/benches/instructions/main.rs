//! Instructions that a core spends on a request, counted by callgrind: the same on a busy machine
//! and on a quiet one.
//!
//! A broker with one core and the settings of production runs in the simulation; requests go to it
//! one after the other until it is warm, then so many more are counted. What counts is what a core
//! does in its steps, from reaping completions to queueing sends, background flushes included; what
//! the simulation does in place of the kernel, and the client, do not count.
//!
//! Copies and clears of more than a few KiB are one instruction that repeats itself (`rep movsb`,
//! `rep stosb`), which callgrind counts by the byte: for large batches a count is mostly the bytes
//! that were moved.
//!
//! `cargo xtask instructions` runs each case below callgrind, which is told there what to count,
//! and compares with `broker/benches/ratchet.toml`. Not seen here: system calls, caches, and what
//! io_uring's own driver spends.
//!
//! The program is an example to cargo, and no benchmark: only so it is built with the profile of
//! the server, `panic = "abort"` included, and mostly of the libraries that the server's binary is
//! linked of.
#![allow(clippy::unwrap_used)]

mod load;

#[path = "../../tests/sim/bed.rs"]
#[allow(dead_code, unused_imports)]
mod bed;

#[path = "../../tests/sim/kafka.rs"]
#[allow(dead_code)]
mod kafka;

use load::Load;
use std::process::ExitCode;

/// Requests before those that are counted, once before a pause and once behind it.
const WARM: usize = 100;

/// Its name, and how it begins.
type Case = (&'static str, fn() -> Load);

const CASES: &[Case] = &[
    ("produce_one_record", || Load::produce(1, 1, 100)),
    ("produce_64k", || Load::produce(1, 64, 1000)),
    ("produce_20_partitions", || Load::produce(20, 1, 1000)),
    ("fetch_64k_at_the_tail", || Load::fetch(1, 64, 1000)),
    ("fetch_20_partitions", || Load::fetch(20, 1, 1000)),
];

/// Arguments: a case, and how many of its requests are counted. Without any, the names of the cases
/// are printed.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, requests) = match &arguments[..] {
        [] => {
            CASES.iter().for_each(|(name, _)| println!("{name}"));
            return ExitCode::SUCCESS;
        }
        [name, requests] => (name, requests.parse()),
        _ => {
            eprintln!("two arguments, please: a case, and a number of requests");
            return ExitCode::FAILURE;
        }
    };
    let (Some((_, load)), Ok(requests)) = (CASES.iter().find(|case| case.0 == name), requests)
    else {
        eprintln!("no such case, or no number: {}", arguments.join(" "));
        return ExitCode::FAILURE;
    };
    load().counted_requests(requests);
    ExitCode::SUCCESS
}
