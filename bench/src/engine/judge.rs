//! Whether a run's figures can be taken at face value.

use crate::result::{Mark, RunResult};

/// Less than this share of the offered rate is a missed rate.
const RATE_MIN: f64 = 0.99;
/// A slip p99 above this share of the latency p99 blurs it.
const SLIP_MAX: f64 = 0.05;
/// Loops that were busy for longer than this share of the time had none left.
const BUSY_MAX: f64 = 0.90;
/// More CPU time than this taken by the hypervisor disturbs tails.
const STEAL_MAX: f64 = 0.01;

/// What a reader must know; empty for a good run.
#[must_use]
pub fn marks(result: &RunResult) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut errors = Vec::new();
    if let Some(p) = &result.produce {
        if let Some(offered) = p.offered_per_s
            && p.requests_per_s < offered * RATE_MIN
        {
            marks.push(Mark::MissedRate(format!(
                "{:.0} of {offered:.0} requests/s",
                p.requests_per_s
            )));
        }
        let (slip, latency) = (p.slip.named("p99"), p.ack.named("p99"));
        if let (Some(slip), Some(latency)) = (slip, latency)
            && p.offered_per_s.is_some()
            && slip as f64 > latency as f64 * SLIP_MAX
        {
            let depth = result.workload.produce.as_ref().map_or(0, |p| p.depth);
            let share = 100.0 * slip as f64 / latency.max(1) as f64;
            let why = if depth > 0 {
                format!("; a depth of {depth} holds requests back")
            } else {
                String::new()
            };
            marks.push(Mark::Slip(format!(
                "p99 of the send slip is {share:.1} % of the ack's p99{why}"
            )));
        }
        if p.unanswered > 0 {
            marks.push(Mark::Unanswered(format!(
                "{} requests had no answer; they count as late as the end of the wait",
                p.unanswered
            )));
        }
        errors.extend(&p.errors);
    }
    if let Some(c) = &result.consume {
        errors.extend(&c.errors);
        if c.findings.unread > 0 {
            marks.push(Mark::Unanswered(format!(
                "{} acknowledged records were not read when the wait ended",
                c.findings.unread
            )));
        }
        if !c.findings.is_clean() {
            let f = &c.findings;
            marks.push(Mark::Data(format!(
                "missing {}, duplicates {}, offset errors {}, damaged {}, lost {}: {}",
                f.missing,
                f.duplicates,
                f.offset_errors,
                f.damaged,
                f.lost,
                f.examples.join("; ")
            )));
        }
    }
    if !errors.is_empty() {
        let text: Vec<_> = errors.iter().map(|(what, n)| format!("{n} x {what}")).collect();
        marks.push(Mark::Errors(text.join(", ")));
    }
    if result.client.busy > BUSY_MAX {
        marks.push(Mark::ClientLimited(format!(
            "the generator's loops were busy {:.0} % of the time",
            100.0 * result.client.busy
        )));
    }
    if result.host.steal > STEAL_MAX {
        marks.push(Mark::Steal(format!(
            "{:.1} % of the host's CPU time",
            100.0 * result.host.steal
        )));
    }
    marks
}
