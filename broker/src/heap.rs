//! Memory that was freed goes back to the system after a burst.
//!
//! The C library keeps what is freed between what is used, and gives nothing of it back by itself:
//! a burst of long requests would be seen as resident memory until the process ends. A core that
//! allocates while its heap is looked through waits: 4 to 13 ms where 75 MiB were given back in
//! small pieces, 0.1 ms where there was nothing. So it is done when a burst has ended, on the
//! control thread.
use procfs::{ProcError, WithCurrentSystemInfo, process::Process};
use std::time::{Duration, Instant};

/// Between two looks.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// A process that used less than this part of a CPU since the last look is at rest.
const AT_REST: u32 = 20;
/// One that never rests gives back when it has grown by this much, and grows no more,
const GROWN_BYTES: u64 = 16 << 20;
/// and not more often than after so many looks.
const LOOKS_BETWEEN: u32 = 15;

/// What a look finds.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    resident_bytes: u64,
    /// Since the start.
    cpu: Duration,
}

impl Seen {
    fn now() -> Result<Self, ProcError> {
        let stat = Process::myself()?.stat()?;
        let ticks = (stat.utime + stat.stime) as f64;
        Ok(Self {
            resident_bytes: stat.rss_bytes().get(),
            cpu: Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64),
        })
    }
}

/// Whether a burst has ended since memory was last given back.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    last: Seen,
    /// It was not always at rest.
    worked: bool,
    /// The least that was resident.
    least_bytes: u64,
    looks: u32,
}

impl Heap {
    /// To be called every [`LOOK`], on a thread that may wait.
    pub(crate) fn look(&mut self) {
        // Without /proc the memory stays.
        let Ok(seen) = Seen::now() else { return };
        if !self.is_due(seen) {
            return;
        }
        let begun = Instant::now();
        netio::give_back_memory();
        let took = begun.elapsed();
        if let Ok(now) = Seen::now() {
            self.least_bytes = now.resident_bytes;
            tracing::debug!(
                before = seen.resident_bytes,
                after = now.resident_bytes,
                took_us = took.as_micros() as u64,
                "memory given back"
            );
        }
    }

    fn is_due(&mut self, seen: Seen) -> bool {
        let used = seen.cpu.saturating_sub(self.last.cpu);
        let busy = used > LOOK / AT_REST;
        let grows = seen.resident_bytes > self.last.resident_bytes;
        self.last = seen;
        self.worked |= busy;
        self.looks += 1;
        self.least_bytes = self.least_bytes.min(seen.resident_bytes);
        let grown = seen.resident_bytes > self.least_bytes + GROWN_BYTES && !grows;
        let due = self.worked && !busy || grown && self.looks >= LOOKS_BETWEEN;
        if due {
            (self.worked, self.looks) = (false, 0);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look for each pair: MiB resident, and milliseconds of CPU time since the one before.
    fn due(looks: &[(u64, u64)]) -> Vec<usize> {
        let mut heap = Heap { least_bytes: looks[0].0 << 20, ..Heap::default() };
        let mut cpu = Duration::ZERO;
        let mut at = Vec::new();
        for (n, &(mib, ms)) in looks.iter().enumerate() {
            cpu += Duration::from_millis(ms);
            let resident_bytes = mib << 20;
            if heap.is_due(Seen { resident_bytes, cpu }) {
                heap.least_bytes = resident_bytes;
                at.push(n);
            }
        }
        at
    }

    #[test]
    fn once_after_each_burst() {
        assert_eq!(due(&[(40, 0), (90, 900), (90, 1_500), (90, 10), (50, 0), (50, 20)]), [3]);
        assert_eq!(due(&[(40, 0), (90, 900), (90, 0), (60, 0), (60, 900), (60, 0)]), [2, 5]);
        assert_eq!(due(&[(40, 0); 100]), []);
    }

    #[test]
    fn now_and_then_where_there_is_no_rest() {
        assert_eq!(due(&[(40, 1_000); 100]), []);
        let mut looks = vec![(40, 1_000); 5];
        looks.extend([(60, 1_000); 100]);
        assert_eq!(due(&looks), [14]);
        // One that grows is left alone.
        let grows: Vec<_> = (0..100).map(|n| (40 + n, 1_000)).collect();
        assert_eq!(due(&grows), []);
    }
}
