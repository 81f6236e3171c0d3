//! Sending and receiving: between the programs and the wire.
use super::{
    super::world::{CoreKey, Event, Flight, Object, World},
    EndId, Item, NetEvent, Owner, Receiving, Sending,
};
use crate::{
    buffer::Provided,
    error::{Error, Result},
    seam::{Completion, Handle, Outcome, Slot},
};
use bytes::Bytes;

impl World {
    pub(super) fn socket(&self, core: CoreKey, handle: Handle) -> Option<EndId> {
        match self.object(core, handle) {
            Some(Object::Socket(end)) => Some(*end),
            _ => None,
        }
    }
    pub(crate) fn submit_send(
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
    pub(crate) fn send_client(&mut self, end: EndId, bytes: Bytes) {
        self.trace.bytes(&bytes);
        if let Some(e) = self.net.ends.get_mut(&end) {
            e.sends.push_back(Sending { slot: None, slices: [bytes].into(), sent: 0 });
            self.pump(end);
        }
    }
    /// A core closes a socket for writing.
    pub(crate) fn finish_core(&mut self, core: CoreKey, socket: Handle) {
        if let Some(end) = self.socket(core, socket) {
            self.finish(end);
        }
    }
    /// An end is closed for writing.
    pub(crate) fn finish(&mut self, end: EndId) {
        if let Some(e) = self.net.ends.get_mut(&end) {
            e.finishing = true;
            self.pump(end);
        }
    }
    pub(super) fn push_wire(&mut self, to: EndId, item: Item) {
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
    pub(super) fn pump(&mut self, id: EndId) {
        let window = self.options.net.window_bytes;
        let piece_max = self.options.net.piece_bytes_max as u64;
        loop {
            let e = self.net.end(id);
            let (peer, owner, error, closed) = (e.peer, e.owner, e.error, e.closed);
            if owner == Owner::Client && !e.connected {
                return;
            }
            if e.sends.is_empty() {
                let finishes = std::mem::take(&mut e.finishing) && !closed && error.is_none();
                if finishes && self.net.ends.contains_key(&peer) {
                    self.push_wire(peer, Item::Fin);
                }
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
    pub(super) fn finish_send(
        &mut self,
        id: EndId,
        owner: Owner,
        s: Sending,
        result: Result<usize>,
    ) {
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
                completion: Completion { slot, outcome: Outcome::Sent(result), more: false },
            },
        );
        self.cores[core].flight.insert(slot, Flight::Event(key));
    }

    // ---- receiving ------------------------------------------------------------------------------
    pub(crate) fn submit_receive(
        &mut self,
        core: CoreKey,
        slot: Slot,
        socket: Handle,
        into: Option<(Vec<u8>, usize)>,
    ) {
        let Some(end) = self.socket(core, socket) else {
            let error = Error::new("receive", "", libc::EBADF);
            let outcome = match into {
                Some((buf, _)) => Outcome::ReceivedInto { buf, result: Err(error) },
                None => Outcome::Received(Err(error)),
            };
            return self.complete_in((100, 2_000), core, slot, outcome);
        };
        self.cores[core].flight.insert(slot, Flight::Receive(end));
        self.net.end(end).receives.push_back(Receiving { slot, into });
        self.drain(end);
    }
    /// Hands what has arrived to the end's owner, as far as it asks for it.
    pub(super) fn drain(&mut self, id: EndId) {
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
                // Like a kernel, hand over what has queued up as one, up to the buffer; a multishot
                // receive may get less.
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
    pub(super) fn hand_over(&mut self, id: EndId, core: CoreKey, got: Result<Vec<u8>>) {
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
        self.complete(core, Completion { slot, outcome, more });
    }
}
