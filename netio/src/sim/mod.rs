//! The seeded simulation: every core of every node, disk, network and clock in one thread.
//!
//! A test builds a [`Sim`] from a seed, adds nodes with the same [`crate::Boot`]s that production
//! runs, and lets virtual time pass. The seed decides which runnable core steps next, how long each
//! operation takes, how bytes are cut into pieces, and what a kill or a power cut leaves; so a
//! failing seed is the bug report, and [`Sim::trace_hash`] proves the replay.
//!
//! ```
//! use netio::{Boot, Event, Program, Turn, sim::{NodeOptions, Sim, SimOptions}};
//!
//! struct Echo(netio::Io);
//! impl Program for Echo {
//!     fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
//!         for event in events.drain(..) {
//!             match event {
//!                 Event::Accepted { conn, .. } => self.0.start_receiving(conn),
//!                 Event::Readable { conn } => {
//!                     let Some(input) = self.0.take(conn) else { continue };
//!                     let bytes = bytes::Bytes::copy_from_slice(input.bytes());
//!                     let consumed = bytes.len();
//!                     self.0.put_back(conn, input, consumed, 0, false);
//!                     self.0.send(conn, [bytes]);
//!                 }
//!                 Event::Stop => return Turn::Done,
//!                 _ => {}
//!             }
//!         }
//!         Turn::Rest
//!     }
//! }
//! fn echo() -> Boot<()> {
//!     Box::new(|io, _mesh| {
//!         Box::pin(async move {
//!             io.listen("0.0.0.0:9092".parse().unwrap()).unwrap();
//!             Box::new(Echo(io)) as Box<dyn Program>
//!         })
//!     })
//! }
//!
//! let mut sim = Sim::new(SimOptions::seeded(42));
//! let node = sim.add_node(NodeOptions::default(), vec![echo()]);
//! let client = sim.client((node.ip(), 9092).into());
//! client.send("hello");
//! assert!(sim.run_until(1_000_000_000, |_| client.available() == 5));
//! assert_eq!(client.take(), b"hello");
//! sim.power_cut(node);
//! sim.restart(node, vec![echo()]);
//! assert!(sim.run_until(1_000_000_000, |_| client.ended().is_some()), "the old connection was reset");
//! ```
//!
//! A test of a library (no program, no network) needs less:
//!
//! ```
//! use netio::{Open, sim::{NodeOptions, Sim, SimOptions}};
//! use std::path::Path;
//!
//! let mut sim = Sim::new(SimOptions::seeded(1));
//! let node = sim.add_host(NodeOptions::default());
//! let how = Open { write: true, create: true, ..Open::default() };
//! let written = sim.run_on(node, 1_000_000_000, move |io| async move {
//!     let file = io.open(Path::new("data/wal"), how).await?;
//!     io.sync_dir(Path::new("data")).await?;
//!     file.write_at(vec![7; 512].into(), 0, true).await
//! });
//! assert_eq!(written, Some(Ok(())));
//! sim.power_cut(node);
//! assert_eq!(sim.disk(node).read("data/wal").unwrap(), [7; 512]);
//! ```
//!
//! * Nodes: [`Sim::add_node`], [`Sim::add_host`], [`Sim::run_on`], [`Sim::kill`],
//!   [`Sim::power_cut`], [`Sim::stop`], [`Sim::restart`], [`Sim::sender`].
//! * Time: [`Sim::run_until`], [`Sim::run_for`], [`Sim::now`]. Virtual time passes by a small
//!   seeded cost per step of a core and jumps when no core has anything to do. Cores of one world
//!   do not slow each other down.
//! * Disk (rules in `disk/mod.rs`): [`Sim::disk`] to look and to damage, [`Sim::fail_next`] and
//!   [`Sim::fail_always`] to order errors, [`Sim::set_disk`] for errors and slowness by chance,
//!   [`DiskImage::set_capacity`] for a full disk.
//! * Network (rules in `net/mod.rs`): [`Sim::client`], [`Sim::cut`], [`Sim::heal`].
//!
//! Not modelled: a read that sees half of a concurrent write; hard and symbolic links; a full
//! submission queue; datagrams; the lock file of [`crate::Options`] (a kill decides at once about
//! what was in flight, so nothing late can land).
mod scheduler;

pub use crate::world::{
    client::Client,
    driver::SimDriver,
    files::FileOp,
    image::DiskImage,
    options::{DiskOptions, Names, NetOptions, NodeOptions, SimOptions},
    rng::Rng,
    world::NodeId,
};
pub use scheduler::Sim;
