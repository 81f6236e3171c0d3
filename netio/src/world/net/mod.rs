//! The network of the world: streams like TCP's, with delay, pieces, windows, resets, and links
//! that can be cut.
//!
//! A connection is two ends. What one end sends travels on the other end's wire (in order, each
//! piece with its own delay, never overtaking), lands in its inbox, and leaves that when the
//! program receives. Wire and inbox together are bounded by the window: a program that does not
//! receive stops its peer's sends. What arrives at an end that was closed is answered with a reset,
//! and closing an end whose inbox was not read resets at once, both as in Linux.
//!
//! * `connect` listeners, backlogs, and how connections come to stand.
//! * `stream`  between programs and the wire: sends and receives.
//! * `close`   how ends are given up.
//!
//! Here: the wire itself, resets, time-outs, and links that are cut.
mod close;
mod connect;
mod stream;

use super::world::{CoreKey, Event, NodeId, World};
use crate::seam::Slot;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

pub(crate) type EndId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Core(CoreKey),
    /// A test outside of all nodes; its bytes are taken at once.
    Client,
}

#[derive(Debug)]
enum Item {
    Data(Bytes),
    Fin,
    Reset,
}

#[derive(Debug)]
struct Receiving {
    slot: Slot,
    /// One shot into this memory from here; otherwise multishot.
    into: Option<(Vec<u8>, usize)>,
}

#[derive(Debug)]
struct Sending {
    /// `None`: a client's, nobody waits for it.
    slot: Option<Slot>,
    slices: VecDeque<Bytes>,
    sent: usize,
}

#[derive(Debug)]
pub(crate) struct End {
    owner: Owner,
    node: NodeId,
    peer: EndId,
    /// What travels towards this end: arrival time and item.
    wire: VecDeque<(u64, Item)>,
    inbox: VecDeque<Bytes>,
    /// Data bytes on the wire and in the inbox.
    held: usize,
    fin: bool,
    /// It was reset or timed out.
    error: Option<i32>,
    /// Its owner closed it, or died.
    closed: bool,
    /// Its owner sends no more: a FIN follows what it has sent.
    finishing: bool,
    receives: VecDeque<Receiving>,
    sends: VecDeque<Sending>,
    /// The time of the last completed send, so that those of one end stay in order.
    sent_at: u64,
    /// Its wire waits for a link or a host; the number tells one wait from the next.
    pub(crate) stalled: Option<u64>,
    /// Client only: what has arrived.
    pub(crate) arrived: Vec<u8>,
    pub(crate) connected: bool,
}

impl End {
    fn new(owner: Owner, node: NodeId, peer: EndId) -> Self {
        Self {
            owner,
            node,
            peer,
            wire: VecDeque::new(),
            inbox: VecDeque::new(),
            held: 0,
            fin: false,
            error: None,
            closed: false,
            finishing: false,
            receives: VecDeque::new(),
            sends: VecDeque::new(),
            sent_at: 0,
            stalled: None,
            arrived: Vec::new(),
            connected: false,
        }
    }
    pub(crate) fn ended(&self) -> Option<Option<i32>> {
        match self.error {
            Some(errno) => Some(Some(errno)),
            None if self.fin || self.closed => Some(None),
            None => None,
        }
    }
}

#[derive(Debug)]
struct Listener {
    core: CoreKey,
    /// The port that it shares with the first core's listener; its own is hidden.
    shares: Option<u16>,
    local_only: bool,
    accept: Option<Slot>,
    backlog: VecDeque<(EndId, SocketAddr)>,
}

#[derive(Debug, Default)]
pub(crate) struct Net {
    pub(crate) ends: BTreeMap<EndId, End>,
    next_end: EndId,
    listeners: BTreeMap<(NodeId, u16), Listener>,
    /// Links that carry nothing, from, to.
    cut: BTreeSet<(NodeId, NodeId)>,
    next_port: u16,
    next_stall: u64,
}

impl Net {
    fn port(&mut self) -> u16 {
        self.next_port = self.next_port.wrapping_add(1).max(32_768);
        self.next_port
    }
    fn end(&mut self, id: EndId) -> &mut End {
        match self.ends.get_mut(&id) {
            Some(e) => e,
            None => panic!("no end {id}"),
        }
    }
}

/// Who connects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller {
    Core { core: CoreKey, slot: Slot },
    Client(EndId),
}

#[derive(Debug)]
pub(crate) enum NetEvent {
    /// Something on this end's wire is due.
    Deliver(EndId),
    /// A connection request arrives.
    Syn {
        caller: Caller,
        from: NodeId,
        addr: SocketAddr,
    },
    /// And its answer.
    SynAck {
        core: CoreKey,
        slot: Slot,
        end: EndId,
    },
    Refused {
        caller: Caller,
        addr: SocketAddr,
        errno: i32,
    },
    /// This end's wire has waited too long.
    TimedOut {
        end: EndId,
        stall: u64,
    },
}

impl World {
    fn later(&mut self, event: NetEvent) {
        let o = &self.options.net;
        let (low, high, slow, slow_ns) = (o.delay_ns.0, o.delay_ns.1, o.slow, o.slow_ns);
        let mut at = self.now + self.rng.between(low, high);
        if self.rng.chance(slow) {
            at += slow_ns;
        }
        self.at(at, Event::Net(event));
    }
    fn multishot_goes_on(&mut self) -> bool {
        let p = self.options.multishot_ends;
        !self.rng.chance(p)
    }

    // ---- the wire -------------------------------------------------------------------------------
    pub(crate) fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Deliver(end) => self.deliver(end),
            NetEvent::Syn { caller, from, addr } => self.on_syn(caller, from, addr),
            NetEvent::SynAck { core, slot, end } => self.on_syn_ack(core, slot, end),
            NetEvent::Refused { caller, addr, errno } => self.on_refused(caller, addr, errno),
            NetEvent::TimedOut { end, stall } => self.on_timed_out(end, stall),
        }
    }
    fn deliver(&mut self, id: EndId) {
        let Some(e) = self.net.ends.get(&id) else {
            return;
        };
        if e.stalled.is_some() || e.wire.is_empty() {
            return;
        }
        let (node, peer) = (e.node, e.peer);
        let from = self.net.ends.get(&peer).map(|p| p.node);
        if from.is_some_and(|from| self.net.cut.contains(&(from, node))) || !self.has_power(node) {
            self.net.next_stall += 1;
            let stall = self.net.next_stall;
            self.net.end(id).stalled = Some(stall);
            let at = self.now + self.options.net.timeout_ns;
            self.at(at, Event::Net(NetEvent::TimedOut { end: id, stall }));
            return;
        }
        let now = self.now;
        loop {
            let e = self.net.end(id);
            match e.wire.front() {
                Some((at, _)) if *at <= now => {}
                _ => break,
            }
            match e.wire.pop_front() {
                Some((_, Item::Data(bytes))) if e.closed || e.error.is_some() => {
                    // Nobody is there for it: a reset goes back.
                    e.held -= bytes.len();
                    self.reset_peer(id);
                }
                Some((_, Item::Data(bytes))) => e.inbox.push_back(bytes),
                Some((_, Item::Fin)) => e.fin = true,
                Some((_, Item::Reset)) => self.arrive_reset(id, libc::ECONNRESET),
                None => break,
            }
        }
        self.drain(id);
        self.forget(id);
    }
    fn arrive_reset(&mut self, id: EndId, errno: i32) {
        let e = self.net.end(id);
        if e.error.is_none() {
            e.error = Some(errno);
        }
        // Sends that wait for room end; what is in the inbox can still be read.
        self.pump(id);
        self.drain(id);
    }
    /// Sends a reset to the peer of `id`: what is on its wire may be overtaken.
    fn reset_peer(&mut self, id: EndId) {
        let peer = self.net.end(id).peer;
        let lost = self.rng.below(4);
        let Some(p) = self.net.ends.get_mut(&peer) else {
            return;
        };
        if p.error.is_some() || p.wire.iter().any(|w| matches!(w.1, Item::Reset)) {
            return;
        }
        for _ in 0..lost {
            match p.wire.pop_back() {
                Some((_, Item::Data(bytes))) => p.held -= bytes.len(),
                Some(_) => {}
                None => break,
            }
        }
        self.push_wire(peer, Item::Reset);
    }
    fn on_timed_out(&mut self, id: EndId, stall: u64) {
        let Some(e) = self.net.ends.get_mut(&id) else {
            return;
        };
        if e.stalled != Some(stall) {
            return;
        }
        // The sender gives up. The receiver does not learn of it, until it sends something itself.
        e.stalled = None;
        e.wire.clear();
        e.held = e.inbox.iter().map(Bytes::len).sum();
        let peer = e.peer;
        if self.net.ends.contains_key(&peer) {
            self.arrive_reset(peer, libc::ETIMEDOUT);
        }
        self.forget(id);
    }
    /// Both ends are closed and nothing travels: the connection is forgotten.
    fn forget(&mut self, id: EndId) {
        let Some(e) = self.net.ends.get(&id) else {
            return;
        };
        let peer = e.peer;
        let quiet = |e: &End| e.closed && e.wire.is_empty();
        if quiet(e) && self.net.ends.get(&peer).is_none_or(quiet) {
            self.net.ends.remove(&id);
            self.net.ends.remove(&peer);
        }
    }

    // ---- links ----------------------------------------------------------------------------------
    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.net.cut.insert((from, to));
    }
    pub(crate) fn heal(&mut self, from: NodeId, to: NodeId) {
        self.net.cut.remove(&(from, to));
        self.resume_wires();
    }
    /// Lets stalled wires try again; what is still cut stalls again.
    pub(crate) fn resume_wires(&mut self) {
        let stalled: Vec<EndId> =
            self.net.ends.iter().filter(|(_, e)| e.stalled.is_some()).map(|(&i, _)| i).collect();
        for id in stalled {
            let (to, peer) = (self.net.end(id).node, self.net.end(id).peer);
            let from = self.net.ends.get(&peer).map(|p| p.node);
            if from.is_some_and(|from| self.net.cut.contains(&(from, to))) || !self.has_power(to) {
                continue;
            }
            // All that waited is due no earlier than now.
            let at = self.now
                + self.rng.between(self.options.net.delay_ns.0, self.options.net.delay_ns.1);
            let e = self.net.end(id);
            e.stalled = None;
            for w in &mut e.wire {
                w.0 = w.0.max(at);
            }
            let last = self.net.end(id).wire.back().map_or(at, |w| w.0);
            self.at(at, Event::Net(NetEvent::Deliver(id)));
            self.at(last, Event::Net(NetEvent::Deliver(id)));
        }
    }
}
