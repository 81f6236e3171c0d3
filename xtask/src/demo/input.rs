//! What goes in: the events of all files, by topic, key and sequence number.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) time_ms: i64,
    /// As `prepare.py` made it; programs check events by it, the harness compares all of them.
    pub(super) sum: String,
    pub(super) value: String,
}

#[derive(Debug, Default)]
pub(super) struct Input {
    /// Topic -> key -> events, each at the place of its sequence number.
    pub(super) topics: HashMap<String, HashMap<String, Vec<Event>>>,
    pub(super) events: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
}

impl Input {
    /// Adds a file of events to a topic; returns how many.
    pub(super) fn load(&mut self, topic: &str, file: &Path) -> Result<u64> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let before = self.events;
        for line in text.lines() {
            self.add(topic, line).with_context(|| format!("{}: {line}", file.display()))?;
        }
        Ok(self.events - before)
    }

    /// Adds a line: key, sequence number, time stamp (ms), sum, value, with tabs between.
    pub(super) fn add(&mut self, topic: &str, line: &str) -> Result<()> {
        let fields: Vec<&str> = line.splitn(5, '\t').collect();
        let [key, seq, time_ms, sum, value] = fields[..] else {
            bail!("not an event");
        };
        let keys = self.topics.entry(topic.to_owned()).or_default();
        let events = keys.entry(key.to_owned()).or_default();
        if seq.parse() != Ok(events.len()) {
            bail!("the key's next sequence number is {}", events.len());
        }
        events.push(Event {
            time_ms: time_ms.parse()?,
            sum: sum.to_owned(),
            value: value.to_owned(),
        });
        self.events += 1;
        self.bytes += u64::try_from(key.len() + value.len()).unwrap_or(0);
        Ok(())
    }
}
