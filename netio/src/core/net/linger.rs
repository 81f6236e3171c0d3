//! The end of a connection that is closed in order: its socket outlives it for a moment.
//!
//! A kernel answers input that nobody reads with a reset: on closing a socket with some of it
//! unread, and on what arrives for a closed one. A reset overtakes what was sent, and the peer's
//! kernel may drop answers that the peer has not read. So the end is said (FIN, behind the output),
//! and what still comes is received and dropped until the peer has closed its side, too.
//!
//! ```text
//! close(flush) -- output sent --> FIN, `Closed` is said --> drops input --> peer's end, error, LINGER_BYTES, LINGER_MS --> close
//! ```
//! To the program the connection has ended. Its slot stays, so that it counts in the limit of
//! connections. The end of the core waits for no lingering socket.
use super::{CloseReason, ConnId, conn::Receiving};
use crate::{
    core::{program::Event, state::State, timers::Due},
    error::Result,
};

/// How long a peer has to take the end and to close its side. A client that reads does so within a
/// round trip; one that does not read cannot hold a slot for longer.
const LINGER_MS: u64 = 1_000;
/// Most that is received and dropped: what a peer may have under way (a window and its socket's
/// buffer), not a flood.
const LINGER_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Lingering {
    timer: u64,
    dropped_bytes: usize,
    /// The turn that sees `Closed` is over: the slot can go with the socket.
    told: bool,
}

impl State {
    /// The output is sent: says the end to the peer and to the program, and keeps the socket for a
    /// while.
    pub(super) fn end_in_order(&mut self, id: ConnId) {
        let Some(conn) = self.net.get_mut(id).filter(|conn| !conn.ended) else {
            return;
        };
        let Some(socket) = conn.handle.filter(|_| !conn.finished) else {
            return self.end(id, CloseReason::Local);
        };
        conn.ended = true;
        let flushing = conn.flushing.take();
        let at = self.now.after_ms(LINGER_MS);
        let timer = self.timers.insert(at, Due::LingerOver(id));
        if let Some(conn) = self.net.get_mut(id) {
            conn.lingering = Some(Lingering { timer, dropped_bytes: 0, told: false });
        }
        if let Some(timer) = flushing {
            self.timers.remove(timer);
        }
        self.driver.finish_sending(socket);
        self.net.dead.push(id);
        self.events.push(Event::Closed { conn: id, why: CloseReason::Local });
        self.receive_to_drop(id);
    }

    /// A receive of an ended connection: so many bytes that nobody wants.
    pub(super) fn on_dropped(&mut self, id: ConnId, result: Result<usize>, cancelled: bool) {
        let conn = self.net.get_mut(id);
        let Some(lingering) = conn.and_then(|conn| conn.lingering.as_mut()) else {
            return;
        };
        match result {
            Ok(bytes @ 1..) => {
                lingering.dropped_bytes += bytes;
                let flood = lingering.dropped_bytes >= LINGER_BYTES;
                self.stats.received_bytes += bytes as u64;
                if flood {
                    self.stop_lingering(id);
                } else {
                    self.receive_to_drop(id);
                }
            }
            Err(error) if error.errno == libc::ECANCELED && cancelled => self.receive_to_drop(id),
            Ok(_) | Err(_) => self.stop_lingering(id),
        }
    }

    /// Small receives, whose buffers go back at once, follow the one in flight.
    fn receive_to_drop(&mut self, id: ConnId) {
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        match (conn.handle, conn.receiving) {
            (Some(socket), Receiving::No) => self.receive_small(id, socket),
            // Its memory is large.
            (Some(_), Receiving::Into { slot, cancelled: false }) => {
                conn.receiving = Receiving::Into { slot, cancelled: true };
                self.driver.cancel(slot);
            }
            _ => {}
        }
    }

    /// The turn that sees `Closed` is over. False: the connection does not linger, and gives up its
    /// slot.
    pub(super) fn lingers_on(&mut self, id: ConnId) -> bool {
        let spare = self.net.spare.clone();
        let Some(conn) = self.net.get_mut(id) else {
            return false;
        };
        let Some(lingering) = &mut conn.lingering else {
            return false;
        };
        lingering.told = true;
        conn.drop_input(&spare);
        true
    }

    /// Closes the socket, whatever still comes.
    pub(crate) fn stop_lingering(&mut self, id: ConnId) {
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        let Some(lingering) = conn.lingering.take() else {
            return;
        };
        let socket = conn.handle.take();
        self.timers.remove(lingering.timer);
        if let Some(socket) = socket {
            self.close_socket(socket);
        }
        if lingering.told {
            self.net.remove(id);
        }
    }
}
