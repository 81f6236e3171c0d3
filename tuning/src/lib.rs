//! What the host is, for those who tune it: the kernel's features that a ring gets here.
//!
//! One true function so far: [`kernel`]. Probing of disk, network and CPU, plans and their
//! application come with their own issue, and `top` with them.
#![forbid(unsafe_code)]

/// What of the kernel a core would use, or why it could not run, with the cure.
///
/// # Errors
/// The first thing that is missing, and what to type.
pub fn kernel() -> netio::Result<netio::Features> {
    netio::probe()
}
