//! One answer on its way: what of it is written, what has left, what it waits for.
use super::{
    AnswerId, Elements, Portion, Progress,
    memory::{Held, STREAM_BYTES},
    portion::PORTION_BYTES,
};
use crate::{
    core::request::{Answer, Pending, ReplyTo},
    shard::Shard,
};
use bytes::Bytes;
use netio::Instant;
use std::collections::VecDeque;
use wire::{ApiMessage, Around, Error};

/// An answer of which more is written is not kept, if it can be written again.
const WHOLE_BYTES: usize = 256 << 10;

/// The frame around so many elements of so many bytes: what stands before them, and behind.
type Frame = Box<dyn Fn(&Pending, usize, usize) -> Result<Around, Error>>;

/// What has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Elements are written and kept.
    Write,
    /// Elements are written to learn their length.
    Measure,
    /// The length is known, and nothing has left.
    Measured,
    /// Parts of the frame leave.
    Send,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Elements,
    Memory,
    /// Its connection to take more.
    Output,
}

/// What comes after a step.
#[derive(Debug)]
pub(super) enum Next {
    Step,
    Wait(Waits),
    End,
}

pub(super) struct Job {
    pub(super) pending: Pending,
    frame: Frame,
    /// None when there is none left to write.
    elements: Option<Box<dyn Elements>>,
    phase: Phase,
    /// Of the elements that were written or measured.
    count: usize,
    bytes: usize,
    /// Error codes in them, and how often each is said.
    errors: Vec<(i16, u32)>,
    element: &'static str,
    /// Written and not sent.
    parts: VecDeque<Bytes>,
    /// What stands behind the elements that are still to be written.
    tail: Bytes,
    /// Bytes of the frame that have not left.
    unsent: usize,
    pub(super) held: Held,
    pub(super) waits: Option<Waits>,
    /// When something of it left.
    pub(super) moved: Instant,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("pending", &self.pending)
            .field("phase", &self.phase)
            .field("waits", &self.waits)
            .finish_non_exhaustive()
    }
}

impl Job {
    pub(super) fn new<T: ApiMessage>(
        pending: Pending,
        around: impl Fn() -> T + 'static,
        elements: impl Elements + 'static,
    ) -> Self {
        let frame = move |to: &Pending, count, bytes| {
            let (id, version) = (to.correlation_id, to.version);
            wire::encode_response_around(&around(), id, version, count, bytes)
        };
        Self {
            pending,
            frame: Box::new(frame),
            elements: Some(Box::new(elements)),
            phase: Phase::Write,
            count: 0,
            bytes: 0,
            errors: Vec::new(),
            element: "",
            parts: VecDeque::new(),
            tail: Bytes::new(),
            unsent: 0,
            held: Held::default(),
            waits: None,
            moved: pending.at,
        }
    }

    /// An answer that is there whole, to leave part by part.
    pub(super) fn whole(pending: Pending, parts: Vec<Bytes>, shard: &mut Shard) -> Self {
        let unsent = parts.iter().map(Bytes::len).sum();
        let mut held = Held::default();
        shard.answers.memory.hold(&mut held, unsent);
        Self {
            pending,
            frame: Box::new(|_, _, _| unreachable!("the frame is there")),
            elements: None,
            phase: Phase::Send,
            count: 0,
            bytes: 0,
            errors: Vec::new(),
            element: "",
            parts: parts.into(),
            tail: Bytes::new(),
            unsent,
            held,
            waits: None,
            moved: shard.now,
        }
    }

    /// Writes one portion, or sends one part.
    pub(super) fn step(&mut self, id: AnswerId, shard: &mut Shard) -> Result<Next, Error> {
        match self.phase {
            Phase::Write => self.write(id, shard),
            Phase::Measure => self.measure(id, shard),
            Phase::Measured => self.begin_stream(shard),
            Phase::Send => self.send(id, shard),
        }
    }

    /// What the handler does: a portion, which is all there is of most answers. Then they are
    /// returned.
    pub(super) fn first(
        &mut self,
        id: AnswerId,
        shard: &mut Shard,
    ) -> Result<Option<Answer>, Error> {
        let (progress, part) = self.portion(id, shard)?;
        match progress {
            Progress::Done => {
                let Around { head, tail, .. } = self.around()?;
                // One slice makes one operation of the kernel.
                let frame = [&head[..], &part, &tail].concat();
                return Ok(Some(Answer {
                    key: self.pending.key,
                    slices: vec![frame.into()],
                    errors: std::mem::take(&mut self.errors),
                }));
            }
            Progress::Wait => self.waits = Some(Waits::Elements),
            Progress::More => {}
            Progress::Again => {
                self.forget();
                return Ok(None);
            }
        }
        self.keep(part, shard);
        Ok(None)
    }

    fn portion(&mut self, id: AnswerId, shard: &mut Shard) -> Result<(Progress, Bytes), Error> {
        let Some(elements) = &mut self.elements else {
            return Ok((Progress::Done, Bytes::new()));
        };
        let mut portion = Portion::new(id, self.pending.version);
        let progress = elements.write(shard, &mut portion)?;
        let written = portion.finish();
        if written.count > 0 {
            self.element = written.element;
        }
        // What is written a second time was counted the first time.
        if self.phase != Phase::Send {
            self.count += written.count;
            self.bytes += written.bytes.len();
            self.note_errors(written.errors);
        }
        Ok((progress, written.bytes))
    }

    fn note_errors(&mut self, errors: Vec<(i16, u32)>) {
        for (code, times) in errors {
            match self.errors.iter_mut().find(|(known, _)| *known == code) {
                Some((_, known)) => *known += times,
                None => self.errors.push((code, times)),
            }
        }
    }

    fn forget(&mut self) {
        (self.count, self.bytes) = (0, 0);
        self.errors.clear();
    }

    /// The frame around all elements. With it every error of the answer is known.
    fn around(&mut self) -> Result<Around, Error> {
        let mut around = (self.frame)(&self.pending, self.count, self.bytes)?;
        debug_assert!(
            self.count == 0 || self.element == around.element,
            "{} in an array of {}",
            self.element,
            around.element
        );
        self.note_errors(std::mem::take(&mut around.errors));
        Ok(around)
    }

    /// Counts what the answer says, once, as [`Shard::reply`] does.
    fn count_errors(&mut self, shard: &mut Shard) {
        for (code, times) in self.errors.drain(..) {
            shard.stats.error(self.pending.key, code, times);
        }
    }

    fn keep(&mut self, part: Bytes, shard: &mut Shard) {
        if !part.is_empty() {
            shard.answers.memory.hold(&mut self.held, part.len());
            self.parts.push_back(part);
        }
    }

    fn write(&mut self, id: AnswerId, shard: &mut Shard) -> Result<Next, Error> {
        if !shard.answers.memory.admits(&mut self.held, PORTION_BYTES) {
            return Ok(Next::Wait(Waits::Memory));
        }
        let (progress, part) = self.portion(id, shard)?;
        self.keep(part, shard);
        match progress {
            Progress::Wait => return Ok(Next::Wait(Waits::Elements)),
            Progress::Again => {
                self.drop_parts(shard);
                self.forget();
                return Ok(Next::Step);
            }
            Progress::More => {
                let to_session = matches!(self.pending.reply, ReplyTo::Session { .. });
                if self.bytes > WHOLE_BYTES && to_session && self.rewind() {
                    self.drop_parts(shard);
                    self.forget();
                    self.phase = Phase::Measure;
                }
                return Ok(Next::Step);
            }
            Progress::Done => {}
        }
        self.elements = None;
        let Around { head, tail, .. } = self.around()?;
        self.count_errors(shard);
        self.unsent = head.len() + self.bytes + tail.len();
        shard.answers.memory.hold(&mut self.held, head.len() + tail.len());
        self.parts.push_front(head.into());
        if !tail.is_empty() {
            self.parts.push_back(tail.into());
        }
        if let ReplyTo::Core { .. } = self.pending.reply {
            shard.send(self.pending.reply, std::mem::take(&mut self.parts).into());
            return Ok(Next::End);
        }
        self.phase = Phase::Send;
        Ok(Next::Step)
    }

    fn rewind(&mut self) -> bool {
        self.elements.as_mut().is_some_and(|e| e.rewind())
    }

    fn drop_parts(&mut self, shard: &mut Shard) {
        let bytes = self.parts.drain(..).map(|part| part.len()).sum();
        shard.answers.memory.give_back(&mut self.held, bytes);
    }

    fn measure(&mut self, id: AnswerId, shard: &mut Shard) -> Result<Next, Error> {
        match self.portion(id, shard)?.0 {
            Progress::Done => self.phase = Phase::Measured,
            Progress::More => {}
            Progress::Wait => return Ok(Next::Wait(Waits::Elements)),
            Progress::Again => unreachable!("elements that last begin again"),
        }
        Ok(Next::Step)
    }

    fn begin_stream(&mut self, shard: &mut Shard) -> Result<Next, Error> {
        if !shard.answers.memory.admits(&mut self.held, STREAM_BYTES) {
            return Ok(Next::Wait(Waits::Memory));
        }
        shard.answers.memory.hold(&mut self.held, STREAM_BYTES);
        let Around { head, tail, .. } = self.around()?;
        self.count_errors(shard);
        self.unsent = head.len() + self.bytes + tail.len();
        assert!(self.rewind(), "elements that could be measured");
        self.parts.push_back(head.into());
        self.tail = tail.into();
        self.phase = Phase::Send;
        Ok(Next::Step)
    }

    fn send(&mut self, id: AnswerId, shard: &mut Shard) -> Result<Next, Error> {
        let ReplyTo::Session { conn, seq } = self.pending.reply else {
            unreachable!("{:?} is sent by parts", self.pending)
        };
        if shard.io.is_congested(conn) {
            return Ok(Next::Wait(Waits::Output));
        }
        let (part, kept) = match self.parts.pop_front() {
            // The head of one that is written as it leaves is not counted.
            Some(part) => (part, self.elements.is_none()),
            None => {
                let (progress, part) = self.portion(id, shard)?;
                match progress {
                    Progress::More => {}
                    Progress::Wait => return Ok(Next::Wait(Waits::Elements)),
                    Progress::Again => unreachable!("elements that last begin again"),
                    Progress::Done => {
                        self.elements = None;
                        let tail = std::mem::take(&mut self.tail);
                        shard.answers.memory.hold(&mut self.held, tail.len());
                        self.parts.push_back(tail);
                    }
                }
                (part, false)
            }
        };
        if kept {
            shard.answers.memory.give_back(&mut self.held, part.len());
        }
        self.moved = shard.now;
        let is_last = self.elements.is_none() && self.parts.is_empty();
        // What was said in front of the frame must come, or nothing behind it would be understood.
        if part.len() > self.unsent || (is_last && part.len() != self.unsent) {
            return Err(Error::Misuse {
                field: "an answer's elements",
                version: self.pending.version,
                problem: "not as long as they were measured",
            });
        }
        self.unsent -= part.len();
        if is_last {
            shard.send(self.pending.reply, vec![part]);
            return Ok(Next::End);
        }
        Ok(match shard.send_part(conn, seq, part) {
            true => Next::Step,
            false => Next::End,
        })
    }
}
