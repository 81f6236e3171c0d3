//! One consuming connection: one fetch in flight, sent again as soon as its response is read.

use std::io::{self, Write};

use client::error::code_name;
use record::{Offset, TopicId};
use wire::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use wire::{ApiMessage, Decode, Reader, Records, ResponseHeader};

use super::check::Checker;
use super::socket::{Readable, Socket};
use super::tally::{Tally, Window};
use crate::clock::Nanos;
use crate::workload::{Consume, Linger};

/// Kafka's FETCH_SESSION_ID_NOT_FOUND and INVALID_FETCH_SESSION_EPOCH.
const SESSION_NOT_FOUND: i16 = 70;
const SESSION_EPOCH: i16 = 71;

/// A consuming connection.
#[derive(Debug)]
pub struct Fetcher {
    pub socket: Socket,
    settings: Settings,
    partitions: Vec<Position>,
    pub checker: Checker,
    /// A request on its way out, and how far it is.
    out: (Vec<u8>, usize),
    correlation_id: i32,
    sent: Nanos,
    /// The partition that is asked first: brokers fill a response in the order asked.
    turn: usize,
    session: Session,
    pub wants_write: bool,
    pub dead: bool,
}

/// What all connections of a run have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    pub topic: String,
    pub topic_id: TopicId,
    /// Version of Fetch.
    pub version: i16,
    pub client_id: String,
    pub consume: Consume,
    pub linger: Option<Linger>,
}

/// Where a partition is read.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    pub partition: i32,
    pub offset: Offset,
    /// Reading goes back to `start` here.
    pub wrap_at: Option<Offset>,
    pub start: Offset,
    /// The offset that the broker's fetch session has for it.
    pub told: Option<Offset>,
}

/// The broker's memory of what this connection fetches (KIP-227).
#[derive(Debug, Clone, Copy, Default)]
struct Session {
    /// 0: none yet.
    id: i32,
    /// Of the next fetch; 0 asks for a new session.
    epoch: i32,
}

impl Fetcher {
    #[must_use]
    pub fn new(
        socket: Socket,
        settings: Settings,
        partitions: Vec<Position>,
        checker: Checker,
    ) -> Self {
        Self {
            socket,
            settings,
            partitions,
            checker,
            out: (Vec::new(), 0),
            correlation_id: 0,
            sent: 0,
            turn: 0,
            session: Session::default(),
            wants_write: false,
            dead: false,
        }
    }

    /// Starts the next fetch.
    ///
    /// # Errors
    /// Those of the socket; the connection is then dead.
    pub fn fetch(&mut self, now: Nanos) -> io::Result<()> {
        let consume = &self.settings.consume;
        let count = self.partitions.len();
        let whole = !consume.session || self.session.epoch == 0;
        let mut partitions = Vec::new();
        for n in 0..count {
            let position = &mut self.partitions[(self.turn + n) % count];
            if !whole && position.told == Some(position.offset) {
                continue;
            }
            position.told = Some(position.offset);
            partitions.push(FetchPartition {
                partition: position.partition,
                fetch_offset: position.offset.0,
                partition_max_bytes: consume.partition_max_bytes,
                ..Default::default()
            });
        }
        let topic = FetchTopic {
            topic: self.settings.topic.as_str().into(),
            topic_id: self.settings.topic_id,
            partitions,
        };
        let request = FetchRequest {
            max_wait_ms: consume.max_wait_ms,
            min_bytes: consume.min_bytes,
            max_bytes: consume.max_bytes,
            session_id: self.session.id,
            session_epoch: if consume.session { self.session.epoch } else { -1 },
            topics: if topic.partitions.is_empty() { Vec::new() } else { vec![topic] },
            ..Default::default()
        };
        self.turn = (self.turn + 1) % count;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let slices = wire::encode_request(
            &request,
            self.correlation_id,
            Some(&self.settings.client_id),
            self.settings.version,
        )
        .map_err(io::Error::other)?;
        self.out = (slices.concat(), 0);
        self.sent = now;
        self.send()
    }

    /// Sends what is left of the request.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn send(&mut self) -> io::Result<()> {
        self.wants_write = false;
        while self.out.1 < self.out.0.len() {
            match self.socket.stream().write(&self.out.0[self.out.1..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.out.1 += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.wants_write = true;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads; returns whether a response was complete, so that the next fetch can go.
    ///
    /// # Errors
    /// Those of the socket, or a response that is not the one that was due.
    pub fn receive(&mut self, now: Nanos, window: &Window, tally: &mut Tally) -> io::Result<bool> {
        loop {
            let state = self.socket.read()?;
            if let Some(frame) = self.socket.frame()? {
                Reading {
                    settings: &self.settings,
                    partitions: &mut self.partitions,
                    checker: &mut self.checker,
                    session: &mut self.session,
                    now,
                    window,
                    tally,
                }
                .response(frame, self.correlation_id)?;
                if window.contains(now) {
                    tally.fetch.record(now.saturating_sub(self.sent));
                }
                return Ok(true);
            }
            match state {
                Readable::Drained => return Ok(false),
                Readable::Full => {}
                Readable::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Everything but the socket, which the response borrows from.
struct Reading<'a> {
    settings: &'a Settings,
    partitions: &'a mut [Position],
    checker: &'a mut Checker,
    session: &'a mut Session,
    now: Nanos,
    window: &'a Window,
    tally: &'a mut Tally,
}

impl Reading<'_> {
    fn response(&mut self, frame: &[u8], correlation_id: i32) -> io::Result<()> {
        let version = self.settings.version;
        let mut reader = Reader::new(frame);
        let header_version = <FetchResponse<'_> as ApiMessage>::header_version(version);
        let header =
            ResponseHeader::decode(&mut reader, header_version).map_err(io::Error::other)?;
        if header.correlation_id != correlation_id {
            return Err(io::Error::other("a response to another fetch"));
        }
        let response: FetchResponse<'_> =
            wire::decode(reader.remaining(), version).map_err(io::Error::other)?;
        if matches!(response.error_code, SESSION_NOT_FOUND | SESSION_EPOCH) {
            // Brokers forget sessions when they have too many: a whole fetch makes a new one.
            *self.session = Session::default();
            return Ok(());
        }
        *self.session = match response.session_id {
            0 => Session::default(),
            id => Session {
                id,
                // Goes around to 1: 0 would ask for a new session.
                epoch: self.session.epoch.checked_add(1).unwrap_or(1),
            },
        };
        if response.error_code != 0 {
            self.error(code_name(response.error_code));
            return Ok(());
        }
        let (mut records, mut bytes) = (0, 0);
        for part in response.responses.iter().flat_map(|t| &t.partitions) {
            if part.error_code != 0 {
                self.error(code_name(part.error_code));
                continue;
            }
            let Some(position) =
                self.partitions.iter_mut().find(|p| p.partition == part.partition_index)
            else {
                self.error("a partition that was not asked for".to_owned());
                continue;
            };
            let data = part.records.as_ref().map(Records::contiguous).unwrap_or_default();
            if data.is_empty() {
                continue;
            }
            let (now, window, tally) = (self.now, self.window, &mut *self.tally);
            let linger = self.settings.linger;
            let content =
                self.checker.check(position.partition, position.offset, &data, |first, count| {
                    let intended = first.intended;
                    let counts = window.contains(intended);
                    if let Some(wake_up) = &mut tally.wake_up {
                        wake_up.read((first.stream, first.sequence), now, counts);
                    }
                    if window.contains(intended) {
                        let latency = now.saturating_sub(intended);
                        let second = window.second(intended);
                        let mut late = |latency, count| {
                            tally.end_to_end.record_n(latency, count);
                            tally.end_to_end_seconds.record_n(second, latency, count);
                        };
                        match linger {
                            None => late(latency, count),
                            Some(linger) => {
                                linger.waits(count).for_each(|wait| late(latency + wait, 1))
                            }
                        }
                    }
                });
            position.offset = content.next_offset;
            if position.wrap_at.is_some_and(|end| position.offset >= end) {
                position.offset = position.start;
                self.checker.restart(position.partition);
            }
            records += content.records;
            bytes += content.bytes;
        }
        self.tally.progress.read += records;
        self.tally.progress.read_bytes += bytes;
        if self.window.contains(self.now) {
            let second = self.window.second(self.now);
            let wire_bytes = frame.len() as u64;
            self.tally.consume.complete(second, records, bytes, wire_bytes);
        }
        Ok(())
    }

    fn error(&mut self, what: String) {
        self.tally.progress.errors += 1;
        self.tally.consume.error(what);
    }
}
