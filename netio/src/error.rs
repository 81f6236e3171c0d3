//! Errors of the kernel, as a value that can be compared and copied.
use std::fmt;

/// A failed operation: what was done, and the errno.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Short name of the operation, e.g. `"open"`.
    pub op: &'static str,
    /// The path or address, when there is one.
    pub on: String,
    /// errno as a positive number.
    pub errno: i32,
}

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = std::io::Error::from_raw_os_error(self.errno);
        if self.on.is_empty() {
            write!(f, "{}: {text}", self.op)
        } else {
            write!(f, "{} {}: {text}", self.op, self.on)
        }
    }
}

impl Error {
    /// An error of operation `op` on `on` with a positive errno.
    pub fn new(op: &'static str, on: impl Into<String>, errno: i32) -> Self {
        Self { op, on: on.into(), errno }
    }
    /// The device or quota is full (ENOSPC, EDQUOT): not a fault of the device.
    pub fn is_full(&self) -> bool {
        self.errno == libc::ENOSPC || self.errno == libc::EDQUOT
    }
    /// Something was short for a moment (descriptors, kernel memory), or the operation was
    /// interrupted: no fault of the device, and nothing is lost, so it may be tried again later.
    /// Never of what moves data to the device: a write or sync that failed, for whatever reason,
    /// has an outcome that nobody knows.
    pub fn is_transient(&self) -> bool {
        match self.errno {
            // Only what makes a descriptor fails so: of the sync of a directory, its opening.
            libc::EMFILE | libc::ENFILE => true,
            libc::ENOMEM | libc::EINTR | libc::EAGAIN => {
                self.op != "write" && !self.op.contains("sync")
            }
            _ => false,
        }
    }
    /// The file is not there (ENOENT).
    pub fn is_not_found(&self) -> bool {
        self.errno == libc::ENOENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_have_lost_anything_is_tried_again() {
        let is = |op, errno| Error::new(op, "", errno).is_transient();
        for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EINTR, libc::EAGAIN] {
            for op in ["open", "rename", "readdir", "read dir", "fallocate", "read", "mkdir"] {
                assert!(is(op, errno), "{op} {errno}");
            }
        }
        for op in ["write", "sync", "fdatasync", "fsync", "fsync of directory", "sync dir"] {
            for errno in [libc::ENOMEM, libc::EINTR, libc::EAGAIN, libc::EIO] {
                assert!(!is(op, errno), "{op} {errno}");
            }
        }
        assert!(is("fsync of directory", libc::EMFILE));
        assert!(!is("open", libc::EIO) && !is("open", libc::EACCES));
    }
}
