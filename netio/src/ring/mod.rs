//! The io_uring driver: production.
//!
//! One ring per core, made and used on the core's thread only (SINGLE_ISSUER, DEFER_TASKRUN): the
//! kernel works completions off when the core asks for them, in the same system call that submits.
//! A cheap flag tells whether asking is worth it, so a core that spins makes no system calls.
//!
//! * `flight`    operations in flight: their memory, their entries, what their completions mean.
//! * `vectored`  slices of a send or write, continued when the kernel took a part.
//! * `wake`      ends the wait of a parked ring from other threads.
//! * `helper`    a thread for what the ring cannot do (listing, statvfs).
//! * [`probe`]   what this kernel allows.
//! * `directory` whether a data directory will do.
//! * `sys`       the plain system calls around it.
//!
//! A descriptor is closed only when no operation on it is in flight, so a late continuation cannot
//! hit the next file with the same number. Memory of operations in flight is never freed: if the
//! kernel does not give it back in time at the end of a ring, it is leaked.
pub(crate) mod directory;
mod flight;
mod helper;
pub mod probe;
pub(crate) mod sys;
mod vectored;
mod wake;

pub(crate) use wake::RingWake;

use crate::buffer::provided::Pool;
use crate::{
    buffer::Arena,
    clock::{Instant, WallTime},
    error::{Error, Result},
    options::Options,
    seam::{Completion, Counters, Handle, Op, Outcome, Sharing, Slot, Wait, index_of},
};
use flight::Flight;
use helper::Answers;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use probe::Features;
use slab::Slab;
use std::{
    fmt, mem,
    net::SocketAddr,
    os::fd::{IntoRawFd, RawFd},
    rc::Rc,
    sync::Arc,
};
pub use sys::{bound_heaps, give_back_memory, raise_open_files};
use vectored::Vectored;

/// Low half of the user data of entries that are no operation of the core.
const INTERNAL: u64 = u32::MAX as u64;
const WAKE: u64 = INTERNAL | 1 << 32;
const IGNORE: u64 = INTERNAL | 2 << 32;
/// IORING_ENTER_GETEVENTS.
const GETEVENTS: u32 = 1;
/// io-wq workers of a ring for file operations (bounded) and for everything else.
const WORKERS: [u32; 2] = [32, 4];
/// Spare `Vectored` boxes kept for the next sends.
const SPARE: usize = 64;

/// A descriptor in the ring's table.
#[derive(Debug)]
struct Descriptor {
    fd: RawFd,
    in_flight: u32,
    /// The close that waits until nothing is in flight.
    closing: Option<Slot>,
    is_file: bool,
}

/// The driver.
pub struct Ring {
    ring: IoUring,
    features: Features,
    flights: Vec<Option<Flight>>,
    descriptors: Slab<Descriptor>,
    pool: Rc<Pool>,
    /// Multishot receives that found no buffer; armed again when there are some.
    starved: Vec<Slot>,
    /// Completions that did not need the kernel.
    local: Vec<Completion>,
    #[expect(
        clippy::vec_box,
        reason = "a box moves into a flight and back; the kernel holds its address"
    )]
    spare: Vec<Box<Vectored>>,
    answers: Arc<Answers>,
    wake: Arc<RingWake>,
    /// Where the read of the eventfd goes; boxed, as the kernel writes to it.
    wake_count: Box<u64>,
    wake_armed: bool,
    counters: Counters,
    control_cpus: Vec<usize>,
    random: u64,
    lock: Option<Arc<sys::Lock>>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.flights.iter().flatten().count();
        f.debug_struct("Ring")
            .field("in_flight", &in_flight)
            .field("descriptors", &self.descriptors.len())
            .finish()
    }
}

fn failed(op: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::new(op, "", error.raw_os_error().unwrap_or(libc::EIO))
}

impl Ring {
    /// A ring for the calling thread. `lock`: the locked file of the data directory, which stays
    /// locked until this ring's last operation is over, also after SIGKILL.
    pub(crate) fn new(
        options: &Options,
        features: Features,
        wake: Arc<RingWake>,
        lock: Option<Arc<sys::Lock>>,
    ) -> Result<Self> {
        let mut builder = IoUring::builder();
        builder
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(options.ring_entries.saturating_mul(4));
        if features.defer_taskrun {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        } else {
            builder.setup_coop_taskrun().setup_taskrun_flag();
        }
        let ring = builder.build(options.ring_entries).map_err(failed("io_uring_setup"))?;
        let pool = Pool::new(
            options.recv_buffers.clamp(1, 1 << 15).next_power_of_two(),
            options.recv_buffer_bytes,
        )
        .map_err(failed("receive buffers"))?;
        pool.register(&ring).map_err(failed("register receive buffers"))?;
        let submitter = ring.submitter();
        submitter
            .register_iowq_max_workers(&mut WORKERS.clone())
            .map_err(failed("register io-wq workers"))?;
        if !options.control_cpus.is_empty() {
            submitter
                .register_iowq_aff(&sys::cpu_set(&options.control_cpus))
                .map_err(failed("register io-wq affinity"))?;
        }
        if let Some(lock) = &lock {
            submitter.register_files(&lock.descriptors()).map_err(failed("register the locks"))?;
        }
        let mut seed = [0; 8];
        // SAFETY: valid memory of the given size. Should it fail, the address of the pool is the
        // seed: no secret hangs on it.
        if unsafe { libc::getrandom(seed.as_mut_ptr().cast(), seed.len(), 0) } != 8 {
            seed = (Rc::as_ptr(&pool) as u64).to_ne_bytes();
        }
        Ok(Self {
            ring,
            features,
            flights: Vec::new(),
            descriptors: Slab::new(),
            pool,
            starved: Vec::new(),
            local: Vec::new(),
            spare: Vec::new(),
            answers: Answers::new(wake.clone()),
            wake,
            wake_count: Box::new(0),
            wake_armed: false,
            counters: Counters::default(),
            control_cpus: options.control_cpus.clone(),
            random: u64::from_ne_bytes(seed),
            lock,
        })
    }

    pub fn submit(&mut self, slot: Slot, op: Op) {
        let index = index_of(slot);
        if self.flights.len() <= index {
            self.flights.resize_with(index + 1, || None);
        }
        assert!(self.flights[index].is_none(), "slot {slot:#x} is in flight already");
        self.begin(slot, op);
    }

    pub fn cancel(&mut self, slot: Slot) {
        let Some(flight) = self
            .flights
            .get_mut(index_of(slot))
            .and_then(Option::as_mut)
            .filter(|flight| flight.slot == slot)
        else {
            return;
        };
        flight.cancelled = true;
        if let Some(at) = self.starved.iter().position(|&starved| starved == slot) {
            // Not in the kernel.
            self.starved.swap_remove(at);
            self.finish(slot, Outcome::Received(Err(Error::new("recv", "", libc::ECANCELED))));
            return;
        }
        let entry = opcode::AsyncCancel::new(slot).build();
        self.push(entry.user_data(IGNORE).flags(squeue::Flags::SKIP_SUCCESS));
    }

    pub fn reap(&mut self, out: &mut Vec<Completion>, wait: Wait) {
        if !self.starved.is_empty() {
            self.feed_starved();
        }
        if !self.wake_armed {
            self.wake_armed = true;
            let read =
                opcode::Read::new(types::Fd(self.wake.fd()), (&raw mut *self.wake_count).cast(), 8)
                    .build();
            self.push(read.user_data(WAKE));
        }
        if !self.answers.is_empty() {
            for (slot, outcome) in self.answers.take() {
                self.finish(slot, outcome);
            }
        }
        let ready = !self.local.is_empty() || !self.ring.completion().is_empty();
        match wait {
            _ if ready => self.enter_if_useful(),
            Wait::No => self.enter_if_useful(),
            Wait::Forever => self.enter(1, None),
            Wait::Until(at) => {
                let ns = at.since(self.now());
                self.enter(
                    1,
                    Some(
                        types::Timespec::new()
                            .sec(ns / 1_000_000_000)
                            .nsec((ns % 1_000_000_000) as u32),
                    ),
                );
            }
        }
        self.collect();
        out.append(&mut self.local);
    }

    pub fn is_ready(&mut self) -> bool {
        if !self.local.is_empty() || !self.answers.is_empty() || !self.ring.completion().is_empty()
        {
            return true;
        }
        let sq = self.ring.submission();
        sq.taskrun() || sq.cq_overflow()
    }

    /// Are there entries that the kernel has not seen?
    pub(crate) fn has_queued(&mut self) -> bool {
        !self.ring.submission().is_empty()
    }

    /// One system call submits and works completions off; none when there is nothing of either.
    fn enter_if_useful(&mut self) {
        let sq = self.ring.submission();
        let useful = !sq.is_empty() || sq.taskrun() || sq.cq_overflow();
        drop(sq);
        if useful {
            self.enter(0, None);
        }
    }

    fn enter(&mut self, want: u32, timeout: Option<types::Timespec>) {
        let entries = self.ring.submission().len() as u32;
        let submitter = self.ring.submitter();
        self.counters.enters += 1;
        let result = match (want, timeout) {
            (_, Some(timeout)) => submitter
                .submit_with_args(want as usize, &types::SubmitArgs::new().timespec(&timeout)),
            // SAFETY: no argument; the count is the queue's own length. GETEVENTS also without a
            // wait: it runs deferred work.
            _ => unsafe { submitter.enter::<libc::sigset_t>(entries, want, GETEVENTS, None) },
        };
        match result {
            Ok(submitted) => self.counters.submitted += submitted as u64,
            // The time is over, a signal came, or completions must be collected first: the caller
            // looks again in any case.
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                self.counters.submitted += u64::from(entries) - self.ring.submission().len() as u64;
            }
            Err(e) => panic!("io_uring_enter of {entries} entries: {e}"),
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: every entry points to memory owned by its flight (or by the ring itself), which
        // lives, unmoved, until the completion; `Drop` leaks what the kernel has not given back.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.enter(0, None);
            if self.ring.submission().is_full() {
                self.collect();
            }
        }
    }

    /// Turns the completion queue into completions.
    fn collect(&mut self) {
        const BATCH: usize = 128;
        loop {
            let mut batch = [const { mem::MaybeUninit::<cqueue::Entry>::uninit() }; BATCH];
            let mut queue = self.ring.completion();
            let filled = queue.fill(&mut batch);
            drop(queue);
            let count = filled.len();
            for entry in filled {
                self.counters.completions += 1;
                match entry.user_data() {
                    WAKE => self.wake_armed = false,
                    IGNORE => {}
                    slot => self.on_completion(slot, entry.result(), entry.flags()),
                }
            }
            if count < BATCH {
                return;
            }
        }
    }

    pub fn listen(&mut self, addr: SocketAddr, sharing: Sharing) -> Result<(Handle, SocketAddr)> {
        let (socket, bound) = sys::listen(addr, sharing)?;
        Ok((self.insert(socket.into_raw_fd(), false), bound))
    }

    pub(crate) fn finish_sending(&mut self, socket: Handle) {
        sys::finish_sending(self.descriptors[socket.0 as usize].fd);
    }

    fn insert(&mut self, fd: RawFd, is_file: bool) -> Handle {
        Handle(
            self.descriptors.insert(Descriptor { fd, in_flight: 0, closing: None, is_file }) as u32
        )
    }

    pub fn now(&self) -> Instant {
        Instant(clock(libc::CLOCK_MONOTONIC))
    }
    pub fn wall(&self) -> WallTime {
        (clock(libc::CLOCK_REALTIME) / 1_000_000) as WallTime
    }
    /// xorshift64*: fast, well spread, not secret.
    pub fn random(&mut self) -> u64 {
        let mut x = self.random | 1;
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random = x;
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    pub fn make_chunk(&self, arena: &Arena) {
        helper::make_chunk(arena.clone(), &self.control_cpus);
    }
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// Nanoseconds of a clock of the kernel (read without a system call).
fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid struct; both clocks exist everywhere.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Whatever is in flight is cancelled, and waited for, for a moment: the kernel writes to
        // our memory until then.
        let cancel = opcode::AsyncCancel2::new(types::CancelBuilder::any()).build();
        self.push(cancel.user_data(IGNORE));
        self.starved.clear();
        let until = self.now().after_ms(1_000);
        while self.in_kernel() && self.now() < until {
            let mut out = Vec::new();
            self.wake_armed = true;
            self.reap(&mut out, Wait::Until(self.now().after_ms(10)));
        }
        if self.in_kernel() {
            mem::forget(mem::take(&mut self.flights));
            mem::forget(self.pool.clone());
        }
        mem::forget(mem::take(&mut self.wake_count));
        for (_, descriptor) in &self.descriptors {
            sys::close(descriptor.fd);
        }
        drop(self.lock.take());
    }
}
