//! A connection: what is kept of it between its bytes.
//!
//! * [`receive`]   its bytes, and for what they wait; [`admission`] the bounds of a core's
//!   connections.
//! * [`admit`]     a whole frame becomes a request.
//! * [`answer`]    how every answer leaves; [`order`] in which order.
//! * [`named`]     how a log line names a client.
pub mod admission;
pub mod admit;
pub mod answer;
pub mod named;
pub mod order;
pub mod receive;

use crate::core::request::Held;
use admission::Reserved;
use netio::{ConnId, Instant};
use order::Order;
use std::net::IpAddr;

/// A connection of this core.
#[derive(Debug)]
pub struct Session {
    pub conn: ConnId,
    pub host: IpAddr,
    pub order: Order,
    pub held: Option<Held>,
    /// What its unfinished frame has of the core's request memory.
    pub reserved: Reserved,
    /// Since when its next request has been held.
    pub waits_since: Option<Instant>,
    /// When the last bytes came or went, as far as was looked.
    pub active: Instant,
    /// Bytes that waited in it and out of it at the last look. Any change is activity.
    pub in_transit: (usize, usize),
    /// When the unfinished frame began, and whether its length is known.
    pub partial: Option<(Instant, bool)>,
    /// Name and version of the client's software, as it says in ApiVersions (KIP-511); bounded, and
    /// safe to log.
    pub software: Option<Box<str>>,
    /// The last fetch that it began, if any: it may be over.
    pub fetch: Option<u64>,
    /// Its peer sends no more: it ends when all that came is answered.
    pub finished: bool,
    /// It ends after the answers that are due: nothing more is read.
    pub ending: bool,
    /// It is being closed: nothing more is read or answered.
    pub closing: bool,
}

impl Session {
    pub fn new(conn: ConnId, host: IpAddr, now: Instant) -> Self {
        Self {
            conn,
            host,
            order: Order::default(),
            held: None,
            reserved: Reserved::default(),
            waits_since: None,
            active: now,
            in_transit: (0, 0),
            partial: None,
            software: None,
            fetch: None,
            finished: false,
            ending: false,
            closing: false,
        }
    }
}

/// The connections of a core, by the slot of their id.
#[derive(Debug, Default)]
pub struct Sessions {
    by_slot: Vec<Option<Session>>,
    len: usize,
}

impl Sessions {
    pub fn insert(&mut self, session: Session) {
        let at = session.conn.slot as usize;
        if self.by_slot.len() <= at {
            self.by_slot.resize_with(at + 1, || None);
        }
        assert!(self.by_slot[at].is_none(), "{:?} takes a slot in use", session.conn);
        self.by_slot[at] = Some(session);
        self.len += 1;
    }

    pub fn remove(&mut self, conn: ConnId) -> Option<Session> {
        let place = self.by_slot.get_mut(conn.slot as usize)?;
        if place.as_ref()?.conn != conn {
            return None;
        }
        self.len -= 1;
        place.take()
    }

    /// `None` when the connection has gone, also if its slot has another one now.
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.by_slot.get_mut(conn.slot as usize)?.as_mut().filter(|s| s.conn == conn)
    }

    /// Whether every request of the connection that was taken has been answered.
    pub fn is_answered(&mut self, conn: ConnId) -> bool {
        self.get_mut(conn).is_none_or(|s| s.order.is_empty())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.by_slot.iter_mut().flatten()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_slot.iter().flatten()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Connections that wait for memory: those whose frame has some first, then by how long they
    /// have waited.
    pub fn short_of_memory(&self) -> Vec<ConnId> {
        let waiting = self.iter().filter(|s| s.held == Some(Held::Memory));
        let mut waiting: Vec<_> =
            waiting.map(|s| (s.reserved.is_none(), s.waits_since, s.conn)).collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|w| w.2).collect()
    }

    /// Connections that are held for this reason.
    pub fn held(&self, why: Held) -> Vec<ConnId> {
        self.iter().filter(|s| s.held == Some(why)).map(|s| s.conn).collect()
    }
}
