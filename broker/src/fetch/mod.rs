//! Fetches: what a request asks for, rounds of looking, waiting for news, one answer.
//!
//! A fetch lives on the core of its connection ([`op`]). In each round every core that owns some of
//! its partitions looks once ([`serve`]): this core directly, others by a message. If the bytes are
//! too few, the fetch watches its partitions and looks again when one of them advances, or answers
//! when its time is over. Sessions (KIP-227) are in [`session`].
mod count;
pub mod op;
pub mod serve;
pub mod session;

use hashbrown::HashMap;
use op::FetchOp;
use serve::Serving;

type Hasher = foldhash::fast::FixedState;

/// Fetches of a core: of its own connections, and what it looks up now for itself and for others.
#[derive(Debug, Default)]
pub struct FetchOps {
    next: u64,
    ops: HashMap<u64, FetchOp, Hasher>,
    /// Woken since the last settle, each once.
    woken: Vec<u64>,
    next_serving: u64,
    serving: HashMap<u64, Serving, Hasher>,
    /// Reads from disk: which look-up waits for the token, and for which of its partitions.
    reads: HashMap<u64, (u64, usize), Hasher>,
}

impl FetchOps {
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}
