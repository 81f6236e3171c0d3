//! Which text a scraper gets: OpenMetrics 1.0 if it says that it reads it, as Prometheus does; else
//! Prometheus' older text format, which every other tool reads (`promtool check metrics` is one).
use axum::http::{HeaderMap, header};
use std::fmt::Write;

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// Version 0.0.4.
    Text,
}

impl Format {
    /// What a request's `Accept` asks for.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let kinds =
            accepts.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        for kind in kinds {
            let mut parts = kind.split(';').map(str::trim);
            if parts.next() == Some("application/openmetrics-text")
                && !parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
            {
                return Self::OpenMetrics;
            }
        }
        Self::Text
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics as the older format says it: a counter's family has the name of its samples, with
/// `_total`, and so has an info with `_info`, which is a gauge; there are no units and no end mark.
pub fn to_text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        // HELP comes first, but the name it needs depends on the TYPE behind it.
        if let Some(rest) = comment.strip_prefix("HELP ") {
            help = rest.split_once(' ');
        } else if let Some((name, kind)) =
            comment.strip_prefix("TYPE ").and_then(|t| t.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, said)) = help.take() {
                let said = said.replace("\\\"", "\"");
                // Writing to a string does not fail.
                _ = writeln!(text, "# HELP {name}{suffix} {said}");
            }
            _ = writeln!(text, "# TYPE {name}{suffix} {kind}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(accept: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        Format::of(&headers)
    }

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        assert_eq!(format(&[prometheus]), Format::OpenMetrics);
        assert_eq!(format(&["text/plain", "application/openmetrics-text"]), Format::OpenMetrics);
        assert_eq!(format(&[]), Format::Text);
        assert_eq!(format(&["*/*"]), Format::Text);
        assert_eq!(format(&["application/openmetrics-text;q=0"]), Format::Text);
        assert_eq!(format(&["application/openmetrics-text; q=0.0, */*"]), Format::Text);
    }

    #[test]
    fn families_have_the_names_of_their_samples() {
        let open = "# HELP a A \\\"b\\\".\n# TYPE a counter\na_total{x=\"# TYPE\"} 1\n\
            # HELP b_seconds B.\n# TYPE b_seconds histogram\n# UNIT b_seconds seconds\nb_seconds_sum 1.0\n\
            # HELP c C.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        let text = "# HELP a_total A \"b\".\n# TYPE a_total counter\na_total{x=\"# TYPE\"} 1\n\
            # HELP b_seconds B.\n# TYPE b_seconds histogram\nb_seconds_sum 1.0\n\
            # HELP c_info C.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(to_text(open), text);
    }
}
