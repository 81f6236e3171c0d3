//! What load is made: everything that decides it, and nothing about how it is carried out.
//!
//! A workload is one value, read from a scenario file or from flags, and is printed with every
//! result, so that a figure can be made again.

pub mod frames;
pub(crate) mod number;
pub mod payload;
pub mod schedule;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::clock::Nanos;
use crate::stamp::STAMP_SIZE;

/// One run's load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Partitions of the topic that is made for the run.
    pub partitions: i32,
    /// Configurations of that topic, for every peer alike.
    pub topic_configs: BTreeMap<String, String>,
    pub produce: Option<Produce>,
    pub consume: Option<Consume>,
    /// Seconds of load before anything counts.
    pub warmup_s: f64,
    /// Seconds that count.
    pub measure_s: f64,
    /// Longest wait for what is still under way afterwards.
    pub drain_s: f64,
    /// Event loops; connections are dealt out to them.
    pub threads: usize,
    /// How long a loop with nothing to do looks again before it sleeps in the kernel. Sleeping
    /// costs the time to wake, which on a virtual machine can be more than the broker's answer.
    pub spin_us: u64,
    /// For payloads and arrival times: the same seed is the same load.
    pub seed: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            partitions: 1,
            topic_configs: BTreeMap::new(),
            produce: None,
            consume: None,
            warmup_s: 2.0,
            measure_s: 10.0,
            drain_s: 10.0,
            threads: 1,
            spin_us: 50,
            seed: 1,
        }
    }
}

/// The producing side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Produce {
    pub connections: usize,
    /// Requests in flight per connection: held there in a closed loop, which needs it; a limit in
    /// an open one (0: none), and what the limit holds back is late all the same.
    pub depth: usize,
    /// Offered load; `None` is a closed loop, which asks for as much as `depth` allows.
    pub rate: Option<Rate>,
    pub arrival: Arrival,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Values' bytes in one batch: a batch holds `batch_bytes / record_bytes` records, at least
    /// one. Without `linger_us` requests arrive whole: what one holds is decided here and not by
    /// time.
    pub batch_bytes: usize,
    /// Of an open loop at a fixed `rate` in MB/s: records arrive one by one, and a request goes
    /// when its batch is full or its first record has waited so long. Latencies are then of
    /// records, the wait for company included.
    pub linger_us: Option<u64>,
    /// Batches, each for another partition, in one request.
    pub partitions_per_request: usize,
    pub acks: i16,
    pub codec: Codec,
    /// Of the codec's own scale (gzip 1 to 9, zstd 1 to 22; the others have none).
    pub codec_level: Option<i32>,
    pub keys: Keys,
    pub idempotent: bool,
    /// Stamps every record with stream, sequence number and intended time, so that readers can
    /// check and time it. Costs the client a CRC pass per batch.
    pub stamp: bool,
    /// Values from the lines of this file instead of random bytes.
    pub payload_file: Option<PathBuf>,
}

impl Default for Produce {
    fn default() -> Self {
        Self {
            connections: 1,
            depth: 0,
            rate: None,
            arrival: Arrival::Fixed,
            record_bytes: 1024,
            batch_bytes: 1024,
            linger_us: None,
            partitions_per_request: 1,
            acks: -1,
            codec: Codec::None,
            codec_level: None,
            keys: Keys::None,
            idempotent: false,
            stamp: false,
            payload_file: None,
        }
    }
}

/// An offered load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// 10^6 bytes of values a second.
    MbPerS(f64),
    RequestsPerS(f64),
}

/// When requests are meant to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// At equal distances, connections out of step with each other.
    #[default]
    Fixed,
    /// Independently, with exponential distances.
    Poisson,
}

/// Codec of the batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Codec> for record::Compression {
    fn from(codec: Codec) -> Self {
        match codec {
            Codec::None => Self::None,
            Codec::Gzip => Self::Gzip,
            Codec::Snappy => Self::Snappy,
            Codec::Lz4 => Self::Lz4,
            Codec::Zstd => Self::Zstd,
        }
    }
}

/// Keys of the records. They do not decide the partition: the schedule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    #[default]
    None,
    /// Any of so many.
    Random(u32),
    /// So many, one after the other.
    RoundRobin(u32),
}

/// The consuming side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consume {
    pub connections: usize,
    pub from: Start,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    /// Of a whole response.
    pub max_bytes: i32,
    /// Of one partition in it.
    pub partition_max_bytes: i32,
    /// Fetch sessions (KIP-227), as Kafka's consumers use them: after the first fetch only
    /// partitions that have moved are named. Without, every fetch names all of its partitions.
    pub session: bool,
    pub check: Check,
}

impl Default for Consume {
    fn default() -> Self {
        Self {
            connections: 1,
            from: Start::Tail,
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: 8 << 20,
            partition_max_bytes: 1 << 20,
            session: false,
            check: Check::Full,
        }
    }
}

/// Where reading starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Where producers begin to write: consumers keep up with them.
    #[default]
    Tail,
    /// At the start of so many bytes (10^6) that are written beforehand, over and over.
    Stored(u64),
}

/// How much of what is read is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Offsets follow each other, batch CRCs are right.
    Batches,
    /// And each stamped record is of this run, in order, without gap or duplicate, its bytes right.
    #[default]
    Full,
}

/// How long the records of a request have waited for company when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linger {
    /// The first one.
    pub hold: Nanos,
    /// So much less for each one after it.
    pub step: Nanos,
}

impl Linger {
    /// By record of a request.
    pub fn waits(self, records: u64) -> impl Iterator<Item = Nanos> {
        (0..records).map(move |n| self.hold.saturating_sub(n * self.step))
    }
}

impl Produce {
    /// Records of one batch.
    #[must_use]
    pub fn records_per_batch(&self) -> usize {
        let full = (self.batch_bytes / self.record_bytes.max(1)).max(1);
        match self.lingering() {
            Some((_, records)) => records.min(full),
            None => full,
        }
    }

    /// How long records wait for company, if they do.
    #[must_use]
    pub fn linger(&self) -> Option<Linger> {
        let (linger, _) = self.lingering()?;
        let last = self.records_per_batch() as u64 - 1;
        let full = (self.batch_bytes / self.record_bytes.max(1)).max(1) as u64;
        Some(Linger {
            // A full batch does not wait.
            hold: if last + 1 == full { last * linger.step } else { linger.hold },
            step: linger.step,
        })
    }

    /// Linger and distance of records, and how many come within the linger time.
    fn lingering(&self) -> Option<(Linger, usize)> {
        let (Some(Rate::MbPerS(mb)), Some(us)) = (self.rate, self.linger_us) else {
            return None;
        };
        // 10^6 bytes a second are 10^-3 bytes a nanosecond.
        let step = self.record_bytes as f64 * self.connections as f64 / (mb * 1e-3);
        let hold = us * 1000;
        let linger = Linger { hold, step: step as Nanos };
        Some((linger, 1 + (hold as f64 / step) as usize))
    }

    /// Bytes of values in a request over `partitions` partitions.
    #[must_use]
    pub fn request_bytes(&self, partitions: i32) -> usize {
        let batches = self.partitions_per_request.min(usize::try_from(partitions).unwrap_or(1));
        self.records_per_batch() * self.record_bytes * batches.max(1)
    }

    /// Requests a second that are offered; `None` in a closed loop.
    #[must_use]
    pub fn requests_per_s(&self, partitions: i32) -> Option<f64> {
        self.rate.map(|rate| match rate {
            Rate::RequestsPerS(rate) => rate,
            Rate::MbPerS(mb) => mb * 1e6 / self.request_bytes(partitions) as f64,
        })
    }
}

impl Workload {
    /// Whether the load can be made at all.
    ///
    /// # Errors
    /// What is wrong, and what to change.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.partitions > 0, "partitions: at least 1");
        ensure!(self.threads > 0, "threads: at least 1");
        ensure!(self.measure_s > 0.0, "measure_s: more than 0");
        if self.produce.is_none() && self.consume.is_none() {
            bail!("nothing to do: give `produce`, `consume` or both");
        }
        if let Some(produce) = &self.produce {
            ensure!(produce.connections > 0, "produce.connections: at least 1");
            ensure!(
                produce.partitions_per_request > 0,
                "produce.partitions_per_request: at least 1"
            );
            ensure!(matches!(produce.acks, -1..=1), "produce.acks: one of -1, 0, 1");
            ensure!(
                produce.rate.is_some() || produce.depth > 0,
                "produce.depth: a closed loop needs at least 1"
            );
            if let Some(rate) = produce.requests_per_s(self.partitions) {
                ensure!(rate > 0.0, "produce.rate: more than 0");
            }
            if produce.stamp {
                ensure!(
                    produce.record_bytes >= STAMP_SIZE,
                    "produce.record_bytes: stamps take {STAMP_SIZE} bytes of each record"
                );
            }
            ensure!(
                produce.linger_us.is_none()
                    || (matches!(produce.rate, Some(Rate::MbPerS(_)))
                        && produce.arrival == Arrival::Fixed
                        && produce.partitions_per_request == 1),
                "produce.linger_us: with a fixed rate in MB/s, one partition a request"
            );
            ensure!(
                produce.codec_level.is_none() || matches!(produce.codec, Codec::Gzip | Codec::Zstd),
                "produce.codec_level: gzip and zstd have levels"
            );
            ensure!(
                !produce.idempotent || produce.acks == -1,
                "produce.idempotent: needs acks -1, as Kafka's producers do"
            );
        }
        if let Some(consume) = &self.consume {
            ensure!(consume.connections > 0, "consume.connections: at least 1");
            match (consume.from, &self.produce) {
                (Start::Tail, None) => bail!("consume.from: the tail needs a producer"),
                (Start::Stored(_), Some(_)) => {
                    bail!("consume.from: stored data is read without a producer beside it")
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linger_fills_batches_by_time_or_by_size() {
        // A record of 1000 bytes each 100 us on each of two connections.
        let mut produce = Produce {
            connections: 2,
            rate: Some(Rate::MbPerS(20.0)),
            record_bytes: 1000,
            batch_bytes: 16_000,
            linger_us: Some(450),
            ..Default::default()
        };
        assert_eq!(produce.records_per_batch(), 5);
        let linger = produce.linger().unwrap();
        let waits: Vec<_> = linger.waits(5).collect();
        assert_eq!(waits, [450_000, 350_000, 250_000, 150_000, 50_000]);
        // The rate stays what it was.
        assert!((produce.requests_per_s(2).unwrap() - 4000.0).abs() < 1e-6);
        // Full before its time: nobody waits for more.
        produce.batch_bytes = 3000;
        let waits: Vec<_> = produce.linger().unwrap().waits(3).collect();
        assert_eq!(waits, [200_000, 100_000, 0]);
        produce.linger_us = None;
        assert_eq!((produce.records_per_batch(), produce.linger()), (3, None));
    }
}
