//! What processes and the host did meanwhile, from /proc.

use std::fs;

use nix::{time::clock_getcpuclockid, unistd::Pid};
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;

/// Counters of one process at one moment; all its threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessSample {
    /// CPU time, ns.
    pub cpu_ns: Nanos,
    /// Of it in user mode, ns, at the kernel's tick (10 ms).
    pub user_ns: Nanos,
    pub system_ns: Nanos,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    /// read and write calls and their like; not those of io_uring, epoll or sockets' own calls.
    pub io_calls: u64,
    pub read_bytes: u64,
    pub write_bytes: u64,
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
    pub threads: u64,
}

/// What a process used between two samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    pub cpu_ns: Nanos,
    pub user_ns: Nanos,
    pub system_ns: Nanos,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
    pub io_calls: u64,
    /// Bytes from and to the block device.
    pub read_bytes: u64,
    pub write_bytes: u64,
    /// At the end.
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
    pub threads: u64,
}

const TICK_NS: Nanos = 10_000_000;

impl ProcessSample {
    /// Of process `pid`; `None` when it is gone, or not ours to look at.
    ///
    /// CPU time is the process's own clock, in ns, with what ended threads and the kernel's threads
    /// on its behalf (io_uring's workers) have used.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let mut sample = Self::default();
        let root = format!("/proc/{pid}");
        let stat = fs::read_to_string(format!("{root}/stat")).ok()?;
        // The name may hold spaces and parentheses: fields count from behind its last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        sample.user_ns = number(11) * TICK_NS;
        sample.system_ns = number(12) * TICK_NS;
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).ok()?)).ok()?;
        let time = clock.now().ok()?;
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        sample.cpu_ns = seconds * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0);
        for task in fs::read_dir(format!("{root}/task")).ok()?.flatten() {
            let path = task.path();
            sample.threads += 1;
            if let Ok(text) = fs::read_to_string(path.join("status")) {
                sample.voluntary_switches += field(&text, "voluntary_ctxt_switches:");
                sample.involuntary_switches += field(&text, "nonvoluntary_ctxt_switches:");
            }
        }
        if let Ok(text) = fs::read_to_string(format!("{root}/status")) {
            sample.rss_bytes = field(&text, "VmRSS:") * 1024;
            sample.rss_peak_bytes = field(&text, "VmHWM:") * 1024;
        }
        if let Ok(text) = fs::read_to_string(format!("{root}/io")) {
            sample.io_calls = field(&text, "syscr:") + field(&text, "syscw:");
            sample.read_bytes = field(&text, "read_bytes:");
            sample.write_bytes = field(&text, "write_bytes:");
        }
        Some(sample)
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> ProcessUse {
        ProcessUse {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(earlier.involuntary_switches),
            io_calls: self.io_calls.saturating_sub(earlier.io_calls),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            write_bytes: self.write_bytes.saturating_sub(earlier.write_bytes),
            rss_bytes: self.rss_bytes,
            rss_peak_bytes: self.rss_peak_bytes,
            threads: self.threads,
        }
    }
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// CPU time of the calling thread, ns.
#[must_use]
pub fn thread_cpu() -> Nanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Counters of the whole host at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostSample {
    busy_ticks: u64,
    steal_ticks: u64,
    iowait_ticks: u64,
    total_ticks: u64,
}

/// What the host did between two samples, as shares of all its CPUs' time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HostUse {
    pub busy: f64,
    /// Taken by the hypervisor.
    pub steal: f64,
    pub iowait: f64,
}

impl HostSample {
    /// Now; zeros where /proc/stat cannot be read.
    #[must_use]
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let n: Vec<u64> = line.split_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
        let at = |i: usize| n.get(i).copied().unwrap_or(0);
        // user nice system idle iowait irq softirq steal; guest time is inside user.
        let total = (0..8).map(at).sum();
        Self {
            busy_ticks: at(0) + at(1) + at(2) + at(5) + at(6),
            steal_ticks: at(7),
            iowait_ticks: at(4),
            total_ticks: total,
        }
    }

    /// Shares since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> HostUse {
        let total = self.total_ticks.saturating_sub(earlier.total_ticks).max(1) as f64;
        let share = |now: u64, then: u64| now.saturating_sub(then) as f64 / total;
        HostUse {
            busy: share(self.busy_ticks, earlier.busy_ticks),
            steal: share(self.steal_ticks, earlier.steal_ticks),
            iowait: share(self.iowait_ticks, earlier.iowait_ticks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_sampled() {
        let a = ProcessSample::of(std::process::id()).unwrap();
        let mut x = 0u64;
        let from = thread_cpu();
        while thread_cpu() - from < 30_000_000 {
            x = x.wrapping_add(1);
        }
        std::hint::black_box(x);
        let used = ProcessSample::of(std::process::id()).unwrap().since(&a);
        // What this thread took by its own clock is in it, whatever other threads began and ended
        // meanwhile.
        assert!(used.cpu_ns >= 30_000_000, "{used:?}");
        assert!(used.rss_bytes > 0 && used.threads > 0);
        assert_eq!(ProcessSample::of(u32::MAX), None);
    }
}
