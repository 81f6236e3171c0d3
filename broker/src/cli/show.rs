//! `millrace config`: what is in force, where it came from, and what it does here.
use super::layers::Layers;
use crate::config::{Kind, catalogue, catalogue::Effect};
use std::fmt::Write;

/// A line for each key that was given; with `all`, for every key that Kafka or Millrace knows.
/// Secrets are not shown.
pub fn config(layers: &Layers, all: bool) -> String {
    let values = layers.defaults();
    let mut names: Vec<&str> = layers.keys().collect();
    if all {
        names
            .extend(catalogue().keys(Kind::Broker).filter(|key| !key.internal).map(|key| key.name));
        names.sort_unstable();
        names.dedup();
    }
    let rows: Vec<(String, String, String)> = names
        .into_iter()
        .filter_map(|name| {
            let key = catalogue().broker(name)?;
            let given = layers.get(name);
            let value = match given {
                Some(_) if key.is_sensitive() => "[hidden]".to_owned(),
                Some(text) => key.parse(text).map_or_else(|_| text.to_owned(), |v| v.to_string()),
                None => values.get(key).map_or_else(|| "null".to_owned(), |v| v.to_string()),
            };
            let origin = layers
                .origin(name)
                .map_or_else(|| "default of Kafka".to_owned(), ToString::to_string);
            let origin = match key.effect {
                Effect::Stored if given.is_some() => format!("{origin}; without effect here"),
                _ => origin,
            };
            Some((name.to_owned(), value, origin))
        })
        .collect();
    // One very long value must not push all origins out of sight.
    let width =
        rows.iter().map(|(name, value, _)| name.len() + value.len() + 1).max().unwrap_or(0).min(60);
    let mut text = String::new();
    for (name, value, origin) in rows {
        let setting = format!("{name}={value}");
        let _ = writeln!(text, "{setting:<width$}  # {origin}");
    }
    text
}
