//! `crosscheck`: the same load on Kafka from this generator and from Kafka's own tool.
//!
//! `ProducerPerformance` counts whole milliseconds and starts its clock when the record is handed
//! to the client, so the two can agree only within a millisecond or so, and only where the tool
//! keeps up. It is a check that neither is wrong by much, not a measurement.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::compare::{PlaceFlags, replace};
use super::one::{clear_progress, progress};
use crate::measure::manifest::Manifest;
use crate::peer::{java_tool, start};
use crate::report::compared::date;
use crate::report::table::Table;
use crate::units::{short, time};
use crate::workload::{Produce, Rate, Workload};

#[derive(Debug, Args)]
pub(super) struct CrosscheckArgs {
    /// Records a second, each a request of its own here, and with linger.ms=0 mostly so there
    #[arg(long, default_value_t = 2000)]
    records_per_s: u32,
    /// Seconds
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Also put the result into this document, between its two `crosscheck` comments
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceFlags,
}

pub(super) fn crosscheck(args: &CrosscheckArgs) -> Result<()> {
    const RECORD: usize = 1024;
    const WARM_S: u32 = 8;
    let place = args.place.place()?;
    let mut kafka = start("kafka", &place)?;
    let outcome = (|| -> Result<()> {
        let workload = Workload {
            produce: Some(Produce {
                rate: Some(Rate::RequestsPerS(f64::from(args.records_per_s))),
                record_bytes: RECORD,
                batch_bytes: RECORD,
                ..Default::default()
            }),
            warmup_s: f64::from(WARM_S),
            measure_s: f64::from(args.seconds),
            ..Default::default()
        };
        let ours = kafka.run(&workload, &mut progress())?;
        clear_progress();
        let records = args.records_per_s * (args.seconds + WARM_S);
        let text = java_tool(
            &place,
            &[
                "org.apache.kafka.tools.ProducerPerformance",
                "--topic",
                "first",
                "--num-records",
                &records.to_string(),
                "--record-size",
                &RECORD.to_string(),
                // Its own compiler has the first seconds to itself, as ours needs none.
                "--warmup-records",
                &(args.records_per_s * WARM_S).to_string(),
                "--throughput",
                &args.records_per_s.to_string(),
                "--producer-props",
                &format!("bootstrap.servers={}", kafka.target().bootstrap.join(",")),
                "acks=all",
                "linger.ms=0",
                "enable.idempotence=false",
            ],
        )?;
        let line = text
            .lines()
            .rfind(|l| l.contains("99.9th"))
            .with_context(|| format!("no summary in what the tool said:\n{text}"))?;
        let theirs =
            |name: &str| before(line, name).map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let p = ours.produce.context("it produced")?;
        let own = |name: &str| p.ack.named(name).map_or_else(String::new, time);
        let mut table = Table::default();
        table.row(["latency", "millrace-bench", "ProducerPerformance"]);
        for (name, theirs_name) in [("p50", "ms 50th"), ("p99", "ms 99th"), ("p99.9", "ms 99.9th")]
        {
            table.row([name.to_owned(), own(name), theirs(theirs_name)]);
        }
        table.row(["mean".to_owned(), time(p.ack.mean as u64), theirs("ms avg latency")]);
        table.row(["max".to_owned(), time(p.ack.max), theirs("ms max latency")]);
        let rate = before(line, "records/sec").unwrap_or_else(|| "-".to_owned());
        table.row(["records/s".to_owned(), short(p.requests_per_s), rate]);
        println!("{}", table.text());
        if let Some(path) = &args.document {
            let manifest = Manifest::read(&place.work);
            let words = format!(
                "{}, {} CPUs ({}), {} records/s of 1 KiB for {} s:\n\n{}",
                date(manifest.started_unix_s),
                manifest.cpus,
                manifest.cpu,
                args.records_per_s,
                args.seconds,
                table.markdown()
            );
            replace(path, "crosscheck", &words)?;
        }
        Ok(())
    })();
    kafka.stop()?;
    let _ = fs::remove_dir_all(&place.work);
    outcome
}

/// The number in front of `words`.
fn before(line: &str, words: &str) -> Option<String> {
    let (head, _) = line.split_once(words)?;
    let number = head.trim_end().rsplit([' ', ',']).next()?;
    (!number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::before;

    #[test]
    fn the_tool_s_summary_is_read() {
        let line = "50000 records sent, 4999.5 records/sec (4.88 MB/sec), 0.52 ms avg latency, 12.00 ms max latency, 0 ms 50th, 1 ms 95th, 4 ms 99th, 8 ms 99.9th.";
        assert_eq!(before(line, "ms 99.9th").as_deref(), Some("8"));
        assert_eq!(before(line, "ms avg latency").as_deref(), Some("0.52"));
        assert_eq!(before(line, "records/sec").as_deref(), Some("4999.5"));
        assert_eq!(before(line, "ms 75th"), None);
    }
}
