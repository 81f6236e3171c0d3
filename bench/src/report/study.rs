//! Studies as tables and pages.

use std::fmt::Write;

use super::chart::{self, Axis, Scale, Series, Ticks, escape};
use super::html::{LATENCY, charts, html_table, key, machine, page};
use super::table::{self, Table};
use crate::measure::latency::Latency;
use crate::result::RunResult;
use crate::study::{Answer, Curve, Replay, Study, Sweep};
use crate::units::{short, time};

/// For a terminal.
#[must_use]
pub fn text(study: &Study) -> String {
    let mut out = format!("{}\n\n", study.question);
    for answer in &study.answers {
        match answer {
            Answer::Curve(c) => {
                let _ = writeln!(out, "{}", curve_words(c));
                out.push_str(&curve_table(c).text());
            }
            Answer::Sweep(s) => {
                let _ = writeln!(out, "{}", s.peer);
                out.push_str(&sweep_table(s).text());
            }
            Answer::Replay(r) => {
                let _ = writeln!(out, "{}", replay_words(r));
                out.push_str(&replay_table(r).text());
            }
            Answer::Soak(r) => out.push_str(&table::run(r)),
        }
        out.push('\n');
    }
    out
}

/// For a browser.
#[must_use]
pub fn html(study: &Study) -> String {
    let names: Vec<&str> = study.peers.iter().map(|p| p.name.as_str()).collect();
    let mut out = format!("<h1>{}</h1>", escape(&study.question));
    out.push_str(&machine(&study.manifest));
    out.push_str(&key(&names));
    out.push_str("<div class=\"charts\">");
    for (svg, caption) in drawings(study, &names) {
        if !svg.is_empty() {
            let _ =
                write!(out, "<figure>{svg}<figcaption>{}</figcaption></figure>", escape(&caption));
        }
    }
    out.push_str("</div>");
    for answer in &study.answers {
        let (words, table) = match answer {
            Answer::Curve(c) => (curve_words(c), curve_table(c)),
            Answer::Sweep(s) => (s.peer.clone(), sweep_table(s)),
            Answer::Replay(r) => (replay_words(r), replay_table(r)),
            Answer::Soak(r) => {
                out.push_str(&html_table(&table::latencies(r)));
                let _ = write!(
                    out,
                    "<div class=\"charts\">{}</div>",
                    charts(&[("soak".to_owned(), 0, r)])
                );
                continue;
            }
        };
        let _ = write!(out, "<h2>{}</h2>{}", escape(&words), html_table(&table));
    }
    page(&study.question, &out)
}

fn drawings(study: &Study, names: &[&str]) -> Vec<(String, String)> {
    let colours = chart::colours(names);
    let colour = |peer: &str| names.iter().position(|n| *n == peer).map_or(0, |n| colours[n]);
    let mut out = Vec::new();
    for (index, quantile) in [(0, "p50"), (2, "p99"), (3, "p99.9")] {
        let mut curves = Vec::new();
        let mut sweeps = Vec::new();
        let mut label = "";
        for answer in &study.answers {
            match answer {
                Answer::Curve(c) => curves.push(Series {
                    name: c.peer.clone(),
                    colour: colour(&c.peer),
                    thin: false,
                    dashed: false,
                    points: c
                        .points
                        .iter()
                        .filter_map(|p| {
                            let at = p.result.produce.as_ref()?.mb_per_s;
                            Some((at, latency(&p.result)?.quantiles[index] as f64))
                        })
                        .collect(),
                }),
                Answer::Sweep(s) => {
                    label = s.dimension.name();
                    sweeps.push(Series {
                        name: s.peer.clone(),
                        colour: colour(&s.peer),
                        thin: false,
                        dashed: false,
                        points: s
                            .runs
                            .iter()
                            .filter_map(|(value, run)| {
                                let l = latency(run.as_ref().ok()?)?;
                                Some((*value as f64, l.quantiles[index] as f64))
                            })
                            .collect(),
                    });
                }
                Answer::Replay(_) | Answer::Soak(_) => {}
            }
        }
        let axis = |label, scale| Axis { label, scale, ticks: Ticks::Number };
        out.push((
            chart::lines(quantile, axis("MB/s", Scale::Linear), LATENCY, &curves),
            format!("{quantile} over throughput"),
        ));
        out.push((
            chart::lines(quantile, axis(label, Scale::Log), LATENCY, &sweeps),
            format!("{quantile} by {label}"),
        ));
    }
    out
}

/// End to end where it was measured, else acks.
fn latency(result: &RunResult) -> Option<&Latency> {
    let end_to_end = result.consume.as_ref().map(|c| &c.end_to_end);
    let ack = result.produce.as_ref().map(|p| &p.ack);
    end_to_end.filter(|l| l.count > 0).or(ack)
}

fn row(first: String, result: &RunResult) -> Vec<String> {
    let mut row = vec![first];
    let p = result.produce.as_ref();
    row.push(p.map_or_else(String::new, |p| short(p.mb_per_s)));
    row.push(p.map_or_else(String::new, |p| short(p.requests_per_s)));
    let ack = p.map(|p| &p.ack);
    let end = result.consume.as_ref().map(|c| &c.end_to_end);
    for l in [ack, end] {
        for index in [0, 2, 3] {
            let some = l.filter(|l| l.count > 0);
            row.push(some.map_or_else(|| "-".to_owned(), |l| time(l.quantiles[index])));
        }
    }
    row.push(result.broker_ns_per_byte().map_or_else(|| "-".to_owned(), short));
    row.push(result.broker_us_per_request().map_or_else(|| "-".to_owned(), short));
    row.push(result.marks.iter().map(crate::result::Mark::word).collect::<Vec<_>>().join(", "));
    row
}

const HEAD: [&str; 11] = [
    "MB/s",
    "requests/s",
    "ack p50",
    "p99",
    "p99.9",
    "e2e p50",
    "p99",
    "p99.9",
    "ns/B",
    "us/request",
    "marks",
];

fn table_of(first: &str) -> Table {
    let mut table = Table::default();
    table.row([first].into_iter().chain(HEAD));
    table
}

fn curve_words(c: &Curve) -> String {
    let mut out = format!("{}: at most {} requests/s", c.peer, short(c.max_requests_per_s));
    if let Some(knee) = c.knee {
        let _ = write!(out, ", knee at {}", short(knee));
    }
    for (bound, requests, mb) in &c.within {
        let _ = write!(
            out,
            "; p99 below {} up to {} requests/s ({} MB/s)",
            time(*bound),
            short(*requests),
            short(*mb)
        );
    }
    out
}

fn curve_table(c: &Curve) -> Table {
    let mut table = table_of("load");
    for point in &c.points {
        let share = 100.0 * point.requests_per_s / c.max_requests_per_s;
        table.row(row(format!("{share:.0} %"), &point.result));
    }
    table.row(row("closed loop".to_owned(), &c.max));
    table
}

fn sweep_table(s: &Sweep) -> Table {
    let mut table = table_of(s.dimension.name());
    for (value, run) in &s.runs {
        match run {
            Ok(result) => table.row(row(value.to_string(), result)),
            Err(error) => table.row([value.to_string(), error.clone()]),
        }
    }
    table
}

fn replay_words(r: &Replay) -> String {
    format!(
        "{}: writers beside a reader of {} MB ({}), which got {} MB/s",
        r.peer,
        r.stored_mb,
        if r.cold { "thrown out of the page cache" } else { "perhaps still in the page cache" },
        r.reader.consume.as_ref().map_or_else(String::new, |c| short(c.mb_per_s))
    )
}

fn replay_table(r: &Replay) -> Table {
    let mut table = table_of("writers");
    table.row(row("alone".to_owned(), &r.alone));
    table.row(row("beside".to_owned(), &r.beside));
    table
}
