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
        Self {
            op,
            on: on.into(),
            errno,
        }
    }
    /// The device or quota is full (ENOSPC, EDQUOT): not a fault of the device.
    pub fn is_full(&self) -> bool {
        self.errno == libc::ENOSPC || self.errno == libc::EDQUOT
    }
    /// The file is not there (ENOENT).
    pub fn is_not_found(&self) -> bool {
        self.errno == libc::ENOENT
    }
}
