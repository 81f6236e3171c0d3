//! Measures any Kafka broker: an open-loop load generator, figures with their making, and reports.
//!
//! It imports our formats (`record`, `wire`) and our client, never the broker, so it cannot know
//! more of one peer than of another.
//!
//! In reading order:
//!
//! * [`workload`]: what load is made; [`stamp`]: what marks a record
//! * [`engine`]: how a run is carried out, checked and judged
//! * [`measure`]: latencies, processes, the host
//! * [`result`]: what a run found
//! * [`scenario`]: named loads; [`peer`]: brokers to put them on; [`compare`]: turn by turn;
//!   [`study`]: many runs of one
//! * [`report`]: for people
//! * [`clock`], [`cpus`]: one clock for all; who runs where; [`rng`], [`units`]: numbers from a
//!   seed, numbers for people
#![forbid(unsafe_code)]

pub mod cli;
pub mod clock;
pub mod compare;
pub mod cpus;
pub mod engine;
pub mod measure;
pub mod peer;
pub mod report;
pub mod result;
pub mod rng;
pub mod scenario;
pub mod stamp;
pub mod study;
pub mod units;
pub mod workload;
