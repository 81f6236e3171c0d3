//! A load that is connected: dealt out to event loops, carried, watched, summed up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use super::fetcher::Fetcher;
use super::producer::Producer;
use super::tally::{self, Tally, Window};
use super::worker::{Finished, Shared, Worker};
use super::{Progress, Target, judge};
use crate::clock::{self, Clock, Nanos, SECOND};
use crate::cpus;
use crate::measure::host::{HostSample, ProcessSample};
use crate::result::{ClientUse, ConsumeResult, Findings, ProduceResult, RunResult, Second};
use crate::workload::Workload;
use crate::workload::schedule::Schedule;

/// Connections, not dealt out yet.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) producers: Vec<Producer>,
    pub(crate) fetchers: Vec<Fetcher>,
}

/// Carries the load to its end.
///
/// # Errors
/// Threads or epoll fail. What sockets do is part of the result.
pub(crate) fn carry(
    target: &Target,
    mut load: Load<'_>,
    progress: Progress<'_>,
) -> Result<RunResult> {
    let workload = load.workload;
    let clock = Clock::default();
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let window = load.schedule(clock.now() + SECOND / 10);
    let shared = Arc::new(Shared::default());
    let workers = load.into_workers(clock, window, &shared);
    let threads = workers.len();
    let handles = workers
        .into_iter()
        .enumerate()
        .map(|(n, worker)| {
            let cpu = (!target.cpus.is_empty()).then(|| target.cpus[n % target.cpus.len()]);
            thread::Builder::new().name(format!("loop-{n}")).spawn(move || -> Result<Finished> {
                if let Some(cpu) = cpu {
                    cpus::pin_to(cpu)?;
                }
                cpus::precise_timers();
                // Where it may not, the manifest says so.
                let _ = cpus::set_nice(cpus::LOOP_NICE);
                Ok(worker.run()?)
            })
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    let watched = watch(target, &clock, &window, &shared, progress);
    let mut tally = Tally::default();
    let mut findings = Findings::default();
    let mut read = BTreeMap::new();
    for handle in handles {
        let finished =
            handle.join().map_err(|_| anyhow::anyhow!("an event loop has panicked"))??;
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
    Ok(assemble(workload, tally, findings, watched, started, threads))
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

impl Load<'_> {
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
        Window { start, from, to, deadline: to + clock::from_seconds(workload.drain_s) }
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
