//! The whole broker in the simulation: every core, disk, network and clock from one seed.
//!
//! * [`bed`]       a host with a broker on it, and connections to it.
//! * [`kafka`]     what a Kafka client does, one call at a time.
//! * [`smoke`]     what every client does first, in both modes and on one and two cores.
//! * [`versions`]  every API in every version that is served, with the requests of [`requests`].
//! * [`sampled`]   any values in the fields of any request.
//! * [`admin`]     what admin clients and tools ask for.
//! * [`answers`]   where Kafka's answer is not the obvious one.
//! * [`hostile`]   bytes that mean harm, and peers that go away.
//! * [`fairness`]  a connection beside busy ones, counted in turns.
//! * [`fetches`]   what a fetch waits for, what it says at its end, and how much it brings.
//! * [`finished`]  clients that close for writing and still read.
//! * [`limits`]    what a core holds for its clients is bounded, over all of them.
//! * [`metrics`]   what `/metrics` tells.
//! * [`order`]     several requests at once on one connection.
//! * [`batches`]   which batches are stored, and the code that the others get.
//! * [`codecs`]    batches that are stored otherwise than they came.
//! * [`crash`]     kills and power cuts under load, and what must be there afterwards.
//! * [`classes`]   durability classes other than `device`, and groups, through the end of a
//!   process.
//! * [`faults`]    a disk that fails or is full.
//! * [`short`]     descriptors or kernel memory that are missing for a moment.
//! * [`space`]     a device that fills up, what goes on then, and how it ends.
//! * [`names`]     directories with the longest names, and such as cannot be moved.
//! * [`snapshots`] the metadata log is cut to a snapshot.
//! * [`starts`]    starts that fail, or are stopped on the way.
//!
//! `MILLRACE_SEEDS=100` runs the seeded tests with seeds 0..100, `MILLRACE_SEED=7` with 7
//! alone.
#![allow(clippy::unwrap_used)]

mod admin;
mod answers;
mod batches;
mod bed;
mod classes;
mod codecs;
mod crash;
mod fairness;
mod faults;
mod fetches;
mod finished;
mod hostile;
mod kafka;
mod limits;
mod metrics;
mod names;
mod newer;
mod order;
mod requests;
mod sampled;
mod short;
mod smoke;
mod snapshots;
mod space;
mod starts;
mod stop;
mod versions;
