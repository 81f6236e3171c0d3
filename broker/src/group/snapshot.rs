//! The live state as records, a portion at a time, so that what is older can be cut off the log.
//!
//! Operations may run between the portions: a portion says how the groups in it are when it is
//! appended, and what changes them afterwards stands behind it. So the log from the first portion
//! on is the whole state once the last one is appended.
//!
//! ```text
//! log:   ... old records ... | portion 1 | commit of group a | portion 2 | ...
//!                            ^ the new log start, once portion 2 is committed
//! ```
//! What it drops: records of kinds that are not served.

use super::records;
use super::state::Coordinator;
use crate::coordinator::Record;
use std::sync::Arc;

/// How far a snapshot has come.
#[derive(Debug)]
pub struct Snapshot {
    /// Groups to come, the next one last. Those made since the start are in the log anyway.
    groups: Vec<Arc<str>>,
    /// The last commit written of the group that is under way.
    behind: Option<(Box<str>, i32)>,
    /// The record of the group that is under way is written.
    in_group: bool,
}

impl Coordinator {
    /// Begins a snapshot.
    pub fn snapshot(&self) -> Snapshot {
        let mut groups: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        groups.sort_unstable_by(|a, b| b.cmp(a));
        Snapshot { groups, behind: None, in_group: false }
    }

    /// The next records, about `bytes_max` of them; none at the end. They must be appended before
    /// the next operation runs.
    pub fn snapshot_next(&self, snapshot: &mut Snapshot, bytes_max: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while let Some(id) = snapshot.groups.last() {
            let Some(group) = self.groups.get(id) else {
                snapshot.end_group();
                continue;
            };
            if !snapshot.in_group {
                snapshot.in_group = true;
                if let Some(value) = &group.persisted {
                    let record = records::group(id, Some(value.clone()));
                    bytes += record.size();
                    records.push(record);
                }
            }
            let mut last = None;
            for (topic, partition, commit) in group.offsets.after(snapshot.behind.as_ref()) {
                if bytes >= bytes_max && !records.is_empty() {
                    break;
                }
                let record = records::offset(id, topic, partition, commit);
                bytes += record.size();
                records.push(record);
                last = Some((topic, partition));
            }
            if let Some((topic, partition)) = last {
                snapshot.behind = Some((topic.into(), partition));
            }
            if bytes >= bytes_max {
                break;
            }
            snapshot.end_group();
        }
        records
    }
}

impl Snapshot {
    fn end_group(&mut self) {
        self.groups.pop();
        self.behind = None;
        self.in_group = false;
    }
}
