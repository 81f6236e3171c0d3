//! Which CPUs threads and processes run on.

use std::num::NonZeroU64;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_current_timer_slack};

/// A list such as `0,2-3`.
///
/// # Errors
/// It is not one.
pub fn parse(text: &str) -> Result<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let wrong = || format!("not a list of CPUs: {text}");
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (
            from.trim().parse::<usize>().with_context(wrong)?,
            to.trim().parse::<usize>().with_context(wrong)?,
        );
        ensure!(from <= to && to < CpuSet::MAX_CPU, wrong());
        cpus.extend(from..=to);
    }
    Ok(cpus)
}

/// The CPUs this thread may use.
#[must_use]
pub fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// Keeps the calling thread on one CPU.
///
/// # Errors
/// The kernel does not have it for us.
pub fn pin_to(cpu: usize) -> Result<()> {
    let in_a_set = cpu < CpuSet::MAX_CPU;
    let pinned = in_a_set && core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    ensure!(pinned, "cannot run on CPU {cpu}");
    Ok(())
}

/// Keeps the calling thread, and what it starts from now on, on these CPUs.
///
/// # Errors
/// The kernel has none of them for us.
fn pin_thread(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on CPUs {cpus:?}"))
}

/// Timers of this thread wake at once and not up to 50 µs later.
pub fn precise_timers() {
    // Where the kernel refuses, waking is a little late, and the slip shows it.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// Nice value of the event loops, and of every process under test.
///
/// What else runs on a machine now and then (kernel threads, agents) may hold either up for a time
/// slice of the scheduler, milliseconds, and says nothing about a broker. All peers get the same; a
/// broker that sets its own has it beside.
pub const LOOP_NICE: i32 = -20;
pub const PEER_NICE: i32 = -10;

/// Gives the calling thread, and what it starts from now on, a nice value. False: that takes root
/// or CAP_SYS_NICE.
pub fn set_nice(nice: i32) -> bool {
    // On Linux a nice value is a thread's.
    rustix::process::setpriority_process(None, nice).is_ok()
}

/// May this process have nice values below 0?
#[must_use]
pub fn may_be_nice() -> bool {
    std::thread::spawn(|| set_nice(LOOP_NICE)).join().unwrap_or(false)
}

/// Starts a process that stays on these CPUs (an empty list: on all of ours), at [`PEER_NICE`]
/// where that is allowed.
///
/// A child inherits its parent thread's CPUs and nice value, so a thread is made that has just
/// those.
///
/// # Errors
/// Those of starting it.
pub fn spawn_on(cpus: &[usize], command: &mut Command) -> Result<Child> {
    std::thread::scope(|scope| {
        let spawner = scope.spawn(|| -> Result<Child> {
            if !cpus.is_empty() {
                pin_thread(cpus)?;
            }
            // Where it may not, the manifest says so.
            let _ = set_nice(PEER_NICE);
            command
                .spawn()
                .with_context(|| format!("cannot start {}", command.get_program().display()))
        });
        spawner
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that starts processes has panicked"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse("0").unwrap(), [0]);
        assert_eq!(parse("0,2-4").unwrap(), [0, 2, 3, 4]);
        assert_eq!(parse("").unwrap(), [0usize; 0]);
        for wrong in ["a", "3-1", "0-99999", "-"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_child_runs_where_it_was_told() {
        let cpu = allowed()[0];
        let mut command = Command::new("cat");
        command.arg("/proc/self/status").stdout(std::process::Stdio::piped());
        let child = spawn_on(&[cpu], &mut command).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        assert!(text.contains(&format!("Cpus_allowed_list:\t{cpu}\n")), "{text}");
    }
}
