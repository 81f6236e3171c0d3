//! Metrics whose number of time series grows with use, and those of the process.
//!
//! Each kind has a bound (`millrace.metrics.*`), and `millrace_metrics_truncated` says when it is
//! met. Which are told then does not change from one scrape to the next unless something comes or
//! goes: topics that were there first, partitions in the order of their names.
use super::{
    collect::Numbers,
    metrics::{family, gauge, one},
};
use crate::{
    partition::traffic::Totals,
    shard::{boot::METADATA_NAME, scrape::PartitionRow},
};
use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

/// Where the topics above the bound are counted. No topic can have this name.
const OTHER: &str = "(other)";

/// Topics and partitions.
#[derive(Debug)]
pub(super) struct Topics(pub(super) Arc<Numbers>);

impl Topics {
    /// Each topic with what all cores count of it, and of the others together.
    fn traffic(&self) -> (BTreeMap<&str, Totals>, Totals) {
        let mut topics: BTreeMap<&str, Totals> = BTreeMap::new();
        let mut other = Totals::default();
        for core in &self.0.cores {
            for (name, totals) in &core.topics {
                topics.entry(name).or_default().add(totals);
            }
            other.add(&core.snapshot.shared_topics);
        }
        (topics, other)
    }

    fn partitions(&self) -> Vec<&PartitionRow> {
        let mut all: Vec<_> = self.0.cores.iter().flat_map(|c| &c.partitions).collect();
        all.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        all
    }
}

impl Collector for Topics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if self.0.cores.is_empty() {
            return Ok(());
        }
        type Count = fn(&Totals) -> u64;
        const COUNTS: [(&str, &str, Count); 4] = [
            ("topic_produced_bytes", "Bytes of batches stored for clients, by topic", |t| {
                t.produced_bytes
            }),
            ("topic_produced_records", "Records stored for clients, by topic", |t| {
                t.produced_records
            }),
            ("topic_fetched_bytes", "Bytes of batches sent to clients, by topic", |t| {
                t.fetched_bytes
            }),
            ("topic_fetched_records", "Records of batches sent to clients, by topic", |t| {
                t.fetched_records
            }),
        ];
        let (topics, other) = self.traffic();
        for (name, help, count) in COUNTS {
            let own = topics.iter().map(|(&topic, totals)| (topic, totals));
            let values = own
                .chain([(OTHER, &other)])
                .map(|(topic, totals)| ([("topic", topic)], ConstCounter::new(count(totals))));
            family(&mut encoder, name, help, values)?;
        }
        let partitions = self.partitions();
        let mut sizes: BTreeMap<&str, (u64, u64)> = BTreeMap::from([(OTHER, (0, 0))]);
        for row in &partitions {
            // Clients have no part in the metadata log, which has its place on the disk all the
            // same.
            let known = topics.contains_key(&*row.topic) || *row.topic == *METADATA_NAME;
            let sum = sizes.entry(if known { &row.topic } else { OTHER });
            let sum = sum.or_default();
            *sum = (sum.0 + row.log_bytes, sum.1 + 1);
        }
        let of = |(&topic, _): (&&'_ str, _)| [("topic", topic.to_owned())];
        family(
            &mut encoder,
            "topic_log_bytes",
            "Bytes of a topic's logs, on disk and not yet flushed",
            sizes.iter().map(|at| (of(at), gauge(at.1.0))),
        )?;
        family(
            &mut encoder,
            "topic_partitions",
            "Partitions of a topic",
            sizes.iter().map(|at| (of(at), gauge(at.1.1))),
        )?;
        self.encode_partitions(&mut encoder, &partitions)
    }
}

impl Topics {
    fn encode_partitions(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        partitions: &[&PartitionRow],
    ) -> Result<(), fmt::Error> {
        let told = &partitions[..partitions.len().min(self.0.bounds.partitions_max)];
        let labels = |row: &PartitionRow| {
            [("topic", row.topic.to_string()), ("partition", row.partition.to_string())]
        };
        family(
            encoder,
            "log_size_bytes",
            "Bytes of a partition's log, on disk and not yet flushed",
            told.iter().map(|row| (labels(row), gauge(row.log_bytes))),
        )?;
        family(
            encoder,
            "log_start_offset",
            "First offset of a partition",
            told.iter().map(|row| (labels(row), ConstGauge::new(row.log_start))),
        )?;
        family(
            encoder,
            "log_end_offset",
            "Offset that the next record of a partition gets",
            told.iter().map(|row| (labels(row), ConstGauge::new(row.log_end))),
        )?;
        let (bounds, cores) = (&self.0.bounds, &self.0.cores);
        let groups = cores.iter().flat_map(|c| &c.groups);
        let offsets: usize = groups.map(|g| g.offsets.len().max(1)).sum();
        let more_groups = cores.iter().any(|c| c.more_groups);
        // What is switched off is not cut short.
        let truncated = [
            ("topics", bounds.topics_max, cores.iter().any(|c| c.snapshot.sharing_topics > 0)),
            ("partitions", bounds.partitions_max, told.len() < partitions.len()),
            (
                "group_offsets",
                bounds.group_offsets_max,
                more_groups || offsets > bounds.group_offsets_max,
            ),
        ];
        family(
            encoder,
            "metrics_truncated",
            "1 where there are more than are told (millrace.metrics.*.max)",
            truncated.map(|(of, max, more)| ([("of", of)], gauge(u64::from(max > 0 && more)))),
        )
    }
}

/// Members and committed offsets of groups.
#[derive(Debug)]
pub(super) struct Groups(pub(super) Arc<Numbers>);

impl Collector for Groups {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut groups: Vec<_> = self.0.cores.iter().flat_map(|c| &c.groups).collect();
        // What follows of one group stays in its order.
        groups.sort_by(|a, b| a.id.cmp(&b.id));
        let mut left = self.0.bounds.group_offsets_max;
        let mut ends: HashMap<(&str, i32), i64> = HashMap::new();
        for row in self.0.cores.iter().flat_map(|c| &c.partitions) {
            ends.insert((&row.topic, row.partition), row.high_watermark);
        }
        let mut members: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut committed, mut lags) = (Vec::new(), Vec::new());
        for group in groups {
            if left == 0 {
                break;
            }
            left -= 1;
            members.insert(&group.id, group.members as u64);
            // A group's first offset is counted with it.
            left += usize::from(!group.offsets.is_empty());
            for commit in group.offsets.iter().take(left) {
                left -= 1;
                let labels = [
                    ("group", group.id.to_string()),
                    ("topic", commit.topic.to_string()),
                    ("partition", commit.partition.to_string()),
                ];
                // A topic that is being deleted has no end any more, and nobody lags behind.
                if let Some(end) = ends.get(&(&*commit.topic, commit.partition)) {
                    let lag = (end - commit.offset).max(0);
                    lags.push((labels.clone(), ConstGauge::new(lag)));
                }
                committed.push((labels, ConstGauge::new(commit.offset)));
            }
        }
        family(
            &mut encoder,
            "group_members",
            "Members of a group",
            members.into_iter().map(|(id, n)| ([("group", id)], gauge(n))),
        )?;
        family(
            &mut encoder,
            "group_committed_offset",
            "Offset that a group has committed for a partition",
            committed,
        )?;
        family(
            &mut encoder,
            "group_lag_records",
            "Records of a partition that consumers can read, from the group's committed offset on",
            lags,
        )
    }
}

/// The process, under the names that every Prometheus client uses.
#[derive(Debug)]
pub(super) struct Process(pub(super) Arc<Numbers>);

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(process) = &self.0.process else {
            return Ok(());
        };
        one(
            &mut encoder,
            "cpu_seconds",
            "CPU time of all threads, user and system",
            ConstCounter::new(process.cpu_seconds),
        )?;
        one(
            &mut encoder,
            "start_time_seconds",
            "When the process started, in seconds since the Unix epoch",
            ConstGauge::new(process.start_seconds),
        )?;
        let gauges = [
            (
                "resident_memory_bytes",
                "Memory of the process that is in RAM",
                Some(process.resident_bytes),
            ),
            ("virtual_memory_bytes", "Address space of the process", Some(process.virtual_bytes)),
            ("open_fds", "Open file descriptors", Some(process.open_fds)),
            ("max_fds", "Most file descriptors that may be open (ulimit -n)", process.max_fds),
            ("threads", "Threads of the process", Some(process.threads)),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                one(&mut encoder, name, help, gauge(value))?;
            }
        }
        Ok(())
    }
}
