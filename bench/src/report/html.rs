//! One page that says all: opens offline, in light and dark, on wide and narrow screens.

use std::fmt::Write;

use super::chart::{self, Axis, Group, STYLE, Scale, Series, Ticks, escape};
use super::compared::{date, remarks, table};
use super::figures::{FIGURES, Range, Unit};
use super::table::Table;
use crate::compare::{Compared, Comparison};
use crate::measure::latency::Latency;
use crate::measure::manifest::Manifest;
use crate::result::RunResult;
use crate::units::{bytes, short};

const PAGE_STYLE: &str = "\
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:1120px;margin:0 auto;padding:24px 20px 64px}\
h1{font-size:1.9rem;line-height:1.2;margin:.4em 0 .2em}h2{font-size:1.3rem;margin:2.2em 0 .3em;padding-top:.8em;border-top:1px solid var(--line)}\
h3{font-size:1rem;margin:1.2em 0 .3em}p{margin:.4em 0;max-width:46em}.soft{color:var(--soft)}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem;margin:.6em 0;min-width:24em}\
th,td{padding:.28em .8em .28em 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}\
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}\
.words td,.words th{text-align:left;white-space:normal;vertical-align:top}\
p{overflow-wrap:anywhere}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:12px 28px}\
figure{margin:.6em 0;min-width:0}figcaption{font-size:.9rem;color:var(--soft);margin:.2em 0 .5em}figcaption b{color:var(--ink);font-weight:600}svg{width:100%;height:auto;display:block}\
.key{display:flex;flex-wrap:wrap;gap:.2em 1.2em;font-size:.9rem;margin:.5em 0}.key i{display:inline-block;width:1.4em;height:.5em;border-radius:2px;margin-right:.45em}\
.key .f0{background:var(--c0)}.key .f1{background:var(--c1)}.key .f2{background:var(--c2)}.key .f3{background:var(--c3)}.key .f4{background:var(--c4)}.key .f5{background:var(--c5)}\
ul{padding-left:1.2em;font-size:.9rem;color:var(--soft)}code{font-size:.85em;overflow-wrap:anywhere}";

/// The axes that latency charts share.
pub(super) const LATENCY: Axis<'_> =
    Axis { label: "latency", scale: Scale::Log, ticks: Ticks::Time };
const QUANTILE: Axis<'_> =
    Axis { label: "percentile", scale: Scale::Percentile, ticks: Ticks::Number };
const SECONDS: Axis<'_> = Axis { label: "seconds", scale: Scale::Linear, ticks: Ticks::Number };

/// A page around `body`.
#[must_use]
pub fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title>\
         <style>{STYLE}{PAGE_STYLE}</style></head><body><main>\n{body}\n</main></body></html>\n",
        escape(title)
    )
}

/// A whole comparison.
#[must_use]
pub fn comparison(c: &Comparison) -> String {
    let names: Vec<&str> = c.peers.iter().map(|p| p.name.as_str()).collect();
    let title = listed(&names);
    let mut out = format!("<h1>{}, side by side</h1>", escape(&title));
    out.push_str(&machine(&c.manifest));
    out.push_str("<div class=\"wide\"><table class=\"words\"><tr><th>peer</th><th>version</th><th>an ack means</th><th>start to first ack</th><th>idle memory</th></tr>");
    for p in &c.peers {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(&p.name),
            escape(&p.version),
            escape(&p.ack_means),
            p.first_ack_s.map_or_else(String::new, |s| format!("{} s", short(s))),
            p.rss_idle_bytes.map_or_else(String::new, bytes)
        );
    }
    out.push_str("</table></div><details><summary>Commands and settings</summary><ul>");
    for p in &c.peers {
        let settings: Vec<_> = p.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let _ = write!(
            out,
            "<li>{}: <code>{}</code> {}</li>",
            escape(&p.name),
            escape(&p.command),
            escape(&settings.join(", "))
        );
    }
    out.push_str("</ul></details>");
    let _ = write!(
        out,
        "<p>Rounds were interleaved; ranges are over rounds. A ratio is how many times better than {}, with its range; <em>tie</em> means that the ranges overlap.</p>",
        if names.contains(&"kafka") { "kafka" } else { "the last peer" }
    );
    out.push_str("<h2>Overview</h2>");
    out.push_str(&key(&names));
    out.push_str(&overview(c));
    for compared in &c.scenarios {
        out.push_str(&scenario(c, compared, &names));
    }
    page(&title, &out)
}

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => names.concat(),
    }
}

/// Medians of what matters most in each scenario, as bars.
fn overview(c: &Comparison) -> String {
    let names: Vec<&str> = c.peers.iter().map(|p| p.name.as_str()).collect();
    let colours = chart::colours(&names);
    let mut out = String::from("<div class=\"charts\">");
    for compared in &c.scenarios {
        let open = compared.scenario.workload.produce.as_ref().is_some_and(|p| p.rate.is_some());
        let consumes = compared.scenario.workload.produce.is_none();
        let wanted: &[&str] = match (open, consumes) {
            (true, _) => &["ack p50", "ack p99.9"],
            (false, true) => &["consumed", "broker CPU per byte"],
            // Small requests are counted, large ones are weighed.
            (false, false) if small_requests(compared) => &["requests", "broker CPU per request"],
            (false, false) => &["produced", "broker CPU per byte"],
        };
        for figure in FIGURES.iter().filter(|f| wanted.contains(&f.name)) {
            let bars: Vec<_> = c
                .peers
                .iter()
                .zip(&colours)
                .filter_map(|(peer, &colour)| {
                    let range = Range::of(figure, compared, &peer.name)?;
                    let words = figure.unit.text(range.median);
                    Some((peer.name.clone(), colour, range.median, words))
                })
                .collect();
            if !bars.is_empty() {
                let better = match figure.better {
                    super::figures::Better::Higher => "more is better",
                    super::figures::Better::Lower => "less is better",
                };
                let group =
                    Group { label: format!("{}: {}", compared.scenario.title, figure.name), bars };
                let _ = write!(
                    out,
                    "<figure><figcaption><b>{}</b>, {better}<br>{}</figcaption>{}</figure>",
                    escape(figure.name),
                    escape(&compared.scenario.title),
                    chart::bars(&group)
                );
            }
        }
    }
    out.push_str("</div>");
    out
}

fn small_requests(compared: &Compared) -> bool {
    const SMALL: usize = 4096;
    let workload = &compared.scenario.workload;
    let produce = workload.produce.as_ref();
    produce.is_some_and(|p| p.request_bytes(workload.partitions) <= SMALL)
}

fn scenario(c: &Comparison, compared: &Compared, names: &[&str]) -> String {
    let mut out = format!("<h2>{}</h2>", escape(&compared.scenario.title));
    if !compared.scenario.about.is_empty() {
        let _ = write!(out, "<p class=\"soft\">{}</p>", escape(&compared.scenario.about));
    }
    out.push_str(&html_table(&table(c, compared)));
    let remarks = remarks(compared);
    if !remarks.is_empty() {
        out.push_str("<ul>");
        for line in remarks {
            let _ = write!(out, "<li>{}</li>", escape(&line));
        }
        out.push_str("</ul>");
    }
    out.push_str(&key(names));
    out.push_str("<div class=\"charts\">");
    let runs = runs(compared, names);
    out.push_str(&charts(&runs));
    out.push_str("</div>");
    out
}

/// (peer and round, colour, result).
type Named<'a> = (String, usize, &'a RunResult);

fn runs<'a>(compared: &'a Compared, names: &[&str]) -> Vec<Named<'a>> {
    let colours = chart::colours(names);
    let of = compared.runs.iter().filter_map(|run| {
        let colour = colours[names.iter().position(|n| *n == run.peer)?];
        let result = run.result.as_ref().ok()?;
        Some((format!("{}, round {}", run.peer, run.round), colour, result))
    });
    of.collect()
}

/// The charts of some runs: percentiles, time series.
#[must_use]
pub fn charts(runs: &[Named<'_>]) -> String {
    let mut out = String::new();
    let mut figure = |svg: String, caption: &str| {
        if !svg.is_empty() {
            let _ = write!(out, "<figure>{svg}<figcaption>{caption}</figcaption></figure>");
        }
    };
    let ack = |r: &RunResult| r.produce.as_ref().map(|p| p.ack.clone());
    let end_to_end = |r: &RunResult| r.consume.as_ref().map(|c| c.end_to_end.clone());
    figure(
        percentiles("ack latency by percentile", runs, ack),
        "From the intended time of a request to its ack, one line a round.",
    );
    figure(
        percentiles("end-to-end latency by percentile", runs, end_to_end),
        "From the intended time of a record to its reader.",
    );
    figure(
        by_second("largest ack latency of each second", LATENCY, runs, |s| {
            s.ack.map(|a| a[3] as f64)
        }),
        "Largest ack latency of what was due in each second.",
    );
    figure(
        by_second("largest end-to-end latency of each second", LATENCY, runs, |s| {
            s.end_to_end.map(|a| a[3] as f64)
        }),
        "Largest end-to-end latency of what was due in each second.",
    );
    let rate = Axis { label: "MB/s", scale: Scale::Linear, ticks: Ticks::Number };
    let produces = runs.iter().any(|r| r.2.produce.is_some());
    figure(
        by_second("throughput of each second", rate, runs, |s| {
            let bytes = if produces { s.produced_bytes } else { s.consumed_bytes };
            Some(bytes as f64 / 1e6)
        }),
        "Throughput of each second.",
    );
    out
}

fn percentiles(
    title: &str,
    runs: &[Named<'_>],
    of: impl Fn(&RunResult) -> Option<Latency>,
) -> String {
    let series: Vec<Series> = runs
        .iter()
        .filter_map(|(name, colour, result)| {
            let latency = of(result).filter(|l| l.count > 1)?;
            Some(Series {
                name: name.clone(),
                colour: *colour,
                thin: false,
                dashed: false,
                points: percentile_points(&latency),
            })
        })
        .collect();
    chart::lines(title, QUANTILE, LATENCY, &series)
}

/// The curve, as far as the samples carry it; the largest is where one sample in all lies.
pub(super) fn percentile_points(latency: &Latency) -> Vec<(f64, f64)> {
    let last = 1.0 - 1.0 / latency.count.max(2) as f64;
    let mut points: Vec<(f64, f64)> =
        latency.curve.iter().filter(|(q, _)| *q < last).map(|&(q, v)| (q, v as f64)).collect();
    points.push((last, latency.max as f64));
    points
}

fn by_second(
    title: &str,
    y: Axis<'_>,
    runs: &[Named<'_>],
    of: impl Fn(&crate::result::Second) -> Option<f64>,
) -> String {
    let series: Vec<Series> = runs
        .iter()
        .map(|(name, colour, result)| Series {
            name: name.clone(),
            colour: *colour,
            thin: false,
            dashed: false,
            points: result
                .seconds_log
                .iter()
                .enumerate()
                .filter_map(|(n, second)| Some((n as f64 + 0.5, of(second)?)))
                .collect(),
        })
        .collect();
    chart::lines(title, SECONDS, y, &series)
}

/// A table of the terminal as one of the page.
#[must_use]
pub fn html_table(table: &Table) -> String {
    let mut out = String::from("<div class=\"wide\"><table>");
    for (n, row) in table.rows().iter().enumerate() {
        let tag = if n == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<{tag}>{}</{tag}>", escape(cell));
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    out
}

/// Names and their colours.
#[must_use]
pub fn key(names: &[&str]) -> String {
    let mut out = String::from("<div class=\"key\">");
    for (name, colour) in names.iter().zip(chart::colours(names)) {
        let _ = write!(
            out,
            "<span><i class=\"f{}\"></i>{}</span>",
            colour % chart::COLOURS,
            escape(name)
        );
    }
    out.push_str("</div>");
    out
}

/// The machine in a line or two.
#[must_use]
pub fn machine(m: &Manifest) -> String {
    let mount = m.mount.split(" (").next().unwrap_or_default();
    let kept = match m.memory_kept_bytes {
        0 => String::new(),
        n => format!(", {} of it written before the run", bytes(n)),
    };
    format!(
        "<p class=\"soft\">{} · {} CPUs, {}{} · {} memory{kept} · kernel {} · clock {} · {} · nice {} (brokers), {} (generator) · {}</p>\
         <details><summary>Command</summary><code>{}</code></details>",
        date(m.started_unix_s),
        m.cpus,
        escape(&m.cpu),
        if m.hypervisor { " (virtual)" } else { "" },
        bytes(m.memory_bytes),
        escape(&m.kernel),
        escape(&m.clock_source),
        escape(mount),
        m.nice.0,
        m.nice.1,
        escape(&m.generator),
        escape(&m.command)
    )
}

/// The unit of a figure's axis.
#[must_use]
pub const fn ticks(unit: Unit) -> Ticks {
    match unit {
        Unit::Nanos => Ticks::Time,
        Unit::Number(_) | Unit::Bytes => Ticks::Number,
    }
}
