//! Health and metrics over HTTP, on the control thread. It speaks to cores by messages only.
pub mod http;
pub mod metrics;

pub use http::{Admin, serve};
