//! How ends are given up: in order, hard, by cancelling, or with their process.
use super::{
    super::world::{CoreKey, Flight, NodeId, Object, Power, World},
    EndId, Item, Owner, Receiving,
};
use crate::{
    error::Error,
    seam::{Completion, Handle, Outcome, Slot},
};
use bytes::Bytes;

impl World {
    pub(crate) fn submit_close(&mut self, core: CoreKey, slot: Slot, socket: Handle) {
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
    pub(super) fn close_listener(&mut self, node: NodeId, port: u16) {
        let Some(l) = self.net.listeners.remove(&(node, port)) else {
            return;
        };
        if let Some(slot) = l.accept
            && self.cores[l.core].alive
        {
            let error = Error::new("accept", "", libc::ECANCELED);
            self.complete(
                l.core,
                Completion { slot, outcome: Outcome::Accepted(Err(error)), more: false },
            );
        }
        for (end, _) in l.backlog {
            self.drop_end(end, true);
        }
    }
    /// The owner gives up an end: in order (FIN after what was sent), or by a reset when bytes were
    /// left unread or `hard`.
    pub(crate) fn drop_end(&mut self, id: EndId, hard: bool) {
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
    pub(super) fn cancelled_receive(&mut self, core: CoreKey, r: Receiving) {
        let error = Error::new("receive", "", libc::ECANCELED);
        let outcome = match r.into {
            Some((buf, _)) => Outcome::ReceivedInto { buf, result: Err(error) },
            None => Outcome::Received(Err(error)),
        };
        self.complete(core, Completion { slot: r.slot, outcome, more: false });
    }
    pub(crate) fn cancel_net(&mut self, core: CoreKey, slot: Slot, flight: Flight) {
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
    pub(crate) fn abandon_net(&mut self, node: NodeId) {
        let ports: Vec<u16> =
            self.net.listeners.keys().filter(|k| k.0 == node).map(|k| k.1).collect();
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
}
