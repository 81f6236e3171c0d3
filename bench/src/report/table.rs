//! Tables on a terminal.

use std::fmt::Write;

use crate::measure::latency::{Latency, QUANTILES};
use crate::result::RunResult;
use crate::units::{bytes, short, time};

/// Rows of cells, aligned; the first column to the left, the others to the right.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Another row; the first one is the head.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// As a Markdown table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        for (n, row) in self.rows.iter().enumerate() {
            let _ = writeln!(out, "| {} |", row.join(" | "));
            if n == 0 {
                let _ = writeln!(out, "|{}", "---|".repeat(row.len()));
            }
        }
        out
    }

    /// Head and rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// As text, with a line under the head.
    #[must_use]
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (n, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _ = if column == 0 {
                    write!(line, "{cell:<width$}")
                } else {
                    write!(line, "  {cell:>width$}")
                };
            }
            out.push_str(line.trim_end());
            out.push('\n');
            if n == 0 && self.rows.len() > 1 {
                let total = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
                out.push_str(&"-".repeat(total));
                out.push('\n');
            }
        }
        out
    }
}

/// One run.
#[must_use]
pub fn run(result: &RunResult) -> String {
    let mut out = String::new();
    if let Some(p) = &result.produce {
        let _ = write!(
            out,
            "produce   {} MB/s   {} requests/s   {} records acked",
            short(p.mb_per_s),
            short(p.requests_per_s),
            short(p.records as f64)
        );
        if let Some(offered) = p.offered_per_s {
            let _ = write!(out, "   (offered {} requests/s)", short(offered));
        }
        out.push('\n');
    }
    if let Some(c) = &result.consume {
        let f = &c.findings;
        let _ = writeln!(
            out,
            "consume   {} MB/s   {} records in {} fetches; checked: {}",
            short(c.mb_per_s),
            short(c.records as f64),
            short(c.fetches as f64),
            if f.is_clean() { "all right" } else { "WRONG" }
        );
    }
    out.push('\n');
    out.push_str(&latencies(result).text());
    out.push('\n');
    let mut uses = Vec::new();
    if let Some(broker) = &result.broker {
        let share = result.broker_cpu_share().unwrap_or(0.0);
        let mut text = format!("broker    {:.0} % of a CPU", 100.0 * share);
        if let Some(ns) = result.broker_ns_per_byte() {
            let _ = write!(text, "   {} ns/B", short(ns));
        }
        if let Some(us) = result.broker_us_per_request() {
            let _ = write!(text, "   {} us/request", short(us));
        }
        let switches = broker.voluntary_switches + broker.involuntary_switches;
        let _ = write!(
            text,
            "   {} switches   {} read/write calls   RSS {}   {} threads",
            short(switches as f64),
            short(broker.io_calls as f64),
            bytes(broker.rss_bytes),
            broker.threads
        );
        uses.push(text);
    }
    let own = result.client_us_per_request();
    uses.push(format!(
        "client    {:.0} % busy in {} loop(s){}   host: {:.0} % busy, {:.1} % stolen",
        100.0 * result.client.busy,
        result.client.threads,
        own.map_or_else(String::new, |us| format!(", {} us/request", short(us))),
        100.0 * result.host.busy,
        100.0 * result.host.steal
    ));
    for text in uses {
        out.push_str(&text);
        out.push('\n');
    }
    for mark in &result.marks {
        let _ = writeln!(out, "MARK      {}: {}", mark.word(), mark.detail());
    }
    out
}

pub(super) fn latencies(result: &RunResult) -> Table {
    let mut table = Table::default();
    let quantiles = QUANTILES.iter().map(|(_, name)| *name);
    table.row(["latency"].into_iter().chain(quantiles).chain(["max", "samples"]));
    let mut rows: Vec<(&str, &Latency)> = Vec::new();
    if let Some(p) = &result.produce {
        rows.push(("ack", &p.ack));
        rows.push(("service", &p.service));
        rows.push(("send slip", &p.slip));
    }
    if let Some(c) = &result.consume {
        rows.push(("end to end", &c.end_to_end));
        rows.extend(c.wake_up.as_ref().map(|l| ("wake-up", l)));
        rows.push(("fetch", &c.fetch));
    }
    for (name, latency) in rows {
        if latency.count == 0 {
            continue;
        }
        let cells = QUANTILES
            .iter()
            .zip(latency.quantiles)
            .map(|((q, _), value)| if latency.supports(*q) { time(value) } else { "-".to_owned() });
        let tail = [time(latency.max), short(latency.count as f64)];
        table.row([name.to_owned()].into_iter().chain(cells).chain(tail));
    }
    table
}
