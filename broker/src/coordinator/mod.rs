//! Coordinators: state machines whose state is a partition of an internal topic.
//!
//! An operation returns *(records, replies)*. The runtime hands the records out to be appended,
//! keeps the replies until what was appended is committed, and rebuilds the state by replaying the
//! partition. Nothing here does I/O, reads a clock or draws random bits: all of them come in as
//! parameters, so that a run can be repeated from its seed.
//!
//! In reading order:
//! * [`operation`]  who asks, when, and where the answer goes.
//! * [`outcome`]    what an operation leaves behind.
//! * [`placement`]  which partition a group lives in.
//! * [`runtime`]    one partition's coordinator: load, submit, append, commit, fail.
//!
//! The state machine of consumer groups itself is [`crate::group`]. Authorization, and whether a
//! topic exists, is for the broker to check before.

pub mod operation;
pub mod outcome;
pub mod placement;
pub mod runtime;

#[cfg(test)]
mod tests;

pub use operation::{Context, Now, ReplyTo};
pub use outcome::{Outcome, Record};
pub use runtime::{LoadError, Runtime, Status};
