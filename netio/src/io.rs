//! [`Io`]: a core, as its program and tasks see it. Cheap to clone; never leaves its core.
use crate::{Class, ConnId, CoreId, DirEntry, Error, File, Instant, ListenerId, Open, Received, Result, WallTime, file::Space, stats::Stats};
use bytes::Bytes;
use std::{future::Future, net::SocketAddr, path::Path, rc::Rc};

/// Handle of a core.
#[derive(Clone, Debug)]
pub struct Io {
    _inner: Rc<()>,
}

impl Io {
    pub fn core(&self) -> CoreId {
        todo!()
    }

    // ---- time and chance -------------------------------------------------------------------------------------------------
    /// Monotonic time, read once a turn (cheap).
    pub fn now(&self) -> Instant {
        todo!()
    }
    pub fn wall(&self) -> WallTime {
        todo!()
    }
    /// Seeded in the simulation, from the system otherwise.
    pub fn random(&self) -> u64 {
        todo!()
    }
    /// `Event::Timer { token }` at `at` (not before). One-shot. Returns an id for [`Self::cancel_timer`].
    pub fn timer(&self, _at: Instant, _token: u64) -> u64 {
        todo!()
    }
    pub fn cancel_timer(&self, _id: u64) {
        todo!()
    }
    /// Waits, in a background task.
    pub async fn sleep_until(&self, _at: Instant) {
        todo!()
    }

    // ---- background ------------------------------------------------------------------------------------------------------
    /// Runs a future in the background until it ends (see [`crate::TaskSet`] for outcomes).
    pub fn spawn(&self, _class: Class, _future: impl Future<Output = ()> + 'static) {
        todo!()
    }
    /// Lets other tasks and the foreground run.
    pub async fn yield_now(&self) {
        todo!()
    }
    /// Makes the core take a turn even without an event.
    pub fn want_turn(&self) {
        todo!()
    }

    // ---- sockets ---------------------------------------------------------------------------------------------------------
    /// Binds and listens (retries a moment when a dead process still holds the port); accepts with multishot.
    pub fn listen(&self, _addr: SocketAddr) -> Result<ListenerId> {
        todo!()
    }
    /// The bound address (a port of 0 is resolved).
    pub fn local_addr(&self, _listener: ListenerId) -> SocketAddr {
        todo!()
    }
    /// Stops accepting; connections stay.
    pub fn close_listener(&self, _listener: ListenerId) {
        todo!()
    }
    /// `Event::Connected` or `Event::Closed` follows.
    pub fn connect(&self, _addr: SocketAddr) -> ConnId {
        todo!()
    }
    /// Begins receiving on a new connection. Until then its bytes stay in the kernel (back-pressure).
    pub fn start_receiving(&self, _conn: ConnId) {
        todo!()
    }
    /// Takes the unconsumed input. `None` when there is none, or the connection is gone. Receiving goes on only after
    /// [`Self::put_back`].
    pub fn take(&self, _conn: ConnId) -> Option<Received> {
        todo!()
    }
    /// Gives the input back with `consumed` bytes used up. `want`: bytes that the next frame needs in all, counted from the
    /// first unconsumed byte (0 = unknown): a large `want` grows the connection's own buffer once and receives in one shot.
    /// `Event::Readable` comes when more has arrived (with `want`, when that many are there). With `hold`, nothing is received
    /// until [`Self::start_receiving`].
    pub fn put_back(&self, _conn: ConnId, _received: Received, _consumed: usize, _want: usize, _hold: bool) {
        todo!()
    }
    /// Queues slices in order; small ones are gathered by copy (< 512 B), large ones are sent from where they are.
    /// Ignored when the connection is gone.
    pub fn send(&self, _conn: ConnId, _slices: impl IntoIterator<Item = Bytes>) {
        todo!()
    }
    /// Bytes queued and not yet taken by the kernel.
    pub fn output_bytes(&self, _conn: ConnId) -> usize {
        todo!()
    }
    /// Output above the high-water mark: stop producing until `Event::Writable`.
    pub fn is_congested(&self, _conn: ConnId) -> bool {
        todo!()
    }
    /// Closes after the queued output is sent (`flush`), or at once. `Event::Closed` follows.
    pub fn close(&self, _conn: ConnId, _flush: bool) {
        todo!()
    }
    /// Address of the peer, if the connection is still there.
    pub fn peer(&self, _conn: ConnId) -> Option<SocketAddr> {
        todo!()
    }

    // ---- disk ------------------------------------------------------------------------------------------------------------
    /// Foreground write (the WAL): `Event::Written { token }` when done. All slices are written, in order, from `offset`;
    /// memory and lengths aligned if the file is direct. Never retried.
    pub fn write(&self, _file: &File, _slices: Vec<Bytes>, _offset: u64, _dsync: bool, _token: u64) {
        todo!()
    }
    /// Foreground fdatasync; `Event::Written { token }` when done.
    pub fn sync(&self, _file: &File, _token: u64) {
        todo!()
    }
    pub async fn open(&self, _path: &Path, _how: Open) -> Result<File> {
        Err(Error::new("open", "", 0))
    }
    pub async fn rename(&self, _from: &Path, _to: &Path) -> Result<()> {
        todo!()
    }
    pub async fn remove_file(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    pub async fn remove_dir(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    /// Creates one directory; an existing one is fine.
    pub async fn create_dir(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    /// Sorted by name.
    pub async fn read_dir(&self, _path: &Path) -> Result<Vec<DirEntry>> {
        todo!()
    }
    /// fsync of a directory: makes renames, creations and removals in it durable.
    pub async fn sync_dir(&self, _path: &Path) -> Result<()> {
        todo!()
    }
    pub async fn space(&self, _path: &Path) -> Result<Space> {
        todo!()
    }

    pub fn stats(&self) -> Stats {
        todo!()
    }
}
