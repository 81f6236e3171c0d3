//! The chain: groups become frames, frames go to the disk, completions become progress.
//!
//! ```text
//! open group -> queue (full, waiting) -> in flight -> written, in order -> durable, in order
//! ```
//! Acks follow the order of the chain even if the disk does not. `written_through`: every frame up
//! to it has been written. `durable_through`: every frame up to it is on the device. A frame with
//! dsync says so of itself only (FUA): if a frame before it went out without, an fdatasync of the
//! files concerned comes in between. Crash shown: frame 5 (class `written`, no dsync), frame 6
//! (class `device`, dsync) completes; without the fdatasync a power cut leaves 6 behind a hole,
//! recovery cuts at 5, and an acked batch of 6 is gone.
use super::{
    frame::{Entry, FrameHeader},
    group::{Group, Reach},
    recycle::Files,
};
use crate::ids::LogSlot;
use bytes::Bytes;
use netio::{
    File, Instant, Io,
    buffer::{Arena, ArenaBuf},
};
use std::collections::VecDeque;

/// Smallest rest of a chunk in which another group is begun.
const REST_MIN: usize = 64 << 10;
/// Chunks kept for re-use under load, when many return at once and are wanted again in a moment;
/// and at rest.
const CHUNKS_KEPT: usize = 64;
const CHUNKS_KEPT_AT_REST: usize = 2;
/// Full groups that may wait for the disk.
const QUEUE_MAX: usize = 8;

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    pub core: u32,
    pub start: u64,
    pub run: u128,
    pub group_bytes: usize,
    pub groups_in_flight: usize,
    pub linger_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    InFlight,
    Complete,
}

/// A frame in memory: tail cache, and what pins the WAL.
#[derive(Debug)]
struct Frame {
    state: State,
    dsync: bool,
    /// The frame, once submitted.
    bytes: Option<Bytes>,
    /// Batches in it that are in no segment yet.
    pending: u32,
    reaches: Vec<Reach>,
}

/// An fdatasync (of one or more files) under way.
#[derive(Debug)]
struct Syncing {
    covers: u64,
    left: usize,
}

/// Totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub writes: u64,
    pub bytes: u64,
    pub entries: u64,
    pub sizes: GroupSizes,
}

/// Upper bounds of the counts of [`GroupSizes`], bytes; larger groups are counted behind the last.
pub const GROUP_BOUNDS: [u64; 12] = {
    let mut bounds = [super::frame::BLOCK as u64; 12];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// How many groups were written of each size, by [`GROUP_BOUNDS`].
pub type GroupSizes = [u64; GROUP_BOUNDS.len() + 1];

/// A core's chain of frames.
#[derive(Debug)]
pub(crate) struct Wal {
    io: Io,
    chain: Chain,
    pub files: Files,
    arena: Arena,
    rest: Option<ArenaBuf>,
    open: Option<Group>,
    queue: VecDeque<Group>,
    /// Frames `first..next`, oldest first.
    frames: VecDeque<Frame>,
    first: u64,
    next: u64,
    previous: u32,
    in_flight: usize,
    written_through: u64,
    durable_through: u64,
    /// Highest frame up to `written_through` that went out with dsync.
    dsync_through: u64,
    /// Somebody wants everything up to here on the device.
    wanted_durable: u64,
    /// What [`Self::take_written`] and [`Self::take_durable`] have given out.
    told_written: u64,
    told_durable: u64,
    /// Files with frames written without dsync, and the last such frame.
    unsynced: Vec<(u64, File, u64)>,
    syncing: Option<Syncing>,
    /// No frame below it is pending.
    pending_floor: u64,
    cached_bytes: u64,
    /// A full queue had nowhere to go: no file was ready.
    starved: bool,
    pub failed: Option<String>,
    pub totals: Totals,
}

/// Kinds of tokens, below the store's top bit.
const TOKEN_SYNC: u64 = 1 << 62;
const TOKEN_STORE: u64 = 1 << 63;

impl Wal {
    pub(crate) fn new(io: &Io, chain: Chain, files: Files) -> Wal {
        let chunk = (chain.group_bytes * 4).next_multiple_of(super::frame::BLOCK);
        Wal {
            io: io.clone(),
            chain,
            files,
            arena: Arena::new(chunk, CHUNKS_KEPT),
            rest: None,
            open: None,
            queue: VecDeque::new(),
            frames: VecDeque::new(),
            first: 1,
            next: 1,
            previous: 0,
            in_flight: 0,
            written_through: 0,
            durable_through: 0,
            dsync_through: 0,
            wanted_durable: 0,
            told_written: 0,
            told_durable: 0,
            unsynced: Vec::new(),
            syncing: None,
            pending_floor: 1,
            cached_bytes: 0,
            starved: false,
            failed: None,
            totals: Totals::default(),
        }
    }

    // ---- filling --------------------------------------------------------------------------------

    /// Does the queue still take groups?
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_MAX
    }

    /// The group in which an entry with `data` bytes goes next.
    pub(crate) fn group(&mut self, data: usize) -> &mut Group {
        let full =
            |group: &Group| group.bytes() + data > self.chain.group_bytes || !group.fits(data);
        if let Some(mut group) = self.open.take_if(|open| full(open)) {
            // The next one begins behind it. With a chunk each, groups that wait for the disk would
            // take four times their size, and the cache after them.
            let rest = group.cut_rest();
            self.keep_rest(rest);
            self.queue.push_back(group);
        }
        if self.open.is_none() {
            let buf = self.buffer(Group::bytes_for(data));
            self.frames.push_back(Frame {
                state: State::Open,
                dsync: false,
                bytes: None,
                pending: 0,
                reaches: Vec::new(),
            });
            self.open = Some(Group::new(buf, self.next, self.io.now()));
            self.next += 1;
        }
        self.totals.entries += 1;
        self.open.as_mut().unwrap_or_else(|| unreachable!("just opened"))
    }

    /// Of two rests of chunks, the next group gets the larger one.
    fn keep_rest(&mut self, rest: ArenaBuf) {
        if self.rest.as_ref().is_none_or(|old| old.spare() < rest.spare()) {
            self.rest = Some(rest);
        }
    }

    fn buffer(&mut self, need: usize) -> ArenaBuf {
        if let Some(rest) = self.rest.take_if(|rest| rest.spare() >= need.max(REST_MIN)) {
            return rest;
        }
        if need > self.arena.chunk_bytes() {
            Arena::new(need, 0).chunk()
        } else {
            let chunk = self.arena.chunk();
            self.io.keep_ahead(&self.arena);
            chunk
        }
    }

    /// An entry without a batch; always on the device before it counts. Returns its frame's
    /// sequence.
    pub(crate) fn enter(&mut self, entry: Entry, data: &[u8]) -> u64 {
        debug_assert!(!entry.is_batch());
        let group = self.group(data.len());
        group.put(data);
        group.enter(entry);
        group.dsync = true;
        group.sequence
    }

    /// Copies a batch into the open group and lets `patch` finish it there: it returns the entry.
    /// Returns frame and place.
    pub(crate) fn put_batch(
        &mut self,
        slot: LogSlot,
        batch: &[u8],
        dsync: bool,
        patch: impl FnOnce(&mut [u8]) -> Entry,
    ) -> (u64, u32) {
        let group = self.group(batch.len());
        let (at, copy) = group.put(batch);
        let entry = patch(copy);
        debug_assert!(entry.matches(copy), "{entry:?} does not match its batch");
        group.enter(entry);
        group.reach(slot, entry.end());
        group.dsync |= dsync;
        let sequence = group.sequence;
        self.pin(sequence);
        (sequence, at)
    }

    fn frame(&mut self, sequence: u64) -> &mut Frame {
        assert!(
            sequence >= self.first && sequence < self.next,
            "frame {sequence} is not in memory ({}..{})",
            self.first,
            self.next
        );
        &mut self.frames[(sequence - self.first) as usize]
    }

    fn pin(&mut self, sequence: u64) {
        self.frame(sequence).pending += 1;
    }

    /// A batch of this frame is in a segment, logged again, or gone.
    pub(crate) fn unpin(&mut self, sequence: u64) {
        let frame = self.frame(sequence);
        assert!(frame.pending > 0, "frame {sequence} has no pending batch");
        frame.pending -= 1;
    }

    // ---- writing --------------------------------------------------------------------------------

    /// Submits what is due. With `now_all`, the open group goes without linger.
    pub(crate) fn submit(&mut self, now_all: bool) {
        if self.failed.is_some() {
            return;
        }
        while self.in_flight < self.chain.groups_in_flight {
            let group = match self.queue.pop_front() {
                Some(group) => group,
                None => match self.open.take() {
                    Some(group) if now_all || self.is_due(&group) => group,
                    open => {
                        self.open = open;
                        return;
                    }
                },
            };
            if let Err(group) = self.submit_group(group) {
                // No file is ready. The group goes back where it was; the newest may go on filling.
                self.starved = true;
                if self.open.is_none() && group.sequence + 1 == self.next {
                    self.open = Some(group);
                } else {
                    self.queue.push_front(group);
                }
                return;
            }
            self.starved = false;
        }
    }

    fn is_due(&self, group: &Group) -> bool {
        self.chain.linger_us == 0 || self.io.now() >= group.opened.after_us(self.chain.linger_us)
    }

    /// When the open group has lingered enough; `None` when there is nothing to wait for.
    pub(crate) fn linger_until(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let idle = self.chain.linger_us > 0
            && self.queue.is_empty()
            && self.in_flight < self.chain.groups_in_flight;
        idle.then(|| open.opened.after_us(self.chain.linger_us))
    }

    /// The group comes back as it was when no file is ready.
    fn submit_group(&mut self, group: Group) -> Result<(), Group> {
        let (sequence, dsync) = (group.sequence, group.dsync);
        let Some(place) = self.files.place(sequence, group.frame_bytes()) else {
            return Err(group);
        };
        let header = FrameHeader {
            core: self.chain.core,
            start: self.chain.start,
            run: self.chain.run,
            generation: place.n,
            acked_through: self.durable_through,
            previous: self.previous,
            ..FrameHeader::default()
        };
        let (bytes, crc, rest, reaches) = group.seal(header);
        self.previous = crc;
        self.keep_rest(rest);
        self.cached_bytes += bytes.len() as u64;
        self.totals.writes += 1;
        self.totals.bytes += bytes.len() as u64;
        let size = GROUP_BOUNDS.partition_point(|bound| *bound < bytes.len() as u64);
        self.totals.sizes[size] += 1;
        if !dsync {
            match self.unsynced.iter_mut().find(|(n, ..)| *n == place.n) {
                Some((_, _, last)) => *last = sequence,
                None => self.unsynced.push((place.n, place.file.clone(), sequence)),
            }
        }
        let frame = self.frame(sequence);
        frame.state = State::InFlight;
        frame.dsync = dsync;
        frame.reaches = reaches;
        frame.bytes = Some(bytes.clone());
        self.in_flight += 1;
        self.io.write(&place.file, vec![bytes], place.offset, dsync, TOKEN_STORE | sequence);
        Ok(())
    }

    /// A completion; false when the token is not of a store.
    pub(crate) fn on_written(&mut self, token: u64, result: netio::Result<()>) -> bool {
        if token & TOKEN_STORE == 0 {
            return false;
        }
        if token & TOKEN_SYNC != 0 {
            self.on_synced(result);
        } else {
            self.in_flight -= 1;
            match result {
                Ok(()) => self.frame(token & !TOKEN_STORE).state = State::Complete,
                Err(error) => self.fail(format!("write of the write-ahead log: {error}")),
            }
        }
        self.advance();
        true
    }

    fn on_synced(&mut self, result: netio::Result<()>) {
        if let Err(error) = result {
            return self.fail(format!("sync of the write-ahead log: {error}"));
        }
        let Some(syncing) = &mut self.syncing else {
            return;
        };
        syncing.left -= 1;
        if syncing.left == 0 {
            self.durable_through = self.durable_through.max(syncing.covers);
            self.syncing = None;
        }
    }

    /// The first reason is kept; no progress after it.
    pub(crate) fn fail(&mut self, reason: String) {
        self.failed.get_or_insert(reason);
    }

    fn advance(&mut self) {
        if self.failed.is_some() {
            return;
        }
        while self.written_through + 1 < self.next {
            let sequence = self.written_through + 1;
            let frame = self.frame(sequence);
            if frame.state != State::Complete {
                break;
            }
            if frame.dsync {
                self.dsync_through = sequence;
            }
            self.written_through = sequence;
        }
        while self.durable_through < self.written_through {
            let sequence = self.durable_through + 1;
            if !self.frame(sequence).dsync {
                break;
            }
            self.durable_through = sequence;
        }
        let wanted = self.dsync_through.max(self.wanted_durable.min(self.written_through));
        if self.syncing.is_none() && self.durable_through < wanted {
            self.start_sync();
        }
    }

    fn start_sync(&mut self) {
        let covers = self.written_through;
        assert!(
            !self.unsynced.is_empty(),
            "frames {}..={covers} are not durable and no file is unsynced",
            self.durable_through
        );
        for (_, file, _) in &self.unsynced {
            self.io.sync(file, TOKEN_STORE | TOKEN_SYNC);
        }
        self.syncing = Some(Syncing { covers, left: self.unsynced.len() });
        self.unsynced.retain(|(_, _, last)| *last > covers);
    }

    /// Wants everything entered so far on the device; returns the sequence to wait for in
    /// [`Self::durable_through`].
    pub(crate) fn want_durable(&mut self) -> u64 {
        let last = self.next - 1;
        self.wanted_durable = self.wanted_durable.max(last);
        self.submit(true);
        self.advance();
        last
    }

    /// Sequence of the newest frame, written or not; 0: there is none.
    pub(crate) fn last_entered(&self) -> u64 {
        self.next - 1
    }
    /// Writes or syncs are under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.in_flight > 0 || self.syncing.is_some()
    }
    pub(crate) fn durable_through(&self) -> u64 {
        self.durable_through
    }
    pub(crate) fn written_through(&self) -> u64 {
        self.written_through
    }
    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }
    /// Everything entered is written, or nothing will be any more.
    pub(crate) fn is_drained(&self) -> bool {
        self.in_flight == 0
            && (self.failed.is_some()
                || (self.queue.is_empty() && self.open.is_none() && self.syncing.is_none()))
    }

    /// The next frame that has been written since the last call: whose it is and how far it
    /// reaches.
    pub(crate) fn take_written(&mut self, out: &mut Vec<Reach>) {
        while self.told_written < self.written_through {
            self.told_written += 1;
            let sequence = self.told_written;
            out.extend_from_slice(&self.frame(sequence).reaches);
        }
    }

    /// As [`Self::take_written`], of what is on the device; to be called after it.
    pub(crate) fn take_durable(&mut self, out: &mut Vec<Reach>) {
        while self.told_durable < self.durable_through {
            self.told_durable += 1;
            let sequence = self.told_durable;
            out.append(&mut self.frame(sequence).reaches);
        }
    }

    // ---- the frames in memory -------------------------------------------------------------------

    /// The bytes at a place of a frame, from its very buffer; a copy while the group is not
    /// submitted. `None`: evicted.
    pub(crate) fn slice(&mut self, sequence: u64, at: u32, len: u32) -> Option<Bytes> {
        if sequence < self.first {
            return None;
        }
        let frame = &self.frames[(sequence - self.first) as usize];
        if let Some(bytes) = &frame.bytes {
            return Some(bytes.slice(at as usize..at as usize + len as usize));
        }
        let group =
            self.queue.iter_mut().chain(&mut self.open).find(|group| group.sequence == sequence);
        group.map(|group| group.copy(at, len))
    }

    /// First frame in memory: older index entries are void.
    pub(crate) fn first_cached(&self) -> u64 {
        self.first
    }

    /// First frame that holds a batch which is in no segment; the next one to come if there is
    /// none.
    pub(crate) fn first_pending(&mut self) -> u64 {
        self.pending_floor = self.pending_floor.max(self.first);
        while self.pending_floor < self.next {
            let frame = self.frame(self.pending_floor);
            if frame.pending > 0 || frame.state == State::Open {
                break;
            }
            self.pending_floor += 1;
        }
        self.pending_floor
    }

    /// Drops the oldest frames until at most `budget` bytes are held. What is pending or not
    /// durable stays, and all after it.
    pub(crate) fn evict(&mut self, budget: u64) {
        while self.cached_bytes > budget && self.first <= self.told_durable {
            let Some(front) = self.frames.pop_front_if(|frame| frame.pending == 0) else {
                return;
            };
            self.cached_bytes -= front.bytes.map_or(0, |bytes| bytes.len() as u64);
            self.first += 1;
        }
    }

    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached_bytes
    }

    /// Gives back some of the memory that a burst has left; false when there is none.
    pub(crate) fn trim_memory(&self) -> bool {
        self.arena.trim(CHUNKS_KEPT_AT_REST)
    }

    /// Bytes of group memory alive: groups, cache, and what slow readers hold.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.arena.bytes_alive() as u64
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }
}
