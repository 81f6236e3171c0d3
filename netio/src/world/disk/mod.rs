//! A disk: a tree of names over files, with everything that a power cut could still take back.
//!
//! Rules, in one place:
//! * Reads see every completed write, also after the process was killed (page cache, or the
//!   device's own cache).
//! * A write is durable after a sync of its file that was asked for after the write completed, or
//!   by its own dsync. dsync is FUA: it says nothing of other writes, but makes the file's length
//!   durable, as it is needed to find the bytes.
//! * A sync of everything is one of each file and each directory.
//! * Creation, rename and removal are durable after a sync of their directory. A rename is atomic:
//!   seen whole or not at all. A directory whose own name is not durable is lost with all in it.
//! * A file whose name is durable and which was never synced is empty (or has what was kept of it).
//! * Space is charged for a file's length, rounded up to blocks; holes count.
//!
//! No time and no faults here: the world decides when an operation takes effect and whether it
//! fails.
mod content;
mod look;

use super::{options::Names, rng::Rng};
use crate::{
    buffer::BLOCK,
    seam::{DirEntry, Open, Space},
};
use content::Content;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path},
};

type Errno = i32;
pub(crate) type Inode = u64;
const ROOT: Inode = 1;

#[derive(Clone, Debug, Default)]
struct Directory {
    now: BTreeMap<String, Inode>,
    durable: BTreeMap<String, Inode>,
}

#[derive(Clone, Debug)]
enum Kind {
    File(Content),
    Dir(Directory),
}

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    /// Names it has as processes see it: 0 or 1.
    links: u32,
    opened: u32,
    /// Bytes reserved: the greatest allocated or written end.
    charged: u64,
}

/// A place for a name.
type Place = (Inode, String);

#[derive(Clone, Debug)]
enum NameChange {
    Link { at: Place, inode: Inode },
    Unlink { at: Place, inode: Inode },
    Move { from: Place, to: Place, inode: Inode },
}

impl NameChange {
    fn inode(&self) -> Inode {
        match self {
            NameChange::Link { inode, .. }
            | NameChange::Unlink { inode, .. }
            | NameChange::Move { inode, .. } => *inode,
        }
    }
    fn places(&self) -> [&Place; 2] {
        match self {
            NameChange::Link { at, .. } | NameChange::Unlink { at, .. } => [at, at],
            NameChange::Move { from, to, .. } => [from, to],
        }
    }
}

/// One disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    nodes: BTreeMap<Inode, Node>,
    next_inode: Inode,
    /// Changes of names that are not durable, oldest first.
    names: Vec<(u64, NameChange)>,
    next_seq: u64,
    capacity: u64,
    used: u64,
    rule: Names,
}

fn parts(path: &Path) -> Result<Vec<String>, Errno> {
    let mut out = Vec::new();
    for c in path.components() {
        match c {
            // What ext4, XFS and btrfs take (NAME_MAX).
            Component::Normal(s) if s.len() > 255 => return Err(libc::ENAMETOOLONG),
            Component::Normal(s) => out.push(s.to_str().ok_or(libc::EINVAL)?.to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(libc::EINVAL),
        }
    }
    Ok(out)
}

fn blocks(len: u64) -> u64 {
    len.next_multiple_of(BLOCK as u64)
}

impl Disk {
    pub(crate) fn new(capacity: u64, rule: Names) -> Self {
        let root = Node { kind: Kind::Dir(Directory::default()), links: 1, opened: 0, charged: 0 };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_inode: ROOT + 1,
            names: Vec::new(),
            next_seq: 0,
            capacity,
            used: 0,
            rule,
        }
    }

    // ---- look-up --------------------------------------------------------------------------------
    fn dir(&self, inode: Inode) -> Result<&Directory, Errno> {
        match &self.nodes[&inode].kind {
            Kind::Dir(d) => Ok(d),
            Kind::File(_) => Err(libc::ENOTDIR),
        }
    }
    fn dir_mut(&mut self, inode: Inode) -> &mut Directory {
        match self.nodes.get_mut(&inode).map(|n| &mut n.kind) {
            Some(Kind::Dir(d)) => d,
            other => panic!("inode {inode} should be a directory: {other:?}"),
        }
    }
    fn file(&self, inode: Inode) -> &Content {
        match self.nodes.get(&inode).map(|n| &n.kind) {
            Some(Kind::File(c)) => c,
            other => panic!("inode {inode} should be a file: {other:?}"),
        }
    }
    fn file_mut(&mut self, inode: Inode) -> &mut Content {
        match self.nodes.get_mut(&inode).map(|n| &mut n.kind) {
            Some(Kind::File(c)) => c,
            other => panic!("inode {inode} should be a file: {other:?}"),
        }
    }
    fn resolve(&self, path: &Path) -> Result<Inode, Errno> {
        let mut at = ROOT;
        for part in parts(path)? {
            at = *self.dir(at)?.now.get(&part).ok_or(libc::ENOENT)?;
        }
        Ok(at)
    }
    /// The directory of the last name, and that name.
    fn place(&self, path: &Path) -> Result<Place, Errno> {
        let mut names = parts(path)?;
        let last = names.pop().ok_or(libc::EINVAL)?;
        let mut at = ROOT;
        for part in names {
            at = *self.dir(at)?.now.get(&part).ok_or(libc::ENOENT)?;
        }
        self.dir(at)?;
        Ok((at, last))
    }
    fn at(&self, place: &Place) -> Option<Inode> {
        self.dir(place.0).ok().and_then(|d| d.now.get(&place.1).copied())
    }
    fn is_dir(&self, inode: Inode) -> bool {
        matches!(self.nodes[&inode].kind, Kind::Dir(_))
    }

    // ---- names ----------------------------------------------------------------------------------
    fn note(&mut self, change: NameChange) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.names.push((seq, change));
    }
    fn link(&mut self, at: Place, kind: Kind) -> Inode {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.nodes.insert(inode, Node { kind, links: 1, opened: 0, charged: 0 });
        self.dir_mut(at.0).now.insert(at.1.clone(), inode);
        self.note(NameChange::Link { at, inode });
        inode
    }
    fn node(&mut self, inode: Inode) -> &mut Node {
        match self.nodes.get_mut(&inode) {
            Some(n) => n,
            None => panic!("no inode {inode}"),
        }
    }
    /// Space goes back when neither a name nor a descriptor is left.
    fn released(&mut self, inode: Inode) {
        let n = self.node(inode);
        if n.links == 0 && n.opened == 0 {
            let freed = blocks(n.charged);
            n.charged = 0;
            assert!(self.used >= freed, "disk uses {} and frees {freed}", self.used);
            self.used -= freed;
        }
    }
    fn unname(&mut self, inode: Inode) {
        self.node(inode).links -= 1;
        self.released(inode);
    }

    /// Opens (and counts the descriptor: [`Self::close`] takes it back).
    pub(crate) fn open(&mut self, path: &Path, how: Open) -> Result<Inode, Errno> {
        let place = self.place(path)?;
        let inode = match self.at(&place) {
            Some(_) if how.create && how.exclusive => return Err(libc::EEXIST),
            Some(inode) if self.is_dir(inode) => return Err(libc::EISDIR),
            Some(inode) => {
                if how.truncate && self.file(inode).len() > 0 {
                    self.truncate(inode, 0)?;
                }
                inode
            }
            None if how.create => self.link(place, Kind::File(Content::default())),
            None => return Err(libc::ENOENT),
        };
        self.node(inode).opened += 1;
        Ok(inode)
    }
    /// One more user of an open file; [`Self::close`] ends it.
    pub(crate) fn hold(&mut self, inode: Inode) {
        self.node(inode).opened += 1;
    }
    pub(crate) fn close(&mut self, inode: Inode) {
        self.node(inode).opened -= 1;
        self.released(inode);
    }
    pub(crate) fn create_dir(&mut self, path: &Path) -> Result<(), Errno> {
        if parts(path)?.is_empty() {
            return Err(libc::EEXIST);
        }
        let place = self.place(path)?;
        match self.at(&place) {
            Some(_) => Err(libc::EEXIST),
            None => {
                self.link(place, Kind::Dir(Directory::default()));
                Ok(())
            }
        }
    }
    fn remove(&mut self, place: Place, inode: Inode) {
        self.dir_mut(place.0).now.remove(&place.1);
        self.note(NameChange::Unlink { at: place, inode });
        self.unname(inode);
    }
    pub(crate) fn remove_file(&mut self, path: &Path) -> Result<(), Errno> {
        let place = self.place(path)?;
        let inode = self.at(&place).ok_or(libc::ENOENT)?;
        if self.is_dir(inode) {
            return Err(libc::EISDIR);
        }
        self.remove(place, inode);
        Ok(())
    }
    pub(crate) fn remove_dir(&mut self, path: &Path) -> Result<(), Errno> {
        let place = self.place(path)?;
        let inode = self.at(&place).ok_or(libc::ENOENT)?;
        if !self.dir(inode)?.now.is_empty() {
            return Err(libc::ENOTEMPTY);
        }
        self.remove(place, inode);
        Ok(())
    }
    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Errno> {
        let (from, to) = (self.place(from)?, self.place(to)?);
        let inode = self.at(&from).ok_or(libc::ENOENT)?;
        if from == to {
            return Ok(());
        }
        if self.is_dir(inode) && self.is_within(to.0, inode) {
            return Err(libc::EINVAL);
        }
        if let Some(old) = self.at(&to) {
            match (self.is_dir(inode), self.is_dir(old)) {
                (true, false) => return Err(libc::ENOTDIR),
                (false, true) => return Err(libc::EISDIR),
                (true, true) if !self.dir(old)?.now.is_empty() => return Err(libc::ENOTEMPTY),
                _ => self.unname(old),
            }
        }
        self.dir_mut(from.0).now.remove(&from.1);
        self.dir_mut(to.0).now.insert(to.1.clone(), inode);
        self.note(NameChange::Move { from, to, inode });
        Ok(())
    }
    fn is_within(&self, inode: Inode, root: Inode) -> bool {
        inode == root
            || self
                .dir(root)
                .is_ok_and(|d| d.now.values().any(|&c| self.is_dir(c) && self.is_within(inode, c)))
    }
    /// Sorted by name.
    pub(crate) fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>, Errno> {
        let dir = self.dir(self.resolve(path)?)?;
        Ok(dir
            .now
            .iter()
            .map(|(name, &i)| DirEntry {
                name: name.clone(),
                is_dir: self.is_dir(i),
                bytes: if self.is_dir(i) { 0 } else { self.len(i) },
            })
            .collect())
    }
    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.resolve(path).is_ok()
    }
    pub(crate) fn names_mark(&self) -> u64 {
        self.next_seq
    }
    /// Makes the changes of names in this directory durable that were complete at `mark`.
    pub(crate) fn sync_dir(&mut self, path: &Path, mark: u64) -> Result<(), Errno> {
        let inode = self.resolve(path)?;
        self.dir(inode)?;
        match self.rule {
            Names::Strict => {
                self.keep_names(|seq, c| seq < mark && c.places().iter().any(|p| p.0 == inode))
            }
            Names::Journal => self.keep_names(|seq, _| seq < mark),
        }
        Ok(())
    }
    /// What a sync of everything covers that is asked for now.
    pub(super) fn file_marks(&self) -> Vec<(Inode, u64)> {
        let files = self.nodes.iter().filter_map(|(&inode, node)| match &node.kind {
            Kind::File(content) => Some((inode, content.mark())),
            Kind::Dir(_) => None,
        });
        files.collect()
    }
    /// Makes durable what was complete at the marks: contents first, for a name is of no use
    /// without.
    pub(super) fn sync_all(
        &mut self,
        path: &Path,
        mark: u64,
        marks: &[(Inode, u64)],
    ) -> Result<(), Errno> {
        self.resolve(path)?;
        for &(inode, mark) in marks {
            // One without names and descriptors is gone.
            if self.nodes.contains_key(&inode) {
                self.file_mut(inode).synced(mark);
            }
        }
        self.keep_names(|seq, _| seq < mark);
        Ok(())
    }
    /// Makes the chosen changes durable, and with each the older ones of the same names: a file
    /// system orders at least those.
    fn keep_names(&mut self, mut chosen: impl FnMut(u64, &NameChange) -> bool) {
        let mut needed: BTreeSet<Place> = BTreeSet::new();
        let mut keep = vec![false; self.names.len()];
        for (i, (seq, change)) in self.names.iter().enumerate().rev() {
            let places = change.places();
            // `chosen` first: it may draw from the seed, and must do so for each change.
            if chosen(*seq, change) | places.iter().any(|p| needed.contains(*p)) {
                keep[i] = true;
                needed.extend(places.into_iter().cloned());
            }
        }
        let mut rest = Vec::new();
        let mut freed = false;
        for (kept, (seq, change)) in keep.into_iter().zip(std::mem::take(&mut self.names)) {
            if !kept {
                rest.push((seq, change));
                continue;
            }
            match change {
                NameChange::Link { at, inode } => {
                    self.dir_mut(at.0).durable.insert(at.1, inode);
                }
                NameChange::Unlink { at, inode } => {
                    self.forget_durable(&at, inode);
                    freed = true;
                }
                NameChange::Move { from, to, inode } => {
                    self.forget_durable(&from, inode);
                    freed |= self.dir_mut(to.0).durable.insert(to.1, inode).is_some();
                }
            }
        }
        self.names = rest;
        if freed {
            self.collect();
        }
    }
    fn forget_durable(&mut self, at: &Place, inode: Inode) {
        let durable = &mut self.dir_mut(at.0).durable;
        if durable.get(&at.1) == Some(&inode) {
            durable.remove(&at.1);
        }
    }
    /// Drops inodes that neither a name (now or durable), nor a change of names, nor a descriptor
    /// can reach.
    fn collect(&mut self) {
        let mut live: BTreeSet<Inode> = BTreeSet::new();
        let mut todo = vec![ROOT];
        for (_, change) in &self.names {
            todo.push(change.inode());
            todo.extend(change.places().iter().map(|p| p.0));
        }
        todo.extend(self.nodes.iter().filter(|(_, n)| n.opened > 0).map(|(&i, _)| i));
        while let Some(inode) = todo.pop() {
            if live.insert(inode)
                && let Some(Node { kind: Kind::Dir(d), .. }) = self.nodes.get(&inode)
            {
                todo.extend(d.now.values().chain(d.durable.values()));
            }
        }
        self.nodes.retain(|i, _| live.contains(i));
    }

    // ---- files ----------------------------------------------------------------------------------
    pub(crate) fn len(&self, inode: Inode) -> u64 {
        self.file(inode).len()
    }
    pub(crate) fn read(&self, inode: Inode, offset: u64, into: &mut [u8]) -> usize {
        self.file(inode).read(offset, into)
    }
    /// Reserves space up to `end`.
    fn charge(&mut self, inode: Inode, end: u64) -> Result<(), Errno> {
        let had = self.nodes[&inode].charged;
        if end <= had {
            return Ok(());
        }
        let more = blocks(end) - blocks(had);
        if more > self.capacity.saturating_sub(self.used) {
            return Err(libc::ENOSPC);
        }
        self.used += more;
        self.node(inode).charged = end;
        Ok(())
    }
    pub(crate) fn write(
        &mut self,
        inode: Inode,
        offset: u64,
        bytes: &[u8],
        dsync: bool,
    ) -> Result<(), Errno> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(libc::EFBIG)?;
        if end > i64::MAX as u64 {
            return Err(libc::EFBIG);
        }
        self.charge(inode, end)?;
        self.file_mut(inode).write(offset, bytes, dsync);
        if dsync && self.rule == Names::Journal {
            self.journal_name(inode);
        }
        Ok(())
    }
    pub(crate) fn allocate(&mut self, inode: Inode, offset: u64, len: u64) -> Result<(), Errno> {
        if len == 0 {
            return Err(libc::EINVAL);
        }
        let end = offset.checked_add(len).filter(|&e| e <= i64::MAX as u64).ok_or(libc::EFBIG)?;
        self.charge(inode, end)?;
        self.file_mut(inode).grow(end);
        Ok(())
    }
    pub(crate) fn truncate(&mut self, inode: Inode, len: u64) -> Result<(), Errno> {
        if len > i64::MAX as u64 {
            return Err(libc::EFBIG);
        }
        self.charge(inode, len)?;
        let freed = blocks(self.nodes[&inode].charged) - blocks(len);
        self.used -= freed;
        self.node(inode).charged = len;
        self.file_mut(inode).truncate(len);
        Ok(())
    }
    pub(crate) fn file_mark(&self, inode: Inode) -> u64 {
        self.file(inode).mark()
    }
    pub(crate) fn synced(&mut self, inode: Inode, mark: u64) {
        self.file_mut(inode).synced(mark);
        if self.rule == Names::Journal {
            self.journal_name(inode);
        }
    }
    pub(crate) fn sync_failed(&mut self, inode: Inode, mark: u64) {
        self.file_mut(inode).sync_failed(mark);
    }
    /// A journal commits in order: the file's name, and all before it.
    fn journal_name(&mut self, inode: Inode) {
        if let Some(&(last, _)) = self.names.iter().rev().find(|(_, c)| c.inode() == inode) {
            self.keep_names(|seq, _| seq <= last);
        }
    }
    pub(crate) fn space(&self) -> Space {
        Space {
            total_bytes: self.capacity,
            available_bytes: self.capacity.saturating_sub(self.used),
        }
    }
    pub(crate) fn set_capacity(&mut self, bytes: u64) {
        self.capacity = bytes;
    }

    // ---- the end of a process, or of the power --------------------------------------------------
    /// The process is gone: descriptors are closed, all else is as it was.
    pub(crate) fn close_all(&mut self) {
        let opened: Vec<Inode> =
            self.nodes.iter().filter(|(_, n)| n.opened > 0).map(|(&i, _)| i).collect();
        for inode in opened {
            self.node(inode).opened = 0;
            self.released(inode);
        }
        self.collect();
    }
    /// The power is cut: what was not durable is decided by `rng`.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        match self.rule {
            Names::Strict => self.keep_names(|_, _| rng.chance(0.5)),
            Names::Journal => {
                let cut = rng.between(self.names.first().map_or(0, |n| n.0), self.next_seq);
                self.keep_names(|seq, _| seq < cut);
            }
        }
        self.names.clear();
        for n in self.nodes.values_mut() {
            n.opened = 0;
            n.links = 0;
            match &mut n.kind {
                Kind::File(c) => c.crash(rng),
                Kind::Dir(d) => d.now = d.durable.clone(),
            }
        }
        self.collect();
        // A directory tree may hold an inode under two names after a cut between directories; the
        // first in order keeps it.
        let mut todo = vec![ROOT];
        self.node(ROOT).links = 1;
        while let Some(dir) = todo.pop() {
            for (name, inode) in self.dir_mut(dir).now.clone() {
                if self.node(inode).links == 0 {
                    self.node(inode).links = 1;
                    if self.is_dir(inode) {
                        todo.push(inode);
                    }
                } else {
                    self.dir_mut(dir).now.remove(&name);
                    self.dir_mut(dir).durable.remove(&name);
                }
            }
        }
        self.used = 0;
        for n in self.nodes.values_mut() {
            n.charged = match &n.kind {
                Kind::File(c) => c.len(),
                Kind::Dir(_) => 0,
            };
            self.used += blocks(n.charged);
        }
    }
    /// Everything so far becomes durable (a disk prepared before the first start).
    pub(crate) fn settle(&mut self) {
        self.keep_names(|_, _| true);
        for n in self.nodes.values_mut() {
            if let Kind::File(c) = &mut n.kind {
                c.synced(c.mark());
            }
        }
    }
}

#[cfg(test)]
mod tests;
