//! The kernel behind one small seam.
//!
//! Everything Millrace wants of Linux - disk, sockets, cores, clock, chance - comes through this
//! crate, so that the same broker runs on io_uring in production and in a seeded simulation in
//! tests. Nothing here knows Kafka.
//!
//! In reading order, each importing only from those below it:
//! * [`threads`] production: one thread per core. [`sim`] tests: all cores in one thread, from a
//!   seed.
//! * [`core`]    what is written once above the seam: a core's loop ([`core::turn`]), its
//!   background tasks, timers, gates, the mesh, connections ([`core::net`]), files
//!   ([`core::file`]), and [`Io`], the handle by which a program uses its core.
//! * [`driver`]  one of two drivers: [`ring`] (io_uring) and [`world`] (a simulated machine).
//! * [`seam`]    what crosses it: operations in, completions out.
//! * [`buffer`]  memory that the kernel may write to, and its ownership.
//! * [`clock`]   instants and wall time.
//! * [`options`] plain settings; [`error`] errors by blame; [`stats`] counters of a core.
pub mod buffer;
pub mod clock;
pub mod core;
pub mod driver;
pub mod error;
pub mod options;
pub mod ring;
pub mod seam;
pub mod sim;
pub mod stats;
pub mod threads;
pub mod world;

pub use buffer::{AlignedBuf, ArenaBuf};
pub use clock::{Instant, WallTime};
pub use core::{
    file::File,
    gate::Gate,
    io::Io,
    mesh::{Mesh, Sender},
    net::{CloseReason, ConnId, ListenerId, Received},
    program::{Boot, CoreId, Event, Program, Turn},
    tasks::{Class, TaskSet},
};
pub use error::{Error, Result};

pub use options::Options;
pub use ring::probe::{Features, probe};
pub use ring::{bound_heaps, give_back_memory, raise_open_files};
pub use seam::{DirEntry, Open, Sharing, Space};
pub use threads::{Running, start};
