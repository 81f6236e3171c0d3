//! Look-up by time (ListOffsets): time index, offset index, then the records themselves.
use super::{
    DiskLog, Place,
    read::{Start, Step, Walk},
};
use crate::{
    error::Error,
    ids::TimeOffset,
    segment::{facts::Facts, reader::READ_BYTES_MIN},
};
use record::{BatchView, Offset, Records};

/// Most bytes that a batch may decompress to here.
const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

impl DiskLog {
    /// The first record at or behind the log start with a timestamp >= `timestamp`, below `upto`
    /// and flushed; as Kafka's `UnifiedLog.fetchOffsetByTimestamp`. Damaged batches are passed
    /// over.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn find_time(
        &self,
        timestamp: i64,
        upto: Offset,
    ) -> Result<Option<TimeOffset>, Error> {
        self.find_time_from(timestamp, Offset::ZERO, upto).await
    }

    /// As [`Self::find_time`], at or behind `from`: the store's log start may be ahead of the one
    /// here.
    pub(crate) async fn find_time_from(
        &self,
        timestamp: i64,
        from: Offset,
        upto: Offset,
    ) -> Result<Option<TimeOffset>, Error> {
        self.load().await?;
        let (bases, log_start) = {
            let state = self.inner.state.borrow();
            (state.bases(), state.log_start.max(from))
        };
        for base in bases.into_iter().filter(|&base| base < upto) {
            let Some((facts, place)) = self.facts_of(base).await? else {
                continue;
            };
            if facts.max_timestamp < timestamp || place.end <= log_start {
                continue;
            }
            let from = match self.time_floor(&place, timestamp).await? {
                Some(entry) => entry.last_offset.max(log_start),
                None => log_start,
            };
            let hit =
                |record: &TimeOffset| record.timestamp >= timestamp && record.offset >= log_start;
            if let Some(found) = self.search(&place, from, upto, timestamp, hit).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of all that is flushed (ListOffsets with
    /// timestamp -3).
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn max_timestamp(&self) -> Result<Option<TimeOffset>, Error> {
        self.load().await?;
        let bases = self.inner.state.borrow().bases();
        let mut newest: Option<(Facts, Place)> = None;
        for base in bases {
            let Some((facts, place)) = self.facts_of(base).await? else {
                continue;
            };
            if facts.max_timestamp >= 0
                && newest.is_none_or(|(best, _)| facts.max_timestamp > best.max_timestamp)
            {
                newest = Some((facts, place));
            }
        }
        let Some((facts, place)) = newest else {
            return Ok(None);
        };
        let timestamp = facts.max_timestamp;
        self.search(&place, facts.max_timestamp_offset, Offset::MAX, timestamp, |record| {
            record.timestamp == timestamp
        })
        .await
    }

    /// The first record that `hit` likes, in batches of `place` from the one of `from` on whose
    /// largest timestamp is at least `timestamp`.
    async fn search(
        &self,
        place: &Place,
        from: Offset,
        upto: Offset,
        timestamp: i64,
        hit: impl Fn(&TimeOffset) -> bool,
    ) -> Result<Option<TimeOffset>, Error> {
        let epochs = self.inner.state.borrow().epochs.clone();
        let mut reader = self.reader(place.base, place.size, READ_BYTES_MIN).await?;
        let start: Start = self.start_for(&mut reader, place, from, &epochs).await?;
        let mut walk = Walk::new(self, *place, start, epochs);
        loop {
            let (header, piece) = match walk.step(&mut reader).await? {
                Step::End => return Ok(None),
                Step::Damage(_) => continue,
                Step::Batch(header, piece) => (header, piece),
            };
            if header.base_offset >= upto {
                return Ok(None);
            }
            if header.max_timestamp.0 < timestamp {
                continue;
            }
            let path = self.path(place.base, crate::files::LOG);
            let bad = |why: String| {
                crate::files::damaged(
                    &path,
                    0,
                    format!("records at offset {}: {why}", header.base_offset),
                )
            };
            let view = BatchView::parse(piece.bytes()).map_err(|error| bad(error.to_string()))?;
            let records = view
                .decompressed(DECOMPRESSED_BYTES_MAX)
                .map_err(|error| bad(error.to_string()))?;
            for record in Records::new(&records, &header) {
                let record = record.map_err(|error| bad(error.to_string()))?;
                let offset = record.offset(&header);
                let found = TimeOffset {
                    offset,
                    timestamp: record.timestamp(&header).0,
                    leader_epoch: header.partition_leader_epoch,
                };
                if offset >= upto {
                    return Ok(None);
                }
                if hit(&found) {
                    return Ok(Some(found));
                }
            }
        }
    }
}
