//! A test's own look at a node's disk, past all programs: read, list, damage.
use super::{
    files::named,
    world::{NodeId, World},
};
use crate::{error::Result, seam::Space};
use std::{cell::RefCell, path::Path, rc::Rc};

/// The disk of one node. Paths as programs use them; changes made here take effect at once and are
/// durable.
#[derive(Clone, Debug)]
pub struct DiskImage {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) node: NodeId,
}

impl DiskImage {
    /// All files with their lengths, sorted by path, without a leading slash.
    pub fn list(&self) -> Vec<(String, u64)> {
        self.world.borrow_mut().host(self.node).disk.list()
    }
    /// A whole file, as a program would read it now.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        named("read", path, self.world.borrow_mut().host(self.node).disk.contents(Path::new(path)))
    }
    /// Turns the bits of `mask` in one byte. EINVAL beyond the end.
    pub fn flip(&self, path: &str, position: u64, mask: u8) -> Result<()> {
        named(
            "flip",
            path,
            self.world.borrow_mut().host(self.node).disk.flip(Path::new(path), position, mask),
        )
    }
    /// Puts a whole file there, with its directories.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        named("put", path, self.world.borrow_mut().host(self.node).disk.put(Path::new(path), bytes))
    }
    pub fn remove(&self, path: &str) -> Result<()> {
        named("remove", path, self.world.borrow_mut().host(self.node).disk.discard(Path::new(path)))
    }
    /// How many changes of a file a power cut could take back; 0 = all of it is durable (its name
    /// aside).
    pub fn at_risk(&self, path: &str) -> Result<usize> {
        named(
            "at risk",
            path,
            self.world.borrow_mut().host(self.node).disk.at_risk(Path::new(path)),
        )
    }
    pub fn space(&self) -> Space {
        self.world.borrow_mut().host(self.node).disk.space()
    }
    /// Makes the disk larger or smaller; below what is used, it is full.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.borrow_mut().host(self.node).disk.set_capacity(bytes);
    }
}
