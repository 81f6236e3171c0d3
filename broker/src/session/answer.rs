//! How every answer leaves: counted, put in its place in the order of its connection or sent back
//! to the core that asked, and sent when those before it are.
use super::order::Next;
use crate::{
    core::request::{Answer, Held, Pending, ReplyTo},
    shard::{Shard, message::Message},
};
use bytes::Bytes;
use netio::ConnId;
use wire::ApiMessage;

impl Shard {
    /// Answers a request that waited. An answer that its version cannot carry is our mistake: it is
    /// logged, and the connection is closed.
    pub(crate) fn finish<T: ApiMessage>(&mut self, pending: &Pending, response: &T) {
        match pending.encode(response) {
            Ok(answer) => self.reply(pending.reply, answer),
            Err(error) => self.fail_reply(*pending, &error.to_string()),
        }
    }

    pub(crate) fn fail_reply(&mut self, pending: Pending, why: &str) {
        self.refusals.log(self.now, "forward", || {
            format!("{:?} version {}: {why}", pending.key, pending.version)
        });
        self.end_reply(pending.reply);
    }

    /// A request gets no answer: its connection ends, after the answers to those before it.
    pub(crate) fn end_reply(&mut self, to: ReplyTo) {
        match to {
            ReplyTo::Session { conn, seq } => self.fill(conn, seq, Next::Close),
            ReplyTo::Core { core, id } => self.tell(core, Message::ForwardFailed { id }),
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
            ReplyTo::Core { core, id } => self.tell(core, Message::Reply { id, slices }),
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
