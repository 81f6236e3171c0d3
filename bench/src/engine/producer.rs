//! One producing connection: what is due, what is being sent, what waits for its ack.

use std::collections::VecDeque;
use std::io::{self, Write};

use client::error::code_name;
use wire::produce::{ProduceRequest, ProduceResponse};
use wire::{ApiMessage, Decode, Reader, ResponseHeader};

use super::nats::{self, Message, PONG};
use super::socket::{Readable, Socket};
use super::tally::{Tally, Window};
use crate::clock::Nanos;
use crate::workload::Linger;
use crate::workload::frames::{Frame, Sequences, Stream};
use crate::workload::schedule::Schedule;

/// Frames up to this size are gathered and go out together; larger ones go out from where they are.
const GATHER_MAX: usize = 16 << 10;
/// So much is gathered at most.
const GATHERED_MAX: usize = 128 << 10;

/// A producing connection.
#[derive(Debug)]
pub struct Producer {
    pub socket: Socket,
    frames: Vec<Frame>,
    streams: Vec<Stream>,
    next_frame: usize,
    settings: Settings,
    schedule: Option<Schedule>,
    sequences: Sequences,
    /// Intended times of requests of which no byte has been sent.
    due: VecDeque<Nanos>,
    /// Small frames on their way out; `gathered[gathered_at..]` is left.
    gathered: Vec<u8>,
    gathered_at: usize,
    /// A large frame on its way out, and how far it is.
    large: Option<(Large, usize)>,
    in_flight: VecDeque<InFlight>,
    correlation_id: i32,
    /// epoll is asked to say when the socket takes more.
    pub wants_write: bool,
    /// Nothing more can come of it.
    pub dead: bool,
    /// A NATS server has asked whether we are there.
    pong: bool,
}

/// What all connections of a run have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub protocol: Protocol,
    pub acks: i16,
    /// 0 in an open loop: no limit.
    pub depth: usize,
    pub stamp: bool,
    pub idempotent: bool,
    pub linger: Option<Linger>,
}

impl Settings {
    /// Counts the latency of a request that was due at `intended`: once, or with linger for each of
    /// its records.
    fn late(&self, intended: Nanos, now: Nanos, records: u64, window: &Window, tally: &mut Tally) {
        let latency = now.saturating_sub(intended);
        let second = window.second(intended);
        let mut count = |latency| {
            tally.ack.record(latency);
            tally.ack_seconds.record_n(second, latency, 1);
        };
        match self.linger {
            None => count(latency),
            Some(linger) => linger.waits(records).for_each(|wait| count(latency + wait)),
        }
    }
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Kafka {
        /// Of Produce.
        version: i16,
    },
    /// To JetStream.
    Nats,
}

#[derive(Debug)]
enum Large {
    /// Sent from where it lies; nobody else needs it meanwhile.
    InPlace(usize),
    Rebuilt(Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
struct InFlight {
    correlation_id: i32,
    intended: Nanos,
    sent: Nanos,
    frame: usize,
    /// (stream, sequence number) of its first record; of stamped frames.
    first: Option<(u32, u64)>,
}

impl Producer {
    #[must_use]
    pub fn new(
        socket: Socket,
        frames: Vec<Frame>,
        streams: Vec<Stream>,
        settings: Settings,
        schedule: Option<Schedule>,
    ) -> Self {
        let sequences = Sequences { next: vec![0; streams.len()] };
        Self {
            socket,
            frames,
            streams,
            next_frame: 0,
            settings,
            schedule,
            sequences,
            due: VecDeque::new(),
            gathered: Vec::new(),
            gathered_at: 0,
            large: None,
            in_flight: VecDeque::new(),
            correlation_id: 0,
            wants_write: false,
            dead: false,
            pong: false,
        }
    }

    /// Makes the loop an open one.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = Some(schedule);
    }

    /// When the next request is due; `None` in a closed loop, and after the end.
    #[must_use]
    pub fn next_due(&self, window: &Window) -> Option<Nanos> {
        let next = self.schedule.as_ref()?.peek();
        (next < window.to && !self.dead).then_some(next)
    }

    /// True when nothing is due any more, on its way or waited for.
    #[must_use]
    pub fn is_finished(&self, window: &Window) -> bool {
        // A loop that was late may reach the end of the window with requests due that it has not
        // even queued.
        self.dead
            || (self.next_due(window).is_none()
                && self.due.is_empty()
                && self.in_flight.is_empty()
                && !self.is_sending())
    }

    fn is_sending(&self) -> bool {
        self.large.is_some() || self.gathered_at < self.gathered.len()
    }

    /// Queues all that is due: by the schedule, or up to the depth of a closed loop.
    pub fn enqueue_due(&mut self, now: Nanos, window: &Window, tally: &mut Tally) {
        match &mut self.schedule {
            Some(schedule) => {
                while schedule.peek() <= now && schedule.peek() < window.to {
                    self.due.push_back(schedule.peek());
                    tally.offered += u64::from(window.contains(schedule.peek()));
                    schedule.advance();
                }
            }
            None if now < window.to => {
                while self.in_flight.len() + self.due.len() < self.settings.depth {
                    self.due.push_back(now);
                    tally.offered += u64::from(window.contains(now));
                }
            }
            None => {}
        }
    }

    /// Sends as much as the socket takes.
    ///
    /// # Errors
    /// Those of the socket; the connection is then dead.
    pub fn send(&mut self, now: Nanos, window: &Window, tally: &mut Tally) -> io::Result<()> {
        self.wants_write = false;
        loop {
            if !self.is_sending() && !self.begin(now, window, tally) {
                return Ok(());
            }
            let written = if let Some((large, at)) = &mut self.large {
                let bytes = match large {
                    Large::InPlace(frame) => self.frames[*frame].bytes(),
                    Large::Rebuilt(bytes) => bytes,
                };
                let written = self.socket.stream().write(&bytes[*at..]);
                if let Ok(n) = written {
                    *at += n;
                    if *at == bytes.len() {
                        self.large = None;
                    }
                }
                written
            } else {
                let written = self.socket.stream().write(&self.gathered[self.gathered_at..]);
                self.gathered_at += written.as_ref().copied().unwrap_or(0);
                written
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.wants_write = true;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Prepares what goes out next; false if there is nothing.
    fn begin(&mut self, now: Nanos, window: &Window, tally: &mut Tally) -> bool {
        self.gathered.clear();
        self.gathered_at = 0;
        if std::mem::take(&mut self.pong) {
            self.gathered.extend_from_slice(PONG);
        }
        while let Some(&intended) = self.due.front() {
            if self.settings.depth > 0 && self.in_flight.len() >= self.settings.depth {
                break;
            }
            let index = self.next_frame;
            let after = (index + 1) % self.frames.len();
            let frame = &mut self.frames[index];
            let small = frame.bytes().len() <= GATHER_MAX;
            if !self.gathered.is_empty()
                && (!small || self.gathered.len() + frame.bytes().len() > GATHERED_MAX)
            {
                break;
            }
            self.due.pop_front();
            self.next_frame = after;
            self.correlation_id = self.correlation_id.wrapping_add(1);
            let id = self.correlation_id;
            let patches = (self.settings.stamp, self.settings.idempotent);
            let first = frame.first_stream().filter(|_| self.settings.stamp);
            let first = first.map(|s| (self.streams[s].id, self.sequences.next[s]));
            if frame.is_rebuilt() {
                let bytes = frame.rebuild(id, intended, &mut self.sequences);
                self.large = Some((Large::Rebuilt(bytes), 0));
            } else if small {
                let at = self.gathered.len();
                self.gathered.extend_from_slice(frame.bytes());
                frame.prepare(&mut self.gathered[at..], id, intended, &mut self.sequences, patches);
            } else {
                frame.prepare_in_place(id, intended, &mut self.sequences, patches);
                self.large = Some((Large::InPlace(index), 0));
            }
            let flight = InFlight { correlation_id: id, intended, sent: now, frame: index, first };
            if window.contains(intended) {
                tally.slip.record(now.saturating_sub(intended));
            }
            if self.settings.acks == 0 {
                // Nobody will answer: what was handed to the socket is done.
                self.complete(flight, now, window, tally);
            } else {
                self.in_flight.push_back(flight);
            }
            if self.large.is_some() {
                break;
            }
        }
        self.is_sending()
    }

    /// Takes the acks that have come; true if there was one.
    ///
    /// # Errors
    /// Those of the socket, or a response that is not the one that was due; the connection is then
    /// dead.
    pub fn receive(&mut self, now: Nanos, window: &Window, tally: &mut Tally) -> io::Result<bool> {
        let mut any = false;
        loop {
            let state = self.socket.read()?;
            while let Some(frame) = self.socket.frame()? {
                if self.settings.protocol == Protocol::Nats {
                    match nats::parse(frame) {
                        Message::Ack(..) => {}
                        Message::Ping => {
                            self.pong = true;
                            continue;
                        }
                        Message::Error(text) => return Err(io::Error::other(text.to_owned())),
                        Message::Other => continue,
                    }
                }
                let flight = self.in_flight.pop_front();
                let flight = flight.ok_or_else(|| io::Error::other("an ack for nothing"))?;
                let outcome = match self.settings.protocol {
                    Protocol::Kafka { version } => {
                        parse_ack(frame, version, flight.correlation_id)?.map(code_name)
                    }
                    Protocol::Nats => parse_nats_ack(frame, flight.correlation_id)?,
                };
                any = true;
                match outcome {
                    None => self.complete(flight, now, window, tally),
                    Some(what) => {
                        tally.progress.errors += 1;
                        tally.produce.error(what);
                    }
                }
            }
            match state {
                Readable::Drained => return Ok(any),
                Readable::Full => {}
                Readable::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    fn complete(&self, flight: InFlight, now: Nanos, window: &Window, tally: &mut Tally) {
        let frame = &self.frames[flight.frame];
        tally.progress.acked += frame.records;
        tally.progress.acked_bytes += frame.payload_bytes;
        if window.contains(now) {
            tally.produce.complete(
                window.second(now),
                frame.records,
                frame.payload_bytes,
                frame.bytes().len() as u64,
            );
        }
        let counts = window.contains(flight.intended);
        if let (Some(first), Some(wake_up)) = (flight.first, &mut tally.wake_up) {
            wake_up.acked(first, now, counts);
        }
        if counts {
            self.settings.late(flight.intended, now, frame.records, window, tally);
            tally.service.record(now.saturating_sub(flight.sent));
        }
        if self.settings.stamp {
            for (stream, records) in frame.streams() {
                let stream = self.streams[stream];
                *tally.acked.entry((stream.partition, stream.id)).or_default() += records;
            }
        }
    }

    /// What has no answer at the end is as late as it is by now, so that a broker which answers
    /// nothing does not look good.
    pub fn give_up(&mut self, now: Nanos, window: &Window, tally: &mut Tally) {
        let waiting = self.in_flight.iter().map(|f| f.intended).chain(self.due.iter().copied());
        let mut late = 0;
        let records = self.frames.first().map_or(1, |f| f.records);
        for intended in waiting.filter(|&at| window.contains(at)) {
            self.settings.late(intended, now, records, window, tally);
            late += 1;
        }
        // A dead connection keeps its schedule: all that it should have sent counts.
        if let Some(schedule) = &mut self.schedule {
            while schedule.peek() < window.to {
                let intended = schedule.peek();
                if window.contains(intended) {
                    tally.offered += 1;
                    self.settings.late(intended, now, records, window, tally);
                    late += 1;
                }
                schedule.advance();
            }
        }
        tally.unanswered += late;
        self.in_flight.clear();
        self.due.clear();
    }
}

/// What JetStream complains of, `None` if all went well.
fn parse_nats_ack(message: &[u8], number: i32) -> io::Result<Option<String>> {
    let Message::Ack(acked, body) = nats::parse(message) else {
        return Err(io::Error::other("no ack"));
    };
    if acked != number {
        return Err(io::Error::other(format!("an ack for {acked} where {number} was due")));
    }
    let text = String::from_utf8_lossy(body);
    Ok((text.contains("\"error\"") || !text.contains("\"seq\"")).then(|| text.trim().to_owned()))
}

/// The first error code in a response, `None` if all went well.
fn parse_ack(frame: &[u8], version: i16, correlation_id: i32) -> io::Result<Option<i16>> {
    let mut reader = Reader::new(frame);
    let header_version = <ProduceResponse<'_> as ApiMessage>::header_version(version);
    let header = ResponseHeader::decode(&mut reader, header_version).map_err(io::Error::other)?;
    if header.correlation_id != correlation_id {
        return Err(io::Error::other(format!(
            "an ack for request {} where {correlation_id} was due",
            header.correlation_id
        )));
    }
    let response: <ProduceRequest<'_> as wire::Request>::Response<'_> =
        wire::decode(reader.remaining(), version).map_err(io::Error::other)?;
    let mut parts = response.responses.iter().flat_map(|t| &t.partition_responses);
    Ok(parts.find(|p| p.error_code != 0).map(|p| p.error_code))
}
