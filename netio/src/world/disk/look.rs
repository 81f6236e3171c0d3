//! For tests to look at a disk and to damage it, past all rules.
use super::{Disk, Errno, Inode, Kind, NameChange, ROOT, parts};
use crate::seam::Open;
use std::path::Path;

impl Disk {
    /// All files with their lengths, sorted by path.
    pub(crate) fn list(&self) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        self.walk(ROOT, "", &mut out);
        out
    }
    fn walk(&self, dir: Inode, prefix: &str, out: &mut Vec<(String, u64)>) {
        let Ok(d) = self.dir(dir) else { return };
        for (name, &inode) in &d.now {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            match &self.nodes[&inode].kind {
                Kind::File(c) => out.push((path, c.len())),
                Kind::Dir(_) => self.walk(inode, &path, out),
            }
        }
    }
    fn find(&self, path: &Path) -> Result<Inode, Errno> {
        let inode = self.resolve(path)?;
        if self.is_dir(inode) { Err(libc::EISDIR) } else { Ok(inode) }
    }
    pub(crate) fn contents(&self, path: &Path) -> Result<Vec<u8>, Errno> {
        let inode = self.find(path)?;
        let mut out = vec![0; self.len(inode) as usize];
        self.read(inode, 0, &mut out);
        Ok(out)
    }
    pub(crate) fn flip(&mut self, path: &Path, position: u64, mask: u8) -> Result<(), Errno> {
        let inode = self.find(path)?;
        if self.file_mut(inode).flip(position, mask) { Ok(()) } else { Err(libc::EINVAL) }
    }
    /// Puts a whole file there, durably, with its directories.
    pub(crate) fn put(&mut self, path: &Path, bytes: &[u8]) -> Result<(), Errno> {
        let names = parts(path)?;
        for n in 1..names.len() {
            let dir: std::path::PathBuf = names[..n].iter().collect();
            match self.create_dir(&dir) {
                Ok(()) | Err(libc::EEXIST) => {}
                Err(e) => return Err(e),
            }
        }
        let inode = self.open(path, Open { write: true, create: true, ..Open::default() })?;
        self.charge(inode, bytes.len() as u64)?;
        self.file_mut(inode).replace(bytes);
        self.close(inode);
        self.keep_names(|_, c| c.inode() == inode);
        self.keep_names(|_, c| matches!(c, NameChange::Link { .. }));
        Ok(())
    }
    /// Removes a file for good.
    pub(crate) fn discard(&mut self, path: &Path) -> Result<(), Errno> {
        let inode = self.find(path)?;
        self.remove_file(path)?;
        self.keep_names(|_, c| c.inode() == inode);
        Ok(())
    }
    /// Pending changes of data of a file: 0 when all of it is durable.
    pub(crate) fn at_risk(&self, path: &Path) -> Result<usize, Errno> {
        Ok(self.file(self.find(path)?).pending())
    }
}
