//! A core's loop, one step at a time.
//!
//! ```text
//! step:  reap -> events, wake-ups -> timers -> background slice -> program's turn -> sends queued
//!         ^                                                                            |
//!         +---------------- submits what the last step queued: one system call --------+
//! ```
//! The thread of a ring calls `step` until it rests, then spins or parks; the simulation calls it
//! when the core's next event is due. Nothing here asks which of the two it is.
use super::{
    executor::Executor,
    mesh::{Inbox, Mesh},
    state::{Shared, State},
};
use crate::{
    clock::Instant,
    core::{
        io::Io,
        program::{Boot, Event, Program, Turn},
        tasks::Class,
    },
    driver::Driver,
    options::Options,
    seam::{Wait, Wake},
    stats::Stats,
};
use std::{cell::RefCell, fmt, mem, rc::Rc, sync::Arc};

/// How long an ended program's output and operations are waited for.
const END_MS: u64 = 5_000;

/// What a step says to whoever drives the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do now.
    Again,
    /// Nothing to do until a completion, a message, or this time.
    Rest(Option<Instant>),
    /// The core has ended; nothing of it is in flight.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The boot future runs; events queue.
    Booting,
    Running,
    /// The program has ended; its output is flushed until the given time.
    Flushing(Instant),
    /// Tasks are dropped, operations are waited for until the given time.
    Draining(Instant),
    Ended,
}

/// A core: driver, connections, timers, tasks, program.
pub struct Core {
    io: Io,
    inbox: Box<dyn Inbox>,
    wake: Arc<dyn Wake>,
    program: Rc<RefCell<Option<Box<dyn Program>>>>,
    stage: Stage,
    events: Vec<Event>,
    again: bool,
    slice_ns: u64,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("core", &self.io.core()).field("stage", &self.stage).finish()
    }
}

impl Core {
    /// A core on `driver`; `boot` runs as its first task. To be called on the thread that the core
    /// will live on.
    pub fn new<M: Send + 'static>(
        driver: Driver,
        options: &Options,
        mesh: Mesh<M>,
        boot: Boot<M>,
    ) -> Self {
        let inbox = mesh.inbox();
        let wake = inbox.wake();
        let shared = Shared {
            core: mesh.me(),
            state: RefCell::new(State::new(driver, options)),
            executor: Executor::new(wake.clone()),
        };
        let io = Io { shared: Rc::new(shared) };
        let program = Rc::new(RefCell::new(None));
        let place = program.clone();
        let booting = boot(io.clone(), mesh);
        io.spawn(Class::Read, async move {
            let made = booting.await;
            *place.borrow_mut() = Some(made);
        });
        let slice_ns = options.background_slice_us.max(1) * 1_000;
        Self {
            io,
            inbox,
            wake,
            program,
            stage: Stage::Booting,
            events: Vec::new(),
            again: true,
            slice_ns,
        }
    }

    /// One pass of the loop; never waits.
    // A function of its own in every build: instructions are counted by its name.
    #[inline(never)]
    pub fn step(&mut self) -> Step {
        let shared = self.io.shared.clone();
        {
            let mut state = shared.state.borrow_mut();
            state.reap(Wait::No);
            state.stats.steps += 1;
            state.fire_timers();
            if self.inbox.take_stop() {
                if self.stage == Stage::Booting {
                    drop(state);
                    self.abandon_boot();
                } else {
                    state.events.push(Event::Stop);
                }
            }
        }
        shared.executor.run(self.slice_ns, || shared.state.borrow().driver.now().0);
        let turned = self.turn();
        {
            let mut state = shared.state.borrow_mut();
            state.settle_connections(turned);
            state.flush_output();
        }
        self.end_when_due();
        self.verdict()
    }

    /// Takes the program's turn if anything calls for it.
    fn turn(&mut self) -> bool {
        if self.stage == Stage::Booting && self.program.borrow().is_some() {
            self.stage = Stage::Running;
            self.again = true;
        }
        if self.stage != Stage::Running {
            // From the end of the program on, nobody reads events.
            let flushing = self.stage != Stage::Booting;
            if flushing {
                self.io.shared.state.borrow_mut().events.clear();
            }
            return flushing;
        }
        {
            let mut state = self.io.shared.state.borrow_mut();
            self.events.append(&mut state.events);
            let wanted = mem::take(&mut state.want_turn);
            let called = wanted || self.again || self.inbox.take_ends();
            if self.events.is_empty() && !called && self.inbox.is_empty() {
                return false;
            }
            state.stats.turns += 1;
        }
        // Not in its place while it runs, so no borrow is held either.
        let Some(mut program) = self.program.borrow_mut().take() else {
            return false;
        };
        let said = program.turn(&mut self.events);
        *self.program.borrow_mut() = Some(program);
        self.again = said == Turn::Again || !self.events.is_empty();
        if said == Turn::Done {
            self.begin_end();
        }
        true
    }

    /// Asked to stop while the boot runs: it is dropped where it waits, as a kill would end it,
    /// only that what it has in flight is waited for. A boot may take minutes (a long log to read),
    /// or wait for a core that will never answer.
    fn abandon_boot(&mut self) {
        let program = self.program.borrow_mut().take();
        drop(program);
        self.io.shared.executor.clear();
        self.begin_end();
    }

    /// The program has ended: no new connections, output flushed, connections closed.
    fn begin_end(&mut self) {
        self.inbox.set_ended();
        let mut state = self.io.shared.state.borrow_mut();
        (0..state.net.listeners.len())
            .for_each(|l| state.close_listener(crate::ListenerId(l as u32)));
        for conn in state.net.open() {
            state.close(conn, true);
        }
        self.stage = Stage::Flushing(state.now.after_ms(END_MS));
        self.again = true;
    }

    /// Moves an ending core on: output flushed, then program and tasks dropped, then operations
    /// waited for.
    fn end_when_due(&mut self) {
        if let Stage::Flushing(until) = self.stage {
            let over = {
                let state = self.io.shared.state.borrow();
                state.now >= until || state.net.open().is_empty()
            };
            if over {
                let program = self.program.borrow_mut().take();
                drop(program);
                self.io.shared.executor.clear();
                let mut state = self.io.shared.state.borrow_mut();
                for conn in state.net.open() {
                    state.close(conn, false);
                }
                // They are no reason to wait.
                for conn in state.net.lingering() {
                    state.stop_lingering(conn);
                }
                self.stage = Stage::Draining(state.now.after_ms(END_MS));
            }
        }
        if let Stage::Draining(until) = self.stage {
            let state = self.io.shared.state.borrow();
            if state.slots.is_empty() || state.now >= until {
                drop(state);
                self.stage = Stage::Ended;
            }
        }
    }

    fn verdict(&self) -> Step {
        let state = self.io.shared.state.borrow();
        match self.stage {
            Stage::Ended => Step::Ended,
            Stage::Running if self.again || state.want_turn || !state.events.is_empty() => {
                Step::Again
            }
            Stage::Flushing(until) | Stage::Draining(until) => {
                Step::Rest(Some(state.timers.next().map_or(until, |at| at.min(until))))
            }
            _ if self.has_work() => Step::Again,
            _ => Step::Rest(state.timers.next()),
        }
    }

    /// Something for this core came from outside its driver: a message, a request to stop, a woken
    /// task.
    pub fn has_work(&self) -> bool {
        // While it boots or ends, messages wait; they would make it spin.
        let messages =
            self.stage == Stage::Running && (!self.inbox.is_empty() || self.inbox.has_ends());
        messages || self.inbox.has_stop() || self.io.shared.executor.has_ready()
    }

    /// Would a step find something? A cheap look for a spinning core.
    pub(crate) fn is_ready(&self) -> bool {
        self.io.shared.state.borrow_mut().driver.is_ready() || self.has_work()
    }

    /// Has the last step queued operations that are not submitted?
    pub(crate) fn has_queued(&self) -> bool {
        self.io.shared.state.borrow_mut().driver.has_queued()
    }

    pub(crate) fn now(&self) -> Instant {
        self.io.shared.state.borrow().driver.now()
    }

    /// Submits what is queued and waits for a completion, a wake-up or `until`. Loses no wake-up:
    /// see [`super::mesh`].
    pub(crate) fn park(&mut self, until: Option<Instant>) {
        self.wake.set_parked(true);
        if !self.has_work() {
            let mut state = self.io.shared.state.borrow_mut();
            state.stats.parks += 1;
            state.reap(until.map_or(Wait::Forever, Wait::Until));
        }
        self.wake.set_parked(false);
    }

    pub(crate) fn add_busy(&mut self, ns: u64) {
        self.io.shared.state.borrow_mut().stats.busy_ns += ns;
    }

    pub fn stats(&self) -> Stats {
        self.io.stats()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Tasks and the program hold `Io`, which holds them: the circle is cut here. Their drop may
        // still use it.
        let program = self.program.borrow_mut().take();
        drop(program);
        self.io.shared.executor.clear();
        self.inbox.set_ended();
    }
}
