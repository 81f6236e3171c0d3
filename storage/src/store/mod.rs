//! [`Store`]: all logs of a core, behind one write-ahead log. Called by the shard, on its core
//! only.
//!
//! Boot: [`crate::Recovery`] reads the data directory once (on core 0), then every core opens its
//! store with the logs it owns. Each turn of the core: feed `netio` events ([`Store::on_written`],
//! [`Store::on_timer`]), call operations, then [`Store::settle`] once, then drain
//! [`Store::take_event`].
//!
//! Here are the types, what an append does, and what is answered from memory; `turn` carries the
//! store forward, `dirs` works on the logs' files, `reads` answers from memory and disk.
mod advance;
mod ahead;
mod checkpoints;
mod event;
mod flush;
mod flushing;
mod next_work;
mod producer_budget;
mod reads;
mod room;
mod space;
pub(crate) mod stop;
mod take_name;
mod turn;
mod wal_files;
mod work;

pub use event::{Appended, Event, Read, Stats};

use crate::{
    checkpoint::{self, LogState},
    error::{AppendError, Error, ReadError},
    ids::{LogId, LogSlot, ProducerView},
    log::{Cached, Log, dir_name},
    options::{Durability, LogConfig, Options},
    producer_state::{Checked, ProducerStates},
    recover::RecoveredLog,
    store::{
        advance::{Advance, Control},
        checkpoints::Checkpoints,
        flushing::Looks,
        producer_budget::ProducerBudget,
        reads::Reads,
        room::Room,
        space::{Ledger, Whose},
        stop::Ending,
        turn::{Outcome, Timers},
        wal_files::WalFiles,
        work::Dirs,
    },
    wal::{Chain, Entry, Kind, Wal, recycle},
    watermarks::Offsets,
};
use netio::{Io, TaskSet, buffer::BLOCK};
use record::{BatchHeader, LeaderEpoch, Offset, Timestamp, checksum};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All logs of a core.
#[derive(Debug)]
pub struct Store {
    pub(crate) io: Io,
    pub(crate) options: Options,
    pub(crate) wal: Wal,
    pub(crate) logs: Vec<Option<Log>>,
    pub(crate) free: Vec<u32>,
    pub(crate) by_id: BTreeMap<LogId, LogSlot>,
    /// Logs with something unflushed.
    pub(crate) dirty: BTreeSet<LogSlot>,
    pub(crate) unflushed_bytes: u64,
    pub(crate) producer_budget: ProducerBudget,
    pub(crate) tasks: TaskSet<Outcome>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) dirs: Dirs,
    pub(crate) reads: Reads,
    pub(crate) room: Room,
    pub(crate) advance: Advance,
    pub(crate) looks: Looks,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) wal_files: WalFiles,
    pub(crate) timers: Timers,
    pub(crate) ending: Ending,
    pub(crate) stats: Stats,
}

impl Store {
    /// Opens the store of this core with the logs that recovery found and the broker gives to this
    /// core. The first file of the write-ahead log is pre-written when this returns.
    ///
    /// # Errors
    /// The disk's; [`Error::Failed`] if the data directory was not recovered first.
    pub async fn open(io: Io, options: Options, logs: Vec<RecoveredLog>) -> Result<Store, Error> {
        let dir = options.data.join("wal");
        let core = u32::from(io.core().0);
        let recovered = checkpoint::read(&io, &dir, checkpoint::RECOVERED).await?;
        let start = recovered
            .ok_or_else(|| Error::Failed("the data directory was not recovered".into()))?
            .head
            .start;
        // A volume that cannot say is asked again.
        let space = io.space(&options.data).await.ok();
        let (bytes, first_bytes) = (options.wal_file_bytes, options.wal_first_file_bytes);
        let first = match recycle::first(&io, &dir, core, bytes, first_bytes).await {
            Err(error) if error.is_full() => {
                let available = space.map_or(0, |space| space.available_bytes);
                return Err(Error::Full(format!(
                    "{available} bytes are available on the volume of {}, and core {core} needs {first_bytes} for the first \
                     file of its write-ahead log: free at least {} bytes there, or make the volume larger, and start again; \
                     nothing is lost ({error})",
                    options.data.display(),
                    first_bytes.saturating_sub(available).max(BLOCK as u64),
                )));
            }
            other => other?,
        };
        let chain = Chain {
            core,
            start,
            run: u128::from(io.random()) << 64 | u128::from(io.random()),
            // A group larger than any file would wait for one for ever.
            group_bytes: options.group_bytes.min(group_bytes_max(bytes)),
            groups_in_flight: options.groups_in_flight,
            linger_us: options.linger_us,
        };
        let wal = Wal::new(&io, chain, recycle::Files::new(dir, core, first));
        let mut store = Store {
            wal,
            logs: Vec::with_capacity(logs.len()),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            dirty: BTreeSet::new(),
            unflushed_bytes: 0,
            producer_budget: ProducerBudget::new(options.producer_ids_max),
            tasks: TaskSet::new(&io),
            events: VecDeque::new(),
            dirs: Dirs::new(&io, options.open_files_max, options.producer_ids_max),
            reads: Reads::default(),
            room: Room::default(),
            advance: Advance::default(),
            looks: Looks::default(),
            checkpoints: Checkpoints::default(),
            wal_files: WalFiles::default(),
            timers: Timers::default(),
            ending: Ending::default(),
            stats: Stats::default(),
            options,
            io,
        };
        for RecoveredLog { id, state, config, .. } in logs {
            let producers = if state.producers.is_empty() {
                ProducerStates::new(store.options.producer_ids_max)
            } else {
                ProducerStates::from_bytes(&state.producers, store.options.producer_ids_max)
                    .map_err(|error| Error::Damaged {
                        file: "checkpoint".into(),
                        position: 0,
                        what: format!("producers of {id:?}: {error}"),
                    })?
            };
            store.insert(Log::new(state, config, producers));
        }
        store.keep_producer_budget(None);
        store.room.ledger = Ledger::new(store.options.reserve_bytes, space);
        store.weigh(0);
        store.start_timers();
        Ok(store)
    }

    fn insert(&mut self, log: Log) -> LogSlot {
        let id = log.id;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.logs.push(None);
                u32::try_from(self.logs.len() - 1)
                    .unwrap_or_else(|_| panic!("{} logs", self.logs.len()))
            }
        };
        self.producer_budget.change(LogSlot(slot), 0, log.producers.len());
        self.logs[slot as usize] = Some(log);
        let before = self.by_id.insert(id, LogSlot(slot));
        assert!(before.is_none(), "{id:?} is there twice");
        LogSlot(slot)
    }

    /// A log, alive or being removed.
    pub(crate) fn any_log(&mut self, slot: LogSlot) -> Option<&mut Log> {
        self.logs.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn log(&self, slot: LogSlot) -> &Log {
        match self.logs.get(slot.0 as usize) {
            Some(Some(log)) if !log.deleted => log,
            _ => panic!("{slot:?} is no log of this store"),
        }
    }

    pub(crate) fn log_mut(&mut self, slot: LogSlot) -> &mut Log {
        match self.logs.get_mut(slot.0 as usize) {
            Some(Some(log)) if !log.deleted => log,
            _ => panic!("{slot:?} is no log of this store"),
        }
    }

    // ---- logs -----------------------------------------------------------------------------------
    /// Makes a new, empty log in `kafka/<name>-<partition>`; usable at once, its creation is an
    /// entry of the WAL.
    ///
    /// # Errors
    /// [`Error::Failed`] if the chain is read-only or a log of this id is there.
    pub fn create(
        &mut self,
        id: LogId,
        name: &str,
        config: LogConfig,
        epoch: LeaderEpoch,
    ) -> Result<LogSlot, Error> {
        self.check_chain()?;
        if self.by_id.contains_key(&id) {
            return Err(Error::Failed(format!("{id:?} is there already")));
        }
        let entry = self.entry(Kind::Created, id, Offset::ZERO, epoch, name.as_bytes());
        self.wal.enter(entry, name.as_bytes());
        let state = LogState::empty(id, name, Offset::ZERO, epoch);
        let producers = ProducerStates::new(self.options.producer_ids_max);
        Ok(self.insert(Log::new(state, config, producers)))
    }

    pub fn find(&self, id: LogId) -> Option<LogSlot> {
        self.by_id.get(&id).copied()
    }

    /// Every log of this store, by id.
    pub fn slots(&self) -> impl Iterator<Item = (LogId, LogSlot)> + '_ {
        self.by_id.iter().map(|(id, slot)| (*id, *slot))
    }

    /// Removes the log: no read or append after this; files go in the background;
    /// [`Event::Deleted`] when it cannot come back.
    pub fn delete(&mut self, slot: LogSlot) {
        let log = self.log(slot);
        let (id, epoch, name) = (log.id, log.epoch, log.name.clone());
        let entry = self.entry(Kind::Deleted, id, Offset::ZERO, epoch, name.as_bytes());
        let sequence = self.wal.enter(entry, name.as_bytes());
        self.by_id.remove(&id);
        self.forget_ahead(slot);
        self.forget_unflushed(slot, Offset::ZERO);
        self.change_producers(slot, ProducerStates::clear);
        let log = self.log_mut(slot);
        log.deleted = true;
        log.gone.set(true);
        self.advance.control(sequence, Control::Deleted(slot));
    }

    pub fn set_config(&mut self, slot: LogSlot, config: LogConfig) {
        let log = self.log_mut(slot);
        if log.config.durability != Durability::Device {
            log.weak_below = log.offsets.high_watermark;
        }
        log.config = config;
        let config = log.config.clone();
        if let Some(disk) = log.open_disk() {
            disk.set_config(config);
        }
        self.advance(slot);
    }

    /// Raises the leader epoch (an entry of the WAL, and of the log's epoch history at the first
    /// append in it). A lower or equal one changes nothing.
    pub fn set_epoch(&mut self, slot: LogSlot, epoch: LeaderEpoch) {
        let log = self.log_mut(slot);
        if epoch <= log.epoch {
            return;
        }
        log.epoch = epoch;
        log.encoded = None;
        let (id, end) = (log.id, log.offsets.log_end);
        let entry = self.entry(Kind::EpochStart, id, end, epoch, &[]);
        self.wal.enter(entry, &[]);
    }

    // ---- append ---------------------------------------------------------------------------------
    /// Appends one validated batch of a client: checks idempotence, gives offsets, copies it once
    /// into the open group. With `log_append_time` the batch is restamped.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append(
        &mut self,
        slot: LogSlot,
        batch: &[u8],
        log_append_time: Option<i64>,
    ) -> Result<Appended, AppendError> {
        self.append_of(Whose::Client, slot, batch, log_append_time)
    }

    /// As [`Self::append`], of a coordinator or of the controller: below the reserve too, for
    /// without them nothing could be deleted. Their batches carry no producer id and so pass the
    /// idempotence check.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended then.
    pub fn append_own(&mut self, slot: LogSlot, batch: &[u8]) -> Result<Appended, AppendError> {
        self.append_of(Whose::Server, slot, batch, None)
    }

    fn append_of(
        &mut self,
        whose: Whose,
        slot: LogSlot,
        batch: &[u8],
        log_append_time: Option<i64>,
    ) -> Result<Appended, AppendError> {
        let header = match BatchHeader::parse(batch) {
            Ok(header)
                if header.size_in_bytes() == batch.len() && header.last_offset_delta >= 0 =>
            {
                header
            }
            other => panic!(
                "an append of {} bytes that are not one validated batch: {other:?}",
                batch.len()
            ),
        };
        self.check_chain()?;
        let log = self.log(slot);
        if let Some(reason) = &log.failed {
            return Err(Error::Failed(reason.clone()).into());
        }
        if let Checked::Duplicate { base, end, timestamp } = log.producers.check(&header)? {
            return Ok(Appended {
                base_offset: base,
                end_offset: end,
                log_append_time: if log_append_time.is_some() { timestamp } else { -1 },
                log_start: log.offsets.log_start,
                duplicate: true,
            });
        }
        self.check_room(whose, batch.len())?;
        Ok(self.append_checked(slot, batch, header, log_append_time))
    }

    fn append_checked(
        &mut self,
        slot: LogSlot,
        batch: &[u8],
        mut header: BatchHeader,
        log_append_time: Option<i64>,
    ) -> Appended {
        let log = self.log(slot);
        let (id, epoch, base) = (log.id, log.epoch, log.offsets.log_end);
        header.base_offset = base;
        header.partition_leader_epoch = epoch;
        let dsync = log.config.durability == Durability::Device;
        let (sequence, at) = self.wal.put_batch(slot, batch, dsync, |copy| {
            record::set_base_offset(copy, base);
            record::set_leader_epoch(copy, epoch);
            if let Some(now) = log_append_time {
                record::restamp_log_append_time(copy, Timestamp(now));
                match BatchHeader::parse(copy) {
                    Ok(stamped) => header = stamped,
                    Err(error) => panic!("a batch that was restamped: {error}"),
                }
            }
            batch_entry(Kind::Append, id, &header)
        });
        let now = self.io.now();
        let log = self.log_mut(slot);
        let end = header.next_offset();
        log.on_appended(Cached { base, end, sequence, at, len: batch.len() as u32 }, now);
        let known = (log.producers.len(), log.producers.evicted());
        log.producers.apply(&header);
        let is_known = known == (log.producers.len(), log.producers.evicted());
        if log.epochs.assign(epoch, base) {
            log.encoded = None;
        }
        let log_start = log.offsets.log_start;
        if !is_known {
            self.on_new_producer(slot, known);
        }
        self.unflushed_bytes += batch.len() as u64;
        self.dirty.insert(slot);
        self.advance(slot);
        Appended {
            base_offset: base,
            end_offset: end,
            log_append_time: log_append_time.unwrap_or(-1),
            log_start,
            duplicate: false,
        }
    }

    /// Submits what the turn has gathered, when the device is idle enough. Call once a turn, after
    /// all appends.
    pub fn settle(&mut self) {
        self.pump();
    }

    pub(crate) fn entry(
        &self,
        kind: Kind,
        id: LogId,
        offset: Offset,
        epoch: LeaderEpoch,
        data: &[u8],
    ) -> Entry {
        Entry {
            kind,
            id,
            offset,
            epoch,
            length: data.len() as u32,
            crc: checksum(data),
            last_delta: 0,
        }
    }

    // ---- what is known without a read -----------------------------------------------------------
    pub fn offsets(&self, slot: LogSlot) -> Offsets {
        self.log(slot).offsets
    }
    pub fn epoch(&self, slot: LogSlot) -> LeaderEpoch {
        self.log(slot).epoch
    }
    pub fn config(&self, slot: LogSlot) -> &LogConfig {
        &self.log(slot).config
    }
    pub fn id(&self, slot: LogSlot) -> LogId {
        self.log(slot).id
    }
    /// Largest epoch <= `epoch` and its end offset (OffsetForLeaderEpoch); `None` when unknown.
    pub fn end_of_epoch(&self, slot: LogSlot, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let log = self.log(slot);
        log.epochs.end_for_epoch(epoch, log.offsets.log_end)
    }
    /// Epoch of the record at `offset` (for commits and fetch answers).
    pub fn epoch_at(&self, slot: LogSlot, offset: Offset) -> Option<LeaderEpoch> {
        self.log(slot).epochs.epoch_at(offset)
    }
    /// Bytes of the log on disk and not yet flushed (DescribeLogDirs). Of a log whose files were
    /// not opened since the start, the position in its last segment stands for them.
    pub fn size_bytes(&self, slot: LogSlot) -> u64 {
        let log = self.log(slot);
        let disk = match log.open_disk() {
            Some(disk) => disk.size_bytes(),
            None => log.flushed_state().map_or(0, |state| state.position),
        };
        disk + log.unflushed_bytes
    }
    /// Active producers (DescribeProducers): id, epoch, last sequence, last timestamp, current
    /// transaction start.
    pub fn producers(&self, slot: LogSlot) -> Vec<ProducerView> {
        self.log(slot).producers.views()
    }

    // ---- change ---------------------------------------------------------------------------------
    /// Raises the log start (DeleteRecords, snapshots of internal logs); returns the new one.
    /// [`Event::LogStartMoved`] follows.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] beyond the high watermark.
    pub fn delete_records(&mut self, slot: LogSlot, to: Offset) -> Result<Offset, ReadError> {
        self.check_chain()?;
        let Offsets { log_start, high_watermark, .. } = self.log(slot).offsets;
        if to > high_watermark || !to.is_valid() {
            return Err(ReadError::OutOfRange { offset: to, log_start, high_watermark });
        }
        if to > log_start {
            self.move_log_start(slot, to);
        }
        Ok(self.log(slot).offsets.log_start)
    }

    pub(crate) fn move_log_start(&mut self, slot: LogSlot, to: Offset) {
        let log = self.log_mut(slot);
        log.offsets.log_start = to;
        log.epochs.truncate_from_start(to);
        log.fenced.retain(|(_, end)| *end > to);
        log.missing.retain(|(_, end)| *end > to);
        log.encoded = None;
        log.check();
        let (id, epoch) = (log.id, log.epoch);
        let entry = self.entry(Kind::LogStart, id, to, epoch, &[]);
        let sequence = self.wal.enter(entry, &[]);
        self.advance.control(sequence, Control::LogStart(slot, to));
    }

    /// The log start that is durable: where [`Self::delete_records`] may be answered.
    pub fn durable_log_start(&self, slot: LogSlot) -> Offset {
        self.log(slot).durable_start
    }
    /// Why the log, or the whole chain, is read-only; `None` while it is not.
    pub fn failure(&self, slot: LogSlot) -> Option<&str> {
        self.log(slot).failed.as_deref().or(self.wal.failed.as_deref())
    }
    /// Space of the data directory's file system, as it was when last looked at.
    pub fn space(&self) -> Option<netio::Space> {
        self.room.ledger.space()
    }

    /// Cuts the log to end at `to` (followers, later). What idempotent producers did is forgotten:
    /// a follower learns it again with what it fetches.
    ///
    /// # Errors
    /// [`Error::Failed`] if the chain is read-only.
    pub fn truncate(&mut self, slot: LogSlot, to: Offset) -> Result<(), Error> {
        self.check_chain()?;
        let log = self.log(slot);
        let (id, epoch) = (log.id, log.epoch);
        if to >= log.offsets.log_end {
            return Ok(());
        }
        assert!(
            to >= log.offsets.log_start,
            "{id:?} cut to {to}, before its start: {:?}",
            log.offsets
        );
        let entry = self.entry(Kind::Truncate, id, to, epoch, &[]);
        let sequence = self.wal.enter(entry, &[]);
        self.forget_ahead(slot);
        self.forget_unflushed(slot, to);
        let log = self.log_mut(slot);
        let offsets = &mut log.offsets;
        for offset in [
            &mut offsets.last_stable,
            &mut offsets.high_watermark,
            &mut offsets.durable,
            &mut offsets.log_end,
            &mut log.written,
        ] {
            *offset = (*offset).min(to);
        }
        if log.offsets.flushed > to {
            log.offsets.flushed = to;
            log.wanted.truncate = Some(to);
            log.closed = false;
        }
        log.epochs.truncate_from_end(to);
        log.encoded = None;
        log.check();
        self.change_producers(slot, ProducerStates::clear);
        self.advance.control(sequence, Control::Truncated(slot));
        Ok(())
    }

    /// Takes the batches from `from` on out of memory: they are gone.
    fn forget_unflushed(&mut self, slot: LogSlot, from: Offset) {
        let Some(log) = self.logs.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let first = log.first_unflushed();
        let cut = log.index.partition_point(|cached| cached.base < from);
        for cached in log.index.drain(cut..).skip(first.saturating_sub(cut)) {
            self.wal.unpin(cached.sequence);
            log.unflushed_bytes -= u64::from(cached.len);
            self.unflushed_bytes -= u64::from(cached.len);
        }
        if log.unflushed_bytes == 0 {
            self.dirty.remove(&slot);
        }
    }

    /// Gauges and totals.
    pub fn stats(&self) -> Stats {
        Stats {
            wal_writes: self.wal.totals.writes,
            wal_bytes: self.wal.totals.bytes,
            wal_entries: self.wal.totals.entries,
            wal_group_sizes: self.wal.totals.sizes,
            unflushed_bytes: self.unflushed_bytes,
            cache_bytes: self.wal.cached_bytes(),
            group_memory_bytes: self.wal.memory_bytes(),
            ahead_bytes: self.reads.ahead.bytes() as u64,
            producer_ids: self.producer_budget.total() as u64,
            producer_ids_evicted: self.producer_budget.evicted,
            failed: self.wal.failed.clone(),
            space: self.room.ledger.space(),
            reserve_bytes: self.options.reserve_bytes,
            refusing: self.is_refusing(),
            ..self.stats.clone()
        }
    }

    /// Bytes of a log that are acknowledged in class `written` or `memory` and not on the device.
    pub fn acked_not_durable(&self, slot: LogSlot) -> u64 {
        let log = self.log(slot);
        let from = log.index.partition_point(|cached| cached.end <= log.offsets.durable);
        let acked =
            log.index.range(from..).take_while(|cached| cached.end <= log.offsets.high_watermark);
        acked.map(|cached| u64::from(cached.len)).sum()
    }

    /// Name of the log's directory below `kafka/`.
    pub fn dir_name(&self, slot: LogSlot) -> String {
        let log = self.log(slot);
        dir_name(&log.name, log.id.partition)
    }
}

/// Largest group, so that its frame fits a file of `file_bytes` with room to spare. A larger batch
/// has a frame of its own.
fn group_bytes_max(file_bytes: u64) -> usize {
    usize::try_from(file_bytes / 2).unwrap_or(usize::MAX)
}

pub(crate) fn batch_entry(kind: Kind, id: LogId, header: &BatchHeader) -> Entry {
    Entry {
        kind,
        id,
        offset: header.base_offset,
        epoch: header.partition_leader_epoch,
        length: header.size_in_bytes() as u32,
        crc: header.crc,
        last_delta: header.last_offset_delta.cast_unsigned(),
    }
}
