//! What only the simulation can do to a disk.
