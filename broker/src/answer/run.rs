//! The answers of a core that are on their way, and whose turn it is.
use super::{
    AnswerId, Elements,
    job::{Job, Next, Waits},
    memory::Memory,
};
use crate::{
    core::request::{Pending, ReplyTo, Stage},
    shard::Shard,
};
use bytes::Bytes;
use netio::ConnId;
use std::collections::{BTreeMap, VecDeque};
use wire::{ApiMessage, Error};

/// Portions that a turn writes or sends, of all answers: whoever comes waits for one at most.
const PORTIONS_PER_TURN: usize = 1;
/// An answer that is there and is longer leaves in parts.
const PARTS_BYTES: usize = 1 << 20;

/// Answers on their way. There is at most one for a connection: requests of a connection are
/// carried out one after the other.
#[derive(Debug, Default)]
pub struct Answers {
    jobs: BTreeMap<AnswerId, Job>,
    next: AnswerId,
    /// Those that go on now, in order.
    ready: VecDeque<AnswerId>,
    /// Those that wait for memory, in order.
    short: VecDeque<AnswerId>,
    by_conn: BTreeMap<ConnId, AnswerId>,
    pub(super) memory: Memory,
}

impl Answers {
    fn id(&mut self) -> AnswerId {
        self.next += 1;
        self.next
    }

    /// Adds one that goes on, unless it waits.
    fn insert(&mut self, id: AnswerId, job: Job) {
        if let ReplyTo::Session { conn, .. } = job.pending.reply {
            let other = self.by_conn.insert(conn, id);
            assert!(other.is_none(), "two answers on their way to {conn:?}");
        }
        if job.waits.is_none() {
            self.ready.push_back(id);
        }
        self.jobs.insert(id, job);
    }

    fn end(&mut self, job: Job) {
        if let ReplyTo::Session { conn, .. } = job.pending.reply {
            self.by_conn.remove(&conn);
        }
        self.memory.end(job.held);
    }

    /// What one waits for has come.
    fn wake(&mut self, id: AnswerId, came: Waits) {
        if let Some(job) = self.jobs.get_mut(&id)
            && job.waits == Some(came)
        {
            job.waits = None;
            self.ready.push_back(id);
        }
    }

    /// A connection takes more.
    pub(crate) fn on_writable(&mut self, conn: ConnId) {
        if let Some(&id) = self.by_conn.get(&conn) {
            self.wake(id, Waits::Output);
        }
    }

    /// A connection is gone.
    pub(crate) fn on_closed(&mut self, conn: ConnId) {
        if let Some(&id) = self.by_conn.get(&conn)
            && let Some(job) = self.jobs.remove(&id)
        {
            self.end(job);
        }
    }

    fn wake_short(&mut self) {
        if self.memory.take_freed() {
            for id in std::mem::take(&mut self.short) {
                self.wake(id, Waits::Memory);
            }
        }
    }

    /// Whether something can be done at once.
    pub(crate) fn go_on(&mut self) -> bool {
        self.wake_short();
        !self.ready.is_empty()
    }

    /// Connections that have taken nothing of their answers for `ms`, while others wait for the
    /// memory.
    pub(crate) fn stuck(&self, now: netio::Instant, ms: u64) -> Vec<ConnId> {
        let stuck = |id: &AnswerId| {
            self.jobs.get(id).is_some_and(|job| {
                job.waits == Some(Waits::Output) && now.since(job.moved) > ms * 1_000_000
            })
        };
        if self.short.is_empty() {
            return Vec::new();
        }
        let stuck = self.by_conn.iter().filter(|(_, id)| stuck(id));
        stuck.map(|(conn, _)| *conn).collect()
    }

    /// Bytes that are written and have not left.
    pub fn memory_bytes(&self) -> usize {
        self.memory.used()
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

impl Shard {
    /// Answers with what `around` makes when the elements are written: they fill the first of its
    /// arrays that is empty.
    pub(crate) fn answer_in_portions<T: ApiMessage>(
        &mut self,
        pending: Pending,
        around: impl Fn() -> T + 'static,
        elements: impl Elements + 'static,
    ) -> Result<Stage, Error> {
        let id = self.answers.id();
        let mut job = Job::new(pending, around, elements);
        // Where answers wait for memory already, this one does too.
        if !self.answers.memory.is_short()
            && let Some(whole) = job.first(id, self)?
        {
            return Ok(Stage::Reply(whole));
        }
        self.answers.insert(id, job);
        Ok(Stage::Later)
    }

    /// As [`Self::answer_in_portions`], outside of a handler.
    pub(crate) fn finish_in_portions<T: ApiMessage>(
        &mut self,
        pending: Pending,
        around: impl Fn() -> T + 'static,
        elements: impl Elements + 'static,
    ) {
        let done = self.answer_in_portions(pending, around, elements);
        self.finish_stage(pending, done);
    }

    /// Sends what a handler would have given back.
    pub(crate) fn finish_stage(&mut self, pending: Pending, done: Result<Stage, Error>) {
        match done {
            Ok(Stage::Reply(answer)) => self.reply(pending.reply, answer),
            Ok(_) => {}
            Err(error) => self.fail_reply(pending, &error.to_string()),
        }
    }

    /// As [`Self::send`], of an answer that is there whole: a long one in parts, as the connection
    /// takes them.
    pub(crate) fn reply_in_parts(&mut self, pending: Pending, slices: Vec<Bytes>) {
        let ReplyTo::Session { conn, .. } = pending.reply else {
            return self.send(pending.reply, slices);
        };
        let bytes: usize = slices.iter().map(Bytes::len).sum();
        // Produce requests wait beside each other; and what Fetch sends is held by the cache.
        let others = matches!(pending.key, wire::ApiKey::Produce | wire::ApiKey::Fetch);
        if bytes <= PARTS_BYTES || others || self.sessions.get_mut(conn).is_none() {
            return self.send(pending.reply, slices);
        }
        let id = self.answers.id();
        let job = Job::whole(pending, slices, self);
        self.answers.insert(id, job);
    }

    /// What an answer's elements waited for has come.
    pub(crate) fn wake_answer(&mut self, id: AnswerId) {
        self.answers.wake(id, Waits::Elements);
    }

    /// The next portions of answers on their way, of each in turn.
    pub(crate) fn run_answers(&mut self) {
        self.answers.wake_short();
        let mut portions = PORTIONS_PER_TURN;
        while portions > 0
            && let Some(id) = self.answers.ready.pop_front()
        {
            let Some(mut job) = self.answers.jobs.remove(&id) else {
                continue;
            };
            portions -= 1;
            match job.step(id, self) {
                Ok(Next::Step) => {
                    self.answers.ready.push_back(id);
                    self.answers.jobs.insert(id, job);
                }
                Ok(Next::Wait(what)) => {
                    job.waits = Some(what);
                    if what == Waits::Memory {
                        self.answers.short.push_back(id);
                    }
                    self.answers.jobs.insert(id, job);
                }
                Ok(Next::End) => self.answers.end(job),
                Err(error) => {
                    self.fail_reply(job.pending, &error.to_string());
                    self.answers.end(job);
                }
            }
        }
    }
}
