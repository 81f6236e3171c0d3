//! The binary as an operator meets it: exit status, standard streams, signals, sockets, files, limits of the real kernel.
//!
//! * [`host`]    a process of the binary, and what is asked of it.
//! * [`metrics`] what is written about `/metrics`.
//! * [`start`]   starts that fail or are interrupted.
//! * [`memory`]  memory limits.
//! * [`streams`] standard streams that nobody reads, and signals.
#![allow(clippy::unwrap_used)]

mod descriptors;
mod host;
mod memory;
mod metrics;
mod start;
mod streams;
