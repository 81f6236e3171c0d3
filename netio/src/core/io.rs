//! [`Io`]: a core, as its program and tasks see it. Cheap to clone; never leaves its core.
use crate::{
    buffer::Arena,
    clock::{Instant, WallTime},
    core::{
        executor::{TaskId, YieldNow},
        file::{File, Operation, done},
        net::{ConnId, ListenerId, Received},
        program::CoreId,
        state::{Pending, Shared},
        tasks::Class,
        timers::Due,
    },
    error::{Error, Result},
    seam::{DirEntry, Op, Open, Outcome, Sharing, Space},
    stats::Stats,
};
use bytes::Bytes;
use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Handle of a core.
#[derive(Clone)]
pub struct Io {
    pub(crate) shared: Rc<Shared>,
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").field("core", &self.shared.core).finish()
    }
}

impl Io {
    pub fn core(&self) -> CoreId {
        self.shared.core
    }

    // ---- time and chance ------------------------------------------------------------------------
    /// Monotonic time, read once a turn (cheap).
    pub fn now(&self) -> Instant {
        self.shared.state.borrow().now
    }
    /// Monotonic time, read now: for how long something took within a turn.
    pub fn read_clock(&self) -> Instant {
        self.shared.state.borrow().driver.now()
    }
    pub fn wall(&self) -> WallTime {
        self.shared.state.borrow().driver.wall()
    }
    /// Seeded in the simulation, from the system otherwise.
    pub fn random(&self) -> u64 {
        self.shared.state.borrow_mut().driver.random()
    }
    /// `Event::Timer { token }` at `at` (not before). One-shot. Returns an id for
    /// [`Self::cancel_timer`].
    pub fn timer(&self, at: Instant, token: u64) -> u64 {
        self.shared.state.borrow_mut().timers.insert(at, Due::Program(token))
    }
    pub fn cancel_timer(&self, id: u64) {
        self.shared.state.borrow_mut().timers.remove(id);
    }
    /// Waits, in a background task.
    pub async fn sleep_until(&self, at: Instant) {
        Sleep { io: self, at, timer: None }.await
    }

    // ---- background -----------------------------------------------------------------------------
    /// Runs a future in the background until it ends (see [`crate::TaskSet`] for outcomes).
    pub fn spawn(&self, class: Class, future: impl Future<Output = ()> + 'static) {
        self.spawn_task(class, Box::pin(future));
    }
    /// Lets other tasks and the foreground run.
    pub async fn yield_now(&self) {
        YieldNow::new(&self.shared.executor).await
    }
    /// Makes the core take a turn even without an event.
    pub fn want_turn(&self) {
        self.shared.state.borrow_mut().want_turn = true;
    }

    // ---- sockets --------------------------------------------------------------------------------
    /// Binds and listens (retries a moment when a dead process still holds the port); accepts with
    /// multishot.
    pub fn listen(&self, addr: SocketAddr) -> Result<ListenerId> {
        self.shared.state.borrow_mut().listen(addr, Sharing::Alone)
    }
    /// As [`Self::listen`], on an address that several cores share.
    pub fn listen_shared(&self, addr: SocketAddr, sharing: Sharing) -> Result<ListenerId> {
        self.shared.state.borrow_mut().listen(addr, sharing)
    }
    /// The bound address (a port of 0 is resolved).
    pub fn local_addr(&self, listener: ListenerId) -> SocketAddr {
        self.shared.state.borrow().net.listeners[listener.0 as usize].addr
    }
    /// Stops accepting; connections stay.
    pub fn close_listener(&self, listener: ListenerId) {
        self.shared.state.borrow_mut().close_listener(listener);
    }
    /// `Event::Connected` or `Event::Closed` follows.
    pub fn connect(&self, addr: SocketAddr) -> ConnId {
        self.shared.state.borrow_mut().connect(addr)
    }
    /// Begins receiving on a new connection. Until then its bytes stay in the kernel
    /// (back-pressure).
    pub fn start_receiving(&self, conn: ConnId) {
        self.shared.state.borrow_mut().start_receiving(conn);
    }
    /// The connection stays when its peer has closed it for writing: [`crate::Event::Finished`]
    /// comes instead of `Closed`, and the program closes it once it has sent what it owes. A peer
    /// that has gone altogether looks the same, until it is sent something.
    pub fn outlive_peer(&self, conn: ConnId) {
        self.shared.state.borrow_mut().outlive_peer(conn);
    }
    /// Takes the unconsumed input. `None` when there is none, or the connection is gone. Receiving
    /// goes on only after [`Self::put_back`].
    pub fn take(&self, conn: ConnId) -> Option<Received> {
        self.shared.state.borrow_mut().take(conn)
    }
    /// Gives the input back with `consumed` bytes used up. `want`: bytes that the next frame needs
    /// in all, counted from the first unconsumed byte (0 = unknown): a large `want` grows the
    /// connection's own buffer once and receives in one shot. `Event::Readable` comes when more has
    /// arrived (with `want`, when that many are there). With `hold`, nothing is received until
    /// [`Self::start_receiving`].
    pub fn put_back(
        &self,
        conn: ConnId,
        received: Received,
        consumed: usize,
        want: usize,
        hold: bool,
    ) {
        self.shared.state.borrow_mut().put_back(conn, received, consumed, want, hold);
    }
    /// Bytes that have arrived and were not consumed: what [`Self::take`] would give, or less than
    /// `want`.
    pub fn input_bytes(&self, conn: ConnId) -> usize {
        self.shared.state.borrow().net.get(conn).map_or(0, |conn| conn.input_bytes())
    }
    /// Queues slices in order; small ones are gathered by copy (< 512 B), large ones are sent from
    /// where they are. Ignored when the connection is gone.
    pub fn send(&self, conn: ConnId, slices: impl IntoIterator<Item = Bytes>) {
        // The iterator is the caller's code, which may use this handle: it runs before the borrow.
        let mut slices = slices.into_iter();
        let (first, second) = (slices.next(), slices.next());
        let Some(first) = first else { return };
        match second {
            None => self.shared.state.borrow_mut().send(conn, [first]),
            Some(second) => {
                let rest: Vec<Bytes> = slices.collect();
                self.shared.state.borrow_mut().send(conn, [first, second].into_iter().chain(rest));
            }
        }
    }
    /// Bytes queued and not yet taken by the kernel.
    pub fn output_bytes(&self, conn: ConnId) -> usize {
        self.shared.state.borrow().net.get(conn).map_or(0, |conn| conn.output_bytes())
    }
    /// As [`Self::output_bytes`], of all connections of the core.
    pub fn output_bytes_of_all(&self) -> usize {
        self.shared.state.borrow().net.queued.get()
    }
    /// Output above the high-water mark: stop producing until `Event::Writable`.
    pub fn is_congested(&self, conn: ConnId) -> bool {
        self.shared.state.borrow().net.get(conn).is_some_and(|conn| conn.is_congested())
    }
    /// Closes after the queued output is sent (`flush`), or at once. `Event::Closed` follows. After
    /// a flush the peer gets the end of the stream and no reset, also when it still sends: that is
    /// received and dropped, for at most a second and 1 MiB.
    pub fn close(&self, conn: ConnId, flush: bool) {
        self.shared.state.borrow_mut().close(conn, flush);
    }
    /// Address of the peer, if the connection is still there.
    pub fn peer(&self, conn: ConnId) -> Option<SocketAddr> {
        self.shared.state.borrow().net.get(conn).map(|conn| conn.peer)
    }

    // ---- disk -----------------------------------------------------------------------------------
    /// Foreground write (the WAL): `Event::Written { token }` when done. All slices are written, in
    /// order, from `offset`; memory and lengths aligned if the file is direct. Never retried.
    pub fn write(&self, file: &File, slices: Vec<Bytes>, offset: u64, dsync: bool, token: u64) {
        let pending = Pending::Foreground { token, path: file.path().clone() };
        self.shared
            .state
            .borrow_mut()
            .submit(pending, Op::Write { file: file.handle(), slices, offset, dsync });
    }
    /// Foreground fdatasync; `Event::Written { token }` when done.
    pub fn sync(&self, file: &File, token: u64) {
        let pending = Pending::Foreground { token, path: file.path().clone() };
        self.shared
            .state
            .borrow_mut()
            .submit(pending, Op::Sync { file: file.handle(), data_only: true });
    }
    pub async fn open(&self, path: &Path, how: Open) -> Result<File> {
        let outcome = self.op(Op::OpenFile { path: path.into(), how }).await;
        let Outcome::Opened(result) = outcome else { panic!("an open ended with {outcome:?}") };
        Ok(File::new(self, named(path, result)?, path.to_string_lossy().into()))
    }
    pub async fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        named(from, done(self.op(Op::Rename { from: from.into(), to: to.into() }).await))
    }
    pub async fn remove_file(&self, path: &Path) -> Result<()> {
        named(path, done(self.op(Op::RemoveFile { path: path.into() }).await))
    }
    pub async fn remove_dir(&self, path: &Path) -> Result<()> {
        named(path, done(self.op(Op::RemoveDir { path: path.into() }).await))
    }
    /// Creates one directory; an existing one is fine.
    pub async fn create_dir(&self, path: &Path) -> Result<()> {
        match done(self.op(Op::CreateDir { path: path.into() }).await) {
            Err(error) if error.errno == libc::EEXIST => Ok(()),
            result => named(path, result),
        }
    }
    /// Sorted by name.
    pub async fn read_dir(&self, path: &Path) -> Result<Vec<DirEntry>> {
        let outcome = self.op(Op::ReadDir { path: path.into() }).await;
        let Outcome::Dir(result) = outcome else { panic!("a listing ended with {outcome:?}") };
        let mut entries = named(path, result)?;
        entries.sort_unstable();
        Ok(entries)
    }
    /// fsync of a directory: makes renames, creations and removals in it durable.
    pub async fn sync_dir(&self, path: &Path) -> Result<()> {
        named(path, done(self.op(Op::SyncDir { path: path.into() }).await))
    }
    /// Makes everything durable that was completed before on the file system of `path`, whoever did
    /// it: contents, lengths, names (syncfs). For very many small files, of which each would take a
    /// sync of its own. What others have written to the file system goes with it, so nobody may
    /// wait for it who has no patience.
    ///
    /// Not for what nothing checks when it is read: of an error of a buffered write that the kernel
    /// has already told to somebody else, nothing is said here.
    pub async fn sync_all(&self, path: &Path) -> Result<()> {
        named(path, done(self.op(Op::SyncAll { path: path.into() }).await))
    }
    pub async fn space(&self, path: &Path) -> Result<Space> {
        let outcome = self.op(Op::Space { path: path.into() }).await;
        let Outcome::Space(result) = outcome else { panic!("a statvfs ended with {outcome:?}") };
        named(path, result)
    }

    /// Sees to it that the arena's next chunk is there before it is needed: fresh memory costs page
    /// faults, which would halt the core for up to milliseconds. Cheap when there is a free chunk.
    pub fn keep_ahead(&self, arena: &Arena) {
        if arena.wants_chunk() {
            self.shared.state.borrow().driver.make_chunk(arena);
        }
    }

    /// Looks at every connection: for reports, not for every turn.
    pub fn stats(&self) -> Stats {
        let state = self.shared.state.borrow();
        let counters = state.driver.counters();
        let mut stats = Stats {
            enters: counters.enters,
            submitted: counters.submitted,
            completions: counters.completions,
            ..state.stats
        };
        state.net.count(&mut stats);
        stats
    }

    pub(crate) fn spawn_task(
        &self,
        class: Class,
        future: Pin<Box<dyn Future<Output = ()>>>,
    ) -> TaskId {
        self.shared.executor.spawn(class, future)
    }
    fn op(&self, op: Op) -> Operation {
        Operation::submit(self, op)
    }
}

fn named<T>(path: &Path, result: Result<T>) -> Result<T> {
    result.map_err(|e| Error { on: path.to_string_lossy().into(), ..e })
}

/// Ready at `at`; a dropped sleep leaves no timer.
struct Sleep<'a> {
    io: &'a Io,
    at: Instant,
    timer: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.io.shared.state.borrow_mut();
        if let Some(timer) = self.timer {
            state.timers.remove(timer);
        }
        if state.now >= self.at {
            drop(state);
            self.timer = None;
            return Poll::Ready(());
        }
        let timer = state.timers.insert(self.at, Due::Task(cx.waker().clone()));
        drop(state);
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.io.shared.state.borrow_mut().timers.remove(timer);
        }
    }
}
