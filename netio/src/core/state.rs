//! What a core owns below its program: driver, operations in flight, connections, timers, events
//! not yet delivered.
//!
//! Every borrow of it is short: none is held while a program's turn or a future's poll runs.
use super::{
    executor::Executor,
    timers::{Due, Timers},
};
use crate::{
    clock::Instant,
    core::{
        net::{ConnId, Net},
        program::{CoreId, Event},
    },
    driver::Driver,
    error::Error,
    options::Options,
    seam::{Completion, Handle, Op, Outcome, Slot, Wait, index_of},
    stats::Stats,
};
use slab::Slab;
use std::{cell::RefCell, rc::Rc, task::Waker};

/// What all [`crate::Io`] handles of a core share.
pub(crate) struct Shared {
    pub(crate) core: CoreId,
    pub(crate) state: RefCell<State>,
    pub(crate) executor: Executor,
}

/// Whom an operation in flight belongs to.
#[derive(Debug)]
pub(crate) enum Pending {
    Accept(crate::ListenerId),
    Connect(ConnId),
    Receive(ConnId),
    ReceiveInto(ConnId),
    Send(ConnId),
    /// `Io::write`, `Io::sync`; with the file's path for its error.
    Foreground {
        token: u64,
        path: Rc<str>,
    },
    /// A future waits, or will find the outcome when it is polled.
    Task {
        waker: Option<Waker>,
        outcome: Option<Outcome>,
    },
    /// Nobody waits; what comes back is released.
    Forgotten,
}

#[derive(Debug)]
pub(crate) struct InFlight {
    generation: u32,
    pub(crate) pending: Pending,
}

pub(crate) struct State {
    pub(crate) driver: Driver,
    /// Read once a turn.
    pub(crate) now: Instant,
    pub(crate) slots: Slab<InFlight>,
    generation: u32,
    pub(crate) net: Net,
    pub(crate) timers: Timers,
    pub(crate) events: Vec<Event>,
    pub(crate) want_turn: bool,
    pub(crate) stats: Stats,
    completions: Vec<Completion>,
}

impl State {
    pub(crate) fn new(driver: Driver, options: &Options) -> Self {
        Self {
            now: driver.now(),
            net: Net::new(options),
            driver,
            slots: Slab::new(),
            generation: 0,
            timers: Timers::default(),
            events: Vec::new(),
            want_turn: false,
            stats: Stats::default(),
            completions: Vec::new(),
        }
    }

    pub(crate) fn submit(&mut self, pending: Pending, op: Op) -> Slot {
        self.generation = self.generation.wrapping_add(1);
        let index = self.slots.insert(InFlight { generation: self.generation, pending });
        let slot = (u64::from(self.generation) << 32) | index as u64;
        self.driver.submit(slot, op);
        slot
    }

    pub(crate) fn in_flight(&mut self, slot: Slot) -> Option<&mut InFlight> {
        self.slots.get_mut(index_of(slot)).filter(|entry| u64::from(entry.generation) == slot >> 32)
    }

    /// Submits what is queued, collects what has ended, and turns it into events and wake-ups.
    /// Returns how many.
    pub(crate) fn reap(&mut self, wait: Wait) -> usize {
        let mut completions = std::mem::take(&mut self.completions);
        self.driver.reap(&mut completions, wait);
        self.now = self.driver.now();
        let count = completions.len();
        for completion in completions.drain(..) {
            self.apply(completion);
        }
        self.completions = completions;
        count
    }

    fn apply(&mut self, Completion { slot, outcome, more }: Completion) {
        let entry = self.in_flight(slot);
        let entry = entry.unwrap_or_else(|| {
            panic!("completion of slot {slot:#x}, which is not in flight: {outcome:?}")
        });
        match &mut entry.pending {
            Pending::Task { waker, outcome: place } => {
                *place = Some(outcome);
                if let Some(waker) = waker.take() {
                    waker.wake();
                }
                return;
            }
            &mut Pending::Accept(listener) => self.on_accepted(listener, outcome, more),
            &mut Pending::Connect(conn) => self.on_connected(conn, outcome),
            &mut Pending::Receive(conn) => self.on_received(conn, outcome, more),
            &mut Pending::ReceiveInto(conn) => self.on_received_into(conn, outcome),
            &mut Pending::Send(conn) => self.on_sent(conn, outcome),
            Pending::Foreground { token, path } => {
                let Outcome::Done(result) = outcome else {
                    panic!("a write ended with {outcome:?}")
                };
                let result = result.map_err(|e| Error { on: path.to_string(), ..e });
                let token = *token;
                self.events.push(Event::Written { token, result });
            }
            Pending::Forgotten => self.release(outcome),
        }
        if !more {
            self.slots.remove(index_of(slot));
        }
    }

    /// An outcome that nobody waits for: its descriptor is closed, its memory freed.
    pub(crate) fn release(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Opened(Ok(file)) => self.close_file(file),
            Outcome::Accepted(Ok((socket, _))) | Outcome::Connected(Ok(socket)) => {
                self.close_socket(socket)
            }
            _ => {}
        }
    }

    pub(crate) fn close_file(&mut self, file: Handle) {
        self.submit(Pending::Forgotten, Op::CloseFile { file });
    }

    pub(crate) fn close_socket(&mut self, socket: Handle) {
        self.submit(Pending::Forgotten, Op::CloseSocket { socket });
    }

    /// A future that waited for `slot` is gone.
    pub(crate) fn forget(&mut self, slot: Slot) {
        let Some(entry) = self.in_flight(slot) else {
            return;
        };
        let Pending::Task { outcome, .. } =
            std::mem::replace(&mut entry.pending, Pending::Forgotten)
        else {
            panic!("slot {slot:#x} is not a task's")
        };
        match outcome {
            Some(outcome) => {
                self.slots.remove(index_of(slot));
                self.release(outcome);
            }
            None => self.driver.cancel(slot),
        }
    }

    /// Timers that are due become events and wake-ups.
    pub(crate) fn fire_timers(&mut self) {
        while let Some(due) = self.timers.pop(self.now) {
            match due {
                Due::Program(token) => self.events.push(Event::Timer { token }),
                Due::Task(waker) => waker.wake(),
                Due::FlushOver(conn) => self.on_flush_over(conn),
                Due::LingerOver(conn) => self.stop_lingering(conn),
                Due::SweepLarge => self.sweep_large(),
                Due::Accept(listener) => self.accept(listener),
            }
        }
    }
}
