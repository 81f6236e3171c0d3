//! What the tests of several crates share, and no product links.
//!
//! * [`seeds()`]: which seeds a test runs under.
//! * [`model`]: what must be true of the logs of a store.
#![forbid(unsafe_code)]

pub mod model;
mod seeds;

pub use seeds::{seeds, seeds_by};
