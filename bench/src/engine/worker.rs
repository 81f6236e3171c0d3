//! One event loop: a thread on its own CPU that carries some of the connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rustix::event::{Timespec, epoll};

use super::fetcher::Fetcher;
use super::producer::Producer;
use super::tally::{Tally, Window};
use crate::clock::{Clock, Nanos, SECOND};
use crate::measure::host::thread_cpu;
use crate::result::Findings;

/// Before an intended time a loop stops sleeping and starts looking: timers wake late.
const EARLY: Nanos = 60_000;
/// A loop looks at its clock at least so often.
const SLEEP_MAX: Nanos = 20_000_000;
const EVENTS: usize = 256;

/// What loops tell each other, and the progress line, while they run.
#[derive(Debug, Default)]
pub struct Shared {
    /// Records acknowledged since the start.
    pub acked: AtomicU64,
    /// Records read since the start.
    pub read: AtomicU64,
    /// Bytes of values in them, acknowledged or read.
    pub acked_bytes: AtomicU64,
    pub read_bytes: AtomicU64,
    pub errors: AtomicU64,
    /// Loops whose producers have not finished.
    pub producing: AtomicUsize,
}

/// An event loop before it runs.
#[derive(Debug)]
pub struct Worker {
    pub clock: Clock,
    pub window: Window,
    pub spin: Nanos,
    pub producers: Vec<Producer>,
    pub fetchers: Vec<Fetcher>,
    /// Readers stop when they have read what was acknowledged; without this they stop with the
    /// window.
    pub read_all: bool,
    /// It is the only one, and so sees acks and readers both.
    pub alone: bool,
    pub shared: Arc<Shared>,
}

/// What a loop leaves behind.
#[derive(Debug)]
pub struct Finished {
    pub tally: Tally,
    pub findings: Findings,
    /// (partition, stream) -> records read in order.
    pub read: Vec<((i32, u32), u64)>,
}

/// A loop while it runs.
struct Loop {
    worker: Worker,
    epoll: OwnedFd,
    tally: Tally,
    /// (when, which producer).
    due: BinaryHeap<Reverse<(Nanos, usize)>>,
    events: Vec<epoll::Event>,
    /// (time, CPU of the thread, busy time) when counting began.
    mark: Option<(Nanos, Nanos)>,
    busy: Nanos,
    producing: bool,
    /// What was last told to [`Shared`].
    told: [u64; 5],
}

impl Worker {
    /// Runs to the end of the window and until all answers are there.
    ///
    /// # Errors
    /// Those of epoll. Sockets that fail are counted and left.
    pub fn run(self) -> io::Result<Finished> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut this = Loop {
            epoll,
            tally: Tally {
                wake_up: (self.alone && !self.producers.is_empty() && !self.fetchers.is_empty())
                    .then(Box::default),
                ..Default::default()
            },
            due: BinaryHeap::new(),
            events: Vec::with_capacity(EVENTS),
            mark: None,
            busy: 0,
            producing: !self.producers.is_empty(),
            told: [0; 5],
            worker: self,
        };
        this.register()?;
        this.turn_until_done()?;
        Ok(this.finish())
    }
}

impl Loop {
    fn register(&mut self) -> io::Result<()> {
        let fetchers = self.worker.fetchers.iter().map(|f| &f.socket);
        let producers = self.worker.producers.iter().map(|p| &p.socket);
        for (n, socket) in producers.chain(fetchers).enumerate() {
            let data = epoll::EventData::new_u64(n as u64);
            epoll::add(&self.epoll, socket, data, epoll::EventFlags::IN)?;
        }
        let start = self.worker.window.start;
        self.worker.clock.sleep_until(start);
        for n in 0..self.worker.fetchers.len() {
            let sent = self.worker.fetchers[n].fetch(self.worker.clock.now());
            self.settle_fetcher(n, sent, false)?;
        }
        for n in 0..self.worker.producers.len() {
            self.on_due(n)?;
        }
        Ok(())
    }

    fn turn_until_done(&mut self) -> io::Result<()> {
        let clock = self.worker.clock;
        let mut last_event = clock.now();
        loop {
            let now = clock.now();
            self.count_from(now);
            self.tell();
            if self.is_done(now) {
                return Ok(());
            }
            while let Some(&Reverse((at, n))) = self.due.peek() {
                if at > now {
                    break;
                }
                self.due.pop();
                self.on_due(n)?;
            }
            let before = clock.now();
            self.busy += before - now;
            let timeout = self.timeout(before, last_event);
            let spec = Timespec { tv_sec: 0, tv_nsec: timeout.try_into().unwrap_or(0) };
            self.events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut self.events),
                Some(&spec),
            ) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if self.events.is_empty() {
                continue;
            }
            last_event = clock.now();
            let events = std::mem::take(&mut self.events);
            for event in &events {
                self.on_event(usize::try_from(event.data.u64()).unwrap_or(usize::MAX))?;
            }
            self.events = events;
            self.busy += clock.now() - last_event;
        }
    }

    /// How long to wait for sockets: not at all while spinning, never past what is due.
    fn timeout(&self, now: Nanos, last_event: Nanos) -> Nanos {
        if now.saturating_sub(last_event) < self.worker.spin {
            return 0;
        }
        let next = self.due.peek().map_or(Nanos::MAX, |&Reverse((at, _))| at);
        let end = self.worker.window.to.max(now + 1);
        let early = if self.worker.spin > 0 { EARLY } else { 0 };
        (next.min(end).saturating_sub(now).saturating_sub(early)).min(SLEEP_MAX)
    }

    fn on_event(&mut self, n: usize) -> io::Result<()> {
        let producers = self.worker.producers.len();
        let now = self.worker.clock.now();
        let window = self.worker.window;
        if n < producers {
            let producer = &mut self.worker.producers[n];
            if producer.dead {
                return Ok(());
            }
            match producer.receive(now, &window, &mut self.tally) {
                Ok(_) => self.advance_producer(n),
                Err(error) => self.kill_producer(n, &error),
            }
        } else {
            let n = n - producers;
            let fetcher = &mut self.worker.fetchers[n];
            if fetcher.dead {
                return Ok(());
            }
            let wanted = fetcher.wants_write;
            let result = fetcher.receive(now, &window, &mut self.tally).and_then(|complete| {
                if complete { fetcher.fetch(self.worker.clock.now()) } else { fetcher.send() }
            });
            self.settle_fetcher(n, result, wanted)
        }
    }

    /// A producer's time has come: its one entry in the heap was taken, and is put back.
    fn on_due(&mut self, n: usize) -> io::Result<()> {
        self.advance_producer(n)?;
        if let Some(next) = self.worker.producers[n].next_due(&self.worker.window) {
            self.due.push(Reverse((next, n)));
        }
        Ok(())
    }

    /// Queues what is due on a producer and sends.
    fn advance_producer(&mut self, n: usize) -> io::Result<()> {
        let window = self.worker.window;
        let now = self.worker.clock.now();
        let producer = &mut self.worker.producers[n];
        if producer.dead {
            return Ok(());
        }
        producer.enqueue_due(now, &window, &mut self.tally);
        let wanted = producer.wants_write;
        match producer.send(now, &window, &mut self.tally) {
            Ok(()) if producer.wants_write != wanted => {
                let data = epoll::EventData::new_u64(n as u64);
                let flags = interest(producer.wants_write);
                epoll::modify(&self.epoll, &producer.socket, data, flags)?;
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => self.kill_producer(n, &error),
        }
    }

    fn settle_fetcher(&mut self, n: usize, result: io::Result<()>, wanted: bool) -> io::Result<()> {
        let fetcher = &mut self.worker.fetchers[n];
        match result {
            Ok(()) if fetcher.wants_write != wanted => {
                let data = epoll::EventData::new_u64((self.worker.producers.len() + n) as u64);
                epoll::modify(&self.epoll, &fetcher.socket, data, interest(fetcher.wants_write))?;
            }
            Ok(()) => {}
            Err(error) => {
                fetcher.dead = true;
                epoll::delete(&self.epoll, &fetcher.socket)?;
                self.tally.consume.error(error.to_string());
                self.tally.progress.errors += 1;
            }
        }
        Ok(())
    }

    fn kill_producer(&mut self, n: usize, error: &io::Error) -> io::Result<()> {
        let producer = &mut self.worker.producers[n];
        producer.dead = true;
        epoll::delete(&self.epoll, &producer.socket)?;
        self.tally.produce.error(error.to_string());
        self.tally.progress.errors += 1;
        Ok(())
    }

    /// Begins and ends the counting of CPU and busy time.
    fn count_from(&mut self, now: Nanos) {
        match self.mark {
            None if now >= self.worker.window.from => self.mark = Some((thread_cpu(), self.busy)),
            Some((cpu, busy)) if self.tally.cpu_ns == 0 && now >= self.worker.window.to => {
                self.tally.cpu_ns = thread_cpu() - cpu;
                self.tally.busy_ns = self.busy - busy;
            }
            _ => {}
        }
    }

    /// Tells the others how far this loop is.
    fn tell(&mut self) {
        let shared = &self.worker.shared;
        let p = &self.tally.progress;
        let now = [p.acked, p.read, p.acked_bytes, p.read_bytes, p.errors];
        let counters =
            [&shared.acked, &shared.read, &shared.acked_bytes, &shared.read_bytes, &shared.errors];
        for ((counter, now), told) in counters.into_iter().zip(now).zip(&mut self.told) {
            if now != *told {
                counter.fetch_add(now - *told, Ordering::Relaxed);
                *told = now;
            }
        }
    }

    fn is_done(&mut self, now: Nanos) -> bool {
        let window = self.worker.window;
        if now < window.to {
            return false;
        }
        if now >= window.deadline {
            return true;
        }
        if !self.worker.producers.iter().all(|p| p.is_finished(&window)) {
            return false;
        }
        let shared = &self.worker.shared;
        if self.producing {
            self.producing = false;
            // Release: whoever sees this loop finished sees all that it has told.
            shared.producing.fetch_sub(1, Ordering::Release);
        }
        if !self.worker.read_all || self.worker.fetchers.iter().all(|f| f.dead) {
            return true;
        }
        shared.producing.load(Ordering::Acquire) == 0
            && shared.read.load(Ordering::Relaxed) >= shared.acked.load(Ordering::Relaxed)
    }

    fn finish(mut self) -> Finished {
        let now = self.worker.clock.now();
        for producer in &mut self.worker.producers {
            producer.give_up(now, &self.worker.window, &mut self.tally);
        }
        let mut findings = Findings::default();
        let mut read = Vec::new();
        for fetcher in self.worker.fetchers {
            read.extend(fetcher.checker.streams().iter().map(|(&k, &v)| (k, v)));
            findings.merge(fetcher.checker.findings);
        }
        Finished { tally: self.tally, findings, read }
    }
}

fn interest(write: bool) -> epoll::EventFlags {
    if write { epoll::EventFlags::IN | epoll::EventFlags::OUT } else { epoll::EventFlags::IN }
}

const _: () = assert!(SLEEP_MAX < SECOND, "a Timespec with nanoseconds only");
