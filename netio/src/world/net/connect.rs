//! Listeners, and how connections come to stand: a request, its answer, a backlog.
use super::{
    super::world::{CoreKey, Event, Flight, NodeId, Object, World},
    Caller, End, EndId, Listener, NetEvent, Owner,
};
use crate::{
    error::{Error, Result},
    seam::{Completion, Handle, Outcome, Sharing, Slot},
};
use std::{collections::VecDeque, net::SocketAddr};

impl World {
    pub(crate) fn listen(
        &mut self,
        core: CoreKey,
        addr: SocketAddr,
        sharing: Sharing,
    ) -> Result<(Handle, SocketAddr)> {
        let node = self.cores[core].node;
        let fail = |errno| Err(Error::new("listen", addr.to_string(), errno));
        if NodeId::of_ip(addr.ip(), node) != Some(node) {
            return fail(libc::EADDRNOTAVAIL);
        }
        // One that shares a port is kept under a number of its own that nobody knows.
        let shares = (sharing == Sharing::Also).then_some(addr.port());
        let mut port = if shares.is_some() { 0 } else { addr.port() };
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
        let listener =
            Listener { core, shares, local_only, accept: None, backlog: VecDeque::new() };
        self.net.listeners.insert((node, port), listener);
        let now = self.now;
        self.trace.note(&[now, core as u64, u64::from(port)], || {
            format!("{now:>12} core {core} listens on {port}")
        });
        Ok((handle, SocketAddr::new(addr.ip(), shares.unwrap_or(port))))
    }
    /// The listener that gets a connection to `port`: one of those that share it, as the seed says.
    fn chosen_listener(&mut self, node: NodeId, port: u16) -> u16 {
        let all = self.net.listeners.range((node, 0)..=(node, u16::MAX));
        let sharing: Vec<u16> = all
            .filter(|((_, own), l)| *own == port && l.shares.is_none() || l.shares == Some(port))
            .map(|((_, own), _)| *own)
            .collect();
        match sharing.as_slice() {
            [] => port,
            [one] => *one,
            many => many[self.rng.below(many.len() as u64) as usize],
        }
    }

    pub(crate) fn submit_accept(&mut self, core: CoreKey, slot: Slot, listener: Handle) {
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
        self.cores[core].flight.insert(slot, Flight::Accept { port });
        self.accept_waiting(node, port);
    }
    pub(super) fn accept_waiting(&mut self, node: NodeId, port: u16) {
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
                Completion { slot, outcome: Outcome::Accepted(Ok((handle, peer))), more },
            );
        }
    }

    pub(crate) fn submit_connect(&mut self, core: CoreKey, slot: Slot, addr: SocketAddr) {
        self.cores[core].flight.insert(slot, Flight::Connect);
        let from = self.cores[core].node;
        self.later(NetEvent::Syn { caller: Caller::Core { core, slot }, from, addr });
    }
    /// A test's connection; it is `connected` or `ended` later.
    pub(crate) fn connect_client(&mut self, addr: SocketAddr) -> EndId {
        let end = self.new_end(Owner::Client, NodeId::OUTSIDE, 0);
        self.later(NetEvent::Syn { caller: Caller::Client(end), from: NodeId::OUTSIDE, addr });
        end
    }
    pub(super) fn new_end(&mut self, owner: Owner, node: NodeId, peer: EndId) -> EndId {
        self.net.next_end += 1;
        let id = self.net.next_end;
        self.net.ends.insert(id, End::new(owner, node, peer));
        id
    }
    pub(super) fn on_syn(&mut self, caller: Caller, from: NodeId, addr: SocketAddr) {
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
            self.at(at, Event::Net(NetEvent::Refused { caller, addr, errno: libc::ETIMEDOUT }));
            return;
        };
        let room = self.options.net.backlog;
        let port = self.chosen_listener(to, addr.port());
        let open = self
            .net
            .listeners
            .get(&(to, port))
            .filter(|l| (!l.local_only || from == to) && l.backlog.len() < room);
        let Some(listening) = open.map(|l| l.core) else {
            return self.later(NetEvent::Refused { caller, addr, errno: libc::ECONNREFUSED });
        };
        let theirs = self.new_end(Owner::Core(listening), to, 0);
        let ours = match caller {
            Caller::Core { core, .. } => self.new_end(Owner::Core(core), from, theirs),
            Caller::Client(end) => end,
        };
        self.net.end(theirs).peer = ours;
        self.net.end(ours).peer = theirs;
        let ip = if addr.ip().is_loopback() { addr.ip() } else { from.ip() };
        let peer = SocketAddr::new(ip, self.net.port());
        if let Some(l) = self.net.listeners.get_mut(&(to, port)) {
            l.backlog.push_back((theirs, peer));
        }
        self.accept_waiting(to, port);
        match caller {
            Caller::Core { core, slot } => self.later(NetEvent::SynAck { core, slot, end: ours }),
            Caller::Client(end) => {
                self.net.end(end).connected = true;
                self.pump(end);
            }
        }
    }
    pub(super) fn on_syn_ack(&mut self, core: CoreKey, slot: Slot, end: EndId) {
        if !matches!(self.cores[core].flight.get(&slot), Some(Flight::Connect))
            || !self.cores[core].alive
        {
            // Cancelled or dead meanwhile.
            return self.drop_end(end, true);
        }
        let handle = self.cores[core].add(Object::Socket(end));
        self.complete(
            core,
            Completion { slot, outcome: Outcome::Connected(Ok(handle)), more: false },
        );
    }
    pub(super) fn on_refused(&mut self, caller: Caller, addr: SocketAddr, errno: i32) {
        match caller {
            Caller::Core { core, slot } => {
                if matches!(self.cores[core].flight.get(&slot), Some(Flight::Connect)) {
                    let error = Error::new("connect", addr.to_string(), errno);
                    self.complete(
                        core,
                        Completion { slot, outcome: Outcome::Connected(Err(error)), more: false },
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
}
