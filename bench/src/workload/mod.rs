//! What load is made: everything that decides it, and nothing about how it is carried out.
//!
//! A workload is one value, read from a scenario file or from flags, and is printed with every
//! result, so that a figure can be made again.

pub mod frames;
pub mod payload;
pub mod rng;
pub mod schedule;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

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
    /// Requests in flight per connection: held there in a closed loop, which needs it; a limit in an
    /// open one (0: none), and what the limit holds back is late all the same.
    pub depth: usize,
    /// Offered load; `None` is a closed loop, which asks for as much as `depth` allows.
    pub rate: Option<Rate>,
    pub arrival: Arrival,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Values' bytes in one batch: a batch holds `batch_bytes / record_bytes` records, at least
    /// one. There is no linger: what a request holds is decided here and not by time.
    pub batch_bytes: usize,
    /// Batches, each for another partition, in one request.
    pub partitions_per_request: usize,
    pub acks: i16,
    pub codec: Codec,
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
            partitions_per_request: 1,
            acks: -1,
            codec: Codec::None,
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

impl Produce {
    /// Records of one batch.
    #[must_use]
    pub fn records_per_batch(&self) -> usize {
        (self.batch_bytes / self.record_bytes.max(1)).max(1)
    }

    /// Bytes of values in a request over `partitions` partitions.
    #[must_use]
    pub fn request_bytes(&self, partitions: i32) -> usize {
        let batches = self
            .partitions_per_request
            .min(usize::try_from(partitions).unwrap_or(1));
        self.records_per_batch() * self.record_bytes * batches.max(1)
    }

    /// Requests a second that are offered; `None` in a closed loop.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
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
            ensure!(
                matches!(produce.acks, -1..=1),
                "produce.acks: one of -1, 0, 1"
            );
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
