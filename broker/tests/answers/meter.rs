//! Memory of the broker under test: what a turn takes at once, and what it leaves behind.
//!
//! What a request makes that lasts (topics, logs, groups, records that were appended) has bounds of
//! its own. It is what is still held when the answer has come; the rest was for the request alone.
//!
//! The whole process is counted, simulated network and clients included, so one test runs at a
//! time.
use peak_alloc::PeakAlloc;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

static ONE: Mutex<()> = Mutex::new(());
static WORST: Mutex<Turn> = Mutex::new(Turn { bytes: 0, returned: 0, took: Duration::ZERO });

/// The most that a turn took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// Above what was held when it began.
    pub(crate) bytes: usize,
    /// Above what was held when it began, and above what was held when it ended: taken and given
    /// back.
    pub(crate) returned: usize,
    /// For a reader of the output: no test depends on it.
    pub(crate) took: Duration,
}

/// No other test counts meanwhile.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a turn of a core.
#[allow(clippy::disallowed_methods)] // The time is shown, and nothing else.
pub(crate) fn around(turn: &mut dyn FnMut()) {
    ALLOCATOR.reset_peak_usage();
    let (before, began) = (ALLOCATOR.current_usage(), Instant::now());
    turn();
    let peak = ALLOCATOR.peak_usage();
    let bytes = peak.saturating_sub(before);
    let returned = peak.saturating_sub(before.max(ALLOCATOR.current_usage()));
    let mut worst = WORST.lock().unwrap();
    worst.bytes = worst.bytes.max(bytes);
    worst.returned = worst.returned.max(returned);
    worst.took = worst.took.max(began.elapsed());
}

/// The most since it was asked last.
pub(crate) fn take_worst() -> Turn {
    std::mem::take(&mut WORST.lock().unwrap())
}

/// Bytes that are held now.
pub(crate) fn held() -> usize {
    ALLOCATOR.current_usage()
}
