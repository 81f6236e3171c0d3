//! Snapshots of cores as Prometheus (OpenMetrics) text, encoded by the `prometheus-client` library.
use crate::shard::stats::{Latency, Snapshot};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use std::fmt;
use storage::GROUP_BOUNDS;
use wire::{ApiKey, ErrorCode};

/// Upper bounds of latency buckets in seconds: a factor of about two from 10 us to 10 s.
const BOUNDS: [f64; 20] = [
    10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.2,
    0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
];

/// All metrics of the process at one moment.
pub fn render(
    info: &[(String, String)],
    snapshots: &[Snapshot],
    cores: u16,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("millrace");
    let labels: Vec<(String, String)> = info.to_vec();
    registry.register(
        "build",
        "What this process is and runs on",
        prometheus_client::metrics::info::Info::new(labels),
    );
    registry.register_collector(Box::new(Cores {
        snapshots: snapshots.to_vec(),
        cores,
    }));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Cores {
    snapshots: Vec<Snapshot>,
    cores: u16,
}

type Read = fn(&Snapshot) -> u64;

/// Totals since start: name, help, value.
const COUNTERS: &[(&str, &str, Read)] = &[
    ("connections_accepted", "Connections accepted", |s| {
        s.stats.connections_accepted
    }),
    (
        "connections_refused",
        "Connections refused by a limit",
        |s| s.stats.connections_refused,
    ),
    (
        "connections_closed_idle",
        "Connections closed after connections.max.idle.ms",
        |s| s.stats.idle_closed,
    ),
    (
        "connections_closed_slow",
        "Connections closed because a frame took too long",
        |s| s.stats.slow_closed,
    ),
    (
        "requests_malformed",
        "Requests and frames that could not be read",
        |s| s.stats.malformed,
    ),
    (
        "requests_forwarded",
        "Requests, or parts of them, handed to another core",
        |s| s.stats.forwarded,
    ),
    (
        "request_memory_waits",
        "Times a connection waited for request memory",
        |s| s.stats.memory_waits,
    ),
    (
        "log_waits",
        "Times a produce request waited for room in the write-ahead log",
        |s| s.stats.log_waits,
    ),
    (
        "connection_turn_waits",
        "Times a connection with more requests waited until others had their turn",
        |s| s.stats.turn_waits,
    ),
    (
        "group_memory_refusals",
        "Times a group, member, assignment or commit was refused for want of group memory (millrace.group.memory.bytes)",
        |s| s.stats.group_memory_refusals,
    ),
    (
        "producer_ids_evicted",
        "Idempotent producers forgotten because there were too many (millrace.producer.ids.max)",
        |s| s.store.producer_ids_evicted,
    ),
    ("received_bytes", "Bytes received from clients", |s| {
        s.io.received_bytes
    }),
    ("sent_bytes", "Bytes sent to clients", |s| s.io.sent_bytes),
    (
        "produced_bytes",
        "Bytes of batches appended for clients",
        |s| s.stats.produced_bytes,
    ),
    ("fetched_bytes", "Bytes of fetch answers", |s| {
        s.stats.fetched_bytes
    }),
    ("wal_writes", "Groups written to the write-ahead log", |s| {
        s.store.wal_writes
    }),
    (
        "wal_bytes",
        "Bytes written to the write-ahead log, padding included",
        |s| s.store.wal_bytes,
    ),
    (
        "wal_entries",
        "Entries (batches and others) in those groups",
        |s| s.store.wal_entries,
    ),
    (
        "wal_files_made",
        "Files of the write-ahead log made anew",
        |s| s.store.wal_files_made,
    ),
    (
        "wal_files_recycled",
        "Files of the write-ahead log used again",
        |s| s.store.wal_files_recycled,
    ),
    (
        "flushes",
        "Flushes of the write-ahead log to segments",
        |s| s.store.flushes,
    ),
    ("flushed_bytes", "Bytes flushed to segments", |s| {
        s.store.flushed_bytes
    }),
    ("cache_hits", "Reads served from the tail cache", |s| {
        s.store.cache_hits
    }),
    ("cold_reads", "Reads served from disk", |s| {
        s.store.cold_reads
    }),
    ("cold_read_bytes", "Bytes read from disk for clients", |s| {
        s.store.cold_bytes
    }),
    (
        "read_ahead_hits",
        "Reads from disk served by what was read ahead",
        |s| s.store.ahead_hits,
    ),
    ("damaged_batches", "Batches found damaged and fenced", |s| {
        s.store.damaged_batches
    }),
    ("turns", "Turns of the core's loop", |s| s.io.turns),
    ("ring_enters", "io_uring_enter calls", |s| s.io.enters),
    ("ring_submitted", "Operations submitted to the ring", |s| {
        s.io.submitted
    }),
    ("ring_completions", "Completions taken from the ring", |s| {
        s.io.completions
    }),
    ("parks", "Times the core went to sleep", |s| s.io.parks),
    (
        "busy_nanoseconds",
        "Time the core's loop was not asleep",
        |s| s.io.busy_ns,
    ),
];

/// Values now: name, help, value.
const GAUGES: &[(&str, &str, Read)] = &[
    ("connections", "Open connections", |s| s.connections as u64),
    ("partitions", "Partitions led", |s| s.partitions as u64),
    ("groups", "Consumer groups coordinated", |s| s.groups as u64),
    (
        "group_memory_bytes",
        "Memory of groups and committed offsets, estimated",
        |s| s.group_memory_bytes as u64,
    ),
    (
        "producer_ids",
        "Idempotent producers remembered, over all logs",
        |s| s.store.producer_ids,
    ),
    ("fetch_sessions", "Incremental fetch sessions", |s| {
        s.fetch_sessions as u64
    }),
    (
        "fetch_session_partitions",
        "Partitions remembered by fetch sessions",
        |s| s.fetch_session_partitions as u64,
    ),
    (
        "waiting_produces",
        "Produce requests that wait for their ack",
        |s| s.waiting_produces as u64,
    ),
    ("waiting_fetches", "Fetches that wait for news", |s| {
        s.waiting_fetches as u64
    }),
    (
        "request_memory_bytes",
        "Memory of requests being received",
        |s| s.request_memory_bytes as u64,
    ),
    (
        "unflushed_bytes",
        "Bytes in the write-ahead log that are not in segments yet",
        |s| s.store.unflushed_bytes,
    ),
    ("cache_bytes", "Bytes of the tail cache", |s| {
        s.store.cache_bytes
    }),
    (
        "acked_not_durable_bytes",
        "Acknowledged in class written or memory, not on the device yet",
        |s| s.store.acked_not_durable_bytes,
    ),
    (
        "acked_not_durable_ms",
        "Since when the oldest of those bytes has been acknowledged",
        |s| s.acked_not_durable_ms,
    ),
    (
        "read_ahead_bytes",
        "Bytes read ahead of readers of old data",
        |s| s.store.ahead_bytes,
    ),
    (
        "receive_buffer_bytes",
        "Memory of what connections are receiving",
        |s| s.io.receive_buffer_bytes,
    ),
    (
        "spare_buffer_bytes",
        "Large receive buffers kept for the next connections",
        |s| s.io.spare_buffer_bytes,
    ),
    (
        "output_bytes",
        "Bytes of answers that wait to be sent",
        |s| s.io.output_bytes,
    ),
    (
        "log_failed",
        "1 when the core's write-ahead log is read-only after a fault",
        |s| u64::from(s.store.failed.is_some()),
    ),
    (
        "metadata_offset",
        "Metadata applied by the core, as an offset of __cluster_metadata",
        |s| u64::try_from(s.image_offset).unwrap_or(0),
    ),
];

impl Collector for Cores {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        ConstGauge::new(i64::from(self.cores)).encode({
            let gauge = ConstGauge::new(0i64);
            encoder.encode_descriptor(
                "cores",
                "Cores of this process",
                None,
                gauge.metric_type(),
            )?
        })?;
        self.encode_per_core(&mut encoder, COUNTERS, ConstCounter::new)?;
        self.encode_per_core(&mut encoder, GAUGES, |value| {
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
        })?;
        let kind = ConstCounter::new(0u64).metric_type();
        let mut family = encoder.encode_descriptor("requests", "Requests by API", None, kind)?;
        for s in &self.snapshots {
            for (&key, &count) in &s.stats.requests {
                let api = ApiKey::from_code(key).map_or("unknown", ApiKey::name);
                ConstCounter::new(count).encode(
                    family
                        .encode_family(&[("core", s.core.to_string()), ("api", api.to_owned())])?,
                )?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "errors",
            "Errors in answers, by API and Kafka's code; of a request for several topics, groups or others: each",
            None,
            kind,
        )?;
        for s in &self.snapshots {
            for (&(key, code), &count) in &s.stats.errors {
                let api = ApiKey::from_code(key).map_or("unknown", ApiKey::name);
                let name = ErrorCode::from_code(code).map_or("unknown", ErrorCode::name);
                ConstCounter::new(count).encode(family.encode_family(&[
                    ("core", s.core.to_string()),
                    ("api", api.to_owned()),
                    ("error", name.to_owned()),
                ])?)?;
            }
        }
        self.encode_group_sizes(&mut encoder)?;
        self.encode_latencies(&mut encoder)
    }
}

impl Cores {
    fn encode_per_core<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        table: &[(&str, &str, Read)],
        metric: impl Fn(u64) -> M,
    ) -> Result<(), fmt::Error> {
        for &(name, help, read) in table {
            let kind = metric(0).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for s in &self.snapshots {
                let core = [("core", s.core.to_string())];
                metric(read(s)).encode(family.encode_family(&core)?)?;
            }
        }
        Ok(())
    }

    fn encode_group_sizes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "wal_group",
            "Size of the groups written to the write-ahead log, padding included",
            Some(&Unit::Bytes),
            MetricType::Histogram,
        )?;
        let bounds = GROUP_BOUNDS.iter().map(|&bound| bound as f64);
        for s in &self.snapshots {
            let counts = s.store.wal_group_sizes;
            let buckets: Vec<_> = bounds.clone().chain([f64::INFINITY]).zip(counts).collect();
            family
                .encode_family(&[("core", s.core.to_string())])?
                .encode_histogram::<[(String, String); 0]>(
                    s.store.wal_bytes as f64,
                    s.store.wal_writes,
                    &buckets,
                    None,
                )?;
        }
        Ok(())
    }

    fn encode_latencies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        type Stage = fn(&Snapshot) -> &Latency;
        let stages: [(&str, Stage); 4] = [
            ("wait", |s| &s.stats.stage_wait),
            ("handle", |s| &s.stats.stage_handle),
            ("wal", |s| &s.stats.stage_wal),
            ("ack", |s| &s.stats.stage_ack),
        ];
        let mut family = encoder.encode_descriptor(
            "stage_latency",
            "Time per stage: wait (of requests that were held before they were begun), handle (arrival to the end of the handler), wal (append to durable), ack (arrival to the answer of a produce request)",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for s in &self.snapshots {
            for (stage, read) in stages {
                let labels = [("core", s.core.to_string()), ("stage", stage.to_owned())];
                let histogram = read(s).histogram();
                let mut buckets = Vec::with_capacity(BOUNDS.len() + 1);
                let mut below = 0;
                for bound in BOUNDS {
                    let count = histogram.count_between(0, (bound * 1e9) as u64);
                    buckets.push((bound, count - below));
                    below = count;
                }
                buckets.push((f64::INFINITY, histogram.len() - below));
                let sum = histogram.mean() * histogram.len() as f64 / 1e9;
                family
                    .encode_family(&labels)?
                    .encode_histogram::<[(String, String); 0]>(
                        sum,
                        histogram.len(),
                        &buckets,
                        None,
                    )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_api_and_code() {
        let mut snapshot = Snapshot::default();
        let code = ErrorCode::GroupIdNotFound.code();
        snapshot.stats.error(ApiKey::DeleteGroups, code, 2);
        snapshot.stats.error(ApiKey::DeleteGroups, code, 1);
        let text = render(&[], &[snapshot], 1).unwrap();
        let line =
            r#"millrace_errors_total{core="0",api="DeleteGroups",error="GROUP_ID_NOT_FOUND"} 3"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn histograms_end_with_the_bucket_that_prometheus_wants() {
        let mut snapshot = Snapshot::default();
        snapshot.stats.stage_ack.record(70_000_000_000);
        snapshot.store.wal_group_sizes[GROUP_BOUNDS.len()] = 3;
        let text = render(&[], &[snapshot], 1).unwrap();
        let buckets = |name: &str| -> Vec<String> {
            let lines = text.lines().filter(|line| line.starts_with(name));
            lines.map(str::to_owned).collect()
        };
        let stages = buckets("millrace_stage_latency_seconds_bucket{le=\"+Inf\"");
        assert_eq!(stages.len(), 4, "{text}");
        assert_eq!(
            buckets("millrace_wal_group_bytes_bucket{le=\"+Inf\""),
            ["millrace_wal_group_bytes_bucket{le=\"+Inf\",core=\"0\"} 3"]
        );
        assert!(!text.contains("e308"), "{text}");
    }
}
