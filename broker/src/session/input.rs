//! From bytes to requests: framing, admission, hand-over to the API table.
use super::{
    Held, Session,
    admission::Reserved,
    order::{Mark, Next},
};
use crate::{
    api,
    limits::{TURN_BYTES, TURN_REQUESTS},
    shard::{
        Shard,
        reply::{Answer, Arrival, Closing, Pending, ReplyTo, Request, Stage},
    },
};
use bytes::Bytes;
use netio::ConnId;
use std::net::{IpAddr, SocketAddr};
use wire::{ApiKey, Decode, Reader, RequestHeader, frame};

/// Frames above this size are received in one shot, or in few, after memory was taken for them.
const LARGE_FRAME: usize = 32 << 10;
/// A connection receives no more than this behind a request that is not answered.
const EARLIER_BYTES_MAX: usize = 32 << 10;

/// What became of one frame.
enum Taken {
    Done,
    /// It stays where it is until the reason is gone.
    Hold(Held),
    /// The connection ends at this request.
    End {
        seq: u64,
    },
    /// The connection ends now: nothing waits for an answer.
    Close,
}

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

    fn take_frame(&mut self, conn: ConnId, host: IpAddr, body: &[u8]) -> Taken {
        let in_flight_max = self.settings.limits.requests_in_flight_max;
        let Some(session) = self.sessions.get_mut(conn) else {
            return Taken::Close;
        };
        let key = body.first_chunk::<2>().map(|k| i16::from_be_bytes(*k));
        let appends = key == Some(ApiKey::Produce.code());
        if !session.order.admits(appends) {
            return Taken::Hold(Held::Earlier);
        }
        if session.order.len() >= in_flight_max {
            return Taken::Hold(Held::InFlight);
        }
        if self.io.is_congested(conn) {
            return Taken::Hold(Held::Output);
        }
        // With one port for several cores it is the owners' logs that count, where it waits if it
        // must.
        if appends && !self.settings.splits() && !self.store.has_room() {
            self.stats.log_waits += 1;
            return Taken::Hold(Held::Log);
        }
        let known = key.and_then(ApiKey::from_code);
        let mark = Mark { key: known, at: self.now };
        let seq = session.order.reserve(appends, mark);
        let reply = ReplyTo::Session { conn, seq };
        let arrival = Arrival { reply, host, at: self.now, forwarded: false, expired: false };
        let stage = self.handle(arrival, body);
        if let (Some(key), false) = (known, matches!(stage, Stage::Hold(_))) {
            self.stats.request(key);
        }
        match stage {
            Stage::Reply(answer) => self.reply(reply, answer),
            Stage::Silent => self.send(reply, Vec::new()),
            Stage::Later => {}
            Stage::Hold(why) => {
                if let Some(session) = self.sessions.get_mut(conn) {
                    session.order.cancel(seq);
                }
                return Taken::Hold(why);
            }
            Stage::Close(closing) => {
                self.stats.malformed += 1;
                self.log_closing(host, &closing);
                return Taken::End { seq };
            }
        }
        Taken::Done
    }

    /// Decodes a frame's header and gives it to its API's handler. Errors of the peer close the
    /// connection.
    pub(crate) fn handle(&mut self, arrival: Arrival, body: &[u8]) -> Stage {
        let Arrival { reply, host, at, .. } = arrival;
        let mut reader = Reader::within(body, self.settings.limits.elements_max);
        let Ok(header) = RequestHeader::parse(&mut reader) else {
            return self.unreadable_header(reply, body);
        };
        let Some(key) = ApiKey::from_code(header.api_key) else {
            return self.unreadable_header(reply, body);
        };
        let version = header.api_version;
        let pending = Pending { reply, key, version, correlation_id: header.correlation_id, at };
        let request = Request {
            pending,
            client_id: header.client_id.as_deref(),
            host,
            frame: body,
            forwarded: arrival.forwarded,
            expired: arrival.expired,
        };
        match api::dispatch(self, &request, &mut reader) {
            Ok(stage) => stage,
            Err(wire::Error::TooMany) => self.names_too_many(&request),
            Err(error) => {
                Stage::close(format!("{key:?} version {version} that cannot be read: {error}"))
            }
        }
    }

    /// Says why a request ends its connection.
    pub(crate) fn log_closing(&mut self, host: IpAddr, closing: &Closing) {
        let why = &closing.why;
        self.refusals.log(self.now, closing.kind, || format!("{host}: {why}; connection closed"));
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

    /// Counts what an answer says, once, on the core that made it, and lets it leave.
    pub(crate) fn reply(&mut self, to: ReplyTo, answer: Answer) {
        for &(code, times) in &answer.errors {
            self.stats.error(answer.key, code, times);
        }
        self.send(to, answer.slices);
    }

    /// Puts a reply whose errors are counted in its place, and sends what may leave. Empty = the
    /// request has no answer.
    pub(crate) fn send(&mut self, to: ReplyTo, slices: Vec<Bytes>) {
        match to {
            ReplyTo::Core { core, id } => {
                self.tell(core, crate::shard::message::Message::Reply { id, slices })
            }
            ReplyTo::Session { conn, seq } => self.fill(conn, seq, Next::Send(slices)),
        }
    }

    /// A request waited for `ns` because its client wants it so: that is not its latency.
    pub(crate) fn forgive(&mut self, to: ReplyTo, ns: u64) {
        if let ReplyTo::Session { conn, seq } = to
            && let Some(session) = self.sessions.get_mut(conn)
        {
            session.order.forgive(seq, ns);
        }
    }

    /// Sends a part of the answer to request `seq`, before the rest of it. False when the
    /// connection takes no more.
    pub(crate) fn send_part(&mut self, conn: ConnId, seq: u64, part: Bytes) -> bool {
        let Some(session) = self.sessions.get_mut(conn) else {
            return false;
        };
        if session.closing {
            return false;
        }
        session.order.assert_first(seq);
        session.active = self.now;
        self.stats.sent_bytes += part.len() as u64;
        if !part.is_empty() {
            self.io.send(conn, vec![part]);
        }
        true
    }

    /// Fills a request's place in its connection's order, and lets go what may leave.
    pub(crate) fn fill(&mut self, conn: ConnId, seq: u64, next: Next) {
        let Some(session) = self.sessions.get_mut(conn) else {
            return;
        };
        if session.closing {
            return;
        }
        if next == Next::Close {
            session.ending = true;
            session.partial = None;
        }
        session.order.fill(seq, next);
        let (mut sent, mut ends) = (0, false);
        while let Some((next, mark)) = session.order.pop() {
            match next {
                Next::Send(slices) => {
                    if let Some(key) = mark.key {
                        self.stats.answered(key, mark.at, slices.is_empty());
                    }
                    sent += slices.iter().map(Bytes::len).sum::<usize>();
                    if !slices.is_empty() {
                        self.io.send(conn, slices);
                    }
                }
                Next::Close => {
                    ends = true;
                    break;
                }
            }
        }
        self.stats.sent_bytes += sent as u64;
        if sent > 0 {
            session.active = self.now;
        }
        let goes_on = match session.held {
            Some(Held::Earlier) => session.order.is_empty(),
            Some(Held::InFlight) => true,
            // It may have been the last answer.
            None => session.finished && session.order.is_empty(),
            _ => false,
        };
        if goes_on && self.resume_later.last() != Some(&conn) {
            self.resume_later.push(conn);
        }
        if ends {
            self.close(conn);
        }
    }
}

impl Shard {
    /// A header is read by its API and version; of others only the beginning is known, which all
    /// have.
    fn unreadable_header(&mut self, to: ReplyTo, body: &[u8]) -> Stage {
        let Ok(header) = RequestHeader::decode(&mut Reader::new(body), 1) else {
            return Stage::close("a request header that cannot be read");
        };
        let client = self.client_behind(to, header.client_id.as_deref());
        let (key, version) = (header.api_key, header.api_version);
        match ApiKey::from_code(key) {
            Some(key) => Stage::close(format!(
                "{} version {version}: a request header that cannot be read ({client})",
                key.name()
            )),
            None => Stage::Close(Closing {
                kind: "not served",
                why: format!("API {key} version {version}: this API is not known ({client})")
                    .into(),
            }),
        }
    }
}
