//! The world below the seam: clock, events, and per core the operations in flight and the
//! completions not yet reaped.
//!
//! Everything that will happen is an event, ordered by (time, sequence); nothing happens outside
//! one, but for what a program submits. Cores are never reused: a restarted process has new ones,
//! so nothing late can reach it.
use super::{
    disk::{Disk, Inode},
    files::{DiskEvent, Fault},
    net::{EndId, Net, NetEvent},
    options::{DiskOptions, SimOptions},
    rng::Rng,
    trace::Trace,
};
use crate::{
    clock::Instant,
    seam::{Completion, Handle, Op, Outcome, Slot, Wait},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// A host of the simulation, in order of [`crate::sim::Sim::add_node`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The host from which [`Client`](super::client::Client)s connect.
    pub(crate) const OUTSIDE: NodeId = NodeId(u16::MAX);

    /// The address of this host: 10.x.y.1.
    pub fn ip(self) -> IpAddr {
        let [high, low] = self.0.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, high, low, 1))
    }
    pub(crate) fn of_ip(ip: IpAddr, from: NodeId) -> Option<NodeId> {
        match ip {
            ip if ip.is_loopback() || ip.is_unspecified() => Some(from),
            IpAddr::V4(v4) => match v4.octets() {
                [10, high, low, 1] => Some(NodeId(u16::from_be_bytes([high, low]))),
                _ => None,
            },
            IpAddr::V6(_) => None,
        }
    }
}

/// A core of one life of a process.
pub(crate) type CoreKey = usize;
/// An event's place in the queue.
pub(crate) type EventKey = (u64, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Running,
    /// The process is dead, the host answers.
    Killed,
    Off,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) power: Power,
    pub(crate) disk: Disk,
    pub(crate) disk_options: DiskOptions,
    pub(crate) faults: Vec<Fault>,
    pub(crate) wall_offset_ms: i64,
    pub(crate) cores: Vec<CoreKey>,
}

/// What a handle names.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    File(OpenFile),
    Socket(EndId),
    Listener { port: u16 },
}

#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    pub(crate) inode: Inode,
    pub(crate) direct: bool,
    pub(crate) write: bool,
    pub(crate) path: String,
}

/// Where an operation in flight waits, so that it can be cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flight {
    Event(EventKey),
    Accept { port: u16 },
    Connect,
    Receive(EndId),
    Send(EndId),
}

#[derive(Debug)]
pub(crate) struct CoreState {
    pub(crate) node: NodeId,
    pub(crate) alive: bool,
    pub(crate) handles: BTreeMap<u32, Object>,
    pub(crate) completions: VecDeque<Completion>,
    pub(crate) flight: BTreeMap<Slot, Flight>,
    pub(crate) rng: Rng,
    pub(crate) woken: Arc<AtomicBool>,
    /// How long the last `reap` was willing to wait.
    pub(crate) wait: Wait,
    /// End of the step that it is in.
    pub(crate) busy_until: u64,
}

impl CoreState {
    /// The lowest free number, as descriptors are given out: re-use shows what confuses an old with
    /// a new one.
    pub(crate) fn add(&mut self, object: Object) -> Handle {
        let mut free = 0;
        for &used in self.handles.keys() {
            if used != free {
                break;
            }
            free += 1;
        }
        self.handles.insert(free, object);
        Handle(free)
    }
    /// When it wants to run next; `None`: not before something happens.
    pub(crate) fn wants(&self) -> Option<u64> {
        if !self.completions.is_empty() || self.woken.load(Ordering::Acquire) {
            return Some(self.busy_until);
        }
        match self.wait {
            Wait::No => Some(self.busy_until),
            Wait::Until(at) => Some(at.0.max(self.busy_until)),
            Wait::Forever => None,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Event {
    Disk(DiskEvent),
    Net(NetEvent),
    Complete { core: CoreKey, completion: Completion },
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) options: SimOptions,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    next_seq: u64,
    pub(crate) events: BTreeMap<EventKey, Event>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) cores: Vec<CoreState>,
    pub(crate) net: Net,
    pub(crate) trace: Trace,
}

impl World {
    pub(crate) fn new(options: SimOptions) -> Self {
        Self {
            rng: Rng::new(options.seed),
            now: 0,
            next_seq: 0,
            events: BTreeMap::new(),
            hosts: Vec::new(),
            cores: Vec::new(),
            net: Net::default(),
            trace: Trace::new(options.trace_lines),
            options,
        }
    }

    pub(crate) fn add_host(&mut self, disk_options: DiskOptions, wall_offset_ms: i64) -> NodeId {
        let node = NodeId(self.hosts.len() as u16);
        assert!(node != NodeId::OUTSIDE, "too many nodes");
        self.hosts.push(Host {
            power: Power::Off,
            disk: Disk::new(disk_options.capacity_bytes, disk_options.names),
            disk_options,
            faults: Vec::new(),
            wall_offset_ms,
            cores: Vec::new(),
        });
        node
    }
    pub(crate) fn host(&mut self, node: NodeId) -> &mut Host {
        &mut self.hosts[usize::from(node.0)]
    }
    /// Whether a host is there to answer.
    pub(crate) fn has_power(&self, node: NodeId) -> bool {
        node == NodeId::OUTSIDE
            || self.hosts.get(usize::from(node.0)).is_some_and(|h| h.power != Power::Off)
    }
    pub(crate) fn add_core(&mut self, node: NodeId) -> CoreKey {
        let key = self.cores.len();
        let rng = self.rng.fork();
        let host = self.host(node);
        host.cores.push(key);
        let now = self.now;
        self.cores.push(CoreState {
            node,
            alive: true,
            handles: BTreeMap::new(),
            completions: VecDeque::new(),
            flight: BTreeMap::new(),
            rng,
            woken: Arc::new(AtomicBool::new(false)),
            wait: Wait::No,
            busy_until: now,
        });
        key
    }

    // ---- events ---------------------------------------------------------------------------------
    pub(crate) fn at(&mut self, time: u64, event: Event) -> EventKey {
        let key = (time.max(self.now), self.next_seq);
        self.next_seq += 1;
        self.events.insert(key, event);
        key
    }
    pub(crate) fn next_event(&self) -> Option<u64> {
        self.events.first_key_value().map(|(k, _)| k.0)
    }
    /// Runs all events that are due.
    pub(crate) fn run_due(&mut self) {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            match entry.remove() {
                Event::Disk(e) => self.on_disk(e),
                Event::Net(e) => self.on_net(e),
                Event::Complete { core, completion } => self.complete(core, completion),
            }
        }
    }

    /// Hands a completion to its core. What comes for a dead core goes nowhere.
    pub(crate) fn complete(&mut self, core: CoreKey, completion: Completion) {
        if !self.cores[core].alive {
            return;
        }
        let (kind, result) = describe(&completion.outcome);
        let words = [
            self.now,
            core as u64,
            completion.slot,
            kind,
            result as u64,
            u64::from(completion.more),
        ];
        let now = self.now;
        self.trace.note(&words, || {
            format!(
                "{now:>12} core {core} slot {:#x} -> {:?}",
                completion.slot,
                Brief(&completion.outcome)
            )
        });
        match &completion.outcome {
            Outcome::Received(Ok(p)) => self.trace.bytes(p),
            Outcome::Read { buf, result: Ok(n) } => self.trace.bytes(&buf[..*n]),
            Outcome::ReadVec { buf, result: Ok(n) } => self.trace.bytes(&buf[..*n]),
            _ => {}
        }
        if !completion.more {
            self.cores[core].flight.remove(&completion.slot);
        }
        self.cores[core].completions.push_back(completion);
    }
    /// A completion somewhat later.
    pub(crate) fn complete_in(
        &mut self,
        ns: (u64, u64),
        core: CoreKey,
        slot: Slot,
        outcome: Outcome,
    ) {
        let at = self.now + self.rng.between(ns.0, ns.1);
        let key = self.at(
            at,
            Event::Complete { core, completion: Completion { slot, outcome, more: false } },
        );
        self.cores[core].flight.insert(slot, Flight::Event(key));
    }

    // ---- the driver -----------------------------------------------------------------------------
    pub(crate) fn submit(&mut self, core: CoreKey, slot: Slot, op: Op) {
        // What the memory of a dead process does as it is dropped reaches nobody.
        if !self.cores[core].alive {
            return;
        }
        let now = self.now;
        let kind = op_number(&op);
        self.trace.note(&[now, core as u64, slot, kind], || {
            format!("{now:>12} core {core} slot {slot:#x} {}", op_name(&op))
        });
        assert!(
            !self.cores[core].flight.contains_key(&slot),
            "slot {slot:#x} is in flight already ({op:?})"
        );
        match op {
            Op::Accept { listener } => self.submit_accept(core, slot, listener),
            Op::Connect { addr } => self.submit_connect(core, slot, addr),
            Op::Receive { socket } => self.submit_receive(core, slot, socket, None),
            Op::ReceiveInto { socket, buf, at } => {
                self.submit_receive(core, slot, socket, Some((buf, at)))
            }
            Op::Send { socket, slices } => self.submit_send(core, slot, socket, slices),
            Op::CloseSocket { socket } => self.submit_close(core, slot, socket),
            op => self.submit_disk(core, slot, op),
        }
    }
    pub(crate) fn cancel(&mut self, core: CoreKey, slot: Slot) {
        if !self.cores[core].alive {
            return;
        }
        let now = self.now;
        self.trace.note(&[now, core as u64, slot, u64::MAX], || {
            format!("{now:>12} core {core} slot {slot:#x} cancel")
        });
        let Some(&flight) = self.cores[core].flight.get(&slot) else {
            return;
        };
        match flight {
            Flight::Event(key) => self.cancel_disk(core, slot, key),
            Flight::Accept { .. } | Flight::Connect | Flight::Receive(_) | Flight::Send(_) => {
                self.cancel_net(core, slot, flight)
            }
        }
    }
    pub(crate) fn object(&self, core: CoreKey, handle: Handle) -> Option<&Object> {
        self.cores[core].handles.get(&handle.0)
    }
    pub(crate) fn wall(&self, core: CoreKey) -> i64 {
        let offset = self.hosts[usize::from(self.cores[core].node.0)].wall_offset_ms;
        self.options.wall_start_ms + offset + (self.now / 1_000_000) as i64
    }
    pub(crate) fn instant(&self) -> Instant {
        Instant(self.now)
    }

    /// The process on `node` ends (`Killed`), or its power does (`Off`): what it had in flight is
    /// decided, then forgotten.
    pub(crate) fn end_life(&mut self, node: NodeId, power: Power) {
        let host = self.host(node);
        host.power = power;
        let cores = std::mem::take(&mut host.cores);
        for &core in &cores {
            self.cores[core].alive = false;
            self.cores[core].completions.clear();
            self.cores[core].flight.clear();
        }
        self.abandon_disk(node);
        self.abandon_net(node);
        let mut rng = self.rng.fork();
        let disk = &mut self.host(node).disk;
        disk.close_all();
        if power == Power::Off {
            disk.crash(&mut rng);
        }
        let now = self.now;
        self.trace.note(&[now, u64::from(node.0), power as u64], || {
            format!("{now:>12} {node:?} {power:?}")
        });
    }
}

/// A number per kind and result for the trace, and no bytes.
fn describe(outcome: &Outcome) -> (u64, i64) {
    fn of<T>(r: &crate::Result<T>, ok: impl FnOnce(&T) -> i64) -> i64 {
        r.as_ref().map_or_else(|e| -i64::from(e.errno), ok)
    }
    match outcome {
        Outcome::Accepted(r) => (1, of(r, |(h, a)| i64::from(h.0) << 16 | i64::from(a.port()))),
        Outcome::Connected(r) => (2, of(r, |h| i64::from(h.0))),
        Outcome::Received(r) => (3, of(r, |p| p.len() as i64)),
        Outcome::ReceivedInto { result, .. } => (4, of(result, |&n| n as i64)),
        Outcome::Sent(r) => (5, of(r, |&n| n as i64)),
        Outcome::Read { result, .. } => (6, of(result, |&n| n as i64)),
        Outcome::ReadVec { result, .. } => (7, of(result, |&n| n as i64)),
        Outcome::Opened(r) => (8, of(r, |h| i64::from(h.0))),
        Outcome::Length(r) => (9, of(r, |&n| n as i64)),
        Outcome::Dir(r) => (10, of(r, |d| d.len() as i64)),
        Outcome::Space(r) => (11, of(r, |s| s.available_bytes as i64)),
        Outcome::Done(r) => (12, of(r, |()| 0)),
    }
}

struct Brief<'a>(&'a Outcome);
impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = [
            "",
            "accepted",
            "connected",
            "received",
            "received into",
            "sent",
            "read",
            "read",
            "opened",
            "length",
            "dir",
            "space",
            "done",
        ];
        let (kind, result) = describe(self.0);
        write!(f, "{} {result}", name[kind as usize])
    }
}

fn op_number(op: &Op) -> u64 {
    match op {
        Op::Accept { .. } => 1,
        Op::Connect { .. } => 2,
        Op::Receive { .. } => 3,
        Op::ReceiveInto { .. } => 4,
        Op::Send { .. } => 5,
        Op::CloseSocket { .. } => 6,
        Op::Read { .. } => 7,
        Op::ReadVec { .. } => 8,
        Op::Write { .. } => 9,
        Op::Sync { .. } => 10,
        Op::Allocate { .. } => 11,
        Op::Truncate { .. } => 12,
        Op::Length { .. } => 13,
        Op::CloseFile { .. } => 14,
        Op::OpenFile { .. } => 15,
        Op::Rename { .. } => 16,
        Op::RemoveFile { .. } => 17,
        Op::RemoveDir { .. } => 18,
        Op::CreateDir { .. } => 19,
        Op::ReadDir { .. } => 20,
        Op::SyncDir { .. } => 21,
        Op::Space { .. } => 22,
        Op::SyncAll { .. } => 23,
    }
}

/// An operation without its bytes.
fn op_name(op: &Op) -> String {
    match op {
        Op::ReceiveInto { socket, buf, at } => format!("ReceiveInto {socket:?} {}", buf.len() - at),
        Op::Send { socket, slices } => {
            format!("Send {socket:?} {}", slices.iter().map(|s| s.len()).sum::<usize>())
        }
        Op::Read { file, buf, offset } => format!("Read {file:?} {}@{offset}", buf.len()),
        Op::ReadVec { file, buf, offset } => format!("ReadVec {file:?} {}@{offset}", buf.len()),
        Op::Write { file, slices, offset, dsync } => {
            format!(
                "Write {file:?} {}@{offset} dsync={dsync}",
                slices.iter().map(|s| s.len()).sum::<usize>()
            )
        }
        op => format!("{op:?}"),
    }
}
