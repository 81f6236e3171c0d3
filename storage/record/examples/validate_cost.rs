//! What `validate` costs: `cargo run --release -p record --example validate_cost`.
//!
//! Best of some rounds, on one batch that stays in cache: the code's own cost, not memory's.
#![allow(clippy::disallowed_methods)] // a measurement reads the clock

use std::hint::black_box;
use std::time::Instant;

use record::{
    BatchBuilder, Compression, Scratch, Timestamp, ValidateOptions, checksum, validate_with,
};

const ROUNDS: usize = 200;
const PER_ROUND: u32 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp(1_700_000_000_000);
    let value: Vec<u8> =
        (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27).to_le_bytes()[0]).collect();
    let mut scratch = Scratch::new();
    println!("{:30} {:>9} {:>10} {:>8}", "batch", "bytes", "ns", "ns/B");
    for (records, size) in [(64, 1000), (1, 100), (640, 100)] {
        for codec in Compression::ALL {
            let mut batch = BatchBuilder::new().compression(codec);
            for _ in 0..records {
                batch.append(Some(b"key-0123"), value.get(..size), now, &[])?;
            }
            let bytes = batch.build()?;
            for deep in [false, true] {
                if deep && codec == Compression::None {
                    continue;
                }
                let options = ValidateOptions { deep, ..ValidateOptions::default() };
                let ns =
                    best(|| validate_with(&mut scratch, black_box(&bytes), &options, now).is_ok());
                let kind = if deep { " deep" } else { "" };
                let what = format!("{records} x {size} {}{kind}", codec.name());
                report(&what, bytes.len(), ns);
            }
            if codec == Compression::None {
                let ns = best(|| checksum(black_box(&bytes)) != 0);
                report("  of that, CRC alone", bytes.len(), ns);
            }
        }
    }
    Ok(())
}

fn best(mut work: impl FnMut() -> bool) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..PER_ROUND {
            assert!(black_box(work()));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(PER_ROUND));
    }
    best
}

fn report(what: &str, bytes: usize, ns: f64) {
    println!("{what:30} {bytes:>9} {ns:>10.0} {:>8.3}", ns / bytes as f64);
}
