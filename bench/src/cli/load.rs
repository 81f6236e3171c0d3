//! Flags that describe load.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::workload::{Arrival, Check, Codec, Consume, Keys, Produce, Rate, Start, Workload};

/// Of the producing side.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(super) struct ProduceFlags {
    /// Connections that produce
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Requests in flight per connection (with a rate: a limit, 0 for none)
    #[arg(long)]
    depth: Option<usize>,
    /// Offered load in 10^6 bytes of values a second; without a rate the loop is closed
    #[arg(long, value_name = "MB/S", conflicts_with = "requests_per_s")]
    rate: Option<f64>,
    /// Offered load in requests a second
    #[arg(long, value_name = "N")]
    requests_per_s: Option<f64>,
    /// When requests are due
    #[arg(long, value_enum, default_value_t = ArrivalFlag::Fixed)]
    arrival: ArrivalFlag,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = size)]
    record: usize,
    /// Bytes of values in a batch (64k, 1m are understood)
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = size)]
    batch: usize,
    /// Batches, each for another partition, in a request
    #[arg(long, default_value_t = 1)]
    partitions_per_request: usize,
    /// -1 (all), 0 or 1
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    acks: i16,
    /// none, gzip, snappy, lz4, zstd
    #[arg(long, value_enum, default_value_t = CodecFlag::None)]
    codec: CodecFlag,
    /// Level of gzip or zstd
    #[arg(long, value_name = "N")]
    codec_level: Option<i32>,
    /// Records arrive one by one and wait so long for company, in us (with --rate; --batch is then
    /// the most)
    #[arg(long, value_name = "US", requires = "rate")]
    linger_us: Option<u64>,
    /// Keys: none, random:N or round-robin:N
    #[arg(long, default_value = "none", value_parser = keys)]
    keys: Keys,
    /// An idempotent producer per connection
    #[arg(long)]
    idempotent: bool,
    /// Values from the lines of a file
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,
}

/// Of every run.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Run")]
pub(super) struct RunFlags {
    /// Partitions of the topic that is made for the run
    #[arg(long, default_value_t = 1)]
    partitions: i32,
    /// Topic configuration, key=value; may be repeated
    #[arg(long = "topic-config", value_name = "K=V", value_parser = pair)]
    topic_configs: Vec<(String, String)>,
    /// Seconds before anything counts
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    warmup: f64,
    /// Seconds that count
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    seconds: f64,
    /// Event loops
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long an idle loop looks again before it sleeps, in us
    #[arg(long, value_name = "US", default_value_t = 50)]
    spin_us: u64,
    /// Seed of payloads and arrival times
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Of the consuming side.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reading")]
pub(super) struct ConsumeFlags {
    /// Connections that read
    #[arg(long, default_value_t = 1)]
    consumers: usize,
    /// Longest wait of a fetch, ms
    #[arg(long, default_value_t = 500)]
    max_wait_ms: i32,
    /// Least bytes of a fetch
    #[arg(long, default_value_t = 1)]
    min_bytes: i32,
    /// Most bytes of a fetch
    #[arg(long, default_value_t = 8 << 20, value_parser = size_i32)]
    max_bytes: i32,
    /// Most bytes of one partition in a fetch
    #[arg(long, default_value_t = 1 << 20, value_parser = size_i32)]
    partition_max_bytes: i32,
    /// Fetch sessions, as Kafka's own consumers use them
    #[arg(long)]
    fetch_session: bool,
    /// Check batches only, not each record
    #[arg(long)]
    shallow: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ArrivalFlag {
    Fixed,
    Poisson,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CodecFlag {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl ProduceFlags {
    pub(super) fn value(&self, stamp: bool) -> Produce {
        let rate =
            self.rate.map(Rate::MbPerS).or_else(|| self.requests_per_s.map(Rate::RequestsPerS));
        Produce {
            connections: self.connections,
            depth: self.depth.unwrap_or_else(|| usize::from(rate.is_none())),
            rate,
            arrival: match self.arrival {
                ArrivalFlag::Fixed => Arrival::Fixed,
                ArrivalFlag::Poisson => Arrival::Poisson,
            },
            record_bytes: self.record,
            batch_bytes: self.batch.max(self.record),
            partitions_per_request: self.partitions_per_request,
            acks: self.acks,
            codec: match self.codec {
                CodecFlag::None => Codec::None,
                CodecFlag::Gzip => Codec::Gzip,
                CodecFlag::Snappy => Codec::Snappy,
                CodecFlag::Lz4 => Codec::Lz4,
                CodecFlag::Zstd => Codec::Zstd,
            },
            codec_level: self.codec_level,
            linger_us: self.linger_us,
            keys: self.keys,
            idempotent: self.idempotent,
            stamp,
            payload_file: self.payload.clone(),
        }
    }
}

impl ConsumeFlags {
    pub(super) fn value(&self, from: Start) -> Consume {
        Consume {
            connections: self.consumers,
            from,
            max_wait_ms: self.max_wait_ms,
            min_bytes: self.min_bytes,
            max_bytes: self.max_bytes,
            partition_max_bytes: self.partition_max_bytes,
            session: self.fetch_session,
            check: if self.shallow { Check::Batches } else { Check::Full },
        }
    }
}

impl RunFlags {
    pub(super) fn value(&self, produce: Option<Produce>, consume: Option<Consume>) -> Workload {
        Workload {
            partitions: self.partitions,
            topic_configs: self.topic_configs.iter().cloned().collect(),
            produce,
            consume,
            warmup_s: self.warmup,
            measure_s: self.seconds,
            threads: self.threads,
            spin_us: self.spin_us,
            seed: self.seed,
            ..Default::default()
        }
    }
}

/// A number of bytes: `4096`, `64k`, `1m`, `10g` (powers of 1024).
fn size(text: &str) -> Result<usize> {
    let text = text.to_ascii_lowercase();
    let (digits, unit) = match text.strip_suffix(['k', 'm', 'g']) {
        Some(digits) => (digits, text.chars().last()),
        None => (text.as_str(), None),
    };
    let shift = match unit {
        Some('k') => 10,
        Some('m') => 20,
        Some('g') => 30,
        _ => 0,
    };
    let number: usize = digits.parse().context("a number, perhaps with k, m or g")?;
    number.checked_mul(1 << shift).context("too large")
}

fn size_i32(text: &str) -> Result<i32> {
    Ok(size(text)?.try_into()?)
}

fn pair(text: &str) -> Result<(String, String)> {
    let (key, value) = text.split_once('=').context("key=value is wanted")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn keys(text: &str) -> Result<Keys> {
    let (kind, count) = text.split_once(':').unwrap_or((text, "1"));
    let count = count.parse().context("none, random:N or round-robin:N")?;
    match kind {
        "none" => Ok(Keys::None),
        "random" => Ok(Keys::Random(count)),
        "round-robin" => Ok(Keys::RoundRobin(count)),
        _ => anyhow::bail!("none, random:N or round-robin:N"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_keys() {
        assert_eq!(size("64k").unwrap(), 65_536);
        assert_eq!(size("1M").unwrap(), 1 << 20);
        assert_eq!(size("7").unwrap(), 7);
        assert!(size("k").is_err() && size("").is_err() && size("99999999999g").is_err());
        assert_eq!(keys("random:10").unwrap(), Keys::Random(10));
        assert_eq!(keys("none").unwrap(), Keys::None);
        assert!(keys("other:1").is_err());
    }
}
