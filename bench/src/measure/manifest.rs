//! What the machine is: without it no figure means anything.

use crate::cpus;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The machine and the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// UTC, seconds since 1970.
    pub started_unix_s: u64,
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    pub memory_bytes: u64,
    pub hypervisor: bool,
    pub clock_source: String,
    /// Of the data directories: device, file system, mount options.
    pub mount: String,
    pub governor: Option<String>,
    /// Bytes of memory that were written before the run, so that the host has given them: see
    /// [`super::memory`].
    #[serde(default)]
    pub memory_kept_bytes: u64,
    pub generator: String,
    /// Nice value of the brokers, and of the generator's loops.
    #[serde(default)]
    pub nice: (i32, i32),
    /// The whole command line.
    pub command: String,
}

impl Manifest {
    /// Of this machine, with the data below `data`.
    #[must_use]
    pub fn read(data: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpuinfo = text("/proc/cpuinfo");
        let value = |name: &str| {
            let line = cpuinfo.lines().find(|l| l.starts_with(name));
            line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
        };
        let meminfo = text("/proc/meminfo");
        let memory = meminfo
            .lines()
            .find_map(|l| l.strip_prefix("MemTotal:"))
            .and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        let governor = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Self {
            started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: value("model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus: cpuinfo.lines().filter(|l| l.starts_with("processor")).count(),
            memory_bytes: memory.unwrap_or(0) * 1024,
            hypervisor: value("flags").is_some_and(|f| f.split(' ').any(|f| f == "hypervisor")),
            clock_source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
                .trim()
                .to_owned(),
            mount: mount(data),
            memory_kept_bytes: 0,
            governor: (!governor.is_empty()).then(|| governor.trim().to_owned()),
            generator: format!("millrace-bench {}", env!("CARGO_PKG_VERSION")),
            nice: if cpus::may_be_nice() { (cpus::PEER_NICE, cpus::LOOP_NICE) } else { (0, 0) },
            command: std::env::args().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Device, file system and options of the mount that holds `path`.
fn mount(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let holder = mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [device, point, kind, options, ..] = fields[..] else {
                return None;
            };
            path.starts_with(point)
                .then(|| (point.len(), format!("{device} on {point}, {kind} ({options})")))
        })
        .max();
    holder.map_or_else(|| "unknown".to_owned(), |(_, text)| text)
}
