//! A comparison as text: for the terminal, and in the same words as Markdown for documents.

use std::fmt::Write;

use super::figures::{FIGURES, Range, Ratio, Verdict};
use super::table::Table;
use crate::compare::{Compared, Comparison};
use crate::units::{bytes, short};

/// The table of one scenario: peers side by side, ratios against the last peer.
#[must_use]
pub fn table(comparison: &Comparison, compared: &Compared) -> Table {
    let mut table = Table::default();
    let names: Vec<&str> = comparison.peers.iter().map(|p| p.name.as_str()).collect();
    let present: Vec<&str> =
        names.into_iter().filter(|n| compared.of(n).next().is_some()).collect();
    let base = base(&present);
    let mut head = vec!["figure".to_owned()];
    head.extend(present.iter().map(|n| (*n).to_owned()));
    if let Some(base) = base {
        let others = present.iter().filter(|n| **n != base);
        head.extend(others.map(|n| format!("{n} : {base}")));
    }
    table.row(head);
    for figure in FIGURES {
        let ranges: Vec<Option<Range>> =
            present.iter().map(|peer| Range::of(figure, compared, peer)).collect();
        if ranges.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![figure.name.to_owned()];
        for range in &ranges {
            row.push(range.map_or_else(|| "-".to_owned(), |r| figure.unit.range(r)));
        }
        if let Some(base) = base {
            let theirs = present.iter().position(|n| *n == base).and_then(|n| ranges[n]);
            for (n, mine) in ranges.iter().enumerate().filter(|(n, _)| present[*n] != base) {
                let _ = n;
                let ratio = mine
                    .zip(theirs)
                    .and_then(|(mine, theirs)| Ratio::of(figure.better, mine, theirs));
                row.push(ratio.map_or_else(|| "-".to_owned(), |r| cell(&r)));
            }
        }
        table.row(row);
    }
    table
}

/// The peer that ratios are against: Kafka where it takes part, else the last.
pub(super) fn base<'a>(present: &[&'a str]) -> Option<&'a str> {
    if present.len() < 2 {
        return None;
    }
    let kafka = present.iter().find(|n| **n == "kafka");
    kafka.or_else(|| present.last()).copied()
}

fn cell(ratio: &Ratio) -> String {
    let mark = match ratio.verdict {
        Verdict::Win => "",
        Verdict::Loss => " loss",
        Verdict::Tie => " tie",
        Verdict::Unknown => " one round",
    };
    format!("{}{mark}", ratio.text())
}

/// All scenarios.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for compared in &comparison.scenarios {
        let _ = writeln!(out, "{}", compared.scenario.title);
        out.push_str(&table(comparison, compared).text());
        for line in remarks(compared) {
            let _ = writeln!(out, "  {line}");
        }
        out.push('\n');
    }
    out
}

/// What must be said beside a scenario's table.
#[must_use]
pub fn remarks(compared: &Compared) -> Vec<String> {
    let mut lines = Vec::new();
    for run in &compared.runs {
        match &run.result {
            Ok(result) => {
                for mark in &result.marks {
                    lines.push(format!(
                        "{} round {}: {}: {}",
                        run.peer,
                        run.round,
                        mark.word(),
                        mark.detail()
                    ));
                }
            }
            Err(error) => lines.push(format!("{} round {} failed: {error}", run.peer, run.round)),
        }
        if run.others_cpu > 0.02 {
            lines.push(format!(
                "{} round {}: the other peers took {:.0} % of a CPU meanwhile",
                run.peer,
                run.round,
                100.0 * run.others_cpu
            ));
        }
    }
    for (peer, reason) in &compared.absent {
        lines.push(format!("{peer} takes no part: {reason}"));
    }
    lines
}

/// A whole comparison as Markdown.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let m = &comparison.manifest;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Made {} in {:.0} s by `{}`.\n",
        date(m.started_unix_s),
        comparison.took_s,
        m.command
    );
    let _ = writeln!(
        out,
        "Machine: {} CPUs, {}{}; {} memory ({} of it written before the run); kernel {}; clock {}; {}; nice values: brokers {}, generator {}.\n",
        m.cpus,
        m.cpu,
        if m.hypervisor { " (virtual)" } else { "" },
        bytes(m.memory_bytes),
        bytes(m.memory_kept_bytes),
        m.kernel,
        m.clock_source,
        m.mount,
        m.nice.0,
        m.nice.1
    );
    let _ = writeln!(out, "| peer | version | an ack means | start to first ack | idle memory |");
    let _ = writeln!(out, "|---|---|---|---|---|");
    for p in &comparison.peers {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            p.name,
            p.version,
            p.ack_means,
            p.first_ack_s.map_or_else(|| "-".to_owned(), |s| format!("{} s", short(s))),
            p.rss_idle_bytes.map_or_else(|| "-".to_owned(), bytes)
        );
    }
    for compared in &comparison.scenarios {
        let _ = writeln!(out, "\n### {}\n", compared.scenario.title);
        if !compared.scenario.about.is_empty() {
            let _ = writeln!(out, "{}\n", compared.scenario.about);
        }
        out.push_str(&table(comparison, compared).markdown());
        let remarks = remarks(compared);
        if !remarks.is_empty() {
            out.push('\n');
        }
        for line in remarks {
            let _ = writeln!(out, "* {line}");
        }
    }
    out
}

/// A day and time of UTC from seconds since 1970 (days to civil date: Howard Hinnant's algorithm).
#[must_use]
pub fn date(unix_s: u64) -> String {
    let days = i64::try_from(unix_s / 86_400).unwrap_or(0) + 719_468;
    let era = days.div_euclid(146_097);
    let doe = days.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (h, m) = (unix_s / 3600 % 24, unix_s / 60 % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02} UTC")
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_of_this_calendar() {
        assert_eq!(super::date(0), "1970-01-01 00:00 UTC");
        assert_eq!(super::date(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(super::date(1_790_000_000), "2026-09-21 14:13 UTC");
    }
}
