//! The network of the world: streams like TCP's, with delay, pieces, windows, resets, and links that can be cut.
//!
//! A connection is two ends. What one end sends travels on the other end's wire (in order, each piece with its own delay, never
//! overtaking), lands in its inbox, and leaves that when the program receives. Wire and inbox together are bounded by the
//! window: a program that does not receive stops its peer's sends. What arrives at an end that was closed is answered with a
//! reset, and closing an end whose inbox was not read resets at once, both as in Linux.
use super::world::{CoreKey, Event, Flight, NodeId, Object, Power, World};
use crate::{
    Error, Result,
    driver::{Completion, Handle, Outcome, Provided, Slot},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
};

pub(super) type EndId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
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
pub(super) struct End {
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
    receives: VecDeque<Receiving>,
    sends: VecDeque<Sending>,
    /// The time of the last completed send, so that those of one end stay in order.
    sent_at: u64,
    /// Its wire waits for a link or a host; the number tells one wait from the next.
    pub(super) stalled: Option<u64>,
    /// Client only: what has arrived.
    pub(super) arrived: Vec<u8>,
    pub(super) connected: bool,
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
            receives: VecDeque::new(),
            sends: VecDeque::new(),
            sent_at: 0,
            stalled: None,
            arrived: Vec::new(),
            connected: false,
        }
    }
    pub(super) fn ended(&self) -> Option<Option<i32>> {
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
    local_only: bool,
    accept: Option<Slot>,
    backlog: VecDeque<(EndId, SocketAddr)>,
}

#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) ends: BTreeMap<EndId, End>,
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
pub(super) enum Caller {
    Core { core: CoreKey, slot: Slot },
    Client(EndId),
}

#[derive(Debug)]
pub(super) enum NetEvent {
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
    TimedOut { end: EndId, stall: u64 },
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

    // ---- listening and connecting ------------------------------------------------------------------------------------------
    pub(super) fn listen(
        &mut self,
        core: CoreKey,
        addr: SocketAddr,
    ) -> Result<(Handle, SocketAddr)> {
        let node = self.cores[core].node;
        let fail = |errno| Err(Error::new("listen", addr.to_string(), errno));
        if NodeId::of_ip(addr.ip(), node) != Some(node) {
            return fail(libc::EADDRNOTAVAIL);
        }
        let mut port = addr.port();
        if port == 0 {
            port = self.net.port();
            while self.net.listeners.contains_key(&(node, port)) {
                port = self.net.port();
            }
        } else if self.net.listeners.contains_key(&(node, port)) {
            return fail(libc::EADDRINUSE);
        }
        let handle = self.cores[core].add(Object::Listener { port });
        let local_only = addr.ip().is_loopback();
        let listener = Listener {
            core,
            local_only,
            accept: None,
            backlog: VecDeque::new(),
        };
        self.net.listeners.insert((node, port), listener);
        let now = self.now;
        self.trace.note(&[now, core as u64, u64::from(port)], || {
            format!("{now:>12} core {core} listens on {port}")
        });
        Ok((handle, SocketAddr::new(addr.ip(), port)))
    }

    pub(super) fn submit_accept(&mut self, core: CoreKey, slot: Slot, listener: Handle) {
        let node = self.cores[core].node;
        let port = match self.object(core, listener) {
            Some(Object::Listener { port }) => *port,
            _ => {
                let error = Error::new("accept", "", libc::EBADF);
                return self.complete_in((100, 2_000), core, slot, Outcome::Accepted(Err(error)));
            }
        };
        let Some(l) = self.net.listeners.get_mut(&(node, port)) else {
            panic!("listener {port} has a handle and no entry")
        };
        assert!(l.accept.is_none(), "two accepts on port {port}");
        l.accept = Some(slot);
        self.cores[core]
            .flight
            .insert(slot, Flight::Accept { port });
        self.accept_waiting(node, port);
    }
    fn accept_waiting(&mut self, node: NodeId, port: u16) {
        loop {
            let Some(l) = self.net.listeners.get_mut(&(node, port)) else {
                return;
            };
            let (Some(slot), false, core) = (l.accept, l.backlog.is_empty(), l.core) else {
                return;
            };
            let Some((end, peer)) = l.backlog.pop_front() else {
                return;
            };
            let more = self.multishot_goes_on();
            if !more && let Some(l) = self.net.listeners.get_mut(&(node, port)) {
                l.accept = None;
            }
            let handle = self.cores[core].add(Object::Socket(end));
            self.complete(
                core,
                Completion {
                    slot,
                    outcome: Outcome::Accepted(Ok((handle, peer))),
                    more,
                },
            );
        }
    }

    pub(super) fn submit_connect(&mut self, core: CoreKey, slot: Slot, addr: SocketAddr) {
        self.cores[core].flight.insert(slot, Flight::Connect);
        let from = self.cores[core].node;
        self.later(NetEvent::Syn {
            caller: Caller::Core { core, slot },
            from,
            addr,
        });
    }
    /// A test's connection; it is `connected` or `ended` later.
    pub(super) fn connect_client(&mut self, addr: SocketAddr) -> EndId {
        let end = self.new_end(Owner::Client, NodeId::OUTSIDE, 0);
        self.later(NetEvent::Syn {
            caller: Caller::Client(end),
            from: NodeId::OUTSIDE,
            addr,
        });
        end
    }
    fn new_end(&mut self, owner: Owner, node: NodeId, peer: EndId) -> EndId {
        self.net.next_end += 1;
        let id = self.net.next_end;
        self.net.ends.insert(id, End::new(owner, node, peer));
        id
    }
    fn on_syn(&mut self, caller: Caller, from: NodeId, addr: SocketAddr) {
        if let Caller::Client(end) = caller
            && !self.net.ends.contains_key(&end)
        {
            // It gave up before it stood.
            return;
        }
        let to = NodeId::of_ip(addr.ip(), from);
        let there = to.filter(|&to| {
            self.has_power(to)
                && !self.net.cut.contains(&(from, to))
                && !self.net.cut.contains(&(to, from))
        });
        let Some(to) = there else {
            let at = self.now + self.options.net.timeout_ns;
            self.at(
                at,
                Event::Net(NetEvent::Refused {
                    caller,
                    addr,
                    errno: libc::ETIMEDOUT,
                }),
            );
            return;
        };
        let room = self.options.net.backlog;
        let open = self
            .net
            .listeners
            .get(&(to, addr.port()))
            .filter(|l| (!l.local_only || from == to) && l.backlog.len() < room);
        let Some(listening) = open.map(|l| l.core) else {
            return self.later(NetEvent::Refused {
                caller,
                addr,
                errno: libc::ECONNREFUSED,
            });
        };
        let theirs = self.new_end(Owner::Core(listening), to, 0);
        let ours = match caller {
            Caller::Core { core, .. } => self.new_end(Owner::Core(core), from, theirs),
            Caller::Client(end) => end,
        };
        self.net.end(theirs).peer = ours;
        self.net.end(ours).peer = theirs;
        let ip = if addr.ip().is_loopback() {
            addr.ip()
        } else {
            from.ip()
        };
        let peer = SocketAddr::new(ip, self.net.port());
        if let Some(l) = self.net.listeners.get_mut(&(to, addr.port())) {
            l.backlog.push_back((theirs, peer));
        }
        self.accept_waiting(to, addr.port());
        match caller {
            Caller::Core { core, slot } => self.later(NetEvent::SynAck {
                core,
                slot,
                end: ours,
            }),
            Caller::Client(end) => {
                self.net.end(end).connected = true;
                self.pump(end);
            }
        }
    }
    fn on_syn_ack(&mut self, core: CoreKey, slot: Slot, end: EndId) {
        if !matches!(self.cores[core].flight.get(&slot), Some(Flight::Connect))
            || !self.cores[core].alive
        {
            // Cancelled or dead meanwhile.
            return self.drop_end(end, true);
        }
        let handle = self.cores[core].add(Object::Socket(end));
        self.complete(
            core,
            Completion {
                slot,
                outcome: Outcome::Connected(Ok(handle)),
                more: false,
            },
        );
    }
    fn on_refused(&mut self, caller: Caller, addr: SocketAddr, errno: i32) {
        match caller {
            Caller::Core { core, slot } => {
                if matches!(self.cores[core].flight.get(&slot), Some(Flight::Connect)) {
                    let error = Error::new("connect", addr.to_string(), errno);
                    self.complete(
                        core,
                        Completion {
                            slot,
                            outcome: Outcome::Connected(Err(error)),
                            more: false,
                        },
                    );
                }
            }
            Caller::Client(end) => {
                if let Some(e) = self.net.ends.get_mut(&end) {
                    e.error = Some(errno);
                }
            }
        }
    }

    // ---- sending -----------------------------------------------------------------------------------------------------------
    fn socket(&self, core: CoreKey, handle: Handle) -> Option<EndId> {
        match self.object(core, handle) {
            Some(Object::Socket(end)) => Some(*end),
            _ => None,
        }
    }
    pub(super) fn submit_send(
        &mut self,
        core: CoreKey,
        slot: Slot,
        socket: Handle,
        slices: Vec<Bytes>,
    ) {
        for s in &slices {
            self.trace.bytes(s);
        }
        let Some(end) = self.socket(core, socket) else {
            let error = Error::new("send", "", libc::EBADF);
            return self.complete_in((100, 2_000), core, slot, Outcome::Sent(Err(error)));
        };
        self.cores[core].flight.insert(slot, Flight::Send(end));
        self.net.end(end).sends.push_back(Sending {
            slot: Some(slot),
            slices: slices.into(),
            sent: 0,
        });
        self.pump(end);
    }
    pub(super) fn send_client(&mut self, end: EndId, bytes: Bytes) {
        self.trace.bytes(&bytes);
        if let Some(e) = self.net.ends.get_mut(&end) {
            e.sends.push_back(Sending {
                slot: None,
                slices: [bytes].into(),
                sent: 0,
            });
            self.pump(end);
        }
    }
    fn push_wire(&mut self, to: EndId, item: Item) {
        let o = &self.options.net;
        let (low, high, slow, slow_ns) = (o.delay_ns.0, o.delay_ns.1, o.slow, o.slow_ns);
        let mut at = self.now + self.rng.between(low, high);
        if self.rng.chance(slow) {
            at += slow_ns;
        }
        let e = self.net.end(to);
        at = at.max(e.wire.back().map_or(0, |w| w.0));
        if let Item::Data(b) = &item {
            e.held += b.len();
        }
        e.wire.push_back((at, item));
        if e.stalled.is_none() {
            self.at(at, Event::Net(NetEvent::Deliver(to)));
        }
    }
    /// Moves what fits from an end's sends onto its peer's wire.
    fn pump(&mut self, id: EndId) {
        let window = self.options.net.window_bytes;
        let piece_max = self.options.net.piece_bytes_max as u64;
        loop {
            let e = self.net.end(id);
            let (peer, owner, error, closed) = (e.peer, e.owner, e.error, e.closed);
            if e.sends.is_empty() || (owner == Owner::Client && !e.connected) {
                return;
            }
            if error.is_some() || closed {
                let errno = error.unwrap_or(libc::EPIPE);
                for s in std::mem::take(&mut self.net.end(id).sends) {
                    self.finish_send(id, owner, s, Err(Error::new("send", "", errno)));
                }
                return;
            }
            let Some(p) = self.net.ends.get(&peer) else {
                // The peer's end is gone without a trace: the answer is a reset.
                self.net.end(id).sends.clear();
                return self.arrive_reset(id, libc::ECONNRESET);
            };
            let room = window.saturating_sub(p.held);
            let piece = self.rng.between(1, piece_max.max(1)) as usize;
            let Some(s) = self.net.end(id).sends.front_mut() else {
                return;
            };
            while s.slices.front().is_some_and(Bytes::is_empty) {
                s.slices.pop_front();
            }
            let Some(slice) = s.slices.front_mut() else {
                let Some(s) = self.net.end(id).sends.pop_front() else {
                    return;
                };
                let sent = s.sent;
                self.finish_send(id, owner, s, Ok(sent));
                continue;
            };
            let n = piece.min(room).min(slice.len());
            if n == 0 {
                return;
            }
            let data = slice.split_to(n);
            s.sent += n;
            self.push_wire(peer, Item::Data(data));
        }
    }
    fn finish_send(&mut self, id: EndId, owner: Owner, s: Sending, result: Result<usize>) {
        let (Owner::Core(core), Some(slot)) = (owner, s.slot) else {
            return;
        };
        if !self.cores[core].alive {
            return;
        }
        let at = self.now + self.rng.between(0, 20_000);
        let e = self.net.end(id);
        e.sent_at = e.sent_at.max(at);
        let at = e.sent_at;
        let key = self.at(
            at,
            Event::Complete {
                core,
                completion: Completion {
                    slot,
                    outcome: Outcome::Sent(result),
                    more: false,
                },
            },
        );
        self.cores[core].flight.insert(slot, Flight::Event(key));
    }

    // ---- receiving ---------------------------------------------------------------------------------------------------------
    pub(super) fn submit_receive(
        &mut self,
        core: CoreKey,
        slot: Slot,
        socket: Handle,
        into: Option<(Vec<u8>, usize)>,
    ) {
        let Some(end) = self.socket(core, socket) else {
            let error = Error::new("receive", "", libc::EBADF);
            let outcome = match into {
                Some((buf, _)) => Outcome::ReceivedInto {
                    buf,
                    result: Err(error),
                },
                None => Outcome::Received(Err(error)),
            };
            return self.complete_in((100, 2_000), core, slot, outcome);
        };
        self.cores[core].flight.insert(slot, Flight::Receive(end));
        self.net
            .end(end)
            .receives
            .push_back(Receiving { slot, into });
        self.drain(end);
    }
    /// Hands what has arrived to the end's owner, as far as it asks for it.
    fn drain(&mut self, id: EndId) {
        let mut freed = false;
        loop {
            let provided = self.options.net.provided_bytes as u64;
            let e = self.net.end(id);
            let core = match e.owner {
                Owner::Core(core) => core,
                Owner::Client => {
                    for b in e.inbox.drain(..) {
                        e.held -= b.len();
                        e.arrived.extend_from_slice(&b);
                        freed = true;
                    }
                    break;
                }
            };
            if e.receives.is_empty() || e.closed {
                break;
            }
            if let Some(mut data) = e.inbox.pop_front() {
                // Like a kernel, hand over what has queued up as one, up to the buffer; a multishot receive may get less.
                let limit = match &e.receives[0].into {
                    Some((buf, at)) => buf.len() - at,
                    None => {
                        let whole = self.rng.chance(0.7);
                        if whole {
                            provided as usize
                        } else {
                            self.rng.between(1, provided) as usize
                        }
                    }
                };
                let e = self.net.end(id);
                let mut take: Vec<u8> = Vec::with_capacity(limit.min(e.held));
                loop {
                    let n = data.len().min(limit - take.len());
                    take.extend_from_slice(&data.split_to(n));
                    if !data.is_empty() {
                        e.inbox.push_front(data);
                        break;
                    }
                    match e.inbox.pop_front() {
                        Some(next) if take.len() < limit => data = next,
                        Some(next) => {
                            e.inbox.push_front(next);
                            break;
                        }
                        None => break,
                    }
                }
                e.held -= take.len();
                freed = true;
                self.hand_over(id, core, Ok(take));
            } else if let Some(errno) = e.error {
                self.hand_over(id, core, Err(Error::new("receive", "", errno)));
            } else if e.fin {
                self.hand_over(id, core, Ok(Vec::new()));
            } else {
                break;
            }
        }
        if freed {
            let peer = self.net.end(id).peer;
            if self.net.ends.contains_key(&peer) {
                self.pump(peer);
            }
        }
    }
    fn hand_over(&mut self, id: EndId, core: CoreKey, got: Result<Vec<u8>>) {
        let ended = got.as_ref().map_or(true, Vec::is_empty);
        let more = self.multishot_goes_on() && !ended;
        let e = self.net.end(id);
        let into = e.receives[0].into.take();
        let slot = e.receives[0].slot;
        if into.is_some() || !more {
            e.receives.pop_front();
        }
        let (outcome, more) = match into {
            Some((mut buf, at)) => {
                let result = got.map(|bytes| {
                    buf[at..at + bytes.len()].copy_from_slice(&bytes);
                    bytes.len()
                });
                (Outcome::ReceivedInto { buf, result }, false)
            }
            None => (Outcome::Received(got.map(Provided::from_vec)), more),
        };
        self.complete(
            core,
            Completion {
                slot,
                outcome,
                more,
            },
        );
    }

    // ---- the wire ----------------------------------------------------------------------------------------------------------
    pub(super) fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Deliver(end) => self.deliver(end),
            NetEvent::Syn { caller, from, addr } => self.on_syn(caller, from, addr),
            NetEvent::SynAck { core, slot, end } => self.on_syn_ack(core, slot, end),
            NetEvent::Refused {
                caller,
                addr,
                errno,
            } => self.on_refused(caller, addr, errno),
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

    // ---- ends --------------------------------------------------------------------------------------------------------------
    pub(super) fn submit_close(&mut self, core: CoreKey, slot: Slot, socket: Handle) {
        let node = self.cores[core].node;
        let result = match self.cores[core].handles.remove(&socket.0) {
            Some(Object::Socket(end)) => {
                self.drop_end(end, false);
                Ok(())
            }
            Some(Object::Listener { port }) => {
                self.close_listener(node, port);
                Ok(())
            }
            Some(object @ Object::File(_)) => {
                self.cores[core].handles.insert(socket.0, object);
                Err(Error::new("close", "", libc::ENOTSOCK))
            }
            None => Err(Error::new("close", "", libc::EBADF)),
        };
        self.complete_in((200, 5_000), core, slot, Outcome::Done(result));
    }
    fn close_listener(&mut self, node: NodeId, port: u16) {
        let Some(l) = self.net.listeners.remove(&(node, port)) else {
            return;
        };
        if let Some(slot) = l.accept
            && self.cores[l.core].alive
        {
            let error = Error::new("accept", "", libc::ECANCELED);
            self.complete(
                l.core,
                Completion {
                    slot,
                    outcome: Outcome::Accepted(Err(error)),
                    more: false,
                },
            );
        }
        for (end, _) in l.backlog {
            self.drop_end(end, true);
        }
    }
    /// The owner gives up an end: in order (FIN after what was sent), or by a reset when bytes were left unread or `hard`.
    pub(super) fn drop_end(&mut self, id: EndId, hard: bool) {
        let Some(e) = self.net.ends.get_mut(&id) else {
            return;
        };
        if e.closed {
            return;
        }
        e.closed = true;
        let unread = !e.inbox.is_empty();
        let (owner, peer, broken) = (e.owner, e.peer, e.error.is_some());
        e.held -= e.inbox.iter().map(Bytes::len).sum::<usize>();
        e.inbox.clear();
        let receives = std::mem::take(&mut e.receives);
        let sends = std::mem::take(&mut e.sends);
        if let Owner::Core(core) = owner {
            for r in receives {
                self.cancelled_receive(core, r);
            }
            for s in sends {
                self.finish_send(id, owner, s, Err(Error::new("send", "", libc::ECANCELED)));
            }
        }
        if broken {
        } else if hard || unread {
            self.reset_peer(id);
        } else if self.net.ends.contains_key(&peer) {
            self.push_wire(peer, Item::Fin);
        }
        self.forget(id);
    }
    fn cancelled_receive(&mut self, core: CoreKey, r: Receiving) {
        let error = Error::new("receive", "", libc::ECANCELED);
        let outcome = match r.into {
            Some((buf, _)) => Outcome::ReceivedInto {
                buf,
                result: Err(error),
            },
            None => Outcome::Received(Err(error)),
        };
        self.complete(
            core,
            Completion {
                slot: r.slot,
                outcome,
                more: false,
            },
        );
    }
    pub(super) fn cancel_net(&mut self, core: CoreKey, slot: Slot, flight: Flight) {
        match flight {
            Flight::Event(_) => {}
            Flight::Connect => {
                let error = Error::new("connect", "", libc::ECANCELED);
                self.complete_in((100, 5_000), core, slot, Outcome::Connected(Err(error)));
            }
            Flight::Accept { port } => {
                let node = self.cores[core].node;
                if let Some(l) = self.net.listeners.get_mut(&(node, port)) {
                    l.accept = None;
                }
                let error = Error::new("accept", "", libc::ECANCELED);
                self.complete_in((100, 5_000), core, slot, Outcome::Accepted(Err(error)));
            }
            Flight::Receive(end) => {
                let Some(e) = self.net.ends.get_mut(&end) else {
                    return;
                };
                let at = e.receives.iter().position(|r| r.slot == slot);
                if let Some(r) = at.and_then(|at| e.receives.remove(at)) {
                    self.cancelled_receive(core, r);
                }
            }
            Flight::Send(end) => {
                let Some(e) = self.net.ends.get_mut(&end) else {
                    return;
                };
                let at = e.sends.iter().position(|s| s.slot == Some(slot));
                if let Some(s) = at.and_then(|at| e.sends.remove(at)) {
                    // What was sent was sent.
                    let result = if s.sent > 0 {
                        Ok(s.sent)
                    } else {
                        Err(Error::new("send", "", libc::ECANCELED))
                    };
                    self.finish_send(end, Owner::Core(core), s, result);
                }
            }
        }
    }

    /// All sockets of a host whose process died or whose power is gone.
    pub(super) fn abandon_net(&mut self, node: NodeId) {
        let ports: Vec<u16> = self
            .net
            .listeners
            .keys()
            .filter(|k| k.0 == node)
            .map(|k| k.1)
            .collect();
        for port in ports {
            self.close_listener(node, port);
        }
        let mine: Vec<EndId> = self
            .net
            .ends
            .iter()
            .filter(|(_, e)| e.node == node && !e.closed)
            .map(|(&i, _)| i)
            .collect();
        let silent = self.host(node).power == Power::Off && !self.options.net.reset_on_power_cut;
        for id in mine {
            if silent {
                let e = self.net.end(id);
                e.closed = true;
                e.sends.clear();
                e.receives.clear();
            } else {
                self.drop_end(id, true);
            }
        }
    }

    // ---- links -------------------------------------------------------------------------------------------------------------
    pub(super) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.net.cut.insert((from, to));
    }
    pub(super) fn heal(&mut self, from: NodeId, to: NodeId) {
        self.net.cut.remove(&(from, to));
        self.resume_wires();
    }
    /// Lets stalled wires try again; what is still cut stalls again.
    pub(super) fn resume_wires(&mut self) {
        let stalled: Vec<EndId> = self
            .net
            .ends
            .iter()
            .filter(|(_, e)| e.stalled.is_some())
            .map(|(&i, _)| i)
            .collect();
        for id in stalled {
            let (to, peer) = (self.net.end(id).node, self.net.end(id).peer);
            let from = self.net.ends.get(&peer).map(|p| p.node);
            if from.is_some_and(|from| self.net.cut.contains(&(from, to))) || !self.has_power(to) {
                continue;
            }
            // All that waited is due no earlier than now.
            let at = self.now
                + self
                    .rng
                    .between(self.options.net.delay_ns.0, self.options.net.delay_ns.1);
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
