//! Connections of a core.
//!
//! A connection at rest holds no receive buffer: small requests arrive in provided buffers (multishot), large bodies are
//! received in one shot into the connection's own buffer. Output is an ordered queue of slices with a bound.
use bytes::Bytes;

/// A connection of this core: slot and generation, so that a late event never reaches the next connection in the slot.
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

/// The unconsumed input of a connection, taken by [`crate::Io::take`] and given back by [`crate::Io::put_back`].
#[derive(Debug)]
pub struct Received;

impl Received {
    /// All bytes that have arrived and were not consumed.
    pub fn bytes(&self) -> &[u8] {
        todo!()
    }
}

/// Output of one connection: small pieces are copied together, large ones are passed by reference.
#[derive(Debug, Default)]
pub struct Output {
    pub slices: Vec<Bytes>,
}
