//! Closing a segment, and believing a closed one: its seal, or a scan that makes a new one.
use super::{
    Closed, DiskLog, Fence,
    scan::{Bounds, OnDamage},
};
use crate::{
    error::Error,
    files::{FileKey, INDEX, LOG, SEAL, TIME_INDEX, name},
    index::{self, Entry},
    seal::Seal,
    segment::{
        facts::Facts,
        tail::{Tail, full},
    },
};
use bytes::Bytes;
use netio::{File, Open};
use record::{Offset, checksum};

/// Index files are small and go through the page cache.
pub(super) const BUFFERED: Open =
    Open { write: true, create: false, exclusive: false, truncate: false, direct: false };
const CREATE: Open = Open { create: true, ..BUFFERED };
/// An index file is extended by this much at a time.
const INDEX_STEP: u64 = 4096;

impl DiskLog {
    pub(super) fn key(&self, base: Offset, suffix: &'static str) -> FileKey {
        FileKey { log: self.inner.key, base, suffix }
    }
    pub(super) async fn index_file(
        &self,
        base: Offset,
        suffix: &'static str,
    ) -> Result<File, Error> {
        self.inner.disk.file(self.key(base, suffix), &self.inner.dir, BUFFERED).await
    }

    // ---- the active segment's indexes -----------------------------------------------------------
    /// Writes the pending index entries, on the device when it returns unless syncs are deferred.
    /// The batches they name are.
    pub(super) async fn sync_index(&self) -> Result<(), Error> {
        let (facts, synced, offsets, times) = {
            let state = self.inner.state.borrow();
            let active = &state.active;
            (
                active.facts,
                active.synced,
                index::encode(active.base(), &active.offsets),
                index::encode(active.base(), &active.times),
            )
        };
        let (index_at, time_at) = synced.index_bytes();
        self.append_index(facts.base, INDEX, index_at, offsets).await?;
        self.append_index(facts.base, TIME_INDEX, time_at, times).await?;
        let mut state = self.inner.state.borrow_mut();
        state.active.synced = facts;
        state.active.offsets.clear();
        state.active.times.clear();
        Ok(())
    }

    async fn append_index(
        &self,
        base: Offset,
        suffix: &'static str,
        at: u64,
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        // The first entries make the file: a log that has none has no file.
        let file = match at {
            0 => self.inner.disk.file(self.key(base, suffix), &self.inner.dir, CREATE).await?,
            _ => self.index_file(base, suffix).await?,
        };
        let (len, need) = (file.len().await?, at + bytes.len() as u64);
        if need > len {
            file.allocate(len, need.next_multiple_of(INDEX_STEP) - len).await.map_err(full)?;
        }
        file.write_at(Bytes::from(bytes), at, false)
            .await
            .map_err(|error| self.fail(error.into()))?;
        if self.inner.disk.defers() {
            return Ok(());
        }
        file.sync(true).await.map_err(|error| self.fail(error.into()))?;
        if at == 0 {
            self.inner.disk.io().sync_dir(&self.inner.dir).await?;
        }
        Ok(())
    }

    // ---- closing --------------------------------------------------------------------------------
    /// Brings the active segment to the form of a closed one: the last index entries, files cut to
    /// their content, the seal. The segment can go on growing afterwards (its seal then no longer
    /// fits, and is replaced at the next close).
    pub(super) async fn seal_active(&self, tail: &mut Tail) -> Result<Seal, Error> {
        {
            let active = &mut self.inner.state.borrow_mut().active;
            assert!(active.loaded, "sealing {:?} unread", active.synced);
            if let Some(entry) = active.facts.time_entry() {
                active.times.push(entry);
            }
        }
        self.sync_index().await?;
        let facts = self.inner.state.borrow().active.facts;
        assert_eq!((tail.size(), facts.size), (facts.size, facts.size), "{facts:?}");
        let log = self
            .inner
            .disk
            .file(self.key(facts.base, LOG), &self.inner.dir, super::scan::DIRECT)
            .await?;
        let synced = !self.inner.disk.defers();
        tail.trim(&log, synced).await.map_err(|error| self.fail(error))?;
        let (index_bytes, time_bytes) = facts.index_bytes();
        let index_crc = self.cut_index(facts.base, INDEX, index_bytes).await?;
        let time_index_crc = self.cut_index(facts.base, TIME_INDEX, time_bytes).await?;
        let seal = Seal { facts, index_crc, time_index_crc };
        self.write_seal(&seal).await?;
        Ok(seal)
    }

    /// Cuts an index file to `bytes`, durably unless syncs are deferred; returns the CRC of what is
    /// in it.
    async fn cut_index(
        &self,
        base: Offset,
        suffix: &'static str,
        bytes: u64,
    ) -> Result<u32, Error> {
        let file = self.inner.disk.file(self.key(base, suffix), &self.inner.dir, CREATE).await?;
        if file.len().await? != bytes {
            file.truncate(bytes).await.map_err(|error| self.fail(error.into()))?;
            if !self.inner.disk.defers() {
                file.sync(false).await.map_err(|error| self.fail(error.into()))?;
            }
        }
        index_crc(&file, bytes).await
    }

    async fn write_seal(&self, seal: &Seal) -> Result<(), Error> {
        let bytes = seal.to_bytes();
        assert_eq!(Seal::from_bytes(&bytes), Some(*seal));
        self.inner.disk.replace(&self.inner.dir, &name(seal.facts.base, SEAL), bytes).await
    }

    // ---- closed segments ------------------------------------------------------------------------
    /// The seal of a closed segment: read, or made by a scan where there is none that fits. `None`
    /// if there is no such closed segment (any more).
    pub(super) async fn seal_of(&self, base: Offset) -> Result<Option<Seal>, Error> {
        let known = self.inner.state.borrow().closed.get(&base).copied();
        match known {
            None => return Ok(None),
            Some(Closed { seal: Some(seal), .. }) => return Ok(Some(seal)),
            Some(Closed { seal: None, .. }) => {}
        }
        let end = self.inner.state.borrow().base_after(base);
        let seal = match self.read_seal(base).await? {
            Some(seal) if seal.facts.end <= end && self.log_len(base).await? == seal.facts.size => {
                seal
            }
            _ => return self.rebuild(base).await,
        };
        let mut state = self.inner.state.borrow_mut();
        Ok(state.closed.get_mut(&base).map(|closed| *closed.seal.get_or_insert(seal)))
    }

    pub(super) async fn read_seal(&self, base: Offset) -> Result<Option<Seal>, Error> {
        Seal::load(&self.inner.disk, &self.path(base, SEAL), base).await
    }

    pub(super) async fn log_len(&self, base: Offset) -> Result<u64, Error> {
        Ok(self
            .inner
            .disk
            .file(self.key(base, LOG), &self.inner.dir, super::scan::DIRECT)
            .await?
            .len()
            .await?)
    }

    /// Makes sure that the index files of a closed segment are what the seal says, once after a
    /// start; else makes them anew.
    pub(super) async fn check_indexes(&self, base: Offset) -> Result<(), Error> {
        let known = self.inner.state.borrow().closed.get(&base).copied();
        let Some(Closed { seal: Some(seal), checked: false, .. }) = known else {
            return Ok(());
        };
        if !self.indexes_are(&seal).await? {
            self.rebuild(base).await?;
        }
        if let Some(closed) = self.inner.state.borrow_mut().closed.get_mut(&base) {
            closed.checked = true;
        }
        Ok(())
    }

    /// The index files are what the seal says.
    pub(super) async fn indexes_are(&self, seal: &Seal) -> Result<bool, Error> {
        let (base, (index_bytes, time_bytes)) = (seal.facts.base, seal.facts.index_bytes());
        Ok(self.index_is(base, INDEX, index_bytes, seal.index_crc).await?
            && self.index_is(base, TIME_INDEX, time_bytes, seal.time_index_crc).await?)
    }

    async fn index_is(
        &self,
        base: Offset,
        suffix: &'static str,
        bytes: u64,
        crc: u32,
    ) -> Result<bool, Error> {
        let file = match self.index_file(base, suffix).await {
            Err(Error::Io(error)) if error.is_not_found() => return Ok(false),
            other => other?,
        };
        Ok(file.len().await? == bytes && index_crc(&file, bytes).await? == crc)
    }

    /// Reads a closed segment through, fences damage, writes its indexes and its seal anew.
    async fn rebuild(&self, base: Offset) -> Result<Option<Seal>, Error> {
        let _held = self.inner.writer.hold().await;
        let (end, epochs, config, old) = {
            let state = self.inner.state.borrow();
            let Some(closed) = state.closed.get(&base) else {
                return Ok(None);
            };
            if closed.checked {
                // Another reader has been here meanwhile.
                return Ok(closed.seal);
            }
            (state.base_after(base), state.epochs.clone(), state.config.clone(), closed.seal)
        };
        let created = old.map_or_else(|| self.inner.disk.io().wall(), |seal| seal.facts.created_ms);
        let len = self.log_len(base).await?;
        let (mut offsets, mut times) = (Vec::new(), Vec::new());
        let bounds = Bounds { size: len, end, upto: Offset::MAX, on_damage: OnDamage::Fence };
        let scanned = self
            .scan(Facts::new(base, created), bounds, &epochs, &config, |_, entries| {
                offsets.extend(entries.offset);
                times.extend(entries.time);
            })
            .await?;
        let mut facts = scanned.facts;
        let old = self.read_seal(base).await?;
        if let Some(seal) = old.filter(|seal| seal.facts.end > facts.end) {
            // The end of the file is gone; only the seal remembers it.
            self.add_fence(Fence {
                from: facts.end,
                next: end,
                segment_base: base,
                position: facts.size,
                resume: facts.size,
                why: format!("ends at offset {} instead of {}", facts.end, seal.facts.end),
            });
        }
        times.extend(facts.time_entry());
        for fence in scanned.fences {
            self.add_fence(fence);
        }
        if facts.size < len {
            let file = self
                .inner
                .disk
                .file(self.key(base, LOG), &self.inner.dir, super::scan::DIRECT)
                .await?;
            file.truncate(facts.size).await?;
            file.sync(false).await?;
        }
        let index_crc = self.replace_index(base, INDEX, &offsets).await?;
        let time_index_crc = self.replace_index(base, TIME_INDEX, &times).await?;
        let seal = Seal { facts, index_crc, time_index_crc };
        // The seal of a segment that was cut short stays: it alone says what is missing, and does
        // so at every start.
        let is_short = old.is_some_and(|old| old.facts.size > len || old.facts.end > facts.end);
        if !is_short {
            self.write_seal(&seal).await?;
        }
        let mut state = self.inner.state.borrow_mut();
        state.chain_doubted |= is_short;
        Ok(state.closed.get_mut(&base).map(|closed| {
            *closed = Closed { bytes: facts.size, seal: Some(seal), checked: true };
            seal
        }))
    }

    async fn replace_index<E: Entry>(
        &self,
        base: Offset,
        suffix: &'static str,
        entries: &[E],
    ) -> Result<u32, Error> {
        let bytes = index::encode(base, entries);
        let crc = checksum(&bytes);
        self.inner.disk.close_file(&self.key(base, suffix));
        self.inner.disk.replace(&self.inner.dir, &name(base, suffix), bytes).await?;
        Ok(crc)
    }
}

/// CRC of the first `bytes` of an index file, as they are on disk.
async fn index_crc(file: &File, bytes: u64) -> Result<u32, Error> {
    let len = usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(if len == 0 { checksum(&[]) } else { checksum(&file.read_vec(0, len).await?) })
}
