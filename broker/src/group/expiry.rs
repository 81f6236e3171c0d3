//! Offsets whose retention is over, and groups that have nothing left.
//!
//! Looked for from time to time (`offsets.retention.check.interval.ms`), a portion of the groups a
//! tick: a core with a hundred thousand groups must not stand still for them.
//!
//! When the retention of an offset begins (KIP-211): for a group that lost its members, when it
//! became empty; for offsets of topics that a stable group of consumers no longer reads, and for
//! offsets committed by hand, at the commit.

use super::classic::GroupState::{Empty, Stable};
use super::state::{Coordinator, Group};
use super::timers::Timer;
use super::{Outcome, delete, records};
use crate::coordinator::Now;
use std::sync::Arc;

pub(super) fn run(coordinator: &mut Coordinator, now: Now, out: &mut Outcome) {
    if coordinator.to_expire.is_empty() {
        coordinator.to_expire = coordinator.groups.keys().cloned().collect();
        // Taken from the end, in the same order in every run.
        coordinator.to_expire.sort_unstable_by(|a, b| b.cmp(a));
    }
    let limits = coordinator.options.limits.clone();
    for _ in 0..limits.expiry_groups_per_tick.max(1) {
        let Some(id) = coordinator.to_expire.pop() else {
            break;
        };
        expire_group(coordinator, &id, now, out);
        if out.records.len() >= limits.expiry_records_per_tick {
            break;
        }
    }
    let next = if coordinator.to_expire.is_empty() {
        now.monotonic_ms.saturating_add(coordinator.options.offsets_retention_check_ms)
    } else {
        now.monotonic_ms
    };
    coordinator.timers.schedule(Timer::Expiry, next);
}

/// From when on an offset's retention counts.
#[derive(Debug, Clone, Copy)]
enum Since {
    Commit,
    Moment(i64),
}

/// `None`: nothing expires as the group is now.
fn retention_base(group: &Group) -> Option<Since> {
    let classic = &group.classic;
    if classic.protocol_type.is_none() {
        return Some(Since::Commit);
    }
    if classic.is(Empty) {
        return Some(classic.state_since_ms.map_or(Since::Commit, Since::Moment));
    }
    let knows = classic.uses_consumer_protocol() && classic.subscribed.is_some();
    (classic.is(Stable) && knows).then_some(Since::Commit)
}

fn expire_group(coordinator: &mut Coordinator, id: &Arc<str>, now: Now, out: &mut Outcome) {
    let retention_ms = coordinator.options.offsets_retention_ms;
    let is_over = coordinator.turn(id, now, out, |turn| {
        let group = &mut *turn.group;
        let Some(since) = retention_base(group) else {
            return group.offsets.is_empty();
        };
        let mut expired = Vec::new();
        for (topic, partitions) in group.offsets.topics() {
            if group.classic.is_subscribed_to(topic) {
                continue;
            }
            for (partition, commit) in partitions {
                let base_ms = match since {
                    Since::Commit => commit.commit_ms,
                    Since::Moment(at_ms) => at_ms,
                };
                if commit.is_expired(base_ms, retention_ms, now.wall_ms) {
                    expired.push((topic.to_owned(), *partition));
                }
            }
        }
        for (topic, partition) in expired {
            group.offsets.remove(&topic, partition);
            turn.out.records.push(records::offset_tombstone(id, &topic, partition));
        }
        group.offsets.is_empty()
    });
    let is_empty = |group: &Group| group.classic.is(Empty);
    if is_over == Some(true) && coordinator.groups.get(&**id).is_some_and(is_empty) {
        delete::delete(coordinator, id, out);
    }
}
