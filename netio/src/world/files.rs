//! File operations of the world: latency, faults, alignment, and the moment at which the disk
//! changes.
//!
//! An operation takes effect when it completes, not when it is submitted: of two in flight at once
//! either may be first. What a sync covers is fixed when it is submitted.
use super::{
    disk::Inode,
    world::{CoreKey, Event, EventKey, Flight, NodeId, Object, OpenFile, Power, World},
};
use crate::{
    buffer::BLOCK,
    error::{Error, Result},
    seam::{Completion, Op, Outcome, Slot},
};
use bytes::Bytes;
use std::path::Path;

/// Kinds of disk operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileOp {
    Open,
    Read,
    Write,
    Sync,
    Allocate,
    Truncate,
    Rename,
    Remove,
    CreateDir,
    ReadDir,
    SyncDir,
    SyncAll,
}

/// An order that operations shall fail.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) op: FileOp,
    /// Part of the path.
    pub(crate) path: String,
    pub(crate) errno: i32,
    /// How many go well before.
    pub(crate) skip: u64,
    /// How many times still; `u64::MAX` = until cleared.
    pub(crate) times: u64,
}

#[derive(Debug)]
pub(crate) struct DiskEvent {
    core: CoreKey,
    slot: Slot,
    op: Op,
    /// Resolved when submitted: a descriptor closed meanwhile does not redirect it.
    file: Option<OpenFile>,
    /// What a sync covers.
    mark: u64,
    /// The same for each file, where it is all of them.
    marks: Vec<(Inode, u64)>,
}

/// Bytes that an operation moves.
fn moved(op: &Op) -> u64 {
    match op {
        Op::Read { buf, .. } => buf.len() as u64,
        Op::ReadVec { buf, .. } => buf.len() as u64,
        Op::Write { slices, .. } => slices.iter().map(|s| s.len() as u64).sum(),
        _ => 0,
    }
}

fn total(slices: &[Bytes]) -> usize {
    slices.iter().map(Bytes::len).sum()
}

fn aligned(memory: *const u8, len: usize, offset: u64) -> bool {
    memory.addr().is_multiple_of(BLOCK)
        && len.is_multiple_of(BLOCK)
        && offset.is_multiple_of(BLOCK as u64)
}

/// The name of an operation in errors, and its kind for faults.
fn kind(op: &Op) -> (&'static str, Option<FileOp>) {
    match op {
        Op::Read { .. } | Op::ReadVec { .. } => ("read", Some(FileOp::Read)),
        Op::Write { .. } => ("write", Some(FileOp::Write)),
        Op::Sync { .. } => ("sync", Some(FileOp::Sync)),
        Op::Allocate { .. } => ("allocate", Some(FileOp::Allocate)),
        Op::Truncate { .. } => ("truncate", Some(FileOp::Truncate)),
        Op::Length { .. } => ("length", None),
        Op::CloseFile { .. } => ("close", None),
        Op::OpenFile { .. } => ("open", Some(FileOp::Open)),
        Op::Rename { .. } => ("rename", Some(FileOp::Rename)),
        Op::RemoveFile { .. } => ("remove", Some(FileOp::Remove)),
        Op::RemoveDir { .. } => ("remove dir", Some(FileOp::Remove)),
        Op::CreateDir { .. } => ("create dir", Some(FileOp::CreateDir)),
        Op::ReadDir { .. } => ("read dir", Some(FileOp::ReadDir)),
        Op::SyncDir { .. } => ("sync dir", Some(FileOp::SyncDir)),
        Op::SyncAll { .. } => ("sync all", Some(FileOp::SyncAll)),
        Op::Space { .. } => ("space", None),
        op => panic!("not a disk operation: {op:?}"),
    }
}

fn path_of<'a>(op: &'a Op, file: Option<&'a OpenFile>) -> &'a str {
    let path: Option<&Path> = match op {
        Op::OpenFile { path, .. }
        | Op::RemoveFile { path }
        | Op::RemoveDir { path }
        | Op::CreateDir { path }
        | Op::ReadDir { path }
        | Op::SyncDir { path }
        | Op::SyncAll { path }
        | Op::Space { path } => Some(path),
        // Faults are given for the name that a file gets.
        Op::Rename { to, .. } => Some(to),
        _ => None,
    };
    path.and_then(Path::to_str).or_else(|| file.map(|f| f.path.as_str())).unwrap_or("")
}

/// The outcome of an operation that did not happen, with its buffers.
fn failed(op: Op, error: Error) -> Outcome {
    match op {
        Op::Read { buf, .. } => Outcome::Read { buf, result: Err(error) },
        Op::ReadVec { buf, .. } => Outcome::ReadVec { buf, result: Err(error) },
        Op::OpenFile { .. } => Outcome::Opened(Err(error)),
        Op::Length { .. } => Outcome::Length(Err(error)),
        Op::ReadDir { .. } => Outcome::Dir(Err(error)),
        Op::Space { .. } => Outcome::Space(Err(error)),
        _ => Outcome::Done(Err(error)),
    }
}

impl World {
    pub(crate) fn submit_disk(&mut self, core: CoreKey, slot: Slot, op: Op) {
        let handle = match &op {
            Op::Read { file, .. }
            | Op::ReadVec { file, .. }
            | Op::Write { file, .. }
            | Op::Sync { file, .. }
            | Op::Allocate { file, .. }
            | Op::Truncate { file, .. }
            | Op::Length { file }
            | Op::CloseFile { file } => Some(*file),
            _ => None,
        };
        let file = match handle.map(|h| self.object(core, h)) {
            Some(Some(Object::File(f))) => Some(f.clone()),
            None => None,
            Some(_) => {
                let error = Error::new(kind(&op).0, "", libc::EBADF);
                return self.complete_in((100, 2_000), core, slot, failed(op, error));
            }
        };
        let node = self.cores[core].node;
        let disk = &mut self.host(node).disk;
        let mark = match (&op, &file) {
            (Op::Sync { .. }, Some(f)) => disk.file_mark(f.inode),
            (Op::SyncDir { .. } | Op::SyncAll { .. }, _) => disk.names_mark(),
            _ => 0,
        };
        let marks = match &op {
            Op::SyncAll { .. } => disk.file_marks(),
            _ => Vec::new(),
        };
        // The number is free for the next open at once, as with a real descriptor; the file stays
        // open until the event.
        if let (Op::CloseFile { .. }, Some(h)) = (&op, handle) {
            self.cores[core].handles.remove(&h.0);
        }
        if let Op::Write { slices, .. } = &op {
            for s in slices {
                self.trace.bytes(s);
            }
        }
        // An operation in flight holds its file, also when the descriptor is closed meanwhile.
        if let Some(f) = &file {
            self.host(node).disk.hold(f.inode);
        }
        let o = &self.hosts[usize::from(node.0)].disk_options;
        let (low, high) = match op {
            Op::Sync { .. } | Op::SyncDir { .. } | Op::SyncAll { .. } => {
                (o.latency_ns.0 * 4, o.latency_ns.1 * 4)
            }
            Op::CloseFile { .. } | Op::Length { .. } | Op::Space { .. } => (200, 5_000),
            _ => o.latency_ns,
        };
        let (slow, slow_ns, per_kib) = (o.slow, o.slow_ns, o.ns_per_kib);
        let mut at = self.now + self.rng.between(low, high) + moved(&op) * per_kib / 1024;
        if self.rng.chance(slow) {
            at += slow_ns;
        }
        let key = self.at(at, Event::Disk(DiskEvent { core, slot, op, file, mark, marks }));
        self.cores[core].flight.insert(slot, Flight::Event(key));
    }

    /// A disk operation that has not taken effect may be cancelled; whether the kernel still can is
    /// chance. One that was submitted to the device usually cannot.
    pub(crate) fn cancel_disk(&mut self, core: CoreKey, slot: Slot, key: EventKey) {
        let may = match self.events.get(&key) {
            Some(Event::Disk(e)) => !matches!(e.op, Op::CloseFile { .. }),
            _ => false,
        };
        if may && self.rng.chance(0.4) {
            let Some(Event::Disk(e)) = self.events.remove(&key) else {
                unreachable!("looked up above")
            };
            if let Some(f) = &e.file {
                let node = self.cores[core].node;
                self.host(node).disk.close(f.inode);
            }
            let error = Error::new(kind(&e.op).0, path_of(&e.op, e.file.as_ref()), libc::ECANCELED);
            self.complete_in((100, 5_000), core, slot, failed(e.op, error));
        }
    }

    pub(crate) fn on_disk(&mut self, e: DiskEvent) {
        let DiskEvent { core, slot, op, file, mark, marks } = e;
        let node = self.cores[core].node;
        let held = file.as_ref().map(|f| f.inode);
        let outcome = match self.injected(node, &op, file.as_ref(), mark) {
            Some(error) => failed(op, error),
            None => self.perform(core, op, file, mark, &marks),
        };
        if let Some(inode) = held {
            self.host(node).disk.close(inode);
        }
        self.complete(core, Completion { slot, outcome, more: false });
    }

    /// Whether this operation fails by order or by chance, with what a failure leaves behind.
    fn injected(
        &mut self,
        node: NodeId,
        op: &Op,
        file: Option<&OpenFile>,
        mark: u64,
    ) -> Option<Error> {
        let (name, kind) = kind(op);
        let kind = kind?;
        let path = path_of(op, file).to_owned();
        let host = &mut self.hosts[usize::from(node.0)];
        let by_chance = match kind {
            FileOp::Read => host.disk_options.read_error,
            FileOp::Write => host.disk_options.write_error,
            FileOp::Sync | FileOp::SyncDir | FileOp::SyncAll => host.disk_options.sync_error,
            _ => 0.0,
        };
        let ordered =
            host.faults.iter_mut().find(|f| f.op == kind && f.times > 0 && path.contains(&f.path));
        let errno = match ordered {
            Some(f) if f.skip > 0 => {
                f.skip -= 1;
                return None;
            }
            Some(f) => {
                if f.times != u64::MAX {
                    f.times -= 1;
                }
                f.errno
            }
            None if self.rng.chance(by_chance) => libc::EIO,
            None => return None,
        };
        host.faults.retain(|f| f.times > 0);
        match (op, file) {
            // The device took a part of it, or none.
            (Op::Write { slices, offset, .. }, Some(f)) if errno == libc::EIO && f.write => {
                let bytes = slices.concat();
                let landed = (self.rng.below(bytes.len() as u64 + 1) / 512 * 512) as usize;
                // An error of this smaller write too would change nothing.
                let _ = host.disk.write(f.inode, *offset, &bytes[..landed], false);
            }
            (Op::Sync { .. }, Some(f)) => host.disk.sync_failed(f.inode, mark),
            _ => {}
        }
        Some(Error::new(name, path, errno))
    }

    fn perform(
        &mut self,
        core: CoreKey,
        op: Op,
        file: Option<OpenFile>,
        mark: u64,
        marks: &[(Inode, u64)],
    ) -> Outcome {
        let node = self.cores[core].node;
        let (name, _) = kind(&op);
        let path = path_of(&op, file.as_ref()).to_owned();
        let fail = |errno| Error::new(name, path.clone(), errno);
        let disk = &mut self.hosts[usize::from(node.0)].disk;
        let direct = file.as_ref().is_some_and(|f| f.direct);
        let writable = file.as_ref().is_some_and(|f| f.write);
        let inode = file.as_ref().map_or(0, |f| f.inode);
        let done = |r: std::result::Result<(), i32>| Outcome::Done(r.map_err(fail));
        match op {
            Op::Read { mut buf, offset, .. } => {
                let result = if direct && !aligned(buf.as_ptr(), buf.len(), offset) {
                    Err(fail(libc::EINVAL))
                } else {
                    let n = disk.read(inode, offset, &mut buf);
                    self.maybe_flip(node, &mut buf[..n]);
                    Ok(n)
                };
                Outcome::Read { buf, result }
            }
            Op::ReadVec { mut buf, offset, .. } => {
                let result = if direct && !aligned(buf.as_ptr(), buf.len(), offset) {
                    Err(fail(libc::EINVAL))
                } else {
                    let n = disk.read(inode, offset, &mut buf);
                    self.maybe_flip(node, &mut buf[..n]);
                    Ok(n)
                };
                Outcome::ReadVec { buf, result }
            }
            Op::Write { slices, offset, dsync, .. } => {
                if !writable {
                    return done(Err(libc::EBADF));
                }
                let mut at = offset;
                for s in &slices {
                    if direct && !s.is_empty() && !aligned(s.as_ptr(), s.len(), at) {
                        return done(Err(libc::EINVAL));
                    }
                    at += s.len() as u64;
                }
                done(disk.write(inode, offset, &slices.concat(), dsync))
            }
            Op::Sync { .. } => {
                disk.synced(inode, mark);
                done(Ok(()))
            }
            Op::Allocate { offset, len, .. } if writable => done(disk.allocate(inode, offset, len)),
            Op::Truncate { len, .. } if writable => done(disk.truncate(inode, len)),
            Op::Allocate { .. } => done(Err(libc::EBADF)),
            // ftruncate on a descriptor not open for writing.
            Op::Truncate { .. } => done(Err(libc::EINVAL)),
            Op::Length { .. } => Outcome::Length(Ok(disk.len(inode))),
            Op::CloseFile { .. } => {
                disk.close(inode);
                done(Ok(()))
            }
            Op::OpenFile { path: p, how } => {
                let opened = disk.open(&p, how).map_err(fail);
                Outcome::Opened(opened.map(|inode| {
                    let object = OpenFile {
                        inode,
                        direct: how.direct,
                        write: how.write,
                        path: path.clone(),
                    };
                    self.cores[core].add(Object::File(object))
                }))
            }
            Op::Rename { from, to } => done(disk.rename(&from, &to)),
            Op::RemoveFile { path: p } => done(disk.remove_file(&p)),
            Op::RemoveDir { path: p } => done(disk.remove_dir(&p)),
            Op::CreateDir { path: p } => done(disk.create_dir(&p)),
            Op::ReadDir { path: p } => Outcome::Dir(disk.read_dir(&p).map_err(fail)),
            Op::SyncDir { path: p } => done(disk.sync_dir(&p, mark)),
            Op::SyncAll { path: p } => done(disk.sync_all(&p, mark, marks)),
            Op::Space { path: p } => Outcome::Space(if disk.exists(&p) {
                Ok(disk.space())
            } else {
                Err(fail(libc::ENOENT))
            }),
            op => panic!("not a disk operation: {op:?}"),
        }
    }

    fn maybe_flip(&mut self, node: NodeId, bytes: &mut [u8]) {
        let p = self.hosts[usize::from(node.0)].disk_options.read_flip;
        if self.rng.chance(p) && !bytes.is_empty() {
            let at = self.rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.rng.below(8);
        }
    }

    /// The process dies: each of its disk operations in flight lands whole, in part (a write), or
    /// not at all. With the power gone too, what landed is as much at risk as any unsynced write.
    pub(crate) fn abandon_disk(&mut self, node: NodeId) {
        let mine =
            |w: &World, e: &Event| matches!(e, Event::Disk(d) if w.cores[d.core].node == node);
        let keys: Vec<EventKey> =
            self.events.iter().filter(|(_, e)| mine(self, e)).map(|(k, _)| *k).collect();
        for key in keys {
            let Some(Event::Disk(e)) = self.events.remove(&key) else {
                unreachable!("filtered above")
            };
            let fate = self.rng.below(4);
            match (e.op, fate) {
                (_, 0) => {}
                (Op::Write { slices, offset, .. }, 1) => {
                    let keep = self.rng.below(total(&slices) as u64 + 1) / 512 * 512;
                    let bytes = slices.concat();
                    if let Some(f) = e.file.filter(|f| f.write) {
                        // A full disk refuses it, and nobody is left to be told.
                        let _ = self.host(node).disk.write(
                            f.inode,
                            offset,
                            &bytes[..keep as usize],
                            false,
                        );
                    }
                }
                (op, _) => {
                    let op = match op {
                        // The power may go between the write and its flush.
                        Op::Write { file, slices, offset, .. }
                            if self.host(node).power == Power::Off =>
                        {
                            Op::Write { file, slices, offset, dsync: false }
                        }
                        op => op,
                    };
                    self.perform(e.core, op, e.file, e.mark, &e.marks);
                }
            }
        }
    }
}

/// A result for a test's own look at a disk.
pub(crate) fn named<T>(op: &'static str, path: &str, r: std::result::Result<T, i32>) -> Result<T> {
    r.map_err(|errno| Error::new(op, path, errno))
}
