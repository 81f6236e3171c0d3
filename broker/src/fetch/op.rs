//! A fetch of a connection: rounds of looking until there is enough, or its time is over.
use super::serve::Origin;
use crate::{
    fetch::session::{News, TopicKey, Wanted},
    partition::waiters::Watcher,
    shard::{
        Shard,
        message::{FetchedPart, Message},
        reply::{Pending, ReplyTo},
        tick::{Timer, token},
    },
};
use bytes::Bytes;
use netio::{CoreId, Instant};
use record::TopicId;
use std::{collections::BTreeMap, sync::Arc};
use storage::LogId;
use wire::{
    ErrorCode,
    fetch::{
        EpochEndOffset, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
        PartitionData,
    },
};

/// A fetch under way.
#[derive(Debug)]
pub struct FetchOp {
    pub pending: Pending,
    pub session_id: i32,
    pub incremental: bool,
    pub read_committed: bool,
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub deadline: Instant,
    /// In the order of the answer.
    pub wanted: Arc<[Wanted]>,
    pub found: Vec<Option<FetchedPart>>,
    /// Cores that have not answered in this round.
    pub missing: usize,
    /// It watches its partitions.
    pub waiting: bool,
    /// The deadline's timer.
    pub timer: Option<u64>,
    /// Cores that were told to watch.
    pub watched_at: Vec<CoreId>,
}

impl Shard {
    /// Begins a fetch: the first look. It may be answered before this returns.
    pub(crate) fn begin_fetch(&mut self, op: FetchOp) {
        let id = self.fetches.next;
        self.fetches.next += 1;
        // Nothing of its connection is carried out beside it.
        if let ReplyTo::Session { conn, .. } = op.pending.reply
            && let Some(session) = self.sessions.get_mut(conn)
        {
            session.fetch = Some(id);
        }
        self.fetches.ops.insert(id, op);
        self.look_again(id);
    }

    /// A round: every core that has partitions of the fetch looks at them.
    fn look_again(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        op.found.clear();
        op.found.resize_with(op.wanted.len(), || None);
        op.waiting = false;
        let (wanted, max_bytes) = (op.wanted.clone(), op.max_bytes);
        if wanted.is_empty() {
            self.judge(id);
            return;
        }
        let mut by_core: BTreeMap<CoreId, Vec<u32>> = BTreeMap::new();
        for (part, place) in wanted.iter().zip(0..) {
            let (core, _) = self.home_of(&part.topic, part.partition);
            by_core.entry(core).or_default().push(place);
        }
        if let Some(op) = self.fetches.ops.get_mut(&id) {
            op.missing = by_core.len();
        }
        // Nobody waits for more than the cores may give, of which each has a share.
        let share = max_bytes / by_core.len().max(1);
        if let Some(op) = self.fetches.ops.get_mut(&id) {
            op.min_bytes = op.min_bytes.min(share);
        }
        for (core, places) in by_core {
            if core == self.me {
                self.serve_fetch(Origin::Local { op: id }, &wanted, &places, share, true);
            } else {
                let from = self.me;
                self.tell(
                    core,
                    Message::FetchPart {
                        from,
                        id,
                        wanted: wanted.clone(),
                        places,
                        max_bytes: share,
                        at_least_one: true,
                    },
                );
            }
        }
    }

    /// What a core found.
    pub(crate) fn on_fetched(&mut self, id: u64, parts: Vec<FetchedPart>) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        for part in parts {
            let at = part.index as usize;
            op.found[at] = Some(part);
        }
        op.missing -= 1;
        if op.missing == 0 {
            self.judge(id);
        }
    }

    /// A round is complete: answer, or wait for news.
    fn judge(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        let mut bytes = 0;
        let mut tell_now = op.wanted.is_empty() || op.deadline <= self.now;
        for part in op.found.iter().flatten() {
            bytes += part.records.iter().map(Bytes::len).sum::<usize>();
            tell_now |= part.error != 0 || part.diverging.is_some();
        }
        if tell_now || bytes >= op.min_bytes {
            self.answer_fetch(id);
            return;
        }
        op.waiting = true;
        if op.timer.is_none() {
            op.timer = Some(self.io.timer(op.deadline, token(Timer::Fetch, id)));
        }
        let wanted = op.wanted.clone();
        // News is what lies above what was seen, not above what was asked: some bytes may be there already, too few.
        let seen = op
            .found
            .iter()
            .map(|found| found.as_ref().map_or(-1, |f| f.high_watermark))
            .collect::<Vec<i64>>();
        self.watch(id, &wanted, &seen);
    }

    fn watch(&mut self, id: u64, wanted: &[Wanted], seen: &[i64]) {
        let mut remote: BTreeMap<CoreId, Vec<(LogId, i64)>> = BTreeMap::new();
        for (part, &seen) in wanted.iter().zip(seen) {
            let (partition, past) = (part.partition, part.fetch_offset.max(seen));
            let (core, topic) = self.home_of(&part.topic, partition);
            let Some(topic): Option<TopicId> = topic else {
                continue;
            };
            if core == self.me {
                if let Some(leader) = self
                    .partitions
                    .slot(topic, partition)
                    .and_then(|s| self.partitions.at_mut(s))
                {
                    leader.watchers.push(past, Watcher::Local(id));
                }
            } else {
                let log = LogId { topic, partition };
                remote.entry(core).or_default().push((log, past));
            }
        }
        if let Some(op) = self.fetches.ops.get_mut(&id) {
            op.watched_at = remote.keys().copied().collect();
        }
        for (core, watched) in remote {
            let from = self.me;
            self.tell(core, Message::Watch { from, id, watched });
        }
    }

    fn stop_watching(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        if !op.waiting {
            return;
        }
        op.waiting = false;
        let cores = std::mem::take(&mut op.watched_at);
        let wanted = op.wanted.clone();
        for part in wanted.iter() {
            let (core, topic) = self.home_of(&part.topic, part.partition);
            if core == self.me {
                let slot = topic.and_then(|t| self.partitions.slot(t, part.partition));
                if let Some(leader) = slot.and_then(|s| self.partitions.at_mut(s)) {
                    leader.watchers.remove(Watcher::Local(id));
                }
            }
        }
        for core in cores {
            let from = self.me;
            self.tell(core, Message::Unwatch { from, id });
        }
    }

    /// A partition of the fetch advanced. It looks again when the turn settles, once for all that happened.
    pub(crate) fn on_woken(&mut self, id: u64) {
        if self.fetches.ops.get(&id).is_some_and(|op| op.waiting)
            && !self.fetches.woken.contains(&id)
        {
            self.fetches.woken.push(id);
        }
    }

    /// False when none was woken.
    pub(crate) fn run_woken_fetches(&mut self) -> bool {
        let woken = std::mem::take(&mut self.fetches.woken);
        for &id in &woken {
            self.stop_watching(id);
            self.look_again(id);
        }
        !woken.is_empty()
    }

    /// The fetch's time is over: it answers what it has.
    pub(crate) fn on_fetch_deadline(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        op.timer = None;
        if op.waiting {
            self.answer_fetch(id);
        }
        // Else a round is under way; it will see that the deadline has passed.
    }

    /// The fetch waits for news no longer.
    pub(crate) fn hurry_fetch(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        // A round under way sees it when it ends.
        op.deadline = op.deadline.min(self.now);
        if op.waiting {
            self.answer_fetch(id);
        }
    }

    /// Every waiting fetch answers what it has: the server stops.
    pub(crate) fn answer_all_fetches(&mut self) {
        let mut ids: Vec<u64> = self
            .fetches
            .ops
            .iter()
            .filter(|(_, op)| op.waiting)
            .map(|(&id, _)| id)
            .collect();
        ids.sort_unstable();
        for id in ids {
            self.answer_fetch(id);
        }
    }

    pub(crate) fn end_fetch(&mut self, id: u64) -> Option<FetchOp> {
        self.stop_watching(id);
        let op = self.fetches.ops.remove(&id)?;
        if let Some(timer) = op.timer {
            self.io.cancel_timer(timer);
        }
        Some(op)
    }

    fn answer_fetch(&mut self, id: u64) {
        let Some(op) = self.end_fetch(id) else { return };
        let mut responses: Vec<FetchableTopicResponse<'static>> = Vec::new();
        let (mut tell_endpoints, mut fetched) = (false, 0);
        for (part, found) in op.wanted.iter().zip(op.found) {
            let Some(found) = found else { continue };
            fetched += found.records.iter().map(Bytes::len).sum::<usize>() as u64;
            let news = News {
                error: found.error,
                high_watermark: found.high_watermark,
                log_start: found.log_start,
                has_records: !found.records.is_empty(),
                must_tell: found.diverging.is_some(),
            };
            if !self.fetch_sessions.tell(
                op.session_id,
                op.incremental,
                &part.topic,
                part.partition,
                news,
            ) {
                continue;
            }
            let data = self.partition_data(
                &op.pending,
                part,
                found,
                op.read_committed,
                &mut tell_endpoints,
            );
            let (name, topic_id) = match &part.topic {
                TopicKey::Id(id) => (String::new(), *id),
                TopicKey::Name(name) => (name.to_string(), TopicId::ZERO),
            };
            match responses.last_mut() {
                Some(last) if last.topic == name && last.topic_id == topic_id => {
                    last.partitions.push(data)
                }
                _ => responses.push(FetchableTopicResponse {
                    topic: name.into(),
                    topic_id,
                    partitions: vec![data],
                }),
            }
        }
        let node_endpoints = if tell_endpoints {
            self.settings.endpoints_as(|e, rack| NodeEndpoint {
                node_id: e.id,
                host: e.host.into(),
                port: e.port.into(),
                rack,
            })
        } else {
            Vec::new()
        };
        let response = FetchResponse {
            session_id: op.session_id,
            responses,
            node_endpoints,
            ..Default::default()
        };
        self.stats.fetched_bytes += fetched;
        self.finish(&op.pending, &response);
    }

    fn partition_data(
        &self,
        pending: &Pending,
        part: &Wanted,
        found: FetchedPart,
        read_committed: bool,
        tell_endpoints: &mut bool,
    ) -> PartitionData<'static> {
        // Clients of those versions do not know that an error of the disk may pass: one that makes them ask again is told.
        let storage = found.error == ErrorCode::KafkaStorageError.code();
        let error_code = if storage && pending.version <= 5 {
            ErrorCode::NotLeaderOrFollower.code()
        } else {
            found.error
        };
        let mut data = PartitionData {
            partition_index: part.partition,
            error_code,
            high_watermark: found.high_watermark,
            last_stable_offset: found.last_stable,
            log_start_offset: found.log_start,
            aborted_transactions: read_committed.then(Vec::new),
            records: Some(found.records.into()),
            ..Default::default()
        };
        if let Some((epoch, end_offset)) = found.diverging {
            data.diverging_epoch = EpochEndOffset { epoch, end_offset };
        }
        // Since version 16 the new leader is told to who was fenced, too (`KafkaApis.handleFetchRequest`).
        let fenced = found.error == ErrorCode::FencedLeaderEpoch.code();
        let elsewhere = found.error == ErrorCode::NotLeaderOrFollower.code();
        if pending.version >= if fenced { 16 } else { 12 }
            && (elsewhere || fenced)
            && let (_, Some(topic)) = self.home_of(&part.topic, part.partition)
        {
            let core = crate::shard::route::core_of(topic, part.partition, self.settings.cores);
            let leader_id = self.settings.client_id_of(core);
            data.current_leader = LeaderIdAndEpoch {
                leader_id,
                leader_epoch: found.leader_epoch,
            };
            *tell_endpoints |= pending.version >= 16;
        }
        data
    }
}
