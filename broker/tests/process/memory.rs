//! Memory limits of the real system: seen at the start, fitted to, or refused with the number.
use crate::host::{Host, Process, wrapped};
use std::{fs, path::PathBuf};

#[test]
fn an_address_space_too_small_is_an_error_that_names_the_least() {
    let host = Host::new(2);
    let ended = Process::spawn(&mut wrapped(&host.command(), "ulimit -v 131072")).end();
    assert_eq!(ended.code(), 78, "{ended:?}");
    for part in ["128 MiB (ulimit -v)", "2 cores need", "--cores 1"] {
        assert!(ended.error.contains(part), "{part}: {ended:?}");
    }
    assert!(!host.data().exists(), "nothing was begun");
}

#[test]
fn what_was_given_and_cannot_fit_is_named() {
    let host = Host::new(2).with(&["--set", "millrace.cache.bytes=900000000"]);
    let mut command = host.command();
    let ended = Process::spawn(command.args(["--set", "millrace.memory.bytes=536870912"])).end();
    assert_eq!(ended.code(), 78, "{ended:?}");
    for part in [
        "512 MiB (millrace.memory.bytes)",
        "millrace.cache.bytes=900000000",
    ] {
        assert!(ended.error.contains(part), "{part}: {ended:?}");
    }
}

#[test]
fn defaults_are_fitted_and_said() {
    let host = Host::new(2);
    let process = Process::spawn(&mut wrapped(&host.command(), "ulimit -v 1048576"));
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.out.contains("of 1024 MiB (ulimit -v)"), "{ended:?}");
    let mut config = host.command();
    let ended = Process::spawn(&mut wrapped(config.arg("config"), "ulimit -v 1048576")).end();
    let fitted = |line: &&str| line.starts_with("millrace.unflushed.bytes.max=");
    let line = ended.out.lines().find(fitted).unwrap();
    assert!(line.contains("fitted to the memory limit"), "{line}");
}

/// A control group of this test's own, removed at its end.
struct Group(PathBuf);

impl Group {
    /// `None` where this process may not make one.
    fn with_limit(bytes: u64) -> Option<Self> {
        let name = format!("millrace-test-{}", std::process::id());
        for (parent, file) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let dir = PathBuf::from(parent).join(&name);
            if fs::create_dir(&dir).is_err() {
                continue;
            }
            let group = Self(dir);
            if fs::write(group.0.join(file), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once its process is dead, which the kernel may take a moment to see.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_control_group_is_a_limit() {
    let Some(group) = Group::with_limit(512 << 20) else {
        // Without the right to make one, the tests of `cli::memory` on written files must do.
        return;
    };
    let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
    let host = Host::new(2);
    let process = Process::spawn(&mut wrapped(&host.command(), &enter));
    host.wait_ready();
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let said = format!("of 512 MiB ({}/memory.", group.0.display());
    assert!(ended.out.contains(&said), "{ended:?}");
}
