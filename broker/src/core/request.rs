//! A request under way: where its answer goes, and in which form.
use bytes::Bytes;
use netio::{ConnId, CoreId, Instant};
use std::{borrow::Cow, net::IpAddr};
use wire::{ApiKey, ApiMessage};

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// Into the order of a connection of this core.
    Session { conn: ConnId, seq: u64 },
    /// Back to the core that forwarded the request, which holds its place under `id`.
    Core { core: CoreId, id: u64 },
}

/// What is needed to answer later. Small and copied freely; every one of them is answered exactly
/// once.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub reply: ReplyTo,
    pub key: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    /// When the request's bytes were complete.
    pub at: Instant,
}

/// How a request came here.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub reply: ReplyTo,
    pub host: IpAddr,
    /// When its bytes were complete, on the core of its connection.
    pub at: Instant,
    /// It came from another core: it is not forwarded or split again.
    pub forwarded: bool,
    /// Its time is over while it waited for room in the log: it is refused.
    pub expired: bool,
}

/// A request as its handler sees it.
#[derive(Debug)]
pub struct Request<'a> {
    pub pending: Pending,
    pub client_id: Option<&'a str>,
    pub host: IpAddr,
    /// Header and body, for forwarding.
    pub frame: &'a [u8],
    /// As in [`Arrival`].
    pub forwarded: bool,
    pub expired: bool,
}

/// Why a connection's input is not consumed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The next request waits for the answers to those before it.
    Earlier,
    /// As many requests wait for answers as may.
    InFlight,
    /// Its output is above the high-water mark.
    Output,
    /// The write-ahead log has no room.
    Log,
    /// Another core, to which it would be forwarded, has as much of this core's that is not
    /// answered as it may.
    Owner,
    /// The core has no memory for the next frame.
    Memory,
    /// It has had its turn, and others have theirs ([`crate::limits::TURN_REQUESTS`]).
    Turn,
}

/// What a handler's first stage did.
#[derive(Debug)]
pub enum Stage {
    /// The answer.
    Reply(Answer),
    /// The answer comes later, through [`Pending`].
    Later,
    /// This request has no answer (acks=0).
    Silent,
    /// Nothing was done: it is to come again when the reason is gone. Only for requests that are
    /// not forwarded.
    Hold(Held),
    /// The connection is closed: the request cannot be answered (wire rule 18).
    Close(Closing),
}

/// Why a connection is closed at a request.
#[derive(Debug)]
pub struct Closing {
    /// Log lines of a kind are one a second: what one peer does hides nothing of another kind.
    pub kind: &'static str,
    pub why: Cow<'static, str>,
}

impl Stage {
    /// The connection ends here, for a reason that every request of its kind has.
    pub fn close(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Close(Closing { kind: "request", why: why.into() })
    }
}

/// An answer: slices for one send, and the error codes in it. Every answer is one of these until it
/// leaves, where its codes are counted ([`Shard::reply`](crate::shard::Shard)).
#[derive(Debug)]
pub struct Answer {
    pub key: ApiKey,
    pub slices: Vec<Bytes>,
    /// Codes but 0, with how often each is said.
    pub errors: Vec<(i16, u32)>,
}

impl Pending {
    /// The answer as it leaves.
    pub fn encode<T: ApiMessage>(&self, response: &T) -> Result<Answer, wire::Error> {
        let (slices, errors) = wire::encode_answer(response, self.correlation_id, self.version)?;
        Ok(Answer { key: self.key, slices, errors })
    }
}

impl Request<'_> {
    pub fn version(&self) -> i16 {
        self.pending.version
    }

    /// When a request that allows this many milliseconds must be answered.
    pub fn deadline(&self, timeout_ms: i32) -> Instant {
        let ms = u64::try_from(timeout_ms).unwrap_or(0);
        self.pending.at.after_ms(ms.max(1))
    }

    /// Answers at once.
    pub fn answer<T: ApiMessage>(&self, response: &T) -> Result<Stage, wire::Error> {
        Ok(Stage::Reply(self.pending.encode(response)?))
    }
}
