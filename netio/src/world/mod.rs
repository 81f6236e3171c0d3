//! The simulated machine below the seam: hosts, disks, network and clock, all from one seed.
//!
//! * [`world`]   events in the order of their time, cores with their operations in flight;
//!   [`driver`] a core's window on it.
//! * [`files`]   operations on files, their errors and slowness; `disk` what a disk holds and what
//!   a cut leaves of it.
//! * `net`       connections, cuts and delays; [`client`] a test's end of a connection.
//! * [`image`]   a disk as a test looks at it; [`options`]; [`rng`]; `trace`.
//!
//! Who runs next is decided above ([`crate::sim`]), since that needs the cores.
pub mod client;
mod disk;
pub mod driver;
pub mod files;
pub mod image;
mod net;
pub mod options;
pub mod rng;
mod trace;
#[expect(clippy::module_inception, reason = "the world itself, among what it is made of")]
pub mod world;

#[cfg(test)]
mod tests;
