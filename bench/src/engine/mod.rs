//! A run: a topic is made, connections are dealt out to event loops, loops run, figures come back.
//!
//! In reading order:
//!
//! * `connect`, [`plan`]: which connection carries which partitions
//! * `carry`: threads, times, sums
//! * [`worker`]: an event loop
//! * [`producer`], [`fetcher`]: its two kinds of connections
//! * [`socket`]: whole frames from a non-blocking socket; `nats`: the one other protocol
//! * [`check`]: whether what is read is what was written
//! * [`tally`]: what a loop counts
//! * [`judge`]: whether a run's figures can be taken at face value

mod carry;
pub mod check;
mod connect;
pub mod fetcher;
pub mod judge;
pub(crate) mod nats;
pub mod plan;
pub mod producer;
pub mod socket;
pub mod tally;
pub mod worker;

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use client::{Cluster, NewTopic, Options, TopicInfo, Versions};
use record::{Offset, Timestamp};
use wire::ApiKey;
use wire::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};

pub(crate) use carry::{Load, carry};
use connect::Setup;

use crate::result::RunResult;
use crate::workload::{Start, Workload};

const CLIENT_ID: &str = "millrace-bench";

/// What a run is made against.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`.
    pub bootstrap: Vec<String>,
    /// For a peer that does not say what it serves.
    pub versions: Option<Versions>,
    /// The broker's process, for its CPU and memory.
    pub pid: Option<u32>,
    /// CPUs for the event loops, dealt out in turn; empty: wherever the kernel puts them.
    pub cpus: Vec<usize>,
    /// Use this topic as it is; `None`: one is made for the run and deleted afterwards.
    pub topic: Option<String>,
    /// The peer has every topic already and cannot make, list or delete: the floor program.
    pub bare: bool,
}

/// What the floor program understands.
pub(crate) fn bare_versions() -> Versions {
    Versions::pinned(&[(ApiKey::Produce, 7), (ApiKey::Metadata, 4)])
}

impl Target {
    /// A broker somewhere, of which nothing is known.
    #[must_use]
    pub fn at(bootstrap: &str) -> Self {
        Self {
            bootstrap: bootstrap.split(',').map(str::to_owned).collect(),
            versions: None,
            pid: None,
            cpus: Vec::new(),
            topic: None,
            bare: false,
        }
    }

    /// A client of the broker.
    ///
    /// # Errors
    /// It does not answer.
    pub fn cluster(&self) -> Result<Cluster> {
        let options = Options {
            client_id: CLIENT_ID.to_owned(),
            versions: self.versions.clone(),
            ..Default::default()
        };
        if self.bare {
            return Ok(Cluster::unconnected(&self.bootstrap, options));
        }
        Ok(Cluster::connect(&self.bootstrap, options)?)
    }
}

/// A line about what goes on, about once a second.
pub type Progress<'a> = &'a mut dyn FnMut(&str);

/// Makes the topic, runs the load, deletes the topic.
///
/// # Errors
/// The broker cannot be reached or refuses; the load cannot be made. Errors while the load runs are
/// part of the result.
pub fn run(target: &Target, workload: &Workload, progress: Progress<'_>) -> Result<RunResult> {
    workload.validate()?;
    let mut cluster = target.cluster()?;
    let topic = match &target.topic {
        Some(name) => cluster.topic(name)?.clone(),
        None => make_topic(&mut cluster, workload, target.bare)?,
    };
    let result = run_on(target, workload, &mut cluster, &topic, progress);
    if target.topic.is_none() && !target.bare {
        cluster.delete_topic(&topic.name).context("deleting the run's topic")?;
    }
    result
}

/// Brokers refuse to make very many at once; Kafka 10,000.
const PARTITIONS_PER_REQUEST: i32 = 4000;

pub(crate) fn make_topic(
    cluster: &mut Cluster,
    workload: &Workload,
    bare: bool,
) -> Result<TopicInfo> {
    if bare {
        let mut info = cluster.topic("bench")?.clone();
        info.partitions.retain(|p| p.index.0 < workload.partitions);
        return Ok(info);
    }
    let unique = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let new = NewTopic {
        name: format!("bench-{unique:x}"),
        partitions: workload.partitions.min(PARTITIONS_PER_REQUEST),
        replication_factor: 1,
        configs: workload.topic_configs.clone(),
    };
    let mut info = cluster.create_topic(&new)?;
    let mut count = new.partitions;
    while count < workload.partitions {
        count = workload.partitions.min(count + PARTITIONS_PER_REQUEST);
        info = add_partitions(cluster, &new.name, count)?;
    }
    // Kafka names a leader before that leader has opened the log; an answered ListOffsets means
    // that it has (the client asks again while the answer is NOT_LEADER_OR_FOLLOWER).
    for partition in &info.partitions {
        cluster.list_offset(&info.name, partition.index, Timestamp(-1))?;
    }
    Ok(info)
}

/// Gives a topic more partitions, `count` in all.
fn add_partitions(cluster: &mut Cluster, name: &str, count: i32) -> Result<TopicInfo> {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic { name: name.into(), count, assignments: None }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let response = cluster.any()?.call(&request)?;
    for result in &response.results {
        ensure!(
            result.error_code == 0,
            "more partitions for {name}: {} {}",
            client::error::code_name(result.error_code),
            result.error_message.as_deref().unwrap_or_default()
        );
    }
    Ok(cluster.wait_for_leaders(name, usize::try_from(count)?)?)
}

fn run_on(
    target: &Target,
    workload: &Workload,
    cluster: &mut Cluster,
    topic: &TopicInfo,
    progress: Progress<'_>,
) -> Result<RunResult> {
    if let Some(consume) = &workload.consume
        && let Start::Stored(megabytes) = consume.from
        && target.topic.is_none()
    {
        store(target, workload, topic, megabytes, progress)?;
    }
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
    let mut setup = Setup {
        workload,
        topic,
        run,
        load: Load { workload, producers: Vec::new(), fetchers: Vec::new() },
    };
    if let Some(consume) = &workload.consume {
        setup.connect_fetchers(cluster, consume)?;
    }
    if let Some(produce) = &workload.produce {
        setup.connect_producers(cluster, produce)?;
    }
    carry(target, setup.load, progress)
}

/// Writes so many 10^6 bytes into the topic, as fast as a few deep connections can.
pub(crate) fn store(
    target: &Target,
    workload: &Workload,
    topic: &TopicInfo,
    megabytes: u64,
    progress: Progress<'_>,
) -> Result<()> {
    use record::BatchBuilder;
    const BATCH: usize = 900 << 10;
    const RECORD: usize = 1 << 10;
    let mut cluster = target.cluster()?;
    let mut rng = crate::rng::Rng::new(workload.seed, 0x0057_06ed);
    let mut builder = BatchBuilder::with_capacity(BATCH + 64 * BATCH / RECORD);
    let mut value = vec![0; RECORD];
    for _ in 0..BATCH / RECORD {
        rng.fill(&mut value);
        builder.append(None, Some(&value), Timestamp(0), &[])?;
    }
    let batch = builder.build()?;
    let batches = (megabytes * 1_000_000).div_ceil(BATCH as u64);
    progress(&format!("storing {megabytes} MB"));
    let mut last = Offset::ZERO;
    for n in 0..batches {
        let partition = &topic.partitions[usize::try_from(n)? % topic.partitions.len()];
        last = cluster.produce(&topic.name, partition.index, &batch, 1)?;
    }
    progress(&format!("stored {megabytes} MB, last offset {last}"));
    thread::sleep(Duration::from_millis(200));
    Ok(())
}
