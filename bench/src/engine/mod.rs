//! A run: a topic is made, connections are dealt out to event loops, loops run, figures come back.
//!
//! In reading order:
//!
//! * [`plan`]: which connection carries which partitions
//! * [`worker`]: an event loop
//! * [`producer`], [`fetcher`]: its two kinds of connections
//! * [`socket`]: whole frames from a non-blocking socket
//! * [`check`]: whether what is read is what was written
//! * [`tally`]: what a loop counts
//! * [`judge`]: whether a run's figures can be taken at face value

pub mod check;
pub mod fetcher;
pub mod judge;
pub mod plan;
pub mod producer;
pub mod socket;
pub mod tally;
pub mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use client::{Cluster, NewTopic, Options, TopicInfo, Versions};
use record::{Offset, ProducerEpoch, ProducerId, Timestamp};
use wire::Request;
use wire::fetch::FetchRequest;
use wire::produce::ProduceRequest;

use crate::clock::{self, Clock, Nanos, SECOND};
use crate::cpus;
use crate::measure::host::{HostSample, ProcessSample};
use crate::result::{ClientUse, ConsumeResult, ProduceResult, RunResult, Second};
use crate::workload::frames::{self, Shape};
use crate::workload::schedule::Schedule;
use crate::workload::{Consume, Produce, Start, Workload};

use check::{Checker, Findings};
use fetcher::{Fetcher, Position};
use producer::Producer;
use socket::Socket;
use tally::{Tally, Window};
use worker::{Finished, Shared, Worker};

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
        cluster
            .delete_topic(&topic.name)
            .context("deleting the run's topic")?;
    }
    result
}

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
        partitions: workload.partitions,
        replication_factor: 1,
        configs: workload.topic_configs.clone(),
    };
    let info = cluster.create_topic(&new)?;
    // Kafka names a leader before that leader has opened the log; an answered ListOffsets means that
    // it has (the client asks again while the answer is NOT_LEADER_OR_FOLLOWER).
    for partition in &info.partitions {
        cluster.list_offset(&info.name, partition.index, Timestamp(-1))?;
    }
    Ok(info)
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
    let clock = Clock::default();
    let mut setup = Setup {
        workload,
        topic,
        run,
        producers: Vec::new(),
        fetchers: Vec::new(),
    };
    if let Some(consume) = &workload.consume {
        setup.connect_fetchers(cluster, consume)?;
    }
    if let Some(produce) = &workload.produce {
        setup.connect_producers(cluster, produce)?;
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let window = setup.schedule(clock.now() + SECOND / 10);
    let shared = Arc::new(Shared::default());
    let workers = setup.into_workers(clock, window, &shared);
    let threads = workers.len();
    let handles = workers
        .into_iter()
        .enumerate()
        .map(|(n, worker)| {
            let cpu = (!target.cpus.is_empty()).then(|| target.cpus[n % target.cpus.len()]);
            thread::Builder::new()
                .name(format!("loop-{n}"))
                .spawn(move || -> Result<Finished> {
                    if let Some(cpu) = cpu {
                        cpus::pin_thread(&[cpu])?;
                    }
                    cpus::precise_timers();
                    Ok(worker.run()?)
                })
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let watched = watch(target, &clock, &window, &shared, progress);
    let mut tally = Tally::default();
    let mut findings = Findings::default();
    let mut read = BTreeMap::new();
    for handle in handles {
        let finished = handle
            .join()
            .map_err(|_| anyhow::anyhow!("an event loop has panicked"))??;
        tally.merge(finished.tally);
        findings.merge(finished.findings);
        read.extend(finished.read);
    }
    if workload.consume.is_some() {
        let unread = tally
            .acked
            .iter()
            .map(|(stream, acked)| acked.saturating_sub(read.get(stream).copied().unwrap_or(0)));
        // A broker that still owed acks when the waiting ended was given no time for the reader.
        if tally.unanswered == 0 {
            findings.lost = unread.sum();
        } else {
            findings.unread = unread.sum();
        }
    }
    Ok(assemble(
        workload, tally, findings, watched, started, threads,
    ))
}

/// What the main thread saw of the broker and the host.
struct Watched {
    broker: Option<crate::measure::host::ProcessUse>,
    host: crate::measure::host::HostUse,
    /// CPU of the broker in each second.
    broker_seconds: Vec<Option<Nanos>>,
}

/// Samples the broker at the window's edges and each second, and tells how it goes.
fn watch(
    target: &Target,
    clock: &Clock,
    window: &Window,
    shared: &Shared,
    progress: Progress<'_>,
) -> Watched {
    let sample = || target.pid.and_then(ProcessSample::of);
    clock.sleep_until(window.start);
    let mut last = (clock.now(), 0, 0);
    let mut say = |now: Nanos, text: &str, seconds: f64| {
        let acked = shared.acked_bytes.load(Ordering::Relaxed);
        let read = shared.read_bytes.load(Ordering::Relaxed);
        let errors = shared.errors.load(Ordering::Relaxed);
        let elapsed = clock::seconds((now - last.0).max(1)) * 1e6;
        #[allow(clippy::cast_precision_loss)]
        let mb = |now: u64, then: u64| (now - then) as f64 / elapsed;
        let mut line = format!(
            "{text} {seconds:.0} s: {:.1} MB/s acked, {:.1} MB/s read",
            mb(acked, last.1),
            mb(read, last.2)
        );
        if errors > 0 {
            line += &format!(", {errors} errors");
        }
        last = (now, acked, read);
        progress(&line);
    };
    let mut at = window.start;
    while at + SECOND < window.from {
        at += SECOND;
        clock.sleep_until(at);
        say(clock.now(), "warm-up", clock::seconds(at - window.start));
    }
    clock.sleep_until(window.from);
    let (first, host) = (sample(), HostSample::now());
    let mut previous = first;
    let mut broker_seconds = Vec::new();
    let mut at = window.from;
    while at < window.to {
        at = (at + SECOND).min(window.to);
        clock.sleep_until(at);
        let now = sample();
        broker_seconds.push(now.zip(previous).map(|(now, then)| now.since(&then).cpu_ns));
        previous = now;
        say(clock.now(), "measuring", clock::seconds(at - window.from));
    }
    Watched {
        broker: previous.zip(first).map(|(now, then)| now.since(&then)),
        host: HostSample::now().since(&host),
        broker_seconds,
    }
}

#[allow(clippy::cast_precision_loss)]
fn assemble(
    workload: &Workload,
    tally: Tally,
    findings: Findings,
    watched: Watched,
    started_unix_s: u64,
    threads: usize,
) -> RunResult {
    let seconds = workload.measure_s;
    let produce = workload.produce.as_ref().map(|produce| ProduceResult {
        requests: tally.produce.requests,
        records: tally.produce.records,
        bytes: tally.produce.bytes,
        wire_bytes: tally.produce.wire_bytes,
        requests_per_s: tally.produce.requests as f64 / seconds,
        mb_per_s: tally.produce.bytes as f64 / 1e6 / seconds,
        offered_per_s: produce.rate.map(|_| tally.offered as f64 / seconds),
        unanswered: tally.unanswered,
        errors: tally.produce.errors.clone(),
        ack: tally.ack.summary(),
        service: tally.service.summary(),
        slip: tally.slip.summary(),
    });
    let consume = workload.consume.as_ref().map(|_| ConsumeResult {
        fetches: tally.consume.requests,
        records: tally.consume.records,
        bytes: tally.consume.bytes,
        mb_per_s: tally.consume.bytes as f64 / 1e6 / seconds,
        errors: tally.consume.errors.clone(),
        end_to_end: tally.end_to_end.summary(),
        fetch: tally.fetch.summary(),
        wake_up: tally.wake_up.as_ref().map(|w| w.latencies.summary()),
        findings,
    });
    let count = watched.broker_seconds.len();
    let seconds_log = (0..count).map(|n| {
        let done = |side: &tally::Side| side.done.get(n).copied().unwrap_or_default();
        Second {
            requests: done(&tally.produce).0,
            produced_bytes: done(&tally.produce).1,
            consumed_bytes: done(&tally.consume).1,
            ack: tally.ack_seconds.second(n),
            end_to_end: tally.end_to_end_seconds.second(n),
            broker_cpu_ns: watched.broker_seconds[n],
        }
    });
    let mut result = RunResult {
        workload: workload.clone(),
        started_unix_s,
        seconds,
        produce,
        consume,
        broker: watched.broker,
        client: ClientUse {
            cpu_ns: tally.cpu_ns,
            busy: clock::seconds(tally.busy_ns) / seconds / threads.max(1) as f64,
            threads,
        },
        host: watched.host,
        seconds_log: seconds_log.collect(),
        marks: Vec::new(),
    };
    result.marks = judge::marks(&result);
    result
}

/// Connections as they are made, before they are dealt out.
struct Setup<'a> {
    workload: &'a Workload,
    topic: &'a TopicInfo,
    run: u32,
    producers: Vec<Producer>,
    fetchers: Vec<Fetcher>,
}

impl Setup<'_> {
    fn connect_producers(&mut self, cluster: &mut Cluster, produce: &Produce) -> Result<()> {
        let version = version::<ProduceRequest<'_>>(cluster)?;
        let plan = plan::connections(self.topic, cluster.nodes(), produce.connections, true)?;
        for (n, connection) in plan.iter().enumerate() {
            let producer = if produce.idempotent {
                cluster.init_producer_id()?
            } else {
                (ProducerId::NONE, ProducerEpoch::NONE)
            };
            let shape = Shape {
                topic: self.topic.name.clone(),
                topic_id: self.topic.id,
                version,
                client_id: CLIENT_ID.to_owned(),
                run: self.run,
                timeout_ms: 30_000,
                producer,
            };
            let frames = frames::build(
                self.workload,
                produce,
                &shape,
                &connection.streams,
                n as u64,
                plan.len(),
            )?;
            let settings = producer::Settings {
                version,
                acks: produce.acks,
                depth: produce.depth,
                stamp: produce.stamp,
                idempotent: produce.idempotent,
            };
            let socket = Socket::connect(&connection.address)
                .with_context(|| format!("connecting to {}", connection.address))?;
            let streams = connection.streams.clone();
            self.producers
                .push(Producer::new(socket, frames, streams, settings, None));
        }
        Ok(())
    }

    fn connect_fetchers(&mut self, cluster: &mut Cluster, consume: &Consume) -> Result<()> {
        let version = version::<FetchRequest<'_>>(cluster)?;
        let plan = plan::connections(self.topic, cluster.nodes(), consume.connections, false)?;
        for connection in plan {
            let mut positions = Vec::new();
            for stream in &connection.streams {
                positions.push(self.position(cluster, stream.partition, consume.from)?);
            }
            let settings = fetcher::Settings {
                topic: self.topic.name.clone(),
                topic_id: self.topic.id,
                version,
                client_id: CLIENT_ID.to_owned(),
                consume: consume.clone(),
            };
            let socket = Socket::connect(&connection.address)
                .with_context(|| format!("connecting to {}", connection.address))?;
            let checker = Checker::new(consume.check, self.run);
            self.fetchers
                .push(Fetcher::new(socket, settings, positions, checker));
        }
        Ok(())
    }

    fn position(&self, cluster: &mut Cluster, partition: i32, from: Start) -> Result<Position> {
        const END: Timestamp = Timestamp(-1);
        const START: Timestamp = Timestamp(-2);
        let mut ask = |at| cluster.list_offset(&self.topic.name, partition.into(), at);
        let end = ask(END)?;
        Ok(match from {
            Start::Tail => Position {
                partition,
                offset: end,
                wrap_at: None,
                start: end,
            },
            Start::Stored(_) => {
                let start = ask(START)?;
                if start == end {
                    bail!("partition {partition} holds nothing to read");
                }
                Position {
                    partition,
                    offset: start,
                    wrap_at: Some(end),
                    start,
                }
            }
        })
    }

    /// Sets the times of the run, beginning at `start`, and the producers' schedules.
    fn schedule(&mut self, start: Nanos) -> Window {
        let workload = self.workload;
        let from = start + clock::from_seconds(workload.warmup_s);
        let to = from + clock::from_seconds(workload.measure_s);
        if let Some(produce) = &workload.produce
            && let Some(rate) = produce.requests_per_s(workload.partitions)
        {
            let of = self.producers.len();
            for (index, producer) in self.producers.iter_mut().enumerate() {
                let schedule =
                    Schedule::new(produce.arrival, rate, start, index, of, workload.seed);
                producer.set_schedule(schedule);
            }
        }
        Window {
            start,
            from,
            to,
            deadline: to + clock::from_seconds(workload.drain_s),
        }
    }

    fn into_workers(self, clock: Clock, window: Window, shared: &Arc<Shared>) -> Vec<Worker> {
        let read_all = self.workload.produce.is_some() && self.workload.consume.is_some();
        let connections = self.producers.len().max(self.fetchers.len());
        let count = self.workload.threads.min(connections.max(1));
        let mut workers: Vec<Worker> = (0..count)
            .map(|_| Worker {
                clock,
                window,
                spin: self.workload.spin_us * 1000,
                producers: Vec::new(),
                fetchers: Vec::new(),
                read_all,
                alone: count == 1,
                shared: Arc::clone(shared),
            })
            .collect();
        for (n, producer) in self.producers.into_iter().enumerate() {
            workers[n % count].producers.push(producer);
        }
        for (n, fetcher) in self.fetchers.into_iter().enumerate() {
            workers[n % count].fetchers.push(fetcher);
        }
        let producing = workers.iter().filter(|w| !w.producers.is_empty()).count();
        shared.producing.store(producing, Ordering::Relaxed);
        workers
    }
}

/// The latest version that the broker and we speak.
fn version<R: Request>(cluster: &mut Cluster) -> Result<i16> {
    Ok(cluster.any()?.version_of::<R>()?)
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
    let mut rng = crate::workload::rng::Rng::new(workload.seed, 0x0057_06ed);
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
