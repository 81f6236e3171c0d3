//! [`storage::disk_log::DiskLog`] on the disks of both drivers: what is flushed is read, whatever
//! lies in between.
//!
//! The judge is a model: the batches that were flushed, in a list. `scenarios` run on the ring
//! (real files) and in the simulation; `faults` needs the simulation: power cuts, damaged bytes,
//! full and failing disks.
#[path = "segments/bed.rs"]
mod bed;
#[path = "segments/faults.rs"]
mod faults;
#[path = "segments/scenarios.rs"]
mod scenarios;
