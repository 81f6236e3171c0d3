//! What a log remembers of its idempotent producers: the last epoch, and the last five batches of
//! each.
//!
//! A batch is judged by [`ProducerStates::check`] before it is appended, against everything
//! appended before (durable or not), and entered by [`ProducerStates::apply`] after. Rules and
//! limits are those of Kafka's `ProducerStateManager`, `ProducerAppendInfo` and
//! `ProducerStateEntry` (KIP-98, KIP-360):
//!
//! * an epoch below the producer's is refused; a higher one must start at sequence 0;
//! * the exact sequence range of one of the last five batches of this epoch is a duplicate:
//!   answered, not appended;
//! * otherwise the sequence must follow the last one, around `i32::MAX` to 0;
//! * a producer without state is accepted at any sequence: its state may have expired, or its
//!   records been deleted.
//!
//! Two byte forms: Kafka's `<offset>.snapshot` (only the newest batch of a producer: for Kafka's
//! tools and a clean move), and [`ProducerStates::to_bytes`] with all five, for checkpoints: after
//! a restart a producer may repeat any of its five batches in flight, and with one batch remembered
//! four of them would look out of order.
//!
//! Not here: transactions. Their fields are carried (coordinator epoch, first offset of the open
//! transaction) so that the file format need not change; nothing judges by them yet.
use crate::{
    error::{AppendError, Error},
    ids::{LogId, ProducerView},
};
use record::{BatchHeader, Offset, checksum, header::next_sequence};
use std::collections::BTreeMap;

/// Batches kept per producer: what a client may have in flight
/// (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const BATCHES_KEPT: usize = 5;
/// Free slots that a log keeps for the next producers at least.
const SLOTS_FREE_MIN: usize = 64;
/// "None" of every field: epoch, sequence, offset, timestamp.
const NONE: i8 = -1;

/// Verdict of [`ProducerStates::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Append it. Also every batch without a producer id.
    Accept,
    /// It was appended before, at these offsets; `end` is the last offset + 1. `timestamp` is the
    /// batch's largest (the append time in a LogAppendTime topic).
    Duplicate { base: Offset, end: Offset, timestamp: i64 },
}

/// One remembered batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BatchMetadata {
    last_sequence: i32,
    offset_delta: i32,
    last_offset: i64,
    timestamp: i64,
}

impl BatchMetadata {
    /// Some batch could have these numbers.
    fn can_be(&self) -> bool {
        // Sequences from i32::MAX go on at 0; offsets do not.
        self.last_sequence >= -1
            && self.offset_delta >= 0
            && self.offset_delta < i32::MAX
            && self.last_offset < i64::MAX
            && self.last_offset >= i64::from(self.offset_delta)
    }

    fn first_sequence(&self) -> i32 {
        // `DefaultRecordBatch.decrementSequence`: below 0 goes around to i32::MAX.
        match self.last_sequence.checked_sub(self.offset_delta) {
            Some(first) if first >= 0 => first,
            _ => i32::MAX - (self.offset_delta - self.last_sequence) + 1,
        }
    }
}

/// State of one producer. `batches[..count]`, oldest first; all of `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProducerState {
    producer_id: i64,
    last_timestamp: i64,
    /// When [`ProducerStates::expire`] first saw it after its newest batch, by the wall clock; -1:
    /// not yet. In memory only.
    quiet_since_ms: i64,
    /// -1: none.
    current_txn_first_offset: i64,
    coordinator_epoch: i32,
    epoch: i16,
    count: u8,
    batches: [BatchMetadata; BATCHES_KEPT],
}

impl ProducerState {
    fn new(producer_id: i64, epoch: i16) -> Self {
        Self {
            producer_id,
            last_timestamp: i64::from(NONE),
            quiet_since_ms: i64::from(NONE),
            current_txn_first_offset: i64::from(NONE),
            coordinator_epoch: i32::from(NONE),
            epoch,
            count: 0,
            batches: Default::default(),
        }
    }
    fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.count)]
    }
    fn last(&self) -> Option<&BatchMetadata> {
        self.batches().last()
    }
    fn last_sequence(&self) -> i32 {
        self.last().map_or(-1, |batch| batch.last_sequence)
    }
    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.count = 0;
        }
    }
    fn push(&mut self, batch: BatchMetadata) {
        let count = usize::from(self.count);
        if count == BATCHES_KEPT {
            self.batches.copy_within(1.., 0);
            self.batches[BATCHES_KEPT - 1] = batch;
        } else {
            self.batches[count] = batch;
            self.count += 1;
        }
    }
    fn view(&self) -> ProducerView {
        ProducerView {
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            last_sequence: self.last_sequence(),
            last_timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            current_txn_start: (self.current_txn_first_offset >= 0)
                .then_some(Offset(self.current_txn_first_offset)),
        }
    }
}

/// A state file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("producer state version {0} is unknown")]
    Version(i16),
    #[error("producer state: CRC {stored:#010x} stored, {computed:#010x} computed")]
    Crc { stored: u32, computed: u32 },
    #[error("producer state: {have} bytes do not fit its entries")]
    Length { have: usize },
    #[error("producer state: producer {0} has a batch that cannot be")]
    Nonsense(i64),
}

/// "No neighbour" in the list of [`Node`]s.
const NIL: u32 = u32::MAX;

/// A producer in the list from the one that appended longest ago to the newest.
#[derive(Clone, Debug)]
struct Node {
    state: ProducerState,
    older: u32,
    newer: u32,
}

/// The producers of one log. At most `max` are kept: one more evicts the one that appended longest
/// ago.
///
/// Every walk is in order of producer id or of activity, so equal histories give equal bytes.
#[derive(Clone, Debug)]
pub struct ProducerStates {
    max: usize,
    by_id: BTreeMap<i64, u32>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    evicted: u64,
}

impl ProducerStates {
    /// None yet; `max` of at least 1 (`Options::producer_ids_max`).
    pub fn new(max: usize) -> Self {
        assert!((1..NIL as usize).contains(&max), "producer_ids_max {max}");
        Self {
            max,
            by_id: BTreeMap::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            oldest: NIL,
            newest: NIL,
            evicted: 0,
        }
    }
    /// Producers known.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
    /// Producers forgotten because the table was full, ever.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Whether the producer has state here.
    pub fn contains(&self, producer_id: i64) -> bool {
        self.by_id.contains_key(&producer_id)
    }

    fn get(&self, producer_id: i64) -> Option<&ProducerState> {
        self.by_id.get(&producer_id).map(|&slot| &self.nodes[slot as usize].state)
    }

    /// Judges a client's batch; only producer fields and `last_offset_delta` are looked at. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`AppendError::InvalidProducerEpoch`], [`AppendError::OutOfOrderSequence`].
    pub fn check(&self, batch: &BatchHeader) -> Result<Checked, AppendError> {
        let producer_id = batch.producer_id.0;
        if producer_id < 0 {
            return Ok(Checked::Accept);
        }
        let Some(state) = self.get(producer_id) else {
            return Ok(Checked::Accept);
        };
        let epoch = batch.producer_epoch.0;
        if epoch == state.epoch
            && let Some(seen) = state.batches().iter().find(|seen| {
                seen.first_sequence() == batch.base_sequence
                    && seen.last_sequence == batch.last_sequence()
            })
        {
            return Ok(Checked::Duplicate {
                base: Offset(seen.last_offset - i64::from(seen.offset_delta)),
                end: Offset(seen.last_offset).next(),
                timestamp: seen.timestamp,
            });
        }
        if epoch < state.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                current: state.epoch,
                got: epoch,
            });
        }
        // A higher epoch begins anew; so does an epoch that has no batch yet (it came with a
        // marker).
        let last = if epoch > state.epoch { i32::from(NONE) } else { state.last_sequence() };
        let expected = if last < 0 { 0 } else { next_sequence(last, 1) };
        if state.epoch >= 0 && batch.base_sequence != expected {
            return Err(AppendError::OutOfOrderSequence {
                producer_id,
                expected,
                got: batch.base_sequence,
            });
        }
        Ok(Checked::Accept)
    }

    /// Enters a batch that was appended (or is replayed); its offsets are final. No rule is
    /// applied: what is in the log is in the log. A control batch sets the epoch and ends the open
    /// transaction.
    pub fn apply(&mut self, batch: &BatchHeader) {
        let producer_id = batch.producer_id.0;
        if producer_id < 0 {
            return;
        }
        let state = self.touch(producer_id, batch.producer_epoch.0);
        state.set_epoch(batch.producer_epoch.0);
        state.last_timestamp = batch.max_timestamp.0;
        state.quiet_since_ms = i64::from(NONE);
        if batch.attributes.is_control() {
            state.current_txn_first_offset = i64::from(NONE);
            return;
        }
        if batch.attributes.is_transactional() && state.current_txn_first_offset < 0 {
            state.current_txn_first_offset = batch.base_offset.0;
        }
        state.push(BatchMetadata {
            last_sequence: batch.last_sequence(),
            offset_delta: batch.last_offset_delta,
            last_offset: batch.last_offset().0,
            timestamp: batch.max_timestamp.0,
        });
    }

    /// Forgets producers that have been quiet for `expiration_ms` and have no open transaction
    /// (`producer.id.expiration.ms`). Returns how many. To be called now and then.
    ///
    /// Quiet is counted from the first call after the producer's newest batch, or after a start.
    /// Kafka goes by the batch's own time stamp, which for events of the past is long ago:
    /// 1. a producer writes events of ten years ago, and its ack is lost with its connection;
    /// 2. the state expires at the next check;
    /// 3. the producer tries again, and the batch is stored twice.
    pub fn expire(&mut self, now: i64, expiration_ms: i64) -> usize {
        for node in &mut self.nodes {
            if node.state.quiet_since_ms < 0 {
                node.state.quiet_since_ms = now;
            }
        }
        let expired: Vec<i64> = self
            .states()
            .filter(|state| {
                state.current_txn_first_offset < 0
                    && now.saturating_sub(state.quiet_since_ms) >= expiration_ms
            })
            .map(|state| state.producer_id)
            .collect();
        for &producer_id in &expired {
            self.remove(producer_id);
        }
        expired.len()
    }

    /// Forgets the producer that appended longest ago, if possible one without an open transaction.
    /// For the limit of a core (`producer_budget`).
    pub fn evict_oldest(&mut self) -> Option<i64> {
        let mut at = self.oldest;
        while at != NIL && self.nodes[at as usize].state.current_txn_first_offset >= 0 {
            at = self.nodes[at as usize].newer;
        }
        let victim = if at == NIL { self.oldest } else { at };
        let producer_id = self.nodes.get(victim as usize)?.state.producer_id;
        self.remove(producer_id);
        self.evicted += 1;
        Some(producer_id)
    }

    /// Forgets all producers but those that `keep` names. Returns how many went.
    pub fn retain(&mut self, keep: impl Fn(i64) -> bool) -> usize {
        let gone: Vec<i64> = self.by_id.keys().copied().filter(|id| !keep(*id)).collect();
        for &producer_id in &gone {
            self.remove(producer_id);
        }
        gone.len()
    }

    /// Forgets everything (the log was truncated to below what is known: replay follows).
    pub fn clear(&mut self) {
        *self = Self { evicted: self.evicted, ..Self::new(self.max) };
    }

    /// Every producer, by id (DescribeProducers).
    pub fn views(&self) -> Vec<ProducerView> {
        self.by_id.values().map(|&slot| self.nodes[slot as usize].state.view()).collect()
    }

    // ---- bytes ----------------------------------------------------------------------------------
    /// Kafka's `<offset>.snapshot`, version 1: `version i16, crc u32 over the rest, count i32`,
    /// then 46 bytes an entry, by id.
    pub fn to_snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SNAPSHOT_ENTRIES_AT + 4 + self.len() * SNAPSHOT_ENTRY);
        self.put_start(&mut out, SNAPSHOT_VERSION);
        for &slot in self.by_id.values() {
            let state = &self.nodes[slot as usize].state;
            put_entry(&mut out, state);
        }
        seal(&mut out);
        out
    }

    /// Reads Kafka's `.snapshot`. More than `max` producers: the first ones by age in the file go.
    ///
    /// # Errors
    /// [`StateError`]: the caller falls back to an older snapshot, or to reading the log.
    pub fn from_snapshot(bytes: &[u8], max: usize) -> Result<Self, StateError> {
        let mut at = open(bytes, SNAPSHOT_VERSION)?;
        let have = bytes.len();
        let count = take_count(&mut at, SNAPSHOT_ENTRY).ok_or(StateError::Length { have })?;
        let mut states = Vec::with_capacity(count);
        for _ in 0..count {
            let state = take_entry(&mut at).ok_or(StateError::Length { have })?;
            if !state.batches().iter().all(BatchMetadata::can_be) {
                return Err(StateError::Nonsense(state.producer_id));
            }
            states.push(state);
        }
        if !at.is_empty() {
            return Err(StateError::Length { have });
        }
        // The file has no order of activity: the newest batch's offset is one (markers are not
        // batches, but nearly so).
        states.sort_by_key(|state| {
            (state.last().map_or(-1, |batch| batch.last_offset), state.producer_id)
        });
        Ok(Self::from_states(states, max))
    }

    /// Our own form, for checkpoints: as Kafka's but of version 101, in order of activity, each
    /// entry followed by the count of remembered batches (u8) and the older ones, oldest first (24
    /// bytes each).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(SNAPSHOT_ENTRIES_AT + 4 + self.len() * (SNAPSHOT_ENTRY + 1 + 24));
        self.put_start(&mut out, OWN_VERSION);
        for state in self.states() {
            put_entry(&mut out, state);
            out.push(state.count);
            for batch in state.batches().iter().rev().skip(1).rev() {
                out.extend_from_slice(&batch.last_sequence.to_be_bytes());
                out.extend_from_slice(&batch.offset_delta.to_be_bytes());
                out.extend_from_slice(&batch.last_offset.to_be_bytes());
                out.extend_from_slice(&batch.timestamp.to_be_bytes());
            }
        }
        seal(&mut out);
        out
    }

    /// Reads [`Self::to_bytes`].
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_bytes(bytes: &[u8], max: usize) -> Result<Self, StateError> {
        let mut at = open(bytes, OWN_VERSION)?;
        let have = bytes.len();
        let short = StateError::Length { have };
        let count = take_count(&mut at, SNAPSHOT_ENTRY + 1).ok_or_else(|| short.clone())?;
        let mut states = Vec::with_capacity(count);
        for _ in 0..count {
            let mut state = take_entry(&mut at).ok_or_else(|| short.clone())?;
            let [batches] = take(&mut at).ok_or_else(|| short.clone())?;
            let newest = state.last().copied();
            if usize::from(batches) > BATCHES_KEPT || (batches > 0) != newest.is_some() {
                return Err(short);
            }
            state.count = 0;
            for _ in 1..batches {
                state.push(BatchMetadata {
                    last_sequence: i32::from_be_bytes(take(&mut at).ok_or_else(|| short.clone())?),
                    offset_delta: i32::from_be_bytes(take(&mut at).ok_or_else(|| short.clone())?),
                    last_offset: i64::from_be_bytes(take(&mut at).ok_or_else(|| short.clone())?),
                    timestamp: i64::from_be_bytes(take(&mut at).ok_or_else(|| short.clone())?),
                });
            }
            if let Some(newest) = newest {
                state.push(newest);
            }
            if !state.batches().iter().all(BatchMetadata::can_be) {
                return Err(StateError::Nonsense(state.producer_id));
            }
            states.push(state);
        }
        if !at.is_empty() {
            return Err(short);
        }
        Ok(Self::from_states(states, max))
    }

    fn put_start(&self, out: &mut Vec<u8>, version: i16) {
        out.extend_from_slice(&version.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        let count =
            i32::try_from(self.len()).unwrap_or_else(|_| panic!("{} producers", self.len()));
        out.extend_from_slice(&count.to_be_bytes());
    }

    // ---- the table ------------------------------------------------------------------------------
    /// From the one that appended longest ago to the newest.
    fn states(&self) -> impl Iterator<Item = &ProducerState> {
        let mut at = self.oldest;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.newer;
            Some(&node.state)
        })
    }

    fn from_states(states: Vec<ProducerState>, max: usize) -> Self {
        let mut table = Self::new(max);
        for state in states {
            *table.touch(state.producer_id, state.epoch) = state;
        }
        table
    }

    /// The producer's state as the newest of the list; made if there is none.
    fn touch(&mut self, producer_id: i64, epoch: i16) -> &mut ProducerState {
        let slot = match self.by_id.get(&producer_id) {
            Some(&slot) => {
                self.unlink(slot);
                slot
            }
            None => {
                if self.len() >= self.max {
                    self.evict_oldest();
                }
                let node =
                    Node { state: ProducerState::new(producer_id, epoch), older: NIL, newer: NIL };
                let slot = match self.free.pop() {
                    Some(slot) => {
                        self.nodes[slot as usize] = node;
                        slot
                    }
                    None => {
                        self.nodes.push(node);
                        u32::try_from(self.nodes.len() - 1)
                            .unwrap_or_else(|_| panic!("{} producers", self.nodes.len()))
                    }
                };
                self.by_id.insert(producer_id, slot);
                slot
            }
        };
        self.link_newest(slot);
        &mut self.nodes[slot as usize].state
    }

    fn remove(&mut self, producer_id: i64) {
        if let Some(slot) = self.by_id.remove(&producer_id) {
            self.unlink(slot);
            self.free.push(slot);
            // A burst of producers that are forgotten again does not keep its memory.
            if self.free.len() > SLOTS_FREE_MIN && self.free.len() > self.len() {
                self.compact();
            }
        }
    }

    /// Gives back the memory of free slots.
    fn compact(&mut self) {
        let states: Vec<ProducerState> = self.states().copied().collect();
        *self = Self { evicted: self.evicted, ..Self::from_states(states, self.max) };
    }

    fn link_newest(&mut self, slot: u32) {
        let older = self.newest;
        let node = &mut self.nodes[slot as usize];
        (node.older, node.newer) = (older, NIL);
        match self.nodes.get_mut(older as usize) {
            Some(older) => older.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Node { older, newer, .. } = self.nodes[slot as usize];
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
    }
}

/// Equal when they say the same of the same producers in the same order of activity.
impl PartialEq for ProducerStates {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.states().eq(other.states())
    }
}
impl Eq for ProducerStates {}

const SNAPSHOT_VERSION: i16 = 1;
/// Far from Kafka's numbers, so that one is never read as the other.
const OWN_VERSION: i16 = 101;
const SNAPSHOT_CRC_AT: usize = 2;
const SNAPSHOT_ENTRIES_AT: usize = 6;
/// id i64, epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64,
/// coordinator epoch i32, txn start i64.
const SNAPSHOT_ENTRY: usize = 46;

fn put_entry(out: &mut Vec<u8>, state: &ProducerState) {
    let start = out.len();
    let newest = state.last().copied();
    out.extend_from_slice(&state.producer_id.to_be_bytes());
    out.extend_from_slice(&state.epoch.to_be_bytes());
    out.extend_from_slice(&state.last_sequence().to_be_bytes());
    out.extend_from_slice(&newest.map_or(-1, |batch| batch.last_offset).to_be_bytes());
    out.extend_from_slice(&newest.map_or(0, |batch| batch.offset_delta).to_be_bytes());
    out.extend_from_slice(&state.last_timestamp.to_be_bytes());
    out.extend_from_slice(&state.coordinator_epoch.to_be_bytes());
    out.extend_from_slice(&state.current_txn_first_offset.to_be_bytes());
    assert_eq!(out.len() - start, SNAPSHOT_ENTRY);
}

fn take_entry(at: &mut &[u8]) -> Option<ProducerState> {
    let producer_id = i64::from_be_bytes(take(at)?);
    let epoch = i16::from_be_bytes(take(at)?);
    let last_sequence = i32::from_be_bytes(take(at)?);
    let last_offset = i64::from_be_bytes(take(at)?);
    let offset_delta = i32::from_be_bytes(take(at)?);
    let timestamp = i64::from_be_bytes(take(at)?);
    let coordinator_epoch = i32::from_be_bytes(take(at)?);
    let current_txn_first_offset = i64::from_be_bytes(take(at)?);
    let mut state = ProducerState {
        last_timestamp: timestamp,
        coordinator_epoch,
        current_txn_first_offset: current_txn_first_offset.max(-1),
        ..ProducerState::new(producer_id, epoch)
    };
    if last_offset >= 0 {
        state.push(BatchMetadata { last_sequence, offset_delta, last_offset, timestamp });
    }
    Some(state)
}

/// Fills in the CRC: over everything after it.
fn seal(out: &mut [u8]) {
    let crc = checksum(&out[SNAPSHOT_ENTRIES_AT..]);
    out[SNAPSHOT_CRC_AT..SNAPSHOT_ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The version of producers in a checkpoint, if it is not the one known here. `None` also for no
/// producers.
pub(crate) fn foreign_version(bytes: &[u8]) -> Option<i16> {
    let version = i16::from_be_bytes(*bytes.first_chunk()?);
    (version != OWN_VERSION).then_some(version)
}

/// Checks version and CRC; what is left is count and entries.
fn open(bytes: &[u8], version: i16) -> Result<&[u8], StateError> {
    let short = StateError::Length { have: bytes.len() };
    let mut at = bytes;
    let found = i16::from_be_bytes(take(&mut at).ok_or_else(|| short.clone())?);
    if found != version {
        return Err(StateError::Version(found));
    }
    let stored = u32::from_be_bytes(take(&mut at).ok_or(short)?);
    let computed = checksum(at);
    if stored == computed { Ok(at) } else { Err(StateError::Crc { stored, computed }) }
}

/// A count that the rest can hold, so that no memory is taken on its word alone.
fn take_count(at: &mut &[u8], entry_bytes: usize) -> Option<usize> {
    let count = usize::try_from(i32::from_be_bytes(take(at)?)).ok()?;
    (count <= at.len() / entry_bytes).then_some(count)
}

fn take<const N: usize>(at: &mut &[u8]) -> Option<[u8; N]> {
    let (&field, rest) = at.split_first_chunk()?;
    *at = rest;
    Some(field)
}

/// The producers of a checkpoint.
pub(crate) fn parse_producers(
    bytes: &[u8],
    id: LogId,
    max: usize,
) -> Result<ProducerStates, Error> {
    ProducerStates::from_bytes(bytes, max).map_err(|error| Error::Damaged {
        file: "checkpoint".into(),
        position: 0,
        what: format!("producers of {id:?}: {error}"),
    })
}

#[cfg(test)]
mod tests;
