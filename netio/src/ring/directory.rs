//! Whether a directory can hold the data: asked once at the start, so that a file system that
//! cannot is a sentence with a cure and not a failure of the first write.
use super::sys;
use crate::error::{Error, Result};
use std::{
    fs::OpenOptions,
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

const BLOCK: usize = crate::buffer::BLOCK;
/// Made, written and removed again. The lock is held, so nobody else has it.
const PROBE: &str = ".probe";

/// Tries a file with direct, synchronous writes. A device that is full, or has no inodes left, is
/// no reason against it: reads go on there.
///
/// # Errors
/// What the file system refuses, with the cure.
pub(crate) fn probe(dir: &Path) -> Result<()> {
    let path = dir.join(PROBE);
    let open = |flags: i32| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(flags)
            .open(&path)
    };
    let result = match open(libc::O_DIRECT) {
        Ok(file) => {
            let block = crate::AlignedBuf::zeroed(BLOCK);
            sys::write_synced(file.as_raw_fd(), &block).map_err(|errno| match errno {
                // A device with larger sectors, or a file system that promises what it cannot do.
                libc::EINVAL => no_direct_writes(dir, errno),
                libc::EOPNOTSUPP | libc::ENOSYS => Error::new(
                    "write",
                    format!(
                        "{} with RWF_DSYNC: this file system cannot; put the data on a local ext4, XFS or btrfs with --data DIR",
                        dir.display()
                    ),
                    errno,
                ),
                errno => Error::new("write", path.display().to_string(), errno),
            })
        }
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            // Is it the flag, or the file?
            Err(if errno == libc::EINVAL && open(0).is_ok() {
                no_direct_writes(dir, errno)
            } else {
                refused(dir, "open", &path, errno)
            })
        }
    };
    // Not there if it could not be made.
    let _ = std::fs::remove_file(&path);
    match result {
        Err(error) if error.is_full() => Ok(()),
        result => result,
    }
}

fn no_direct_writes(dir: &Path, errno: i32) -> Error {
    Error::new(
        "open",
        format!(
            "{} with O_DIRECT: this file system has no direct I/O in blocks of {BLOCK} bytes; put the data on a local ext4, XFS or \
             btrfs with --data DIR",
            dir.display()
        ),
        errno,
    )
}

/// An error of a file in the data directory, with what to do where that is known.
pub(crate) fn refused(dir: &Path, op: &'static str, file: &Path, errno: i32) -> Error {
    let cure = match errno {
        libc::EACCES | libc::EPERM => std::fs::metadata(dir).ok().map(|meta| {
            // SAFETY: no arguments, always successful.
            let me = unsafe { libc::geteuid() };
            format!(
                "{} belongs to user {} and has mode {:o}, this process runs as user {me}: run it as its owner, chown -R {me} {}, or \
                 choose another with --data DIR",
                dir.display(),
                meta.uid(),
                meta.mode() & 0o7777,
                dir.display()
            )
        }),
        libc::EROFS => Some(format!(
            "{} is on a file system that is mounted read-only: mount it for writing, or choose another with --data DIR",
            dir.display()
        )),
        _ => None,
    };
    let on = file.display();
    match cure {
        Some(cure) => Error::new(op, format!("{on} ({cure})"), errno),
        None => Error::new(op, on.to_string(), errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_directory_will_do_and_is_left_as_it_was() {
        let dir = std::env::temp_dir().join(format!("millrace-probe-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        probe(&dir).unwrap();
        // One of a process that was killed is no obstacle.
        std::fs::write(dir.join(PROBE), "old").unwrap();
        probe(&dir).unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
        std::fs::remove_dir(&dir).unwrap();
    }

    #[test]
    fn who_may_not_write_is_told_whose_it_is() {
        let dir = std::env::temp_dir();
        let said = refused(&dir, "open", &dir.join("lock"), libc::EACCES).to_string();
        assert!(said.contains("belongs to user") && said.contains("chown -R"), "{said}");
        let said = refused(&dir, "open", &dir.join("lock"), libc::EROFS).to_string();
        assert!(said.contains("read-only"), "{said}");
        let said = refused(&dir, "open", &dir.join("lock"), libc::EIO).to_string();
        assert!(!said.contains('('.to_string().as_str()) || said.contains("os error"), "{said}");
    }
}
