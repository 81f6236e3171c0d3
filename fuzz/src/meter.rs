//! How much memory a piece of work had at once, at its peak, beyond what there was before.
//!
//! Counts what Rust allocates; a C library's own state (zstd's window) is under the limit on the
//! process.
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs `work`; what it gave, and the most bytes that it held at a time.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let out = work();
    (out, ALLOCATOR.peak_usage().saturating_sub(before))
}
