//! What must be true of the logs, kept in memory beside them.
//!
//! Per log: every batch that was ever given an offset, how far it was acknowledged, and what
//! idempotent producers may repeat. A crash may take what was not promised; then the model follows
//! the store, and never the other way round.
use record::{BatchHeader, LeaderEpoch};
use std::collections::BTreeMap;
use storage::{Durability, LogConfig, LogId, Offsets};

/// A batch as it must be read.
#[derive(Clone, Debug)]
pub struct Stored {
    pub base: i64,
    pub end: i64,
    pub bytes: Vec<u8>,
}

/// A batch that its producer may send again.
#[derive(Clone, Debug)]
pub struct Sent {
    pub base: i64,
    pub end: i64,
    pub next_sequence: i32,
    pub bytes: Vec<u8>,
}

/// An idempotent producer of a log.
#[derive(Clone, Debug, Default)]
pub struct Producer {
    pub next_sequence: i32,
    /// Newest last; at most five can be told from new ones.
    pub sent: Vec<Sent>,
}

#[derive(Debug)]
pub struct LogModel {
    pub name: String,
    pub config: LogConfig,
    pub epoch: i32,
    pub batches: Vec<Stored>,
    /// Largest high watermark seen: somebody may have been told.
    pub acked: i64,
    /// Largest durable offset seen.
    pub durable: i64,
    /// Log start: durable, and as far as anybody asked.
    pub start_durable: i64,
    pub start_seen: i64,
    pub producers: [Producer; 2],
}

/// How a life of the process ended, the harder the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Clean,
    Kill,
    Power,
}

/// All logs, over all lives.
#[derive(Debug, Default)]
pub struct Model {
    pub logs: BTreeMap<LogId, LogModel>,
    pub last_end: Option<End>,
    /// Logs whose deletion is not durable yet: either outcome is right.
    pub leaving: BTreeMap<LogId, String>,
    pub cores: usize,
    pub appended: u64,
    pub duplicates: u64,
    pub busy: u64,
    /// For there was no space.
    pub refused: u64,
    pub reads: u64,
    pub cold: u64,
    pub verified: u64,
    pub lost_unacked: u64,
}

impl LogModel {
    pub fn new(name: String, config: LogConfig) -> Self {
        Self {
            name,
            config,
            epoch: 0,
            batches: Vec::new(),
            acked: 0,
            durable: 0,
            start_durable: 0,
            start_seen: 0,
            producers: Default::default(),
        }
    }

    pub fn end(&self) -> i64 {
        self.batches.last().map_or(0, |last| last.end)
    }

    /// What must still be there after an end of this kind.
    pub fn promised(&self, end: End) -> i64 {
        match (self.config.durability, end) {
            (_, End::Clean) => self.end(),
            (Durability::Device, _) | (Durability::Written, End::Kill) => {
                self.acked.max(self.durable)
            }
            (Durability::Written, End::Power) | (Durability::Memory, _) => self.durable,
        }
    }

    /// The store has been opened again: what is there counts from now on.
    pub fn reopened(&mut self, id: LogId, offsets: Offsets, end: End) -> u64 {
        let promised = self.promised(end).max(self.start_durable);
        let log_end = offsets.log_end.0;
        assert!(
            log_end >= promised,
            "{id:?} ({:?}) lost: {offsets:?} after {end:?}, promised {promised}",
            self.config.durability
        );
        // A log start may lie beyond the end that a weaker class has left.
        assert!(
            log_end <= self.end().max(self.start_seen),
            "{id:?} has more than was appended: {offsets:?}, {}",
            self.end()
        );
        assert!(
            offsets.log_start.0 >= self.start_durable && offsets.log_start.0 <= self.start_seen,
            "{id:?}: log start {} not in {}..={}",
            offsets.log_start,
            self.start_durable,
            self.start_seen
        );
        let before = self.batches.len();
        self.batches.retain(|batch| batch.end <= log_end);
        assert!(
            self.batches.last().map_or(0, |last| last.end) == log_end
                || self.batches.is_empty()
                || offsets.log_start.0 == log_end,
            "{id:?} ends inside a batch: {offsets:?}"
        );
        for producer in &mut self.producers {
            producer.sent.retain(|sent| sent.end <= log_end);
            producer.next_sequence = producer.sent.last().map_or(0, |sent| sent.next_sequence);
        }
        (self.acked, self.durable) = (log_end, log_end);
        (self.start_durable, self.start_seen) = (offsets.log_start.0, offsets.log_start.0);
        (before - self.batches.len()) as u64
    }

    /// Offsets that the store shows must not go back, and must not promise what was not appended.
    pub fn saw(&mut self, id: LogId, offsets: Offsets) {
        offsets.check(self.config.durability == Durability::Device);
        assert!(
            offsets.high_watermark.0 >= self.acked,
            "{id:?}: high watermark back to {offsets:?} from {}",
            self.acked
        );
        assert!(
            offsets.durable.0 >= self.durable,
            "{id:?}: durable back to {offsets:?} from {}",
            self.durable
        );
        assert!(
            offsets.log_start.0 >= self.start_seen,
            "{id:?}: log start back to {offsets:?} from {}",
            self.start_seen
        );
        self.acked = offsets.high_watermark.0;
        self.durable = offsets.durable.0;
        self.start_seen = offsets.log_start.0;
    }

    /// Bytes read from `from`: whole batches, the right ones, in order, without a hole.
    pub fn check_read(&self, id: LogId, from: i64, upto: i64, read: &[bytes::Bytes]) -> i64 {
        let all = read.concat();
        let mut rest = &all[..];
        let mut at = self.batches.partition_point(|batch| batch.end <= from);
        let mut next = from;
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest)
                .unwrap_or_else(|error| panic!("{id:?} from {from}: {error}"));
            let (batch, after) = rest.split_at(header.size_in_bytes());
            let stored = self
                .batches
                .get(at)
                .unwrap_or_else(|| panic!("{id:?} from {from}: {header:?} was never appended"));
            assert_eq!(
                header.base_offset.0, stored.base,
                "{id:?} from {from}: a hole or a repetition"
            );
            assert!(batch == stored.bytes, "{id:?}: other bytes at {}", stored.base);
            assert!(stored.end <= upto, "{id:?}: read beyond {upto}: {header:?}");
            assert_ne!(header.partition_leader_epoch, LeaderEpoch::NONE);
            next = stored.end;
            at += 1;
            rest = after;
        }
        next
    }
}
