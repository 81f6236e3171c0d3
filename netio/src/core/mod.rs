//! What is written once above the drivers.
//!
//! * [`program`]  what runs on a core, and all that can wake it.
//! * [`turn`]     a core's loop, one step at a time: the thread of a ring and the simulation drive
//!   the same value.
//! * `state`      what a core owns below its program: operations in flight, connections, timers.
//! * `executor`   background tasks by class and share; [`tasks`] their outcomes as values.
//! * `timers`, [`gate`], [`mesh`] (lanes between cores).
//! * [`net`]      connections: receive without idle buffers, ordered vectored sends, bounded
//!   output.
//! * [`mod@file`] files: aligned direct reads and writes, sync, allocate, truncate.
//! * [`io`]       [`io::Io`], the handle by which a program and its tasks use their core.
pub(crate) mod executor;
pub mod file;
pub mod gate;
pub mod io;
pub mod mesh;
pub mod net;
pub mod program;
pub(crate) mod state;
pub mod tasks;
pub(crate) mod timers;
pub mod turn;
