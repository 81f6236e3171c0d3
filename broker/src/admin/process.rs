//! The process as Linux sees it, under the names that every Prometheus client gives it
//! (`process_*`). Read on the control thread.
use procfs::{ProcError, WithCurrentSystemInfo, process::Process};

/// What `/proc` says of this process now.
#[derive(Clone, Debug, Default)]
pub struct ProcessNumbers {
    pub cpu_seconds: f64,
    pub open_fds: u64,
    /// `ulimit -n`; none if there is no limit.
    pub max_fds: Option<u64>,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub threads: u64,
    /// Since the Unix epoch.
    pub start_seconds: f64,
}

impl ProcessNumbers {
    /// # Errors
    /// `/proc` is not mounted, or hidden from this process.
    pub fn read() -> Result<Self, ProcError> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let boot = procfs::boot_time_secs()? as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            procfs::process::LimitValue::Value(max) => Some(max),
            procfs::process::LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: (stat.utime + stat.stime) as f64 / ticks,
            open_fds: process.fd_count()? as u64,
            max_fds,
            resident_bytes: stat.rss_bytes().get(),
            virtual_bytes: stat.vsize,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            start_seconds: boot + stat.starttime as f64 / ticks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_this_process() {
        let before = ProcessNumbers::read().unwrap();
        let files: Vec<_> = (0..20).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let after = ProcessNumbers::read().unwrap();
        // Other tests of this process open and close some, too.
        assert!(after.open_fds >= files.len() as u64, "{after:?}");
        assert!(after.max_fds.is_none_or(|max| max >= after.open_fds));
        assert!(after.resident_bytes > 1 << 20 && after.virtual_bytes >= after.resident_bytes);
        assert!(after.threads >= 1 && after.cpu_seconds >= before.cpu_seconds);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - after.start_seconds;
        assert!((-2.0..86_400.0).contains(&age), "started {age} s ago");
    }
}
