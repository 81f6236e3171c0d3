//! Operations in flight: the memory that the kernel uses, the entries that are queued, and what a
//! completion means.
use super::{IGNORE, Ring, SPARE, helper, sys, vectored::Vectored};
use crate::{
    buffer::{AlignedBuf, BLOCK, Provided, provided::GROUP},
    error::Error,
    seam::{Completion, Handle, Op, Open, Outcome, Slot, index_of},
};
use io_uring::{cqueue, opcode, squeue, types};
use std::{
    ffi::CString,
    os::{
        fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
        unix::ffi::OsStringExt,
    },
    path::PathBuf,
};

/// Most that one read takes: the kernel's own limit is a little below 2 GiB.
const READ_BYTES_MAX: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) slot: Slot,
    /// The descriptor it counts for.
    handle: Option<Handle>,
    pub(super) cancelled: bool,
    kind: Kind,
}

/// An operation and its memory. What the kernel points to is behind a pointer, so a flight may
/// move.
enum Kind {
    Accept,
    Connect {
        socket: OwnedFd,
        _addr: Box<sys::SockAddr>,
    },
    Receive,
    ReceiveInto {
        buf: Vec<u8>,
    },
    Send(Box<Vectored>),
    Read {
        buf: AlignedBuf,
        offset: u64,
        done: usize,
    },
    ReadVec {
        buf: Vec<u8>,
        offset: u64,
        done: usize,
    },
    Write {
        data: Box<Vectored>,
        offset: u64,
        dsync: bool,
    },
    Length(Box<libc::statx>),
    Open {
        _path: CString,
    },
    /// Any operation with these paths and no value.
    Paths {
        op: &'static str,
        _first: CString,
        _second: Option<CString>,
    },
    /// Open, fsync, close of a directory; the descriptor while it is open.
    SyncDir {
        _path: CString,
        dir: Option<OwnedFd>,
    },
    /// An operation on a descriptor, without a value.
    Plain(&'static str),
    Close,
    /// Answered by the helper thread.
    Helped,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Kind {
    /// The name in errors.
    fn name(&self) -> &'static str {
        match self {
            Kind::Accept => "accept",
            Kind::Connect { .. } => "connect",
            Kind::Receive | Kind::ReceiveInto { .. } => "recv",
            Kind::Send(_) => "send",
            Kind::Read { .. } | Kind::ReadVec { .. } => "read",
            Kind::Write { .. } => "write",
            Kind::Length(_) => "statx",
            Kind::Open { .. } => "open",
            Kind::Paths { op, .. } | Kind::Plain(op) => op,
            Kind::SyncDir { .. } => "fsync of directory",
            Kind::Close => "close",
            Kind::Helped => "file helper",
        }
    }
}

fn c_path(path: PathBuf) -> Result<CString, i32> {
    CString::new(path.into_os_string().into_vec()).map_err(|_| libc::EINVAL)
}

fn open_flags(how: Open) -> i32 {
    let mut flags = libc::O_CLOEXEC | if how.write { libc::O_RDWR } else { libc::O_RDONLY };
    for (on, flag) in [
        (how.create, libc::O_CREAT),
        (how.exclusive, libc::O_EXCL),
        (how.truncate, libc::O_TRUNC),
        (how.direct, libc::O_DIRECT),
    ] {
        flags |= if on { flag } else { 0 };
    }
    flags
}

const CWD: types::Fd = types::Fd(libc::AT_FDCWD);

// ---- submission ---------------------------------------------------------------------------------
impl Ring {
    pub(super) fn begin(&mut self, slot: Slot, op: Op) {
        match op {
            Op::Accept { listener } => {
                let entry = self.accept_entry(listener);
                self.launch(slot, Some(listener), Kind::Accept, entry);
            }
            Op::Connect { addr } => match sys::tcp_socket(addr) {
                Ok(socket) => {
                    let addr = Box::new(sys::SockAddr::new(addr));
                    let entry = opcode::Connect::new(
                        types::Fd(socket.as_raw_fd()),
                        addr.as_ptr(),
                        addr.len,
                    )
                    .build();
                    self.launch(slot, None, Kind::Connect { socket, _addr: addr }, entry);
                }
                Err(errno) => self.local.push(completion(
                    slot,
                    Outcome::Connected(Err(Error::new("socket", "", errno))),
                )),
            },
            Op::Receive { socket } => {
                let entry = self.receive_entry(socket);
                self.launch(slot, Some(socket), Kind::Receive, entry);
            }
            Op::ReceiveInto { socket, mut buf, at } => {
                assert!(at < buf.len(), "receive into a full buffer of {at} bytes");
                let len = (buf.len() - at).min(READ_BYTES_MAX) as u32;
                let entry = opcode::Recv::new(self.fd(socket), buf[at..].as_mut_ptr(), len).build();
                self.launch(slot, Some(socket), Kind::ReceiveInto { buf }, entry);
            }
            Op::Send { socket, slices } => {
                let mut data = self.vectored(slices);
                if data.is_done() {
                    self.local.push(completion(slot, Outcome::Sent(Ok(0))));
                    return;
                }
                let entry = send_entry(self.fd(socket), &mut data);
                self.launch(slot, Some(socket), Kind::Send(data), entry);
            }
            Op::CloseSocket { socket } => self.close_when_idle(slot, socket),
            Op::CloseFile { file } => self.close_when_idle(slot, file),
            Op::Read { file, mut buf, offset } => {
                let entry = read_entry(self.fd(file), &mut buf, offset);
                self.launch(slot, Some(file), Kind::Read { buf, offset, done: 0 }, entry);
            }
            Op::ReadVec { file, mut buf, offset } => {
                let entry = read_entry(self.fd(file), &mut buf, offset);
                self.launch(slot, Some(file), Kind::ReadVec { buf, offset, done: 0 }, entry);
            }
            Op::Write { file, slices, offset, dsync } => {
                let data = self.vectored(slices);
                if data.is_done() {
                    self.local.push(completion(slot, Outcome::Done(Ok(()))));
                    return;
                }
                let entry = write_entry(self.fd(file), &data, offset, dsync);
                self.launch(slot, Some(file), Kind::Write { data, offset, dsync }, entry);
            }
            Op::Sync { file, data_only } => {
                let flags = if data_only {
                    types::FsyncFlags::DATASYNC
                } else {
                    types::FsyncFlags::empty()
                };
                let entry = opcode::Fsync::new(self.fd(file)).flags(flags).build();
                self.launch(
                    slot,
                    Some(file),
                    Kind::Plain(if data_only { "fdatasync" } else { "fsync" }),
                    entry,
                );
            }
            Op::Allocate { file, offset, len } => {
                let entry = opcode::Fallocate::new(self.fd(file), len).offset(offset).build();
                self.launch(slot, Some(file), Kind::Plain("fallocate"), entry);
            }
            Op::Truncate { file, len } if self.features.ftruncate => {
                let entry = opcode::Ftruncate::new(self.fd(file), len).build();
                self.launch(slot, Some(file), Kind::Plain("ftruncate"), entry);
            }
            Op::Truncate { file, len } => {
                let fd = self.fd(file).0;
                self.help(slot, Some(file), helper::Job::Truncate(fd, len));
            }
            Op::Length { file } => {
                // SAFETY: plain integers, for which zeros are valid.
                let mut stat: Box<libc::statx> = Box::new(unsafe { std::mem::zeroed() });
                let at: *mut libc::statx = &raw mut *stat;
                let entry = opcode::Statx::new(self.fd(file), c"".as_ptr(), at.cast())
                    .flags(libc::AT_EMPTY_PATH)
                    .mask(libc::STATX_SIZE)
                    .build();
                self.launch(slot, Some(file), Kind::Length(stat), entry);
            }
            Op::ReadDir { path } => self.help(slot, None, helper::Job::ReadDir(path)),
            Op::Space { path } => self.help(slot, None, helper::Job::Space(path)),
            Op::SyncAll { path } => self.help(slot, None, helper::Job::SyncAll(path)),
            Op::OpenFile { path, how } => match c_path(path) {
                Ok(path) => {
                    let entry = opcode::OpenAt::new(CWD, path.as_ptr())
                        .flags(open_flags(how))
                        .mode(0o644)
                        .build();
                    self.launch(slot, None, Kind::Open { _path: path }, entry);
                }
                Err(errno) => self
                    .local
                    .push(completion(slot, Outcome::Opened(Err(Error::new("open", "", errno))))),
            },
            Op::Rename { from, to } => self.begin_paths(slot, "rename", from, Some(to)),
            Op::RemoveFile { path } => self.begin_paths(slot, "unlink", path, None),
            Op::RemoveDir { path } => self.begin_paths(slot, "rmdir", path, None),
            Op::CreateDir { path } => self.begin_paths(slot, "mkdir", path, None),
            Op::SyncDir { path } => match c_path(path) {
                Ok(path) => {
                    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
                    let entry = opcode::OpenAt::new(CWD, path.as_ptr()).flags(flags).build();
                    self.launch(slot, None, Kind::SyncDir { _path: path, dir: None }, entry);
                }
                Err(errno) => self
                    .local
                    .push(completion(slot, Outcome::Done(Err(Error::new("open", "", errno))))),
            },
        }
    }

    fn begin_paths(
        &mut self,
        slot: Slot,
        op: &'static str,
        first: PathBuf,
        second: Option<PathBuf>,
    ) {
        let paths = c_path(first).and_then(|first| Ok((first, second.map(c_path).transpose()?)));
        let (first, second) = match paths {
            Ok(paths) => paths,
            Err(errno) => {
                self.local.push(completion(slot, Outcome::Done(Err(Error::new(op, "", errno)))));
                return;
            }
        };
        let entry = match (op, &second) {
            ("rename", Some(to)) => {
                opcode::RenameAt::new(CWD, first.as_ptr(), CWD, to.as_ptr()).build()
            }
            ("unlink", _) => opcode::UnlinkAt::new(CWD, first.as_ptr()).build(),
            ("rmdir", _) => {
                opcode::UnlinkAt::new(CWD, first.as_ptr()).flags(libc::AT_REMOVEDIR).build()
            }
            _ => opcode::MkDirAt::new(CWD, first.as_ptr()).mode(0o755).build(),
        };
        self.launch(slot, None, Kind::Paths { op, _first: first, _second: second }, entry);
    }

    fn launch(&mut self, slot: Slot, handle: Option<Handle>, kind: Kind, entry: squeue::Entry) {
        self.track(slot, handle, kind);
        self.push(entry.user_data(slot));
    }

    fn track(&mut self, slot: Slot, handle: Option<Handle>, kind: Kind) {
        if let Some(handle) = handle {
            let descriptor = &mut self.descriptors[handle.0 as usize];
            assert!(
                descriptor.closing.is_none(),
                "{} on {handle:?}, which is being closed",
                kind.name()
            );
            descriptor.in_flight += 1;
        }
        self.flights[index_of(slot)] = Some(Flight { slot, handle, cancelled: false, kind });
    }

    fn help(&mut self, slot: Slot, handle: Option<Handle>, job: helper::Job) {
        self.track(slot, handle, Kind::Helped);
        helper::submit(slot, job, &self.answers, &self.control_cpus);
    }

    fn fd(&self, handle: Handle) -> types::Fd {
        types::Fd(self.descriptors[handle.0 as usize].fd)
    }

    fn accept_entry(&self, listener: Handle) -> squeue::Entry {
        opcode::AcceptMulti::new(self.fd(listener)).flags(libc::SOCK_CLOEXEC).build()
    }

    fn receive_entry(&self, socket: Handle) -> squeue::Entry {
        opcode::RecvMulti::new(self.fd(socket), GROUP).build()
    }

    fn vectored(&mut self, slices: Vec<bytes::Bytes>) -> Box<Vectored> {
        let mut data = self.spare.pop().unwrap_or_else(Vectored::empty);
        data.fill(slices);
        data
    }

    fn recycle(&mut self, mut data: Box<Vectored>) {
        data.clear();
        if self.spare.len() < SPARE {
            self.spare.push(data);
        }
    }

    /// Closes now, or when the last operation has ended; a socket's operations are cancelled.
    fn close_when_idle(&mut self, slot: Slot, handle: Handle) {
        self.flights[index_of(slot)] =
            Some(Flight { slot, handle: None, cancelled: false, kind: Kind::Close });
        let descriptor = &mut self.descriptors[handle.0 as usize];
        assert!(descriptor.closing.is_none(), "{handle:?} closed twice");
        descriptor.closing = Some(slot);
        if descriptor.in_flight == 0 {
            return self.close_now(handle);
        }
        if descriptor.is_file {
            return;
        }
        let starved: Vec<Slot> = {
            let of_handle = |slot: &Slot| {
                self.flights[index_of(*slot)]
                    .as_ref()
                    .is_some_and(|flight| flight.handle == Some(handle))
            };
            self.starved.iter().copied().filter(of_handle).collect()
        };
        starved.into_iter().for_each(|slot| self.cancel(slot));
        if self
            .descriptors
            .get(handle.0 as usize)
            .is_some_and(|descriptor| descriptor.in_flight > 0)
        {
            let all = types::CancelBuilder::fd(self.fd(handle)).all();
            self.push(
                opcode::AsyncCancel2::new(all)
                    .build()
                    .user_data(IGNORE)
                    .flags(squeue::Flags::SKIP_SUCCESS),
            );
        }
    }

    fn close_now(&mut self, handle: Handle) {
        let descriptor = self.descriptors.remove(handle.0 as usize);
        let slot = descriptor.closing.expect("only a closing descriptor is closed");
        let entry = opcode::Close::new(types::Fd(descriptor.fd)).build().user_data(slot);
        // The last close of a removed file frees its blocks, which takes long: by a worker thread.
        self.push(if descriptor.is_file { entry.flags(squeue::Flags::ASYNC) } else { entry });
    }

    /// Receives that found no buffer, as far as there are some now.
    pub(super) fn feed_starved(&mut self) {
        let count = self.starved.len().min(usize::from(self.pool.free()));
        for slot in self.starved.drain(..count).collect::<Vec<_>>() {
            let Some(handle) =
                self.flights[index_of(slot)].as_ref().and_then(|flight| flight.handle)
            else {
                continue;
            };
            let entry = self.receive_entry(handle);
            self.push(entry.user_data(slot));
        }
    }

    /// Is there anything the kernel may still touch?
    pub(super) fn in_kernel(&self) -> bool {
        self.flights
            .iter()
            .flatten()
            .any(|flight| !matches!(flight.kind, Kind::Close | Kind::Helped))
    }
}

fn completion(slot: Slot, outcome: Outcome) -> Completion {
    Completion { slot, outcome, more: false }
}

fn send_entry(fd: types::Fd, data: &mut Vectored) -> squeue::Entry {
    // WAITALL: the kernel itself goes on after a short send.
    let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
    match *data.window() {
        [one] => opcode::Send::new(fd, one.iov_base.cast(), one.iov_len.min(READ_BYTES_MAX) as u32)
            .flags(flags)
            .build(),
        _ => opcode::SendMsg::new(fd, data.header()).flags(flags as u32).build(),
    }
}

fn write_entry(fd: types::Fd, data: &Vectored, offset: u64, dsync: bool) -> squeue::Entry {
    let (offset, flags) = (offset + data.done as u64, if dsync { libc::RWF_DSYNC } else { 0 });
    match data.window() {
        [one] => {
            opcode::Write::new(fd, one.iov_base.cast(), one.iov_len.min(READ_BYTES_MAX) as u32)
                .offset(offset)
                .rw_flags(flags)
                .build()
        }
        many => opcode::Writev::new(fd, many.as_ptr(), many.len() as u32)
            .offset(offset)
            .rw_flags(flags)
            .build(),
    }
}

fn read_entry(fd: types::Fd, buf: &mut [u8], offset: u64) -> squeue::Entry {
    opcode::Read::new(fd, buf.as_mut_ptr(), buf.len().min(READ_BYTES_MAX) as u32)
        .offset(offset)
        .build()
}

// ---- completion ---------------------------------------------------------------------------------
impl Ring {
    /// The operation is over, by other ways than a completion of the kernel.
    pub(super) fn finish(&mut self, slot: Slot, outcome: Outcome) {
        if let Some(flight) = self.flights[index_of(slot)].take() {
            self.conclude(flight.slot, flight.handle, outcome);
        }
    }

    /// The operation is over: what it counted for is released, its completion queued.
    fn conclude(&mut self, slot: Slot, handle: Option<Handle>, outcome: Outcome) {
        self.local.push(completion(slot, outcome));
        let Some(handle) = handle else { return };
        let descriptor = &mut self.descriptors[handle.0 as usize];
        descriptor.in_flight -= 1;
        if descriptor.in_flight == 0 && descriptor.closing.is_some() {
            self.close_now(handle);
        }
    }

    /// The operation goes on with another entry.
    fn go_on(&mut self, flight: Flight, entry: squeue::Entry) {
        let slot = flight.slot;
        self.flights[index_of(slot)] = Some(flight);
        self.push(entry.user_data(slot));
    }

    pub(super) fn on_completion(&mut self, slot: Slot, result: i32, flags: u32) {
        let flight = self
            .flights
            .get_mut(index_of(slot))
            .and_then(Option::take)
            .filter(|flight| flight.slot == slot);
        let Some(Flight { slot, handle, cancelled, kind }) = flight else {
            panic!("completion {result} of slot {slot:#x}, which is not in flight")
        };
        let value = if result >= 0 {
            Ok(result as usize)
        } else {
            Err(Error::new(kind.name(), "", -result))
        };
        let closing = handle.is_some_and(|handle| {
            let descriptor = &self.descriptors[handle.0 as usize];
            descriptor.closing.is_some() && !descriptor.is_file
        });
        // It is no use to go on.
        let over = cancelled || closing;
        let resumed = |kind| Flight { slot, handle, cancelled, kind };
        let fd = handle.map_or(types::Fd(-1), |handle| self.fd(handle));
        match kind {
            Kind::Accept => self.on_accept(resumed(Kind::Accept), value, cqueue::more(flags)),
            Kind::Receive => self.on_receive(resumed(Kind::Receive), value, flags, over),
            Kind::Connect { socket, .. } => {
                let connected = value.map(|_| self.insert(socket.into_raw_fd(), false));
                self.conclude(slot, handle, Outcome::Connected(connected));
            }
            Kind::ReceiveInto { buf } => {
                self.conclude(slot, handle, Outcome::ReceivedInto { buf, result: value })
            }
            Kind::Send(mut data) => {
                let sent = value.map(|bytes| data.advance(bytes));
                if sent.is_ok() && !data.is_done() && result > 0 && !over {
                    let entry = send_entry(fd, &mut data);
                    return self.go_on(resumed(Kind::Send(data)), entry);
                }
                let cut_short = !data.is_done();
                let sent = sent.and_then(|()| {
                    if cut_short {
                        Err(Error::new("send", "", libc::ECANCELED))
                    } else {
                        Ok(data.done)
                    }
                });
                self.recycle(data);
                self.conclude(slot, handle, Outcome::Sent(sent));
            }
            Kind::Write { mut data, offset, dsync } => {
                let written = value.map(|bytes| data.advance(bytes));
                if written.is_ok() && !data.is_done() && result > 0 && !cancelled {
                    let entry = write_entry(fd, &data, offset, dsync);
                    return self.go_on(resumed(Kind::Write { data, offset, dsync }), entry);
                }
                // A write of nothing means that the device takes no more.
                let cut_short = !data.is_done();
                let written = written.and_then(|()| {
                    if cut_short { Err(Error::new("write", "", libc::EIO)) } else { Ok(()) }
                });
                self.recycle(data);
                self.conclude(slot, handle, Outcome::Done(written));
            }
            Kind::Read { mut buf, offset, done } => {
                let at = done + *value.as_ref().unwrap_or(&0);
                // A direct read that ends within a block has met the end of the file, and could not
                // go on from there.
                if result > 0 && at < buf.len() && at.is_multiple_of(BLOCK) && !cancelled {
                    let entry = read_entry(fd, &mut buf[at..], offset + at as u64);
                    return self.go_on(resumed(Kind::Read { buf, offset, done: at }), entry);
                }
                self.conclude(slot, handle, Outcome::Read { buf, result: value.map(|_| at) });
            }
            Kind::ReadVec { mut buf, offset, done } => {
                let at = done + *value.as_ref().unwrap_or(&0);
                if result > 0 && at < buf.len() && !cancelled {
                    let entry = read_entry(fd, &mut buf[at..], offset + at as u64);
                    return self.go_on(resumed(Kind::ReadVec { buf, offset, done: at }), entry);
                }
                self.conclude(slot, handle, Outcome::ReadVec { buf, result: value.map(|_| at) });
            }
            Kind::Length(stat) => {
                self.conclude(slot, handle, Outcome::Length(value.map(|_| stat.stx_size)))
            }
            Kind::Open { .. } => {
                let opened = value.map(|fd| self.insert(fd as RawFd, true));
                self.conclude(slot, handle, Outcome::Opened(opened));
            }
            Kind::SyncDir { _path, dir: None } if value.is_ok() => {
                // SAFETY: a new descriptor that nobody else owns.
                let dir = unsafe { OwnedFd::from_raw_fd(result) };
                let entry = opcode::Fsync::new(types::Fd(result)).build();
                self.go_on(resumed(Kind::SyncDir { _path, dir: Some(dir) }), entry);
            }
            Kind::SyncDir { .. } | Kind::Paths { .. } | Kind::Plain(_) | Kind::Close => {
                self.conclude(slot, handle, Outcome::Done(value.map(drop)));
            }
            Kind::Helped => panic!("slot {slot:#x} is the helper's, not the kernel's"),
        }
    }

    fn on_accept(&mut self, flight: Flight, value: crate::Result<usize>, more: bool) {
        let slot = flight.slot;
        let handle = flight.handle;
        let accepted = match value {
            Ok(fd) => match sys::peer_of(fd as RawFd) {
                Some(peer) => Some(Ok((self.insert(fd as RawFd, false), peer))),
                // Reset before we came to it.
                None => {
                    sys::close(fd as RawFd);
                    None
                }
            },
            Err(error) => Some(Err(error)),
        };
        if more {
            self.flights[index_of(slot)] = Some(flight);
            let Some(accepted) = accepted else { return };
            self.local.push(Completion { slot, outcome: Outcome::Accepted(accepted), more: true });
            return;
        }
        let ended = || Err(Error::new("accept", "", libc::EAGAIN));
        self.conclude(slot, handle, Outcome::Accepted(accepted.unwrap_or_else(ended)));
    }

    fn on_receive(&mut self, flight: Flight, value: crate::Result<usize>, flags: u32, over: bool) {
        let Flight { slot, handle, .. } = flight;
        let lease = cqueue::buffer_select(flags)
            .map(|id| self.pool.lease(id, *value.as_ref().unwrap_or(&0) as u32));
        let received = |value| Outcome::Received(value);
        match value {
            Ok(1..) => {
                let lease = lease.expect("received bytes are in a provided buffer");
                let outcome = received(Ok(Provided::from_lease(lease)));
                self.local.push(Completion { slot, outcome, more: true });
                if cqueue::more(flags) {
                    self.flights[index_of(slot)] = Some(flight);
                } else if over {
                    self.conclude(
                        slot,
                        handle,
                        received(Err(Error::new("recv", "", libc::ECANCELED))),
                    );
                } else {
                    // The kernel ends a multishot now and then; the core need not know.
                    self.go_on_receiving(flight);
                }
            }
            Ok(0) => self.conclude(slot, handle, received(Ok(Provided::from_vec(Vec::new())))),
            Err(error) if error.errno == libc::ENOBUFS && !over => {
                self.flights[index_of(slot)] = Some(flight);
                self.starved.push(slot);
            }
            Err(error) if error.errno == libc::ENOBUFS => {
                self.conclude(slot, handle, received(Err(Error::new("recv", "", libc::ECANCELED))));
            }
            Err(error) => self.conclude(slot, handle, received(Err(error))),
        }
    }

    fn go_on_receiving(&mut self, flight: Flight) {
        if let Some(socket) = flight.handle {
            let entry = self.receive_entry(socket);
            self.go_on(flight, entry);
        }
    }
}
