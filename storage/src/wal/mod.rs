//! The write-ahead log of a core: one chain of frames over a few files.
//!
//! [`frame`] is the format, [`group`] the frame being filled, [`writer`] the way to the disk and
//! the frames in memory, [`recycle`] the files. Nothing here knows what a log is beyond its id and
//! slot.
pub(crate) mod frame;
pub(crate) mod group;
pub(crate) mod recycle;
pub(crate) mod writer;

pub(crate) use frame::{Entry, Kind};
pub(crate) use writer::{Chain, Wal};
