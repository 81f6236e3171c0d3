//! [`DiskLog`]: the segments of one partition, in Kafka's own files.
//!
//! Behind the write-ahead log: what it gets has been validated, has its offsets, and is durable
//! elsewhere until [`DiskLog::flush`] returns. What was flushed is on the device. Reads go to the
//! device with direct I/O and check every batch.
//!
//! ```text
//! closed segments, sealed                       active segment
//! [0..................)[1500..................)[3000........................|zeros]
//!       ^ log_start                                  ^ synced      ^ flushed
//! ```
//! * A closed segment is exactly its content, with whole indexes and a [seal](crate::seal): Kafka's
//!   tools read it at any time.
//! * The active one may have zeros behind its content (space taken in advance). Its newest index
//!   entries are in memory only, up to [`PENDING_MAX`] of them: they follow from the batches, so
//!   after a crash they are made again from the few batches behind `synced`, and a flush needs one
//!   sync instead of three.
//! * What a checkpoint keeps of a log is [`FlushedState`]; bytes behind its position are not
//!   trusted when it is opened again.
//! * Damage is fenced: a batch that fails its checks is never returned and never cut off;
//!   [`crate::ReadError::Damaged`] names where reading can go on.
//!
//! Methods take `&self` and may run at the same time on their core; those that change files wait
//! for each other. In files: `open` (create, open, close), `flush` (write, roll), `closed` (seals,
//! rebuilt indexes), `read`, `time`, `shrink` (retention, truncation, removal).
mod chain;
mod closed;
mod flush;
mod open;
mod read;
mod scan;
mod shrink;
mod time;

use crate::{
    error::Error,
    files::Disk,
    ids::LogId,
    index::{OffsetEntry, TimeEntry},
    leader_epoch::EpochHistory,
    lock::Lock,
    options::LogConfig,
    producer_state::ProducerStates,
    retention::SegmentView,
    seal::Seal,
    segment::{
        facts::{FACTS_BYTES, Facts},
        tail::Tail,
    },
};
use record::Offset;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

pub use chain::Chain;
pub use open::OpenReport;

/// Index entries in memory that start their writing.
pub const PENDING_MAX: usize = 256;
/// Places remembered where a read ended and the next may begin.
const CURSORS: usize = 4;

/// What a checkpoint holds of a log; made by [`DiskLog::state`], given back to [`DiskLog::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushedState {
    /// Base offset of the active segment.
    pub segment_base: Offset,
    /// Bytes of it on the device.
    pub position: u64,
    /// Offset after the last flushed record.
    pub flushed: Offset,
    pub log_start: Offset,
    /// The active segment up to where its index files on the device reach.
    pub synced: Facts,
    /// The segments before it.
    pub chain: Chain,
}

impl FlushedState {
    /// Bytes of [`Self::to_bytes`].
    pub const BYTES: usize = Self::BYTES_WITHOUT_CHAIN + Chain::BYTES;
    /// The same in checkpoints of version 1.
    pub const BYTES_WITHOUT_CHAIN: usize = 32 + FACTS_BYTES;

    /// Of a log that has nothing and begins at `first`.
    pub fn empty(first: Offset) -> Self {
        Self {
            segment_base: first,
            position: 0,
            flushed: first,
            log_start: first,
            synced: Facts::new(first, 0),
            chain: Chain::default(),
        }
    }

    /// Big-endian fields in the order of the struct. The checkpoint has the checksum.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        use bytes::BufMut;
        let mut bytes = [0; Self::BYTES];
        let mut out = &mut bytes[..];
        out.put_i64(self.segment_base.0);
        out.put_u64(self.position);
        out.put_i64(self.flushed.0);
        out.put_i64(self.log_start.0);
        out.put_slice(&self.synced.to_bytes());
        out.put_slice(&self.chain.to_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        use bytes::Buf;
        let mut at = &bytes[..];
        let (segment_base, position) = (Offset(at.get_i64()), at.get_u64());
        let (flushed, log_start) = (Offset(at.get_i64()), Offset(at.get_i64()));
        let mut facts = [0; FACTS_BYTES];
        at.copy_to_slice(&mut facts);
        let mut chain = [0; Chain::BYTES];
        at.copy_to_slice(&mut chain);
        Self {
            segment_base,
            position,
            flushed,
            log_start,
            synced: Facts::from_bytes(&facts),
            chain: Chain::from_bytes(&chain),
        }
    }
}

/// Damaged bytes that reads go around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Offsets `from..next` may be in it.
    pub from: Offset,
    pub next: Offset,
    /// Segment and byte where it begins, and where the next readable batch is.
    pub segment_base: Offset,
    pub position: u64,
    pub resume: u64,
    pub why: String,
}

/// One partition's segments on disk. Clones are the same log. Lives on one core.
#[derive(Clone, Debug)]
pub struct DiskLog {
    inner: Rc<Inner>,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    /// Number of this log in the keys of its open files.
    key: u32,
    dir: PathBuf,
    id: LogId,
    /// Held by whoever changes files.
    writer: Lock<Tail>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    config: LogConfig,
    /// Closed segments by base offset.
    closed: BTreeMap<Offset, Closed>,
    active: Active,
    log_start: Offset,
    /// As of `flushed`.
    producers: ProducerStates,
    epochs: EpochHistory,
    /// The file has epochs that the log no longer has: it must be written before the next batch, or
    /// a later start, which finds batches behind them, would believe them.
    epochs_stale: bool,
    /// Whoever opened the log keeps its epochs as well: see [`DiskLog::set_epochs`].
    epochs_kept: bool,
    /// Not all of the closed segments are what they were.
    chain_doubted: bool,
    /// By `from`.
    fences: BTreeMap<Offset, Fence>,
    cursors: Vec<Cursor>,
    /// Changed whenever bytes that were readable went away.
    generation: u64,
    /// First fault: no change any more, reads go on.
    failed: Option<String>,
    stopped: bool,
}

/// A closed segment; its seal is read at the first use.
#[derive(Clone, Copy, Debug, Default)]
struct Closed {
    /// Bytes of the `.log`.
    bytes: u64,
    seal: Option<Seal>,
    /// Its index files agree with the seal.
    checked: bool,
}

/// The segment that grows.
#[derive(Debug)]
struct Active {
    /// Bytes and end on the device.
    position: u64,
    flushed: Offset,
    /// Up to `position`; behind `synced` as long as `loaded` is false.
    facts: Facts,
    /// `facts` and the pending entries are up to date.
    loaded: bool,
    /// As far as the index files on the device reach.
    synced: Facts,
    /// Entries behind `synced`.
    offsets: Vec<OffsetEntry>,
    times: Vec<TimeEntry>,
    /// Files changed since the log was opened or closed.
    touched: bool,
}

/// A read that ended at `offset`.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    offset: Offset,
    base: Offset,
    position: u64,
}

/// Where a segment's bytes are and end, now.
#[derive(Clone, Copy, Debug)]
struct Place {
    base: Offset,
    /// Base of the next segment, or `flushed`.
    end: Offset,
    size: u64,
    closed: bool,
    /// Entries of the index files that count.
    index_entries: u64,
    time_entries: u64,
}

impl Active {
    fn new(facts: Facts) -> Self {
        Self {
            position: facts.size,
            flushed: facts.end,
            facts,
            loaded: true,
            synced: facts,
            offsets: Vec::new(),
            times: Vec::new(),
            touched: true,
        }
    }
    fn base(&self) -> Offset {
        self.synced.base
    }
}

impl State {
    fn usable(&self) -> Result<(), Error> {
        match &self.failed {
            Some(reason) => Err(Error::Failed(reason.clone())),
            None if self.stopped => Err(Error::Failed("the log is closed".into())),
            None => Ok(()),
        }
    }
    /// Base of the segment that holds `offset` or would.
    fn base_of(&self, offset: Offset) -> Option<Offset> {
        if offset >= self.active.base() {
            return Some(self.active.base());
        }
        self.closed.range(..=offset).next_back().map(|(&base, _)| base)
    }
    /// Base of the segment behind a closed one.
    fn base_after(&self, base: Offset) -> Offset {
        self.closed
            .range(base.next()..)
            .next()
            .map_or_else(|| self.active.base(), |(&base, _)| base)
    }
    fn chain(&self) -> Chain {
        let chain = Chain::of(self.closed.iter().map(|(base, closed)| (*base, closed.bytes)));
        match self.chain_doubted {
            true => chain.doubted(),
            false => chain,
        }
    }
    /// All segments, oldest first.
    fn bases(&self) -> Vec<Offset> {
        self.closed.keys().copied().chain([self.active.base()]).collect()
    }
    fn fence_at(&self, offset: Offset) -> Option<&Fence> {
        self.fences
            .range(..=offset)
            .next_back()
            .map(|(_, fence)| fence)
            .filter(|fence| fence.next > offset)
    }
}

impl DiskLog {
    pub fn id(&self) -> LogId {
        self.inner.id
    }
    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// What a checkpoint written now may hold: all of it is on the device.
    pub fn state(&self) -> FlushedState {
        let state = self.inner.state.borrow();
        FlushedState {
            segment_base: state.active.base(),
            position: state.active.position,
            flushed: state.active.flushed,
            log_start: state.log_start,
            synced: state.active.synced,
            chain: state.chain(),
        }
    }
    /// Offset after the last record on the device.
    pub fn flushed(&self) -> Offset {
        self.inner.state.borrow().active.flushed
    }
    /// Producers as of [`Self::flushed`]: what a checkpoint saves with it.
    pub fn producers(&self) -> ProducerStates {
        self.inner.state.borrow().producers.clone()
    }
    /// Looks at the producers as of [`Self::flushed`] without a copy. `look` must not come back to
    /// this log.
    pub fn with_producers<T>(&self, look: impl FnOnce(&ProducerStates) -> T) -> T {
        look(&self.inner.state.borrow().producers)
    }
    /// Forgets producers that `keep` does not name, if more than `kept_max` are known. Not within a
    /// flush: it changes them too.
    pub(crate) fn forget_producers(&self, kept_max: usize, keep: impl Fn(i64) -> bool) {
        let producers = &mut self.inner.state.borrow_mut().producers;
        if producers.len() > kept_max {
            producers.retain(keep);
        }
    }
    /// The producers as of [`Self::flushed`], read from a checkpoint. After [`Self::open`], before
    /// the first flush.
    pub fn set_producers(&self, producers: ProducerStates) {
        self.inner.state.borrow_mut().producers = producers;
    }
    /// The epochs of the log, from a checkpoint that goes on holding them. After [`Self::open`] or
    /// [`Self::create`], before the first flush. From then on the file `leader-epoch-checkpoint` is
    /// written when a segment or the log is closed, and not, with two syncs, at the first flush of
    /// each epoch. Why no crash hurts:
    /// 1. a batch of a new epoch is flushed, the file does not know the epoch, the power goes;
    /// 2. the checkpoint that counts the batch as flushed was captured later, with the epochs of
    ///    all it counts; as long as there is none, the batch is in the chain, and its replay makes
    ///    the epoch known again;
    /// 3. so recovery opens the log with its flushed state and *these* epochs; what the file says
    ///    is not looked at.
    ///
    /// The file counts where there is no checkpoint: in a directory that Kafka has left, or a clean
    /// stop, which writes it.
    pub fn set_epochs(&self, mut epochs: EpochHistory) {
        let mut state = self.inner.state.borrow_mut();
        epochs.truncate_from_end(state.active.flushed);
        epochs.truncate_from_start(state.log_start);
        state.epochs_stale |= epochs != state.epochs;
        state.epochs = epochs;
        state.epochs_kept = true;
    }
    /// Epochs of what is on the device.
    pub fn epochs(&self) -> EpochHistory {
        self.inner.state.borrow().epochs.clone()
    }
    pub fn config(&self) -> LogConfig {
        self.inner.state.borrow().config.clone()
    }
    /// New settings count from the next batch on.
    pub fn set_config(&self, config: LogConfig) {
        self.inner.state.borrow_mut().config = config;
    }
    /// Damage seen so far.
    pub fn fences(&self) -> Vec<Fence> {
        self.inner.state.borrow().fences.values().cloned().collect()
    }
    /// The first fault, after which nothing is written any more.
    pub fn failed(&self) -> Option<String> {
        self.inner.state.borrow().failed.clone()
    }
    /// Bytes of all segments whose size is known: all, after [`Self::segments`] has been called
    /// once.
    pub fn size_bytes(&self) -> u64 {
        let state = self.inner.state.borrow();
        state
            .closed
            .values()
            .filter_map(|closed| closed.seal)
            .map(|seal| seal.facts.size)
            .sum::<u64>()
            + state.active.position
    }

    /// All segments, oldest first. The first call after an open reads one small file a segment.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn segments(&self) -> Result<Vec<SegmentView>, Error> {
        self.load().await?;
        let bases = self.inner.state.borrow().bases();
        let mut views = Vec::with_capacity(bases.len());
        for base in bases {
            let Some((facts, place)) = self.facts_of(base).await? else {
                continue;
            };
            views.push(SegmentView {
                base,
                end: place.end,
                size_bytes: facts.size,
                max_timestamp: facts.max_timestamp,
                modified_ms: facts.modified_ms,
                active: !place.closed,
            });
        }
        Ok(views)
    }

    /// Facts and place of a segment; `None` if it is gone. The active one must be loaded.
    async fn facts_of(&self, base: Offset) -> Result<Option<(Facts, Place)>, Error> {
        let active = {
            let state = self.inner.state.borrow();
            (state.active.base() == base).then_some(state.active.facts)
        };
        let facts = match active {
            Some(facts) => facts,
            None => match self.seal_of(base).await? {
                Some(seal) => seal.facts,
                None => return Ok(None),
            },
        };
        Ok(self.place_of(base).await?.map(|place| (facts, place)))
    }

    /// Place of a segment; `None` if it is gone.
    async fn place_of(&self, base: Offset) -> Result<Option<Place>, Error> {
        let seal = self.seal_of(base).await?;
        let state = self.inner.state.borrow();
        let active = &state.active;
        Ok(match seal {
            _ if active.base() == base => Some(Place {
                base,
                end: active.flushed,
                size: active.position,
                closed: false,
                index_entries: u64::from(active.synced.index_entries),
                time_entries: u64::from(active.synced.time_entries),
            }),
            Some(seal) => Some(Place {
                base,
                end: state.base_after(base),
                size: seal.facts.size,
                closed: true,
                index_entries: u64::from(seal.facts.index_entries),
                time_entries: u64::from(seal.facts.time_entries),
            }),
            None => None,
        })
    }

    /// Keeps the first fault. Returns the error to give on. What is short for a moment is none:
    /// whoever changes files can do so again from the beginning.
    fn fail(&self, error: Error) -> Error {
        if error.is_transient() {
            return error;
        }
        let mut state = self.inner.state.borrow_mut();
        if state.failed.is_none() {
            state.failed = Some(error.to_string());
        }
        error
    }
    /// A full disk changes nothing; any other error of a write makes the log read-only.
    fn fault(&self, error: Error) -> Error {
        if matches!(error, Error::Full(_)) { error } else { self.fail(error) }
    }
    fn path(&self, base: Offset, suffix: &str) -> PathBuf {
        self.inner.dir.join(crate::files::name(base, suffix))
    }
}
