//! Numbers of the process as Prometheus metrics, encoded by the `prometheus-client` library. Each
//! is described in docs/metrics.md. Here: those of cores. Those of topics, partitions, groups and
//! the process are in [`super::series`].
use super::{
    collect::{CoreNumbers, Numbers},
    exposition::Format,
    series,
};
use crate::{core::latency::Latency, group::GroupState, shard::snapshot::Snapshot};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::{Registry, Unit},
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use storage::GROUP_BOUNDS;
use wire::{ApiKey, ErrorCode};

/// All metrics of the process at one moment.
pub fn render(numbers: Numbers, format: Format) -> Result<String, fmt::Error> {
    let numbers = Arc::new(numbers);
    let mut ours = Registry::with_prefix("millrace");
    ours.register("build", "What this process is and runs on", Info::new(numbers.info.to_vec()));
    ours.register_collector(Box::new(Cores(numbers.clone())));
    ours.register_collector(Box::new(series::Topics(numbers.clone())));
    ours.register_collector(Box::new(series::Groups(numbers.clone())));
    let mut standard = Registry::with_prefix("process");
    standard.register_collector(Box::new(series::Process(numbers)));
    let mut all = String::new();
    text::encode_registry(&mut all, &ours)?;
    text::encode_registry(&mut all, &standard)?;
    text::encode_eof(&mut all)?;
    Ok(match format {
        Format::OpenMetrics => all,
        Format::Text => super::exposition::to_text(&all),
    })
}

/// Metrics of cores; the tables below say most of them.
#[derive(Debug)]
struct Cores(Arc<Numbers>);

type Read<T> = fn(&Snapshot) -> T;

/// Totals since start: name, help, value.
const COUNTERS: &[(&str, &str, Read<u64>)] = &[
    ("connections_accepted", "Connections accepted", |s| s.stats.connections_accepted),
    ("connections_refused", "Connections refused by a limit", |s| {
        s.stats.connections_refused + s.io.refused
    }),
    ("connections_closed_idle", "Connections closed after connections.max.idle.ms", |s| {
        s.stats.idle_closed
    }),
    ("connections_closed_slow", "Connections closed because a frame took too long", |s| {
        s.stats.slow_closed
    }),
    ("requests_malformed", "Requests and frames that could not be read", |s| s.stats.malformed),
    ("requests_forwarded", "Requests, or parts of them, handed to another core", |s| {
        s.stats.forwarded
    }),
    ("request_memory_waits", "Times a connection waited for request memory", |s| {
        s.stats.memory_waits
    }),
    ("log_waits", "Times a produce request waited for room in the write-ahead log", |s| {
        s.stats.log_waits
    }),
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
    ("received_bytes", "Bytes received from clients", |s| s.io.received_bytes),
    ("sent_bytes", "Bytes sent to clients", |s| s.io.sent_bytes),
    ("produced_bytes", "Bytes of batches appended for clients", |s| s.stats.produced_bytes),
    ("fetched_bytes", "Bytes of fetch answers", |s| s.stats.fetched_bytes),
    ("wal_writes", "Groups written to the write-ahead log", |s| s.store.wal_writes),
    ("wal_bytes", "Bytes written to the write-ahead log, padding included", |s| s.store.wal_bytes),
    ("wal_entries", "Entries (batches and others) in those groups", |s| s.store.wal_entries),
    ("wal_files_made", "Files of the write-ahead log made anew", |s| s.store.wal_files_made),
    ("wal_files_recycled", "Files of the write-ahead log used again", |s| {
        s.store.wal_files_recycled
    }),
    ("flushes", "Flushes of the write-ahead log to segments", |s| s.store.flushes),
    ("flushed_bytes", "Bytes flushed to segments", |s| s.store.flushed_bytes),
    ("cache_hits", "Reads served from the tail cache", |s| s.store.cache_hits),
    ("cold_reads", "Reads served from disk", |s| s.store.cold_reads),
    ("cold_read_bytes", "Bytes read from disk for clients", |s| s.store.cold_bytes),
    ("read_ahead_hits", "Reads from disk served by what was read ahead", |s| s.store.ahead_hits),
    ("damaged_batches", "Batches found damaged and fenced", |s| s.store.damaged_batches),
    ("turns", "Turns of the core's loop", |s| s.io.turns),
    ("ring_enters", "io_uring_enter calls", |s| s.io.enters),
    ("ring_submitted", "Operations submitted to the ring", |s| s.io.submitted),
    ("ring_completions", "Completions taken from the ring", |s| s.io.completions),
    ("parks", "Times the core went to sleep", |s| s.io.parks),
];

/// Values now: name, help, value.
const GAUGES: &[(&str, &str, Read<u64>)] = &[
    ("connections", "Open connections", |s| s.connections as u64),
    ("partitions", "Partitions led", |s| s.partitions as u64),
    (
        "partitions_failed",
        "Partitions that are read-only after a fault, until another start",
        |s| s.failed_partitions as u64,
    ),
    ("group_memory_bytes", "Memory of groups and committed offsets, estimated", |s| {
        s.group_memory_bytes as u64
    }),
    ("producer_ids", "Idempotent producers remembered, over all logs", |s| s.store.producer_ids),
    ("fetch_sessions", "Incremental fetch sessions", |s| s.fetch_sessions as u64),
    ("fetch_session_partitions", "Partitions remembered by fetch sessions", |s| {
        s.fetch_session_partitions as u64
    }),
    ("waiting_produces", "Produce requests that wait for their ack", |s| s.waiting_produces as u64),
    ("waiting_fetches", "Fetches that wait for news", |s| s.waiting_fetches as u64),
    ("request_memory_bytes", "Memory of requests being received", |s| {
        s.request_memory_bytes as u64
    }),
    (
        "answer_memory_bytes",
        "Memory of long answers that are being written and have not left",
        |s| s.answer_memory_bytes as u64,
    ),
    ("unflushed_bytes", "Bytes in the write-ahead log that are not in segments yet", |s| {
        s.store.unflushed_bytes
    }),
    ("cache_bytes", "Bytes of the tail cache", |s| s.store.cache_bytes),
    (
        "log_memory_bytes",
        "Memory of the write-ahead log's groups: unflushed, cached, held by slow readers, and free chunks",
        |s| s.store.group_memory_bytes,
    ),
    ("read_ahead_bytes", "Bytes read ahead of readers of old data", |s| s.store.ahead_bytes),
    ("receive_buffer_bytes", "Memory of what connections are receiving", |s| {
        s.io.receive_buffer_bytes
    }),
    ("spare_buffer_bytes", "Large receive buffers kept for the next connections", |s| {
        s.io.spare_buffer_bytes
    }),
    ("output_bytes", "Bytes of answers that wait to be sent", |s| s.io.output_bytes),
    ("log_failed", "1 when the core's write-ahead log is read-only after a fault", |s| {
        u64::from(s.store.failed.is_some())
    }),
    ("log_refusing", "1 while the core refuses records for want of space on the device", |s| {
        u64::from(s.store.refusing)
    }),
    ("metadata_offset", "Metadata applied by the core, as an offset of __cluster_metadata", |s| {
        u64::try_from(s.image_offset).unwrap_or(0)
    }),
];

impl Collector for Cores {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        one(
            &mut encoder,
            "ready",
            "1 when every core serves and can take records, as /readyz says",
            gauge(u64::from(self.0.ready)),
        )?;
        one(&mut encoder, "cores", "Cores of this process", gauge(u64::from(self.0.core_count)))?;
        if self.0.cores.is_empty() {
            return Ok(());
        }
        self.encode_space(&mut encoder)?;
        for &(name, help, read) in COUNTERS {
            self.per_core(&mut encoder, name, help, |c| ConstCounter::new(read(&c.snapshot)))?;
        }
        self.per_core(&mut encoder, "busy_seconds", "Time the core's loop was not asleep", |c| {
            ConstCounter::new(c.snapshot.io.busy_ns as f64 / 1e9)
        })?;
        for &(name, help, read) in GAUGES {
            self.per_core(&mut encoder, name, help, |c| gauge(read(&c.snapshot)))?;
        }
        self.per_core(
            &mut encoder,
            "acked_not_durable_bytes",
            "Acknowledged in class written or memory, not on the device yet",
            |c| gauge(c.acked_not_durable_bytes),
        )?;
        self.per_core(
            &mut encoder,
            "acked_not_durable_seconds",
            "Since when the oldest of those bytes has been acknowledged",
            |c| ConstGauge::new(c.acked_not_durable_ns as f64 / 1e9),
        )?;
        self.encode_groups(&mut encoder)?;
        self.encode_requests(&mut encoder)?;
        self.encode_errors(&mut encoder)?;
        self.encode_group_sizes(&mut encoder)?;
        self.encode_stages(&mut encoder)
    }
}

/// A metric without labels.
pub(super) fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

pub(super) fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A metric with a value for each of some labels.
pub(super) fn family<M: EncodeMetric, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, M)>,
) -> Result<(), fmt::Error> {
    let mut values = values.into_iter().peekable();
    let Some((_, first)) = values.peek() else {
        return Ok(());
    };
    let mut family = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, metric) in values {
        metric.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Latencies by label.
fn latencies<'l, L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (L, &'l Latency)>,
) -> Result<(), fmt::Error> {
    let mut family =
        encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    for (labels, latency) in values {
        let buckets: Vec<(f64, u64)> = latency.buckets().collect();
        family.encode_family(&labels)?.encode_histogram::<[(String, String); 0]>(
            latency.sum_ns() as f64 / 1e9,
            latency.count(),
            &buckets,
            None,
        )?;
    }
    Ok(())
}

fn core(numbers: &CoreNumbers) -> String {
    numbers.snapshot.core.to_string()
}

impl Cores {
    fn per_core<M: EncodeMetric>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        read: impl Fn(&CoreNumbers) -> M,
    ) -> Result<(), fmt::Error> {
        let cores = self.0.cores.iter();
        let values = cores.map(|c| ([("core", core(c))], read(c)));
        family(encoder, name, help, values)
    }

    /// Of the volume that all cores share, as the first of them has looked at it last.
    fn encode_space(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(store) = self.0.cores.first().map(|c| &c.snapshot.store) else {
            return Ok(());
        };
        let space = store.space;
        let values = [
            (
                "disk_total",
                "Size of the data directory's volume",
                space.map(|space| space.total_bytes),
            ),
            (
                "disk_available",
                "Space of the data directory's volume that this process may take",
                space.map(|space| space.available_bytes),
            ),
            (
                "disk_reserve",
                "Space below which records are refused (millrace.disk.reserve.bytes)",
                Some(store.reserve_bytes),
            ),
        ];
        for (name, help, value) in values {
            let Some(value) = value else { continue };
            let gauge = gauge(value);
            let kind = gauge.metric_type();
            gauge.encode(encoder.encode_descriptor(name, help, Some(&Unit::Bytes), kind)?)?;
        }
        Ok(())
    }

    fn encode_groups(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let values = self.0.cores.iter().flat_map(|c| {
            let states = GroupState::ALL.iter().zip(c.snapshot.groups);
            states.map(|(state, count)| {
                let labels = [("core", core(c)), ("state", state.name().to_owned())];
                (labels, gauge(count as u64))
            })
        });
        family(encoder, "groups", "Consumer groups coordinated, by state", values)
    }

    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut by_api: BTreeMap<&str, Latency> = BTreeMap::new();
        let mut counts = Vec::new();
        for c in &self.0.cores {
            for (key, api) in c.snapshot.stats.apis() {
                by_api.entry(key.name()).or_default().add(&api.latency);
                let labels = [("core", core(c)), ("api", key.name().to_owned())];
                counts.push((labels, ConstCounter::new(api.requests)));
            }
        }
        family(
            encoder,
            "requests",
            "Requests by API, each once, on the core of its connection",
            counts,
        )?;
        latencies(
            encoder,
            "request_latency",
            "From the arrival of a request until its answer leaves, over all cores; without the time for which a fetch waited for news",
            by_api.iter().map(|(&api, latency)| ([("api", api)], latency)),
        )
    }

    fn encode_errors(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let values = self.0.cores.iter().flat_map(|c| {
            c.snapshot.stats.errors.iter().map(|(&(key, code), &count)| {
                let api = ApiKey::from_code(key).map_or("unknown", ApiKey::name);
                let name = ErrorCode::from_code(code).map_or("unknown", ErrorCode::name);
                let labels =
                    [("core", core(c)), ("api", api.to_owned()), ("error", name.to_owned())];
                (labels, ConstCounter::new(count))
            })
        });
        family(
            encoder,
            "errors",
            "Errors in answers, by API and Kafka's code; of a request for several topics, groups or others: each",
            values,
        )
    }

    fn encode_group_sizes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor(
            "wal_group",
            "Size of the groups written to the write-ahead log, padding included",
            Some(&Unit::Bytes),
            MetricType::Histogram,
        )?;
        let bounds = GROUP_BOUNDS.iter().map(|&bound| bound as f64);
        for c in &self.0.cores {
            let store = &c.snapshot.store;
            let counts = store.wal_group_sizes;
            let buckets: Vec<_> = bounds.clone().chain([f64::INFINITY]).zip(counts).collect();
            family.encode_family(&[("core", core(c))])?.encode_histogram::<[(String, String); 0]>(
                store.wal_bytes as f64,
                store.wal_writes,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }

    fn encode_stages(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stages: [(&str, Read<Latency>); 4] = [
            ("wait", |s| s.stats.stage_wait),
            ("handle", |s| s.stats.stage_handle),
            ("wal", |s| s.stats.stage_wal),
            ("ack", |s| s.stats.stage_ack),
        ];
        let values: Vec<_> = self
            .0
            .cores
            .iter()
            .flat_map(|c| {
                stages.iter().map(|(stage, read)| {
                    let labels = [("core", core(c)), ("stage", (*stage).to_owned())];
                    (labels, read(&c.snapshot))
                })
            })
            .collect();
        latencies(
            encoder,
            "stage_latency",
            "Time per stage: wait (of requests that were held before they were begun), handle (arrival to the end of the core's turn in which the handler ran, on the core of the connection), wal (append to durable), ack (arrival to the answer of a produce request)",
            values.iter().map(|(labels, latency)| (labels.clone(), latency)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_api_and_code() {
        let mut core = CoreNumbers::default();
        let code = ErrorCode::GroupIdNotFound.code();
        core.snapshot.stats.error(ApiKey::DeleteGroups, code, 2);
        core.snapshot.stats.error(ApiKey::DeleteGroups, code, 1);
        let numbers = Numbers { cores: vec![core], ..Numbers::default() };
        let text = render(numbers, Format::OpenMetrics).unwrap();
        let line =
            r#"millrace_errors_total{core="0",api="DeleteGroups",error="GROUP_ID_NOT_FOUND"} 3"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn histograms_end_with_the_bucket_that_prometheus_wants() {
        let mut core = CoreNumbers::default();
        core.snapshot.stats.stage_ack.record(70_000_000_000);
        core.snapshot.store.wal_group_sizes[GROUP_BOUNDS.len()] = 3;
        let numbers = Numbers { core_count: 1, cores: vec![core], ..Numbers::default() };
        let text = render(numbers, Format::OpenMetrics).unwrap();
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
