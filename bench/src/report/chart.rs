//! Charts as SVG: lines over linear, logarithmic and percentile axes, and grouped bars.
//!
//! Colours are classes (`c0`, `c1`, ...) whose values the page's style sheet holds, so that one
//! drawing serves light and dark. [`standalone`] adds that style sheet, for a file of its own.

use std::fmt::Write;

use crate::units::{short, time};

// Small enough for the text to be read where a column is 380 pixels wide.
const WIDTH: f64 = 540.0;
const HEIGHT: f64 = 310.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;
/// Half of the longest label of the x axis, less the right margin.
const LAST: f64 = 12.0;
/// Colours there are; series beyond share them.
pub const COLOURS: usize = 6;

/// The colours of series and of text, light and dark. Neighbours differ in lightness too, for who
/// sees few colours or prints.
pub const STYLE: &str = "\
:root{--page:#fdfdfc;--ink:#16160f;--soft:#5d5c55;--line:#e2e0d8;--c0:#0068b0;--c1:#d55e00;--c2:#008f68;--c3:#a87900;--c4:#b8508a;--c5:#5b4fc4}\
@media(prefers-color-scheme:dark){:root{--page:#191917;--ink:#f2f1ea;--soft:#aeada3;--line:#3a3934;--c0:#56a8ee;--c1:#f08a3c;--c2:#2fc397;--c3:#dcae3c;--c4:#e28ab9;--c5:#a398f5}}\
svg text{fill:var(--soft);font:13px system-ui,sans-serif}svg .ink{fill:var(--ink)}\
svg .grid{stroke:var(--line);stroke-width:1}svg .line{fill:none;stroke-width:2;stroke-linejoin:round}\
svg .thin{stroke-width:1.2;opacity:.75}svg .dash{stroke-dasharray:5 4}svg .bound{stroke:var(--ink);stroke-width:1.3;fill:none}\
svg .c0{stroke:var(--c0)}svg .c1{stroke:var(--c1)}svg .c2{stroke:var(--c2)}svg .c3{stroke:var(--c3)}svg .c4{stroke:var(--c4)}svg .c5{stroke:var(--c5)}\
svg .f0{fill:var(--c0)}svg .f1{fill:var(--c1)}svg .f2{fill:var(--c2)}svg .f3{fill:var(--c3)}svg .f4{fill:var(--c4)}svg .f5{fill:var(--c5)}";

/// How an axis maps values to places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    Log,
    /// Values are quantiles; each nine takes the same room.
    Percentile,
}

/// How an axis writes values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticks {
    Number,
    /// Values are ns.
    Time,
}

/// One axis.
#[derive(Debug, Clone, Copy)]
pub struct Axis<'a> {
    pub label: &'a str,
    pub scale: Scale,
    pub ticks: Ticks,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: String,
    pub colour: usize,
    /// One of several lines of the same peer.
    pub thin: bool,
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
}

/// Where in a drawing a plot lies; labels of the axes are inside.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// Lines over two axes. Points that an axis cannot show (not positive on a logarithmic one) are
/// left out. Empty where there is no point.
#[must_use]
pub fn lines(title: &str, x: Axis<'_>, y: Axis<'_>, series: &[Series]) -> String {
    let frame = Frame { x: 0.0, y: 0.0, width: WIDTH, height: HEIGHT };
    plot(frame, x, y, series)
        .map_or_else(String::new, |inner| format!("{}{inner}</svg>", open(title, WIDTH, HEIGHT)))
}

/// As [`lines`], as a part of a drawing; `None` where there is no point.
#[must_use]
pub fn plot(frame: Frame, x: Axis<'_>, y: Axis<'_>, series: &[Series]) -> Option<String> {
    let shown = |&(a, b): &(f64, f64)| x.place(a).zip(y.place(b));
    let places: Vec<Vec<(f64, f64)>> =
        series.iter().map(|s| s.points.iter().filter_map(shown).collect()).collect();
    let all = || places.iter().flatten();
    all().next()?;
    let (x0, x1) = x.bounds(all().map(|p| p.0));
    let (y0, y1) = y.bounds(all().map(|p| p.1));
    let (left, right) = (frame.x + LEFT, frame.x + frame.width - RIGHT);
    let (top, bottom) = (frame.y + TOP, frame.y + frame.height - BOTTOM);
    let across = |v: f64| left + (v - x0) / (x1 - x0) * (right - left);
    let up = |v: f64| bottom - (v - y0) / (y1 - y0) * (bottom - top);
    let mut out = String::new();
    for (place, label) in y.marks(y0, y1) {
        let at = up(place);
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{left:.1} {at:.1}H{right:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            left - 8.0,
            at + 4.0
        );
    }
    for (place, label) in x.marks(x0, x1) {
        let at = across(place);
        // The last label would stick out of the drawing.
        let (x, anchor) =
            if at > right - LAST { (right + RIGHT - 2.0, "end") } else { (at, "middle") };
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {top:.1}V{bottom:.1}\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
            bottom + 17.0
        );
    }
    let _ = write!(
        out,
        "<text class=\"ink\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(left, right),
        bottom + 36.0,
        escape(x.label)
    );
    let _ = write!(
        out,
        "<text class=\"ink\" transform=\"translate({:.1} {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        frame.x + 14.0,
        f64::midpoint(top, bottom),
        escape(y.label)
    );
    for (s, places) in series.iter().zip(&places) {
        let mut path = String::new();
        for (n, &(a, b)) in places.iter().enumerate() {
            let verb = if n == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {:.1}", across(a), up(b));
        }
        let _ = write!(
            out,
            "<path class=\"line c{}{}{}\" d=\"{path}\"><title>{}</title></path>",
            s.colour % COLOURS,
            if s.thin { " thin" } else { "" },
            if s.dashed { " dash" } else { "" },
            escape(&s.name)
        );
    }
    Some(out)
}

/// One group of bars.
#[derive(Debug, Clone)]
pub struct Group {
    pub label: String,
    /// (series, its colour, value, value in words).
    pub bars: Vec<(String, usize, f64, String)>,
}

/// Horizontal bars from 0. Empty where there is none.
#[must_use]
pub fn bars(group: &Group) -> String {
    const BARS: f64 = 440.0;
    const BAR: f64 = 19.0;
    const GAP: f64 = 4.0;
    const NAME: f64 = 112.0;
    const VALUE: f64 = 96.0;
    if group.bars.is_empty() {
        return String::new();
    }
    let height = group.bars.len() as f64 * (BAR + GAP);
    let mut out = open(&group.label, BARS, height);
    let top = group.bars.iter().map(|b| b.2).fold(0.0, f64::max);
    let mut y = 0.0;
    for (name, colour, value, words) in &group.bars {
        let length = (value / top.max(f64::MIN_POSITIVE) * (BARS - NAME - VALUE)).max(1.0);
        let _ = write!(
            out,
            "<text x=\"0\" y=\"{0:.1}\">{1}</text>\
             <rect class=\"f{2}\" x=\"{NAME}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"3\"/>\
             <text class=\"ink\" x=\"{3:.1}\" y=\"{0:.1}\">{4}</text>",
            y + BAR - 5.0,
            escape(name),
            colour % COLOURS,
            NAME + length + 7.0,
            escape(words)
        );
        y += BAR + GAP;
    }
    out.push_str("</svg>");
    out
}

/// A drawing as a file of its own.
#[must_use]
pub fn standalone(svg: &str) -> String {
    let ground = "<rect width=\"100%\" height=\"100%\" style=\"fill:var(--page)\"/>";
    match svg.split_once('>') {
        Some((head, rest)) => format!("{head}><style>{STYLE}</style>{ground}{rest}\n"),
        None => String::new(),
    }
}

/// The colours of peers: those of the main figure are the same on every page.
#[must_use]
pub fn colours(names: &[&str]) -> Vec<usize> {
    const OWN: [&str; 2] = ["millrace", "kafka"];
    let mut next = OWN.len();
    let colour = |name: &&str| {
        OWN.iter().position(|own| own == name).unwrap_or_else(|| {
            next += 1;
            next - 1
        })
    };
    names.iter().map(colour).collect()
}

/// Text for HTML and SVG.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The start of a drawing of this size.
#[must_use]
pub fn open(title: &str, width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    )
}

impl Axis<'_> {
    /// Where a value lies, before it is stretched to the drawing.
    fn place(self, value: f64) -> Option<f64> {
        match self.scale {
            Scale::Linear => value.is_finite().then_some(value),
            Scale::Log => (value > 0.0).then(|| value.log10()),
            Scale::Percentile => (0.0..1.0).contains(&value).then(|| -(1.0 - value).log10()),
        }
    }

    fn bounds(self, places: impl Iterator<Item = f64>) -> (f64, f64) {
        let (min, max) = places.fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
        match self.scale {
            Scale::Linear => (0.0, if max > 0.0 { max * 1.05 } else { 1.0 }),
            Scale::Percentile => (0.0, max.max(1.0)),
            Scale::Log => {
                let (low, high) = ((min - 0.05).floor(), (max + 0.05).ceil());
                // Whole decades look empty around a narrow range: halves of them then.
                if high - low <= 2.0 {
                    ((min * 2.0 - 0.1).floor() / 2.0, (max * 2.0 + 0.1).ceil() / 2.0)
                } else {
                    (low, high)
                }
            }
        }
    }

    fn marks(self, from: f64, to: f64) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => linear_steps(to).into_iter().map(|v| (v, self.write(v))).collect(),
            Scale::Percentile => [0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999]
                .into_iter()
                .filter_map(|q| Some((self.place(q)?, format!("{} %", percent(q)))))
                .filter(|(at, _)| *at <= to)
                .collect(),
            Scale::Log => {
                let steps: &[f64] = if to - from <= 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let decades = from.floor() as i32..=to.ceil() as i32;
                decades
                    .flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)))
                    .filter(|v| (from - 1e-9..=to + 1e-9).contains(&v.log10()))
                    .map(|v| (v.log10(), self.write(v)))
                    .collect()
            }
        }
    }

    fn write(self, value: f64) -> String {
        let text = match self.ticks {
            Ticks::Number => short(value),
            Ticks::Time => time(value.max(0.0).round() as u64),
        };
        // Ticks are round: `1.00 ms` says no more than `1 ms`.
        let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
        if number.contains('.') {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}").trim_end().to_owned()
        } else {
            text
        }
    }
}

fn percent(quantile: f64) -> String {
    let text = format!("{:.4}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// About five round steps from 0 to `to`.
fn linear_steps(to: f64) -> Vec<f64> {
    let rough = to / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|s| s * power)
        .find(|s| *s >= rough)
        .unwrap_or(10.0 * power);
    let mut all = Vec::new();
    let mut n = 0.0;
    while n * step <= to {
        all.push(n * step);
        n += 1.0;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Axis<'_> = Axis { label: "latency", scale: Scale::Log, ticks: Ticks::Time };

    #[test]
    fn axes_have_round_marks() {
        let marks: Vec<_> = TIME.marks(5.0, 8.0).into_iter().map(|m| m.1).collect();
        assert_eq!(marks, ["100 us", "1 ms", "10 ms", "100 ms"]);
        assert_eq!(linear_steps(430.0), [0.0, 100.0, 200.0, 300.0, 400.0]);
        let quantiles = Axis { label: "", scale: Scale::Percentile, ticks: Ticks::Number };
        let marks: Vec<_> = quantiles.marks(0.0, 3.1).into_iter().map(|m| m.1).collect();
        assert_eq!(marks, ["0 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn a_drawing_is_well_formed_and_hostile_names_are_text() {
        let series = [Series {
            name: "<script>".to_owned(),
            colour: 7,
            thin: false,
            dashed: true,
            points: vec![(0.0, 0.0), (1.0, 2e6), (2.0, 3e6)],
        }];
        let x = Axis { label: "s", scale: Scale::Linear, ticks: Ticks::Number };
        let svg = lines("t", x, TIME, &series);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(standalone(&svg).contains("<style>"));
        assert_eq!(lines("t", x, TIME, &[]), "");
        let none = Group { label: "t".to_owned(), bars: Vec::new() };
        assert_eq!(bars(&none), "");
    }
}
