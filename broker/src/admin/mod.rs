//! Health and metrics over HTTP, on the control thread. It speaks to cores by messages only.
mod bounded;
pub mod collect;
pub mod exposition;
pub mod http;
pub mod metrics;
pub mod process;
mod series;

pub use http::{Admin, serve};
