//! Listeners: accepting, and the limit of connections.
use crate::{
    core::{
        net::ListenerId,
        program::Event,
        state::{Pending, State},
        timers::Due,
    },
    error::Result,
    seam::{Handle, Op, Outcome, Sharing, Slot},
};
use std::net::SocketAddr;

/// Pause before accepting again after a failure such as EMFILE, which would otherwise repeat at
/// once.
const ACCEPT_PAUSE_MS: u64 = 20;

pub(crate) struct Listener {
    pub(crate) addr: SocketAddr,
    handle: Handle,
    accepting: Option<Slot>,
    open: bool,
}

impl State {
    pub(crate) fn listen(&mut self, addr: SocketAddr, sharing: Sharing) -> Result<ListenerId> {
        let (handle, addr) = self.driver.listen(addr, sharing)?;
        let id = ListenerId(self.net.listeners.len() as u32);
        self.net.listeners.push(Listener { addr, handle, accepting: None, open: true });
        self.accept(id);
        Ok(id)
    }

    pub(crate) fn accept(&mut self, id: ListenerId) {
        let Some(listener) = self.net.listeners.get(id.0 as usize) else {
            return;
        };
        if listener.open && listener.accepting.is_none() {
            let op = Op::Accept { listener: listener.handle };
            let slot = self.submit(Pending::Accept(id), op);
            self.net.listeners[id.0 as usize].accepting = Some(slot);
        }
    }

    pub(crate) fn close_listener(&mut self, id: ListenerId) {
        let Some(listener) = self.net.listeners.get_mut(id.0 as usize) else {
            return;
        };
        if std::mem::replace(&mut listener.open, false) {
            let handle = listener.handle;
            self.close_socket(handle);
        }
    }

    pub(crate) fn on_accepted(&mut self, id: ListenerId, outcome: Outcome, more: bool) {
        let Outcome::Accepted(result) = outcome else { panic!("an accept ended with {outcome:?}") };
        let listener = &mut self.net.listeners[id.0 as usize];
        let open = listener.open;
        if !more {
            listener.accepting = None;
        }
        match result {
            Ok((socket, _)) if !open => self.close_socket(socket),
            Ok((socket, _)) if self.net.is_full() => {
                self.stats.refused += 1;
                self.close_socket(socket);
            }
            Ok((socket, peer)) => {
                self.stats.accepted += 1;
                let conn = self.net.insert(peer, self.now);
                if let Some(entry) = self.net.get_mut(conn) {
                    entry.handle = Some(socket);
                }
                self.events.push(Event::Accepted { listener: id, conn, peer });
            }
            Err(_) if open => {
                let at = self.now.after_ms(ACCEPT_PAUSE_MS);
                self.timers.insert(at, Due::Accept(id));
                return;
            }
            Err(_) => {}
        }
        self.accept(id);
    }
}
