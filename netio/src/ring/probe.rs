//! What this kernel allows: asked once at start, so that a missing feature is a sentence with a
//! cure and not a late failure.
use super::sys;
use crate::error::{Error, Result};
use io_uring::{IoUring, Probe, opcode};
use std::fmt;

/// Memory that a ring of ours locks on kernels that count it, with room to spare.
const MEMLOCK_BYTES: u64 = 512 << 10;

/// What is in use on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// Kernel release, as `uname -r` says it.
    pub kernel: String,
    /// IORING_SETUP_SINGLE_ISSUER and DEFER_TASKRUN: completions are worked off when the core asks,
    /// by the core.
    pub defer_taskrun: bool,
    /// Truncation as an operation of the ring (6.9); a helper thread does it otherwise.
    pub ftruncate: bool,
    /// Open files that this process may have.
    pub open_files: u64,
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Linux {}, io_uring (multishot accept and receive, provided buffers",
            self.kernel
        )?;
        write!(
            f,
            "{}",
            if self.defer_taskrun { ", deferred task work" } else { ", cooperative task work" }
        )?;
        write!(
            f,
            "{}), {} open files",
            if self.ftruncate { ", ftruncate" } else { "" },
            self.open_files
        )
    }
}

/// Checks the kernel step by step, and raises the limit of open files.
pub fn probe() -> Result<Features> {
    let kernel = release();
    let cured = |what: &'static str, cure: String, errno| Error::new(what, cure, errno);
    if version(&kernel).is_some_and(|v| v < (6, 1)) {
        return Err(cured(
            "probe",
            format!("Linux {kernel} is too old: 6.1 or newer is needed"),
            libc::ENOSYS,
        ));
    }
    let ring = IoUring::new(8).map_err(|error| {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        cured("io_uring_setup", cure_of(errno), errno)
    })?;
    let mut probe = Probe::new();
    let failed = |e: std::io::Error| {
        cured(
            "io_uring_register",
            "(is a seccomp profile in the way?)".into(),
            e.raw_os_error().unwrap_or(libc::EIO),
        )
    };
    ring.submitter().register_probe(&mut probe).map_err(failed)?;
    for (name, code) in NEEDED {
        if !probe.is_supported(code) {
            return Err(cured(
                "probe",
                format!(
                    "this kernel ({kernel}) lacks the io_uring operation {name}: 6.1 or newer is needed"
                ),
                libc::ENOSYS,
            ));
        }
    }
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
    let deferred: std::io::Result<IoUring> = builder.build(8);
    Ok(Features {
        defer_taskrun: deferred.is_ok(),
        ftruncate: probe.is_supported(opcode::Ftruncate::CODE),
        open_files: sys::raise_open_files(),
        kernel,
    })
}

const NEEDED: [(&str, u8); 17] = [
    ("ACCEPT", opcode::Accept::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SEND", opcode::Send::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("READ", opcode::Read::CODE),
    ("WRITE", opcode::Write::CODE),
    ("WRITEV", opcode::Writev::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE),
    ("RENAMEAT", opcode::RenameAt::CODE),
    ("UNLINKAT", opcode::UnlinkAt::CODE),
    ("MKDIRAT", opcode::MkDirAt::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
];

/// What to do when a ring cannot be made.
fn cure_of(errno: i32) -> String {
    let disabled =
        std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    match (errno, disabled.trim()) {
        (libc::EPERM, "2") => "is switched off on this host: sysctl -w kernel.io_uring_disabled=0".into(),
        (libc::EPERM, "1") => {
            "is for a group only on this host: sysctl -w kernel.io_uring_disabled=0, or join the group of kernel.io_uring_group".into()
        }
        (libc::EPERM | libc::EACCES | libc::ENOSYS, _) => {
            "is forbidden, most likely by a container's seccomp profile: allow io_uring_setup, io_uring_enter and io_uring_register, \
             or run with --security-opt seccomp=unconfined"
                .into()
        }
        (libc::ENOMEM, _) => format!("needs more locked memory: ulimit -l {} or LimitMEMLOCK=infinity", MEMLOCK_BYTES >> 10),
        (libc::EMFILE | libc::ENFILE, _) => "needs a file descriptor: raise ulimit -n".into(),
        _ => "failed".into(),
    }
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |s| s.trim().into())
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_releases() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("5.10.0"), Some((5, 10)));
        assert_eq!(version("unknown"), None);
    }

    #[test]
    fn cures_name_what_to_type() {
        assert!(cure_of(libc::ENOMEM).contains("ulimit -l 512"));
        assert!(cure_of(libc::ENOSYS).contains("seccomp"));
    }
}
