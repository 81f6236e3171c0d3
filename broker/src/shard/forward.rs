//! Requests that another core answers: whole, or split by owner and merged.
//!
//! Controller requests always go to core 0. In single-port mode a connection is on any core, so
//! requests that name partitions or groups are split by owning core: each core handles its part
//! like a request of its own ([`ReplyTo::Core`]), and the parts' answers are merged where the
//! connection is.
use super::{
    Shard,
    message::{Forwarded, Message},
};
use crate::{
    answer::concat::{Skip, by_topic, concatenated},
    core::request::{Arrival, Pending, ReplyTo, Request, Stage},
};
use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use netio::CoreId;
use std::net::IpAddr;
use wire::{ApiMessage, Decode, Reader, ResponseHeader};

/// An API whose requests are split by owner.
pub(crate) trait Split: wire::Request {
    /// An answer is an array of what each part answers, and no more.
    const IS_LIST: bool = false;
    /// An answer is an array of topics, each with its name and its partitions, and no more: how to
    /// read over a partition.
    const SKIP: Option<Skip> = None;

    /// Puts the answers to all parts into one, in the order of the parts. (`'r: 'r` makes the
    /// lifetime one that an associated type may be named with.)
    fn merge<'r: 'r>(answers: Vec<Self::Response<'r>>) -> Self::Response<'r>;
}

/// What a forwarded request costs beside its frame.
const FORWARD_BYTES: usize = 256;

/// Merges frames without their length.
type Merge = fn(&Pending, Vec<Vec<Bytes>>) -> Result<Vec<Bytes>, wire::Error>;

fn merge_frames<Q: Split>(
    pending: &Pending,
    frames: Vec<Vec<Bytes>>,
) -> Result<Vec<Bytes>, wire::Error> {
    if Q::IS_LIST
        && let Some(all) = concatenated::<Q::Response<'_>>(pending, &frames)
    {
        return Ok(all);
    }
    let frames: Vec<Bytes> = frames
        .into_iter()
        .map(|slices| joined(&slices))
        .map(|f| f.slice(wire::frame::SIZE_BYTES.min(f.len())..))
        .collect();
    if let Some(skip) = Q::SKIP
        && let Some(all) = by_topic::<Q::Response<'_>>(pending, &frames, skip)
    {
        return Ok(all);
    }
    let mut answers = Vec::with_capacity(frames.len());
    for frame in &frames {
        let mut reader = Reader::new(frame);
        ResponseHeader::decode(
            &mut reader,
            <Q::Response<'_> as ApiMessage>::header_version(pending.version),
        )?;
        answers.push(<Q::Response<'_> as Decode<'_>>::decode(&mut reader, pending.version)?);
    }
    // What its parts say was counted where they were answered.
    Ok(pending.encode(&Q::merge(answers))?.slices)
}

/// What waits for another core's answer.
enum Waiting {
    Whole(Pending),
    /// One part of a split request: its place among the parts of `gather`.
    Part {
        gather: u64,
        at: usize,
    },
}

struct Gather {
    pending: Pending,
    parts: Vec<Option<Vec<Bytes>>>,
    missing: usize,
    merge: Merge,
}

/// Where what waits has gone, and how large it is.
struct Sent {
    what: Waiting,
    core: CoreId,
    bytes: usize,
}

/// Requests that wait for answers of other cores.
#[derive(Default)]
pub struct Forwards {
    next: u64,
    waiting: HashMap<u64, Sent, foldhash::fast::FixedState>,
    /// Bytes of them, by core.
    bytes: Vec<usize>,
    /// Connections are held until there are fewer; there are.
    held: bool,
    freed: bool,
    gathers: HashMap<u64, Gather, foldhash::fast::FixedState>,
}

impl std::fmt::Debug for Forwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwards")
            .field("waiting", &self.waiting.len())
            .field("gathers", &self.gathers.len())
            .finish()
    }
}

impl Forwards {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn insert(&mut self, id: u64, core: CoreId, what: Waiting, frame: usize) {
        let (at, bytes) = (usize::from(core.0), frame + FORWARD_BYTES);
        if self.bytes.len() <= at {
            self.bytes.resize(at + 1, 0);
        }
        self.bytes[at] += bytes;
        self.waiting.insert(id, Sent { what, core, bytes });
    }

    fn remove(&mut self, id: u64) -> Option<Waiting> {
        let sent = self.waiting.remove(&id)?;
        self.bytes[usize::from(sent.core.0)] -= sent.bytes;
        self.freed = self.held;
        Some(sent.what)
    }

    /// What connections were held for has become less: they are to be looked at.
    pub fn take_freed(&mut self) -> bool {
        let freed = self.freed && self.held;
        if freed {
            (self.freed, self.held) = (false, false);
        }
        freed
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Shard {
    /// Hands a request over to `core`, which answers it.
    pub(crate) fn forward(&mut self, request: &Request<'_>, core: CoreId) -> Stage {
        assert!(!request.forwarded, "{:?} forwarded twice", request.pending);
        let id = self.forwards.id();
        let what = Waiting::Whole(request.pending);
        self.forwards.insert(id, core, what, request.frame.len());
        let frame = Bytes::copy_from_slice(request.frame);
        self.send_forward(core, id, frame, request.host, request.pending.at);
        Stage::Later
    }

    /// Whether a produce request may go to `core` now. It may wait there for room in the log, so
    /// what is there is bounded: by a share of this core's request memory for each. A request
    /// larger than that goes alone.
    pub(crate) fn may_forward(&mut self, core: CoreId, request: &Request<'_>) -> bool {
        let max = self.settings.limits.request_bytes_max / 2 / usize::from(self.settings.cores);
        let there = self.forwards.bytes.get(usize::from(core.0)).copied();
        let there = there.unwrap_or(0);
        let may = there == 0 || there + request.frame.len() <= max;
        self.forwards.held |= !may;
        may
    }

    fn send_forward(
        &mut self,
        core: CoreId,
        id: u64,
        frame: Bytes,
        host: IpAddr,
        at: netio::Instant,
    ) {
        let from = self.me;
        self.stats.forwarded += 1;
        self.tell(core, Message::Forward { id, request: Forwarded { from, frame, host, at } });
    }

    /// Gives each core its part of a request and merges their answers.
    pub(crate) fn scatter<Q: Split>(
        &mut self,
        request: &Request<'_>,
        parts: Vec<(CoreId, Q)>,
    ) -> Result<Stage, wire::Error> {
        let mut frames = Vec::with_capacity(parts.len());
        for (core, part) in parts {
            let slices = wire::encode_request(
                &part,
                request.pending.correlation_id,
                request.client_id,
                request.version(),
            )?;
            frames.push((core, joined(&slices).slice(wire::frame::SIZE_BYTES..)));
        }
        Ok(self.scatter_frames::<Q>(request, frames))
    }

    /// Asks every core the same, and merges their answers.
    pub(crate) fn ask_all<Q: Split>(&mut self, request: &Request<'_>) -> Stage {
        let frame = Bytes::copy_from_slice(request.frame);
        let cores = 0..self.settings.cores;
        self.scatter_frames::<Q>(request, cores.map(|core| (CoreId(core), frame.clone())).collect())
    }

    /// As [`Self::scatter`], with each part as its frame without the length.
    pub(crate) fn scatter_frames<Q: Split>(
        &mut self,
        request: &Request<'_>,
        parts: Vec<(CoreId, Bytes)>,
    ) -> Stage {
        let gather = self.forwards.id();
        let missing = parts.len();
        assert!(missing > 0, "a request split into nothing");
        self.forwards.gathers.insert(
            gather,
            Gather {
                pending: request.pending,
                parts: vec![None; missing],
                missing,
                merge: merge_frames::<Q>,
            },
        );
        for (at, (core, frame)) in parts.into_iter().enumerate() {
            let id = self.forwards.id();
            let what = Waiting::Part { gather, at };
            self.forwards.insert(id, core, what, frame.len());
            self.send_forward(core, id, frame, request.host, request.pending.at);
        }
        Stage::Later
    }

    /// A request that another core received.
    pub(crate) fn on_forwarded(&mut self, id: u64, request: Forwarded) {
        let to = ReplyTo::Core { core: request.from, id };
        let arrival = Arrival {
            reply: to,
            host: request.host,
            at: request.at,
            forwarded: true,
            expired: false,
        };
        match self.handle(arrival, &request.frame) {
            Stage::Reply(answer) => self.reply(to, answer),
            Stage::Later => {}
            Stage::Silent => self.send(to, Vec::new()),
            Stage::Hold(why) => unreachable!("held ({why:?}) after it was taken"),
            // What fails here is answered with nothing, and the connection is closed there. Not all
            // of what comes was decoded there.
            Stage::Close(closing) => {
                self.stats.malformed += 1;
                self.log_closing(request.host, &closing);
                self.tell(request.from, Message::ForwardFailed { id });
            }
        }
    }

    /// The answer of another core.
    pub(crate) fn on_forward_reply(&mut self, id: u64, slices: Vec<Bytes>) {
        match self.forwards.remove(id) {
            None => unreachable!("an answer {id} that nobody waits for"),
            Some(Waiting::Whole(pending)) => self.reply_in_parts(pending, slices),
            Some(Waiting::Part { gather, at }) => {
                let Some(waiting) = self.forwards.gathers.get_mut(&gather) else {
                    return;
                };
                waiting.parts[at] = Some(slices);
                waiting.missing -= 1;
                if waiting.missing == 0 {
                    self.merge(gather);
                }
            }
        }
    }

    fn merge(&mut self, gather: u64) {
        let Some(gather) = self.forwards.gathers.remove(&gather) else {
            return;
        };
        let pending = gather.pending;
        // acks=0: the parts have no answers, nor has the whole.
        if gather.parts.iter().flatten().flatten().all(Bytes::is_empty) {
            self.send(pending.reply, Vec::new());
            return;
        }
        let frames = gather.parts.into_iter().flatten().collect();
        match (gather.merge)(&pending, frames) {
            Ok(slices) => self.reply_in_parts(pending, slices),
            Err(error) => self.fail_reply(pending, &error.to_string()),
        }
    }

    /// Another core could not answer: the connection is closed, since its request has no answer.
    pub(crate) fn on_forward_failed(&mut self, id: u64) {
        match self.forwards.remove(id) {
            None => {}
            Some(Waiting::Whole(pending)) => {
                self.fail_reply(pending, "another core could not handle it")
            }
            Some(Waiting::Part { gather, .. }) => {
                if let Some(gather) = self.forwards.gathers.remove(&gather) {
                    self.fail_reply(gather.pending, "another core could not handle its part");
                }
            }
        }
    }
}

fn joined(slices: &[Bytes]) -> Bytes {
    match slices {
        [one] => one.clone(),
        many => {
            let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
            for slice in many {
                all.extend_from_slice(slice);
            }
            all.freeze()
        }
    }
}
