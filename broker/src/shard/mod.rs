//! A core of the server: one value owns everything of it.
//!
//! A turn gathers a bounded batch of events ([`event`]), applies each with `&mut self` (plain code:
//! the only place where state changes), and settles: the log's write goes out, watermarks release
//! those who wait, fetches that were woken look again.
pub mod boot;
pub mod control;
pub mod coordinate;
pub mod deferred;
pub mod event;
pub mod forward;
pub mod led;
pub mod log_events;
pub mod message;
pub mod metadata;
mod respond;
pub mod scrape;
pub mod snapshot;
pub mod stop;
pub mod tick;

use crate::{
    answer::{Answers, distinct::Secret},
    api::delete_records::DeleteRecordsOp,
    config::Defaults,
    core::{plan::Progress, refusals::Refusals, request::Held, stats::Stats},
    fetch::{FetchOps, session::FetchSessions},
    limits::TURNS_MIN,
    metadata::Image,
    partition::{Partitions, traffic::Traffic},
    produce::ProduceOps,
    session::{
        Sessions,
        admission::{PerAddress, RequestMemory},
    },
    settings::Settings,
    time_lookup::Lookups,
};
use boot::Starting;
use control::ControllerHome;
use coordinate::Coordinators;
use deferred::DeferredRequests;
use forward::Forwards;
use message::Message;
use netio::{ConnId, CoreId, Instant, Io, ListenerId, Mesh, TaskSet};
use std::{
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};
use storage::Store;
use tokio::sync::watch;

/// Most messages of other cores that one turn takes.
const MESSAGES_PER_TURN: usize = 256;
/// Most rounds of releasing waiters in one turn; what is left goes to the next.
const ROUNDS_PER_TURN: usize = 4;

/// Everything of a core that serves.
#[derive(Debug)]
pub struct Shard {
    pub(crate) io: Io,
    pub(crate) mesh: Mesh<Message>,
    pub(crate) me: CoreId,
    pub(crate) settings: Rc<Settings>,
    pub(crate) defaults: Rc<Defaults>,
    pub(crate) cluster_id: Arc<str>,
    /// Time of this turn.
    pub(crate) now: Instant,
    pub(crate) listener: Option<ListenerId>,

    pub(crate) image: Image,
    /// The image holds all metadata below this offset.
    pub(crate) image_through: i64,
    pub(crate) store: Store,
    pub(crate) partitions: Partitions,
    pub(crate) traffic: Traffic,
    pub(crate) coordinators: Coordinators,
    /// On core 0.
    pub(crate) controller: Option<ControllerHome>,

    pub(crate) sessions: Sessions,
    pub(crate) hosts: PerAddress,
    pub(crate) memory: RequestMemory,
    pub(crate) memory_freed: bool,
    pub(crate) resume_later: Vec<ConnId>,
    /// Turns of connections, ever.
    pub(crate) turns: usize,
    /// Connections that have had their turn and have more to do, in order.
    pub(crate) resting: VecDeque<ConnId>,

    pub(crate) answers: Answers,
    pub(crate) produces: ProduceOps,
    pub(crate) fetches: FetchOps,
    pub(crate) fetch_sessions: FetchSessions,
    pub(crate) forwards: Forwards,
    pub(crate) deferred: DeferredRequests,
    /// Messages that found their lane full, by receiver.
    pub(crate) outbox: Vec<VecDeque<Message>>,

    pub(crate) lookups: Lookups,
    pub(crate) delete_records: Vec<DeleteRecordsOp>,
    /// Begins the hashes of what requests name.
    pub(crate) secret: Secret,
    pub(crate) scratch: record::compress::Scratch,
    /// `kafka/` in the data directory, as DescribeLogDirs shows it.
    pub(crate) log_dir: Arc<str>,

    /// On core 0: who waits for the start, and what is left of it.
    pub(crate) ready: Option<Arc<watch::Sender<Progress>>>,
    /// How this core is, for the control thread.
    pub(crate) health: Arc<watch::Sender<Progress>>,
    pub(crate) starting: Option<Starting>,
    pub(crate) stopping: bool,
    pub(crate) flushing: bool,
    pub(crate) stopped: bool,
    /// On core 0: who has flushed everything, and the marker being written.
    pub(crate) cores_stopped: BTreeMap<CoreId, storage::Left>,
    /// Cores whose end this one has taken notice of.
    pub(crate) ends_seen: usize,
    pub(crate) marking: Option<TaskSet<Result<bool, storage::Error>>>,
    pub(crate) storage_options: storage::Options,
    pub(crate) stats: Stats,
    pub(crate) refusals: Refusals,
}

impl netio::Program for Shard {
    fn turn(&mut self, events: &mut Vec<netio::Event>) -> netio::Turn {
        self.now = self.io.now();
        let turns_before = self.turns;
        for event in events.drain(..) {
            self.apply(event.into());
        }
        let mut messages = 0;
        while messages < MESSAGES_PER_TURN {
            let Some((_, message)) = self.mesh.receive() else {
                break;
            };
            self.apply(event::Event::Message(message));
            messages += 1;
        }
        self.see_ended_cores();
        self.run_resting(TURNS_MIN.max(self.turns.wrapping_sub(turns_before)));
        self.run_answers();
        let settled = self.settle();
        self.stats.end_turn(|| self.io.read_clock());
        self.continue_stop();
        if self.stopped {
            return netio::Turn::Done;
        }
        if messages == MESSAGES_PER_TURN || !settled || !self.resting.is_empty()
            // Answered at the very end of the settling.
            || !self.resume_later.is_empty()
            || self.answers.go_on()
        {
            netio::Turn::Again
        } else {
            netio::Turn::Rest
        }
    }
}

impl Shard {
    /// Submits what the turn gathered and releases those whose time has come. False when something
    /// is left.
    fn settle(&mut self) -> bool {
        for _ in 0..ROUNDS_PER_TURN {
            self.store.settle();
            let mut any = false;
            while let Some(event) = self.store.take_event() {
                self.apply(event::Event::Log(event));
                any = true;
            }
            any |= self.run_woken_fetches();
            if std::mem::take(&mut self.memory_freed) {
                self.resume_memory();
                any = true;
            }
            if self.forwards.take_freed() {
                self.resume(Held::Owner);
                any = true;
            }
            for conn in std::mem::take(&mut self.resume_later) {
                self.on_readable(conn);
                any = true;
            }
            any |= !self.settle_control();
            if !any {
                self.arm_coordinators();
                return self.empty_outbox();
            }
        }
        self.store.settle();
        self.arm_coordinators();
        self.empty_outbox();
        false
    }

    /// Sends a message to a core; when its lane is full, in a later turn. Order is kept. A core
    /// that has ended gets none.
    pub(crate) fn tell(&mut self, to: CoreId, message: Message) {
        let waiting = &mut self.outbox[usize::from(to.0)];
        if waiting.is_empty() {
            if let Err(message) = self.mesh.send(to, message)
                && !self.mesh.has_ended(to)
            {
                waiting.push_back(message);
            }
        } else {
            waiting.push_back(message);
        }
    }

    /// True when nothing waits for a lane.
    fn empty_outbox(&mut self) -> bool {
        let mut empty = true;
        for (to, waiting) in self.outbox.iter_mut().enumerate() {
            while let Some(message) = waiting.pop_front() {
                let to = CoreId(to as u16);
                if let Err(message) = self.mesh.send(to, message) {
                    if self.mesh.has_ended(to) {
                        // Nobody reads it any more, and waiting for that would keep this core from
                        // its end.
                        waiting.clear();
                        break;
                    }
                    waiting.push_front(message);
                    empty = false;
                    break;
                }
            }
        }
        empty
    }
}
