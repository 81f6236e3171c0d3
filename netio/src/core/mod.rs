//! What is written once above the drivers.
//!
//! * [`program`]  what runs on a core, and all that can wake it.
//! * [`turn`]     a core's loop, one step at a time: the thread of a ring and the simulation drive the same value.
//! * `state`      what a core owns below its program: operations in flight, connections, timers.
//! * `executor`   background tasks by class and share; [`tasks`] their outcomes as values.
//! * `timers`, [`gate`], [`mesh`] (lanes between cores).
pub(crate) mod executor;
pub mod gate;
pub mod mesh;
pub mod program;
pub(crate) mod state;
pub mod tasks;
pub(crate) mod timers;
pub mod turn;
