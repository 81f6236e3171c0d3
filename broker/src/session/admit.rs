//! A whole frame becomes a request, if it may now, and is handed to the API table.
use super::order::Mark;
use crate::{
    api,
    core::request::{Arrival, Closing, Held, Pending, ReplyTo, Request, Stage},
    shard::Shard,
};
use netio::ConnId;
use std::net::IpAddr;
use wire::{ApiKey, Decode, Reader, RequestHeader};

/// What became of one frame.
pub(super) enum Taken {
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
    pub(super) fn take_frame(&mut self, conn: ConnId, host: IpAddr, body: &[u8]) -> Taken {
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
