//! Answers that may be long: written in portions, over as many turns as they take, so that no
//! request holds its core, and nobody's answers hold its memory (decision 0010).
//!
//! An answer is what its API encodes around one array, and the [`Elements`] of that array. Most are
//! written whole in the handler, in one portion. The rest is a job ([`job`]): each turn writes one
//! portion of one of them ([`run`]).
//!
//! ```text
//! Elements that last    measured first, for the frame begins with its length; then written again as the connection takes them
//! all others            kept as they are written, within the core's bound; sent as the connection takes them
//! ```
//! In reading order:
//! * [`portion`]   where elements are written to.
//! * [`mod@concat`] answers of several cores.
//! * [`distinct`]  names that a request repeats.
//! * [`job`]       one answer on its way.
//! * [`memory`]    what all of them may hold.
//! * [`run`]       whose turn it is.
pub(crate) mod concat;
pub mod distinct;
mod job;
mod memory;
mod portion;
mod run;

pub(crate) use portion::Portion;
pub use run::Answers;

use crate::shard::Shard;

/// A name as a message repeats it: what is longer than any topic's is cut. A message cannot hold
/// all names that a request can.
pub(crate) fn shown(name: &str) -> &str {
    const SHOWN_BYTES: usize = 249;
    &name[..name.floor_char_boundary(SHOWN_BYTES)]
}

/// Number of an answer on its way, for [`Shard::wake_answer`].
pub type AnswerId = u64;

/// How far a call of [`Elements::write`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The portion is full; there is more.
    More,
    /// Nothing is left.
    Done,
    /// What comes next is not there yet: [`Shard::wake_answer`] will say so.
    Wait,
    /// What was written is no longer true: it begins again. Not where [`Elements::rewind`] is true.
    Again,
}

/// The elements of an answer's array, in order.
pub(crate) trait Elements {
    /// Writes the next, until the portion is full.
    ///
    /// # Errors
    /// The version cannot carry an element, which is our mistake: the connection is closed.
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error>;

    /// Begins again with the first: the same bytes come, whatever has changed in the meantime.
    /// False where that cannot be promised, before anything is done.
    fn rewind(&mut self) -> bool {
        false
    }
}

/// Elements by their number. What they are written from does not change: the same bytes come each
/// time.
pub(crate) struct Rows<W> {
    count: usize,
    at: usize,
    write: W,
}

impl<W: Fn(usize, &mut Portion) -> Result<(), wire::Error>> Rows<W> {
    /// `write` writes one of `count`.
    pub(crate) fn new(count: usize, write: W) -> Self {
        Self { count, at: 0, write }
    }
}

impl<W: Fn(usize, &mut Portion) -> Result<(), wire::Error>> Elements for Rows<W> {
    fn write(&mut self, _: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while self.at < self.count {
            if out.is_full() {
                return Ok(Progress::More);
            }
            (self.write)(self.at, out)?;
            self.at += 1;
        }
        Ok(Progress::Done)
    }

    fn rewind(&mut self) -> bool {
        self.at = 0;
        true
    }
}
