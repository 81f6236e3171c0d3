//! Whether the instrument can be trusted: against a broker whose faults are known.
//!
//! Times are asserted from below only. A busy machine makes things later and never earlier, so
//! these bounds hold on every machine; what an idle machine would show is not asserted.

mod simulated;

use std::time::Duration;

use millrace_bench::engine::{self, Target};
use millrace_bench::result::{Mark, RunResult};
use millrace_bench::workload::{Codec, Consume, Produce, Rate, Workload};
use simulated::{Fault, Simulated};

const MS: u64 = 1_000_000;

fn run(broker: &Simulated, workload: &Workload) -> RunResult {
    engine::run(&Target::at(&broker.address), workload, &mut |_| ()).unwrap()
}

/// An open loop of small stamped requests, read at the tail.
fn open_loop(requests_per_s: f64, seconds: f64) -> Workload {
    Workload {
        partitions: 2,
        produce: Some(Produce {
            connections: 2,
            depth: 0,
            rate: Some(Rate::RequestsPerS(requests_per_s)),
            record_bytes: 100,
            batch_bytes: 300,
            stamp: true,
            ..Default::default()
        }),
        consume: Some(Consume::default()),
        warmup_s: 0.2,
        measure_s: seconds,
        drain_s: 20.0,
        spin_us: 0,
        ..Default::default()
    }
}

fn data_mark(result: &RunResult) -> Option<&str> {
    result.marks.iter().find_map(|m| match m {
        Mark::Data(text) => Some(text.as_str()),
        _ => None,
    })
}

#[test]
fn a_good_broker_is_found_good_and_every_record_is_counted() {
    let broker = Simulated::start(Fault::None);
    let mut workload = open_loop(500.0, 1.0);
    workload.warmup_s = 0.0;
    let result = run(&broker, &workload);
    let (p, c) = (result.produce.as_ref().unwrap(), result.consume.as_ref().unwrap());
    assert!(c.findings.is_clean(), "{:?}", c.findings);
    assert_eq!(data_mark(&result), None);
    assert_eq!(p.unanswered, 0);
    assert_eq!(broker.produced(), 500);
    assert_eq!(broker.records(), 1500);
    assert_eq!(c.findings.records, 1500);
    // Latency is per request from its intended time; end to end is per record.
    assert_eq!((p.ack.count, c.end_to_end.count), (500, 1500));
    // From the intended time can never be less than from the send, nor the reader before the send.
    assert!(p.ack.mean >= p.service.mean);
    assert!(c.end_to_end.min > 0 && p.ack.min > 0);
    // Every request woke the reader once, and waiting is part of end to end.
    let wake_up = c.wake_up.as_ref().unwrap();
    assert_eq!(wake_up.count, 500);
    assert!(wake_up.max <= c.end_to_end.max, "{wake_up:?}");
}

#[test]
fn compressed_and_multi_partition_requests_are_checked_like_others() {
    let broker = Simulated::start(Fault::None);
    let mut workload = open_loop(100.0, 0.5);
    workload.partitions = 4;
    let produce = workload.produce.as_mut().unwrap();
    produce.codec = Codec::Zstd;
    produce.partitions_per_request = 2;
    let result = run(&broker, &workload);
    let findings = &result.consume.as_ref().unwrap().findings;
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!(findings.records, broker.records());
}

#[test]
fn a_stall_of_5_ms_a_second_shows_in_the_tail_and_in_the_time_series() {
    let broker = Simulated::start(Fault::StallEvery {
        period: Duration::from_secs(1),
        length: Duration::from_millis(5),
    });
    let mut workload = open_loop(1000.0, 3.0);
    workload.consume = None;
    let result = run(&broker, &workload);
    let ack = &result.produce.as_ref().unwrap().ack;
    // Of 1,000 requests a second 5 are due while it stalls, the first of them for all of it.
    assert!(ack.named("p99.9").unwrap() >= 3 * MS, "{:?}", ack.quantiles);
    assert_eq!(result.seconds_log.len(), 3);
    for second in &result.seconds_log {
        let max = second.ack.unwrap()[3];
        assert!(max >= 3 * MS, "{max} in {second:?}");
    }
}

#[test]
fn a_stalled_broker_cannot_hide_by_coordinated_omission() {
    // It answers nothing for the first half of each second, and each connection has one request in
    // flight: a closed-loop view sees one slow request a stall and fast ones otherwise.
    let broker = Simulated::start(Fault::StallEvery {
        period: Duration::from_secs(1),
        length: Duration::from_millis(500),
    });
    let mut workload = open_loop(400.0, 2.0);
    workload.consume = None;
    workload.produce.as_mut().unwrap().depth = 1;
    let result = run(&broker, &workload);
    let p = result.produce.as_ref().unwrap();
    assert_eq!(p.ack.count, 800);
    // Half of all requests are due in a stall, and wait 250 ms on average: a quarter of all waits
    // longer than that.
    assert!(p.ack.named("p90").unwrap() >= 200 * MS, "{:?}", p.ack.quantiles);
    let slow = |l: &millrace_bench::measure::latency::Latency| {
        let below = l.curve.iter().filter(|(_, v)| *v < 200 * MS).map(|(q, _)| *q);
        1.0 - below.fold(0.0, f64::max)
    };
    assert!(slow(&p.ack) >= 0.15, "{}", slow(&p.ack));
    assert!(slow(&p.ack) > slow(&p.service), "service time hides it");
    assert!(result.marks.iter().any(|m| matches!(m, Mark::Slip(_))), "{:?}", result.marks);
}

#[test]
fn a_broker_that_falls_silent_is_charged_for_all_that_was_due() {
    let broker = Simulated::start(Fault::MuteFrom(100));
    let mut workload = open_loop(200.0, 1.0);
    workload.warmup_s = 0.0;
    workload.drain_s = 1.0;
    workload.consume = None;
    let result = run(&broker, &workload);
    let p = result.produce.as_ref().unwrap();
    assert_eq!(p.ack.count, 200);
    assert_eq!(p.unanswered, 100);
    assert!(p.ack.named("p99").unwrap() >= 1000 * MS, "{:?}", p.ack.quantiles);
    for wanted in ["unanswered", "missed rate"] {
        assert!(result.marks.iter().any(|m| m.word() == wanted), "{:?}", result.marks);
    }
}

#[test]
fn lost_repeated_and_changed_batches_are_found() {
    for (fault, word) in [
        (Fault::Lose(20), "missing 3,"),
        (Fault::Repeat(20), "duplicates 3,"),
        (Fault::Flip(20), "damaged 1,"),
    ] {
        let broker = Simulated::start(fault);
        let mut workload = open_loop(200.0, 0.5);
        workload.partitions = 1;
        // What is lost never comes: the reader waits no longer than this.
        workload.drain_s = 1.0;
        let result = run(&broker, &workload);
        let mark = data_mark(&result).unwrap_or_else(|| panic!("{fault:?} was not found"));
        assert!(mark.contains(word), "{fault:?}: {mark}");
    }
}

#[test]
fn errors_are_counted_by_name_and_marked() {
    const NOT_LEADER: i16 = 6;
    let broker = Simulated::start(Fault::Refuse { every: 10, code: NOT_LEADER });
    let mut workload = open_loop(200.0, 1.0);
    workload.warmup_s = 0.0;
    workload.consume = None;
    let result = run(&broker, &workload);
    let p = result.produce.as_ref().unwrap();
    assert_eq!(p.errors["NOT_LEADER_OR_FOLLOWER"], 20);
    assert_eq!(p.ack.count, 180);
    assert!(result.marks.iter().any(|m| m.word() == "errors"));
}

#[test]
fn a_closed_loop_keeps_its_depth_and_counts_what_it_sends() {
    let broker = Simulated::start(Fault::None);
    let workload = Workload {
        partitions: 3,
        produce: Some(Produce {
            connections: 3,
            depth: 4,
            record_bytes: 200,
            // Beyond what is gathered: frames are sent from where they lie.
            batch_bytes: 40_000,
            ..Default::default()
        }),
        warmup_s: 0.0,
        measure_s: 0.5,
        spin_us: 0,
        ..Default::default()
    };
    let result = run(&broker, &workload);
    let p = result.produce.as_ref().unwrap();
    // All that was due was answered; what was answered after the end counts as latency only.
    assert_eq!(p.ack.count, broker.produced());
    assert_eq!(broker.records(), broker.produced() * 200);
    assert!(
        p.requests <= p.ack.count && p.requests + 12 >= p.ack.count,
        "{} {}",
        p.requests,
        p.ack.count
    );
    assert_eq!(p.bytes, p.requests * 40_000);
}
