//! All groups of one partition of `__consumer_offsets`: where operations, timers and replay come
//! in.

use super::classic::Classic;
use super::numbers::ByState;
use super::offsets::Offsets;
use super::options::Options;
use super::rebalance::Turn;
use super::timers::{Timer, Timers};
use super::{FixedHashMap, Outcome, Request, Response};
use super::{
    commit, delete, describe, expiry, fetch, heartbeat, join, leave, list, offset_delete, sync,
};
use crate::coordinator::{Context, Now, ReplyTo};
use std::sync::Arc;
use wire::ErrorCode;

/// A group: its members, and the offsets it committed. One without members that ever joined is what
/// Kafka calls a simple group: somebody committed offsets by hand.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: Arc<str>,
    pub(super) classic: Classic,
    pub(super) offsets: Offsets,
    /// Value of the last record of the group: what a replay would make of it. Snapshots write this,
    /// since what has happened in a rebalance is not lasting before its end.
    pub(super) persisted: Option<Vec<u8>>,
}

/// Memory of a group's entry.
const GROUP_BYTES: usize = 512;

impl Group {
    pub(super) fn new(id: Arc<str>, now_ms: i64) -> Self {
        Self { id, classic: Classic::new(now_ms), offsets: Offsets::default(), persisted: None }
    }

    /// Memory held, about.
    pub(super) fn bytes(&self) -> usize {
        GROUP_BYTES
            + 2 * self.id.len()
            + self.classic.bytes()
            + self.offsets.bytes()
            + self.persisted.as_ref().map_or(0, Vec::len)
    }

    pub(super) fn session_timer(&self, member: &Arc<str>) -> Timer {
        Timer::Session { group: Arc::clone(&self.id), member: Arc::clone(member) }
    }

    pub(super) fn join_timer(&self) -> Timer {
        Timer::Join { group: Arc::clone(&self.id) }
    }

    pub(super) fn sync_timer(&self) -> Timer {
        Timer::Sync { group: Arc::clone(&self.id) }
    }
}

/// The state machine of one partition.
///
/// Lives on the core that leads the partition, inside a [`crate::coordinator::Runtime`]. An answer
/// returned here may be given once the records returned with it, and before it, are committed.
#[derive(Debug)]
pub struct Coordinator {
    pub(super) options: Options,
    pub(super) groups: FixedHashMap<Arc<str>, Group>,
    pub(super) timers: Timers,
    /// Sum of [`Group::bytes`].
    pub(super) bytes: usize,
    by_state: ByState,
    /// See [`Coordinator::take_refused`].
    refused: u64,
    /// Groups that the present look for expired offsets has yet to visit.
    pub(super) to_expire: Vec<Arc<str>>,
}

impl Coordinator {
    /// Without any group, as before the first record.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            groups: FixedHashMap::default(),
            timers: Timers::default(),
            bytes: 0,
            by_state: ByState::default(),
            refused: 0,
            to_expire: Vec::new(),
        }
    }

    /// Carries out `request`. `reply_to` is answered now or, where the operation waits for other
    /// members, in the outcome of a later one.
    pub fn handle(
        &mut self,
        request: Request<'_>,
        context: &Context<'_>,
        reply_to: ReplyTo,
        now: Now,
    ) -> Outcome {
        let mut out = Outcome::default();
        let response = match request {
            Request::JoinGroup(request) => {
                join::process(self, request, context, reply_to, now, &mut out);
                return out;
            }
            Request::SyncGroup(request) => {
                sync::process(self, request, reply_to, now, &mut out);
                return out;
            }
            Request::Heartbeat(request) => heartbeat::process(self, request, now, &mut out),
            Request::LeaveGroup(request) => leave::process(self, request, context, now, &mut out),
            Request::OffsetCommit(request) => {
                commit::process(self, request, context, now, &mut out)
            }
            Request::OffsetFetch(request) => fetch::process(self, request),
            Request::OffsetDelete(request) => offset_delete::process(self, request, now, &mut out),
            Request::DescribeGroups(groups) => describe::process(self, groups, context),
            Request::ListGroups { states, types } => list::process(self, states, types),
            Request::DeleteGroups(groups) => delete::process(self, groups, &mut out),
        };
        out.reply(reply_to, response);
        out
    }

    /// When [`Coordinator::tick`] is due; it may find nothing to do then.
    pub fn next_deadline(&self) -> Option<u64> {
        self.timers.next_deadline()
    }

    /// Does what is due: sessions, rebalances and syncs that took too long, offsets that expired.
    pub fn tick(&mut self, now: Now) -> Outcome {
        let mut out = Outcome::default();
        // What is set meanwhile for this very moment waits for the next tick, or one group could
        // hold the core for ever.
        for _ in 0..self.timers.len() {
            let Some(timer) = self.timers.pop_due(now.monotonic_ms) else {
                break;
            };
            match timer {
                Timer::Session { group, member } => {
                    self.turn(&group, now, &mut out, |turn| turn.on_session_timeout(&member));
                }
                Timer::Join { group } => {
                    self.turn(&group, now, &mut out, |turn| turn.on_join_timeout());
                }
                Timer::Sync { group } => {
                    self.turn(&group, now, &mut out, |turn| turn.on_sync_timeout());
                }
                Timer::Expiry => {
                    expiry::run(self, now, &mut out);
                    // At most one portion a tick: the core has more to do.
                    break;
                }
            }
        }
        out
    }

    /// Topics, by name and id, were deleted: what was committed for them goes.
    pub fn topics_deleted(&mut self, topics: &[(&str, wire::Uuid)], now: Now) -> Outcome {
        let mut out = Outcome::default();
        offset_delete::topics_deleted(self, topics, now, &mut out);
        out
    }

    /// The state has been replayed and is this coordinator's from now on: all members get a whole
    /// session from here.
    pub fn activate(&mut self, now: Now) -> Outcome {
        let mut out = Outcome::default();
        let check = now.monotonic_ms.saturating_add(self.options.offsets_retention_check_ms);
        self.timers.schedule(Timer::Expiry, check);
        // In order, so that timers of the same moment go off in the same order in every run.
        let mut ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        ids.sort_unstable();
        for id in ids {
            self.turn(&id, now, &mut out, |turn| turn.on_loaded());
        }
        out
    }

    /// Answers everything that waits for other members with `error`. The state is of no use after.
    pub fn abandon(&mut self, error: ErrorCode) -> Outcome {
        let mut out = Outcome::default();
        let mut groups: Vec<Group> = self.groups.drain().map(|(_, group)| group).collect();
        groups.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        for group in groups {
            for member in group.classic.members() {
                if let Some(reply_to) = member.awaiting_join {
                    let answer = super::request::join_error(&member.id, error);
                    out.reply(reply_to, Response::JoinGroup(answer));
                }
                if let Some(reply_to) = member.awaiting_sync {
                    out.reply(reply_to, Response::SyncGroup(super::request::sync_error(error)));
                }
            }
        }
        *self = Self::new(self.options.clone());
        out
    }

    /// Groups, and memory held by them, about.
    pub fn size(&self) -> (usize, usize) {
        (self.groups.len(), self.bytes)
    }

    /// Groups by state.
    pub fn by_state(&self) -> ByState {
        self.by_state
    }

    /// Settings that take effect from the next operation on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Memory that the groups may take from the next operation on; see [`super::Limits::bytes`].
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.options.limits.bytes = bytes_max;
    }

    /// How often something was refused for want of memory, since this was asked last.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    // ---- for the operations

    /// INVALID_GROUP_ID for an id that cannot be one.
    pub(super) fn check_group_id(&self, id: &str) -> Result<(), ErrorCode> {
        if id.is_empty() || id.len() > self.options.limits.group_id_bytes {
            return Err(ErrorCode::InvalidGroupId);
        }
        Ok(())
    }

    /// Whether `more` bytes may be taken.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        self.bytes.saturating_add(more) <= self.options.limits.bytes
    }

    /// The group, made if there is none.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE: the table of groups is full.
    pub(super) fn create(&mut self, id: &str, now: Now) -> Result<(), ErrorCode> {
        if self.groups.contains_key(id) {
            return Ok(());
        }
        if self.groups.len() >= self.options.limits.groups
            || !self.has_room_for(GROUP_BYTES + id.len())
        {
            self.refused += 1;
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.insert(Group::new(id.into(), now.wall_ms));
        Ok(())
    }

    /// Adds or replaces a group.
    pub(super) fn insert(&mut self, group: Group) {
        self.bytes += group.bytes();
        self.by_state[group.classic.state as usize] += 1;
        if let Some(before) = self.groups.insert(Arc::clone(&group.id), group) {
            self.bytes -= before.bytes();
            self.by_state[before.classic.state as usize] -= 1;
        }
    }

    /// Takes a group out, with its timers.
    pub(super) fn remove(&mut self, id: &str) -> Option<Group> {
        let group = self.groups.remove(id)?;
        self.bytes -= group.bytes();
        self.by_state[group.classic.state as usize] -= 1;
        self.timers.cancel(&group.join_timer());
        self.timers.cancel(&group.sync_timer());
        for member in group.classic.members() {
            self.timers.cancel(&group.session_timer(&member.id));
        }
        for pending in group.classic.pending_joins() {
            self.timers.cancel(&group.session_timer(pending));
        }
        Some(group)
    }

    /// Works on a group, if there is one.
    pub(super) fn turn<T>(
        &mut self,
        id: &str,
        now: Now,
        out: &mut Outcome,
        work: impl FnOnce(&mut Turn<'_>) -> T,
    ) -> Option<T> {
        let group = self.groups.get_mut(id)?;
        let (before, state) = (group.bytes(), group.classic.state);
        let room = self.options.limits.bytes.saturating_sub(self.bytes);
        let mut turn = Turn {
            options: &self.options,
            timers: &mut self.timers,
            group,
            out,
            now,
            room,
            refused: &mut self.refused,
        };
        let result = work(&mut turn);
        let after = group.bytes();
        self.by_state[state as usize] -= 1;
        self.by_state[group.classic.state as usize] += 1;
        self.bytes = self.bytes + after - before;
        Some(result)
    }

    /// What must always hold.
    ///
    /// # Panics
    /// It does not.
    pub fn check(&self) {
        let mut timers = usize::from(self.timers.len() > 0);
        let (mut bytes, mut by_state) = (0, ByState::default());
        for (id, group) in &self.groups {
            assert_eq!(*id, group.id);
            group.classic.check();
            group.offsets.check();
            bytes += group.bytes();
            by_state[group.classic.state as usize] += 1;
            timers += 2 + group.classic.len() + group.classic.pending_joins().len();
        }
        assert_eq!(self.bytes, bytes, "bytes of groups");
        assert_eq!(self.by_state, by_state, "groups by state");
        assert!(
            self.timers.len() <= timers,
            "{} timers for at most {timers} reasons",
            self.timers.len()
        );
    }
}
