//! Control records: the markers that end transactions (KIP-98).
//!
//! A control batch holds one record, is never compressed, and has no sequence number. Its key is
//! `version: i16, type: i16`; an end-of-transaction marker's value is
//! `version: i16, coordinator_epoch: i32`. Source: Kafka's `ControlRecordType`,
//! `EndTransactionMarker`. The control records of KRaft (leader change, snapshots, voters) are only
//! told apart, not read.

use bytes::{Buf, BufMut};

use crate::{BatchBuilder, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Record, Timestamp};

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
/// The versions that Kafka 4 writes, of keys and of end markers.
const VERSION: i16 = 0;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndTxnMarker {
    /// Its records are not to be seen.
    Abort,
    /// Its records are.
    Commit,
}

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRecord {
    /// End of a transaction.
    EndTxn {
        /// How.
        marker: EndTxnMarker,
        /// Epoch of the transaction coordinator that wrote it; older ones are fenced.
        coordinator_epoch: i32,
    },
    /// A type that is not read here.
    Other(i16),
}

impl ControlRecord {
    /// Reads the record of a control batch; `None` if it is none. Later versions may be longer and
    /// are read by their first fields, as Kafka does.
    #[must_use]
    pub fn parse(record: &Record<'_>) -> Option<Self> {
        let mut key = record.key?;
        let version = key.try_get_i16().ok()?;
        let kind = key.try_get_i16().ok()?;
        if version < 0 {
            return None;
        }
        let marker = match kind {
            ABORT => EndTxnMarker::Abort,
            COMMIT => EndTxnMarker::Commit,
            other => return Some(Self::Other(other)),
        };
        let mut value = record.value?;
        let version = value.try_get_i16().ok()?;
        let coordinator_epoch = value.try_get_i32().ok()?;
        (version >= 0).then_some(Self::EndTxn { marker, coordinator_epoch })
    }
}

/// A batch that ends a transaction, at offset `base_offset`.
#[must_use]
pub fn end_txn_batch(
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    marker: EndTxnMarker,
    coordinator_epoch: i32,
    now: Timestamp,
) -> Vec<u8> {
    let mut key = Vec::with_capacity(4);
    key.put_i16(VERSION);
    key.put_i16(match marker {
        EndTxnMarker::Abort => ABORT,
        EndTxnMarker::Commit => COMMIT,
    });
    let mut value = Vec::with_capacity(6);
    value.put_i16(VERSION);
    value.put_i32(coordinator_epoch);

    let mut batch = BatchBuilder::with_capacity(32)
        .base_offset(base_offset)
        .leader_epoch(leader_epoch)
        .producer(producer_id, producer_epoch, -1)
        .transactional(true)
        .control(true);
    let built = batch.append(Some(&key), Some(&value), now, &[]).and_then(|()| batch.build());
    match built {
        Ok(bytes) => bytes,
        // One short record without a codec: nothing it can fail on.
        Err(error) => panic!("end-of-transaction marker of {producer_id}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchView;

    #[test]
    fn marker_round_trip() {
        for marker in [EndTxnMarker::Abort, EndTxnMarker::Commit] {
            let bytes = end_txn_batch(
                Offset(41),
                LeaderEpoch(3),
                ProducerId(9000),
                ProducerEpoch(2),
                marker,
                77,
                Timestamp(1_700_000_000_000),
            );
            let batch = BatchView::parse_verified(&bytes).unwrap();
            assert!(batch.attributes.is_control() && batch.attributes.is_transactional());
            assert_eq!(batch.next_offset(), Offset(42));
            assert_eq!(batch.producer_id, ProducerId(9000));
            assert_eq!(batch.base_sequence, -1);
            let records: Vec<_> = batch.records().unwrap().collect();
            assert_eq!(records.len(), 1);
            assert_eq!(
                ControlRecord::parse(&records[0].unwrap()),
                Some(ControlRecord::EndTxn { marker, coordinator_epoch: 77 })
            );
        }
    }
}
