//! Bytes of a connection: framing, turns, and for what they wait.
use super::{Session, admission::Reserved, admit::Taken, order::Next};
use crate::{
    core::request::Held,
    limits::{TURN_BYTES, TURN_REQUESTS},
    shard::Shard,
};
use netio::ConnId;
use std::net::SocketAddr;
use wire::frame;

/// Frames above this size are received in one shot, or in few, after memory was taken for them.
const LARGE_FRAME: usize = 32 << 10;
/// A connection receives no more than this behind a request that is not answered.
const EARLIER_BYTES_MAX: usize = 32 << 10;

impl Shard {
    pub(crate) fn on_accepted(&mut self, conn: ConnId, peer: SocketAddr) {
        let limits = &self.settings.limits;
        let full = self.sessions.len() >= limits.connections_max;
        if full || !self.hosts.enter(peer.ip(), limits.connections_per_ip_max) {
            self.stats.connections_refused += 1;
            self.refusals.log(self.now, "connection", || {
                format!("connection of {peer} refused: {} are open on this core (max.connections, max.connections.per.ip)", self.sessions.len())
            });
            self.io.close(conn, false);
            return;
        }
        self.stats.connections_accepted += 1;
        self.sessions.insert(Session::new(conn, peer.ip(), self.now));
        self.io.outlive_peer(conn);
        self.io.start_receiving(conn);
    }

    /// The peer has closed its side, or has gone. As by Kafka, whose channels are not read while a
    /// request is under way, what came whole before is answered; then the connection ends.
    pub(crate) fn on_finished(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        session.finished = true;
        session.partial = None;
        self.on_readable(conn);
    }

    /// Ends a connection whose peer sends no more, if nothing is left to answer.
    fn end_finished(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        if session.closing || session.ending {
            return;
        }
        if !session.order.is_empty() {
            // Most peers that finish within a long poll have died: they are not waited with.
            if let Some(fetch) = session.fetch {
                self.hurry_fetch(fetch);
            }
        } else if session.held.is_none() {
            self.close(conn);
        }
    }

    pub(crate) fn on_closed(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.remove(conn) else {
            return;
        };
        self.answers.on_closed(conn);
        self.hosts.leave(session.host);
        self.give_back_memory(session.reserved);
        if let Some(fetch) = session.fetch {
            self.end_fetch(fetch);
        }
    }

    /// Consumes what has arrived on `conn`, as far as it may be now.
    pub(crate) fn on_readable(&mut self, conn: ConnId) {
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        let resting = session.held == Some(Held::Turn);
        if session.closing || session.ending || resting || self.stopping {
            return;
        }
        session.held = None;
        let finished = session.finished;
        let mut waits_since = session.waits_since;
        let (host, mut reserved) = (session.host, std::mem::take(&mut session.reserved));
        let Some(received) = self.io.take(conn) else {
            session.reserved = reserved;
            if finished {
                self.end_finished(conn);
            }
            return;
        };
        let bytes = received.bytes();
        let max = self.settings.limits.frame_bytes_max;
        let (mut consumed, mut want, mut requests) = (0, 0, 0);
        let sent_before = self.stats.sent_bytes;
        let taken = loop {
            let rest = &bytes[consumed..];
            match frame::parse(rest, max) {
                Ok(Some(whole)) => {
                    let sent = (self.stats.sent_bytes - sent_before) as usize;
                    if requests == TURN_REQUESTS || consumed + sent >= TURN_BYTES {
                        self.stats.turn_waits += 1;
                        self.resting.push_back(conn);
                        break Taken::Hold(Held::Turn);
                    }
                    let taken = self.take_frame(conn, host, whole.body);
                    if !matches!(taken, Taken::Done) {
                        break taken;
                    }
                    requests += 1;
                    consumed += frame::SIZE_BYTES + whole.body.len();
                    if let Some(since) = waits_since.take() {
                        self.stats.stage_wait.record(self.now.since(since));
                    }
                    self.give_back_memory(std::mem::take(&mut reserved));
                }
                // The rest of a frame does not come.
                Ok(None) if finished => break Taken::Done,
                Ok(None) => {
                    want = match frame::body_size(rest, max) {
                        Ok(Some(body)) => frame::SIZE_BYTES + body,
                        _ => 0,
                    };
                    break Taken::Done;
                }
                Err(_) if !self.sessions.is_answered(conn) => break Taken::Hold(Held::Earlier),
                Err(error) => {
                    self.stats.malformed += 1;
                    self.refusals
                        .log(self.now, "frame", || format!("{host}: {error}; connection closed"));
                    break Taken::Close;
                }
            }
        };
        let partial = bytes.len() > consumed;
        let mut hold = match taken {
            Taken::Done => None,
            Taken::Hold(why) => Some(why),
            Taken::End { .. } | Taken::Close => {
                self.give_back_memory(reserved);
                self.io.put_back(conn, received, consumed, 0, true);
                match taken {
                    Taken::End { seq } => self.fill(conn, seq, Next::Close),
                    _ => self.close(conn),
                }
                return;
            }
        };
        if hold.is_none() && want > LARGE_FRAME {
            let arrived = bytes.len() - consumed;
            let now = self.now;
            if arrived < reserved.bytes() || self.memory.take(&mut reserved, want, arrived, now) {
                want = reserved.bytes();
            } else {
                self.stats.memory_waits += 1;
                hold = Some(Held::Memory);
            }
        }
        // A little more is received behind a request that waits for others, or nobody would see
        // that its peer has gone. What received much at once does so again when its turns have used
        // it up.
        let waits = match hold {
            Some(Held::Earlier) => bytes.len() - consumed < EARLIER_BYTES_MAX,
            Some(Held::Turn) => bytes.len() < EARLIER_BYTES_MAX,
            _ => false,
        };
        let stop = hold.is_some() && !waits;
        self.io.put_back(conn, received, consumed, want, stop);
        let now = self.now;
        // A handler may have closed the connection.
        let Some(session) = self.sessions.get_mut(conn) else {
            self.give_back_memory(reserved);
            return;
        };
        session.reserved = reserved;
        session.held = hold;
        session.waits_since = hold.map(|_| waits_since.unwrap_or(now));
        if consumed > 0 {
            session.active = now;
            self.turns = self.turns.wrapping_add(1);
        }
        session.partial = match (partial && hold.is_none() && !finished, session.partial) {
            (false, _) => None,
            (true, Some((since, _))) if consumed == 0 => Some((since, want > 0)),
            (true, _) => Some((now, want > 0)),
        };
        if finished {
            self.end_finished(conn);
        }
    }

    /// Connections that have had their turn go on, in order, each with another: `turns` in all.
    pub(crate) fn run_resting(&mut self, mut turns: usize) {
        while turns > 0
            && let Some(conn) = self.resting.pop_front()
        {
            let resting = |s: &&mut Session| s.held == Some(Held::Turn);
            if let Some(session) = self.sessions.get_mut(conn).filter(resting) {
                session.held = None;
                self.on_readable(conn);
                turns -= 1;
            }
        }
    }

    pub(crate) fn close(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.get_mut(conn) {
            session.closing = true;
            session.held = None;
        }
        self.io.close(conn, true);
    }

    pub(crate) fn give_back_memory(&mut self, reserved: Reserved) {
        if reserved.is_none() {
            return;
        }
        self.memory.give_back(reserved);
        self.memory_freed = true;
    }

    /// Continues connections that wait for memory, as far as there is some.
    pub(crate) fn resume_memory(&mut self) {
        for conn in self.sessions.short_of_memory() {
            self.on_readable(conn);
            let still = |s: &mut Session| s.held == Some(Held::Memory);
            if self.sessions.get_mut(conn).is_some_and(still) {
                return;
            }
        }
    }

    /// Continues connections that were held for `why`.
    pub(crate) fn resume(&mut self, why: Held) {
        for conn in self.sessions.held(why) {
            self.on_readable(conn);
        }
    }
}
