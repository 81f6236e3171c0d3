//! The main figure: a comparison at a glance, for the front page of a document.
//!
//! Bars are medians over rounds, with the range as a thin line; a ratio stands beside its verdict,
//! so that a loss or a tie is read as one. What an ack means, the machine and the day are part of
//! the drawing: it is shown without its page. It leaves out all peers but the first and the one
//! that it is compared with.

use std::fmt::Write;

use super::chart::{self, Axis, COLOURS, Frame, Scale, Series, Ticks, colours, escape};
use super::compared::{base, date};
use super::figures::{Better, FIGURES, Range, Ratio, Verdict};
use super::html::percentile_points;
use crate::compare::{Compared, Comparison};
use crate::peer::About;
use crate::workload::Rate;

const WIDTH: f64 = 880.0;
const MARGIN: f64 = 24.0;
const GUTTER: f64 = 40.0;
const COLUMN: f64 = (WIDTH - 2.0 * MARGIN - GUTTER) / 2.0;
const PANEL: f64 = 96.0;
const PLOT: f64 = 270.0;
/// Plots side by side.
const PLOTS: usize = 2;

/// What is drawn as bars: scenario, figure, and how a reader of the front page would call it.
const PANELS: &[(&str, &str, &str)] = &[
    ("batch-64k", "produced", "Throughput, 64 KiB batches"),
    ("batch-64k", "broker CPU per byte", "Broker CPU per byte, 64 KiB batches"),
    ("one-record", "requests", "Requests, one 100 B record each"),
    ("durable", "requests", "Requests, both on the device at each ack"),
    ("partitions-1000", "produced", "Throughput over 1,000 partitions"),
    ("hot-consume", "consumed", "Reading what was just written"),
];

struct Panel<'a> {
    title: &'a str,
    /// Unit and direction.
    note: String,
    ratio: Option<Ratio>,
    bars: Vec<(String, usize, Range, String)>,
}

/// The drawing; empty if fewer than two peers took part, or none of its scenarios.
#[must_use]
pub fn main_figure(c: &Comparison) -> String {
    let names: Vec<&str> = c.peers.iter().map(|p| p.name.as_str()).collect();
    let Some((mine, theirs)) = pair(&names) else {
        return String::new();
    };
    let all = colours(&names);
    let peers: Vec<(&About, usize)> = [mine, theirs]
        .into_iter()
        .filter_map(|name| {
            let at = names.iter().position(|n| *n == name)?;
            Some((&c.peers[at], all[at]))
        })
        .collect();
    let panels: Vec<Panel<'_>> = PANELS
        .iter()
        .filter_map(|&(scenario, figure, title)| panel(c, scenario, figure, title, &peers))
        .collect();
    let plots: Vec<&Compared> = c
        .scenarios
        .iter()
        .filter(|s| s.scenario.workload.consume.is_some() && rate(s).is_some())
        .take(PLOTS)
        .collect();
    if panels.is_empty() && plots.is_empty() {
        return String::new();
    }

    let mut out = String::new();
    let mut y = head(&mut out, &peers);
    for row in panels.chunks(2) {
        for (n, panel) in row.iter().enumerate() {
            draw(&mut out, panel, column(n), y);
        }
        y += PANEL;
    }
    if !plots.is_empty() {
        let width = if plots.len() == 1 { WIDTH - 2.0 * MARGIN } else { COLUMN };
        for (n, compared) in plots.iter().enumerate() {
            latencies(&mut out, compared, &peers, column(n), y, width);
        }
        y += PLOT + 26.0;
    }
    y = foot(&mut out, c, y);
    let title = format!("{} beside {}", peers[0].0.version, peers[1].0.version);
    format!("{}{out}</svg>", chart::open(&title, WIDTH, y))
}

fn column(n: usize) -> f64 {
    if n == 0 { MARGIN } else { MARGIN + COLUMN + GUTTER }
}

/// The peer that the figure is about, and the other.
fn pair<'a>(names: &[&'a str]) -> Option<(&'a str, &'a str)> {
    let theirs = base(names)?;
    let mine = names.iter().find(|n| **n != theirs)?;
    Some((mine, theirs))
}

/// As people call it: the version, without what it was built from.
fn called(about: &About) -> String {
    let mut letters = about.version.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn short_name(about: &About) -> String {
    let mut letters = about.name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn rate(compared: &Compared) -> Option<Rate> {
    compared.scenario.workload.produce.as_ref()?.rate
}

/// Title, and the key with what an ack means; where the rest begins.
fn head(out: &mut String, peers: &[(&About, usize)]) -> f64 {
    let _ = write!(
        out,
        "<text class=\"ink\" x=\"{MARGIN}\" y=\"38\" style=\"font-size:20px;font-weight:650\">{} beside {}, each on one CPU</text>",
        escape(&called(peers[0].0)),
        escape(&called(peers[1].0)),
    );
    let mut y = 64.0;
    for (about, colour) in peers {
        let _ = write!(
            out,
            "<rect class=\"f{}\" x=\"{MARGIN}\" y=\"{:.1}\" width=\"22\" height=\"10\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{y:.1}\" style=\"font-size:14px\"><tspan class=\"ink\" font-weight=\"600\">{}</tspan> acknowledges when the batch is {}</text>",
            colour % COLOURS,
            y - 10.0,
            MARGIN + 30.0,
            escape(&short_name(about)),
            escape(&about.ack_means)
        );
        y += 21.0;
    }
    y + 8.0
}

fn panel<'a>(
    c: &Comparison,
    scenario: &str,
    figure: &str,
    title: &'a str,
    peers: &[(&About, usize)],
) -> Option<Panel<'a>> {
    let compared = c.scenarios.iter().find(|s| s.scenario.name == scenario)?;
    let figure = FIGURES.iter().find(|f| f.name == figure)?;
    let ranges: Vec<Range> =
        peers.iter().filter_map(|(about, _)| Range::of(figure, compared, &about.name)).collect();
    let [mine, theirs] = ranges[..] else {
        return None;
    };
    let bars = peers.iter().zip([mine, theirs]).map(|((about, colour), range)| {
        let words = figure.unit.text(range.median);
        (short_name(about), *colour, range, words)
    });
    Some(Panel {
        title,
        note: match figure.better {
            Better::Higher => "more is better".to_owned(),
            Better::Lower => "less is better".to_owned(),
        },
        ratio: Ratio::of(figure.better, mine, theirs),
        bars: bars.collect(),
    })
}

fn draw(out: &mut String, panel: &Panel<'_>, x: f64, y: f64) {
    const NAME: f64 = 62.0;
    const VALUE: f64 = 92.0;
    const BAR: f64 = 17.0;
    let _ = write!(
        out,
        "<path class=\"grid\" d=\"M{x:.1} {y:.1}h{COLUMN:.1}\"/>\
         <text class=\"ink\" x=\"{x:.1}\" y=\"{:.1}\" style=\"font-size:14px;font-weight:600\">{}</text>\
         <text x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
        y + 20.0,
        escape(panel.title),
        y + 36.0,
        panel.note
    );
    if let Some(ratio) = &panel.ratio {
        // The range is part of the claim: a win is one only if it stays above 1.
        let text = ratio.text();
        let (median, range) = text.split_once(" (").unwrap_or((&text, ""));
        let verdict = match ratio.verdict {
            Verdict::Win => "",
            Verdict::Loss => "loss, ",
            Verdict::Tie => "tie, ",
            Verdict::Unknown => "one round, ",
        };
        let _ = write!(
            out,
            "<text class=\"ink\" x=\"{0:.1}\" y=\"{1:.1}\" text-anchor=\"end\" style=\"font-size:17px;font-weight:650\">{median}</text>\
             <text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"end\">{verdict}{3}</text>",
            x + COLUMN,
            y + 21.0,
            y + 36.0,
            range.trim_end_matches(')')
        );
    }
    let most = panel.bars.iter().map(|b| b.2.max).fold(f64::MIN_POSITIVE, f64::max);
    let length = |value: f64| value / most * (COLUMN - NAME - VALUE);
    let mut at = y + 44.0;
    for (name, colour, range, words) in &panel.bars {
        let (low, high) = (x + NAME + length(range.min), x + NAME + length(range.max));
        let middle = at + BAR / 2.0;
        let _ = write!(
            out,
            "<text x=\"{x:.1}\" y=\"{0:.1}\">{1}</text>\
             <rect class=\"f{2}\" x=\"{3:.1}\" y=\"{at:.1}\" width=\"{4:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <path class=\"bound\" d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {5:.1}v6M{high:.1} {5:.1}v6\"/>\
             <text class=\"ink\" x=\"{6:.1}\" y=\"{0:.1}\" style=\"font-weight:600\">{7}</text>",
            at + BAR - 4.5,
            escape(name),
            colour % COLOURS,
            x + NAME,
            length(range.median).max(1.0),
            middle - 3.0,
            high + 8.0,
            escape(words)
        );
        at += BAR + 4.0;
    }
}

/// Percentiles of one open-loop scenario, a line a round.
fn latencies(
    out: &mut String,
    compared: &Compared,
    peers: &[(&About, usize)],
    x: f64,
    y: f64,
    width: f64,
) {
    let mut series = Vec::new();
    for (about, colour) in peers {
        for result in compared.of(&about.name) {
            let latency = result.consume.as_ref().map(|c| &c.end_to_end);
            if let Some(latency) = latency.filter(|l| l.count > 1) {
                series.push(Series {
                    name: about.name.clone(),
                    colour: *colour,
                    thin: false,
                    dashed: false,
                    points: percentile_points(latency),
                });
            }
        }
    }
    let across = Axis {
        label: "percentile of records, a line a round",
        scale: Scale::Percentile,
        ticks: Ticks::Number,
    };
    let up = Axis { label: "end-to-end latency", scale: Scale::Log, ticks: Ticks::Time };
    let load = match rate(compared) {
        Some(Rate::MbPerS(mb)) => format!("End to end at {mb:.0} MB/s"),
        Some(Rate::RequestsPerS(n)) => format!("End to end at {n:.0} requests/s"),
        None => String::new(),
    };
    let _ = write!(
        out,
        "<path class=\"grid\" d=\"M{x:.1} {y:.1}h{width:.1}\"/>\
         <text class=\"ink\" x=\"{x:.1}\" y=\"{:.1}\" style=\"font-size:14px;font-weight:600\">{load}</text>\
         <text x=\"{:.1}\" y=\"{0:.1}\" text-anchor=\"end\">open loop, less is better</text>",
        y + 20.0,
        x + width,
    );
    let frame = Frame { x, y: y + 24.0, width: width + 10.0, height: PLOT };
    out.push_str(&chart::plot(frame, across, up, &series).unwrap_or_default());
}

/// `ext4 on /dev/vda` of a manifest's mount.
fn file_system(mount: &str) -> String {
    let words: Vec<&str> = mount.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    match words[..] {
        [device, "on", _, kind, ..] => format!("{kind} on {device}"),
        _ => mount.to_owned(),
    }
}

/// When and where; the height of it all.
fn foot(out: &mut String, c: &Comparison, y: f64) -> f64 {
    let m = &c.manifest;
    let rounds = c.scenarios.iter().flat_map(|s| &s.runs).map(|r| r.round);
    let lines = [
        format!(
            "Bars: median of {} interleaved rounds, with the range over rounds. One broker, one replica, no TLS, no compression; client on another CPU.",
            rounds.max().unwrap_or(0)
        ),
        format!(
            "{} · {} CPUs, {}{} · kernel {} · {}",
            date(m.started_unix_s),
            m.cpus,
            m.cpu,
            if m.hypervisor { " (virtual machine)" } else { "" },
            m.kernel,
            file_system(&m.mount),
        ),
        "All figures, also where it loses: docs/benchmarks.md".to_owned(),
    ];
    let mut at = y + 18.0;
    let _ = write!(out, "<path class=\"grid\" d=\"M{MARGIN} {y:.1}H{:.1}\"/>", WIDTH - MARGIN);
    for line in lines {
        let _ = write!(
            out,
            "<text x=\"{MARGIN}\" y=\"{at:.1}\" style=\"font-size:11px\">{}</text>",
            escape(&line)
        );
        at += 16.0;
    }
    at + 4.0
}
