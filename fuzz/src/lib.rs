//! What the fuzz targets do with their bytes: one module a target, each with a `run` that panics on
//! a finding.
//!
//! The targets themselves (`targets/`) are a line each. `cargo xtask fuzz` builds and runs them;
//! `corpus/` has what they begin with, and what once was a finding.
//!
//! * [`frame`]     a connection's bytes: frames, headers, and the request in each.
//! * [`api`]       every request and response in every version.
//! * [`batch`]     record batches: parsing, validation, restamping.
//! * [`codec`]     the decompressors, capped.
//! * [`records`]   records of Kafka's own topics, replayed.
//! * [`recovery`]  a data directory whose files were changed.
//! * [`store`]     a sequence of operations against a model, with crashes.
//! * [`session`]   a client's bytes to a whole broker.
//! * [`meter`]     memory held at once; [`seeds`] what the corpora begin with.
#![forbid(unsafe_code)]

pub mod api;
pub mod batch;
pub mod codec;
pub mod frame;
pub mod meter;
pub mod records;
pub mod recovery;
pub mod seeds;
pub mod session;
pub mod store;
