//! What is written once above the drivers.
pub mod gate;
pub mod mesh;
pub mod program;
pub mod tasks;
