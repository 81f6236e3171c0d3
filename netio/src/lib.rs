//! The kernel behind one small seam.
//!
//! Everything Millrace wants of Linux - disk, sockets, cores, clock, chance - comes through this crate, so that the same
//! broker runs on io_uring in production and in a seeded simulation in tests. Nothing here knows Kafka.
//!
//! In reading order:
//! * [`driver`]  the seam: operations in, completions out. Two drivers: [`ring`] (io_uring) and [`sim`] (seeded).
//! * [`core`]    what is written once above the seam: a core's loop, its background tasks, timers, gates, the mesh.
//! * [`io`]      [`Io`], the handle by which a program and its tasks use their core.
//! * [`net`]     connections: receive without idle buffers, ordered vectored sends, bounded output.
//! * [`file`]    files: aligned direct reads and writes, sync, allocate, rename, directories.
//! * [`buffer`]  memory that the kernel may write to, and its ownership.
//! * [`clock`]   instants and wall time.
//! * [`options`] plain settings; [`error`] errors by blame; [`stats`] counters of a core.
pub mod buffer;
pub mod clock;
pub mod core;
pub mod driver;
pub mod error;
pub mod file;
pub mod io;
pub mod net;
pub mod options;
pub mod ring;
pub mod sim;
pub mod stats;

pub use buffer::{AlignedBuf, ArenaBuf};
pub use clock::{Instant, WallTime};
pub use core::{
    gate::Gate,
    mesh::{Mesh, Sender},
    program::{Boot, CoreId, Event, Program, Turn},
    tasks::{Class, TaskSet},
};
pub use error::{Error, Result};
pub use file::{DirEntry, File, Open};
pub use io::Io;
pub use net::{CloseReason, ConnId, ListenerId, Received, Sharing};
pub use options::Options;
pub use ring::raise_open_files;
pub use ring::{
    probe::{Features, probe},
    start::{Running, start},
};
