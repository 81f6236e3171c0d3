//! Connections of a core.
//!
//! A connection at rest holds no receive buffer: small requests arrive in provided buffers
//! (multishot), large bodies are received in one shot into the connection's own buffer. Output is
//! an ordered queue of slices with a bound.
//!
//! * [`input`]  the bytes that arrived and were not consumed, in a provided buffer or in memory of
//!   their own.
//! * [`output`] the bytes to send, and how they are gathered into one send.
//! * `spare`    large receive buffers between two connections.
//! * `conn`     a connection's states, and what each completion does to it.
//! * `linger`   the end of a connection that is closed in order.
//! * `listen`   listeners: accepting, and the limit of connections.
pub(crate) mod conn;
pub mod input;
mod linger;
mod listen;
pub mod output;
mod spare;

use crate::{clock::Instant, options::Options, stats::Stats};
pub use input::Received;
use std::{cell::Cell, net::SocketAddr, rc::Rc};

/// A connection of this core: slot and generation, so that a late event never reaches the next
/// connection in the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub slot: u32,
    pub generation: u32,
}

/// A listening socket of this core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed or reset it.
    Peer,
    /// We closed it.
    Local,
    /// connect or a socket operation failed with this errno.
    Error(i32),
}

/// The connections and listeners of a core.
pub(crate) struct Net {
    entries: Vec<Entry>,
    free: Vec<u32>,
    pub(crate) listeners: Vec<listen::Listener>,
    connections_max: usize,
    pub(crate) high_bytes: usize,
    pub(crate) low_bytes: usize,
    /// Connections with output that no send is in flight for.
    pub(crate) dirty: Vec<ConnId>,
    /// Connections whose `Readable` has not been followed by the end of a turn.
    pub(crate) notified: Vec<ConnId>,
    /// Connections whose `Closed` has not been followed by the end of a turn: until then their
    /// input can still be taken.
    pub(crate) dead: Vec<ConnId>,
    /// Connections with a large receive buffer.
    pub(crate) large: Vec<ConnId>,
    pub(crate) sweeping: bool,
    pub(crate) spare: Rc<spare::Spare>,
    /// Output of all connections that the kernel has not taken.
    pub(crate) queued: Rc<Cell<usize>>,
}

struct Entry {
    generation: u32,
    conn: Option<Box<conn::Conn>>,
}

impl Net {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            entries: Vec::new(),
            spare: Rc::default(),
            queued: Rc::default(),
            free: Vec::new(),
            listeners: Vec::new(),
            connections_max: options.connections_max,
            high_bytes: options.output_high_bytes,
            low_bytes: options.output_low_bytes,
            dirty: Vec::new(),
            notified: Vec::new(),
            dead: Vec::new(),
            large: Vec::new(),
            sweeping: false,
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.connections_max
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, peer: SocketAddr, now: Instant) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry { generation: 0, conn: None });
            (self.entries.len() - 1) as u32
        });
        let entry = &mut self.entries[slot as usize];
        entry.conn = Some(Box::new(conn::Conn::new(peer, now, self.queued.clone())));
        ConnId { slot, generation: entry.generation }
    }

    pub(crate) fn get(&self, id: ConnId) -> Option<&conn::Conn> {
        self.entries
            .get(id.slot as usize)
            .filter(|entry| entry.generation == id.generation)?
            .conn
            .as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut conn::Conn> {
        self.entries
            .get_mut(id.slot as usize)
            .filter(|entry| entry.generation == id.generation)?
            .conn
            .as_deref_mut()
    }

    pub(crate) fn remove(&mut self, id: ConnId) {
        let Some(entry) = self
            .entries
            .get_mut(id.slot as usize)
            .filter(|entry| entry.generation == id.generation)
        else {
            return;
        };
        if let Some(conn) = entry.conn.take() {
            conn.give_up(&self.spare);
        }
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
    }

    pub(crate) fn count(&self, stats: &mut Stats) {
        for conn in self.entries.iter().filter_map(|entry| entry.conn.as_deref()) {
            stats.connections += u64::from(!conn.ended);
            stats.receive_buffer_bytes += conn.receive_buffer_bytes() as u64;
            stats.output_bytes += conn.output_bytes() as u64;
        }
        stats.spare_buffer_bytes = self.spare.bytes() as u64;
    }

    /// Connections that have ended, whose sockets have not.
    pub(crate) fn lingering(&self) -> Vec<ConnId> {
        self.ids(conn::Conn::is_lingering)
    }

    /// All connections that have not ended.
    pub(crate) fn open(&self) -> Vec<ConnId> {
        self.ids(|conn| !conn.ended)
    }

    fn ids(&self, which: impl Fn(&conn::Conn) -> bool) -> Vec<ConnId> {
        let entries = self.entries.iter().enumerate();
        entries
            .filter(|(_, entry)| entry.conn.as_deref().is_some_and(&which))
            .map(|(slot, entry)| ConnId { slot: slot as u32, generation: entry.generation })
            .collect()
    }
}
