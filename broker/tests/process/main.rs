//! The binary as an operator meets it: exit status, standard streams, signals, sockets, files,
//! limits of the real kernel.
//!
//! * [`host`]    a process of the binary, and what is asked of it.
//! * [`kafka`]   a client.
//! * [`metrics`] what is written about `/metrics`.
//! * [`start`]   starts that fail or are interrupted.
//! * [`memory`]  memory limits.
//! * [`streams`] standard streams that nobody reads, and signals.
#![allow(clippy::unwrap_used)]

mod descriptors;
mod host;
mod kafka;
mod memory;
mod metrics;
mod small_device;
mod start;
mod streams;
