//! A fetch of a connection: rounds of looking until there is enough, or its time is over.
use super::serve::Origin;
use crate::{
    core::{
        request::{Pending, ReplyTo},
        timer::{Timer, token},
    },
    fetch::session::{News, TopicKey, Wanted},
    partition::waiters::Watcher,
    shard::{
        Shard,
        message::{FetchedPart, Message},
    },
};
use netio::{CoreId, Instant};
use record::TopicId;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
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
    /// Of an incremental fetch: the epoch that the session's next request must carry.
    pub next_epoch: Option<i32>,
    pub read_committed: bool,
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub deadline: Instant,
    /// In the order of the answer.
    pub wanted: Arc<[Wanted]>,
    pub round: Round,
    /// It watches its partitions.
    pub waiting: bool,
    /// Since when it does; and for how long it did, in nanoseconds.
    pub waits_since: Instant,
    pub waited_ns: u64,
    /// The deadline's timer.
    pub timer: Option<u64>,
    /// Cores that were told to watch.
    pub watched_at: Vec<CoreId>,
}

/// What a fetch has found so far in this round of looking.
#[derive(Debug, Default)]
pub struct Round {
    /// Topics and partitions that nobody knew when the fetch began. The answer says so, and waits
    /// for the others.
    unknown: Vec<Option<ErrorCode>>,
    found: Vec<Option<FetchedPart>>,
    /// Cores that have not answered.
    missing: usize,
    /// Cores that were asked at once.
    cores: usize,
    /// Cores that are asked again, one after the other; `None` while that is not known.
    again: Option<VecDeque<Again>>,
}

/// Places of one core whose batches did not fit into its share.
#[derive(Debug)]
struct Again {
    core: CoreId,
    places: Vec<u32>,
    /// They begin with the first place of the fetch that has anything: one batch of it may be
    /// larger than every limit (KIP-74).
    first: bool,
}

impl Round {
    fn begin(&mut self, wanted: usize) {
        self.found.clear();
        self.found.resize_with(wanted, || None);
        (self.missing, self.cores, self.again) = (0, 0, None);
    }

    fn bytes(&self) -> usize {
        self.found.iter().flatten().map(FetchedPart::bytes).sum()
    }

    /// As [`Self::bytes`], but a partition that has more than it may give counts as if it gave all
    /// that it may: whole batches are often less, and waiting makes them no more
    /// (`DelayedFetch.tryComplete`).
    fn available(&self, wanted: &[Wanted]) -> usize {
        let of = |(part, found): (&Wanted, &Option<FetchedPart>)| {
            let found = found.as_ref()?;
            let given = found.bytes();
            let has_more = found.has_anything(part)
                && found.end().is_none_or(|end| end.0 < found.high_watermark);
            let may_give = usize::try_from(part.max_bytes).unwrap_or(0);
            Some(if has_more { given.max(may_give) } else { given })
        };
        wanted.iter().zip(&self.found).filter_map(of).fold(0, usize::saturating_add)
    }

    /// Keeps what the request allows, in its order: `max_bytes`, or the one batch that may be
    /// larger.
    fn trim(&mut self, max_bytes: usize) {
        let (mut left, mut first) = (max_bytes, true);
        for part in self.found.iter_mut().flatten() {
            if part.bytes() > left && !first {
                let fits = part.records.iter().take_while(|slice| {
                    let fits = slice.len() <= left;
                    left = left.saturating_sub(if fits { slice.len() } else { left });
                    fits
                });
                let fits = fits.count();
                part.records.truncate(fits);
            } else {
                left = left.saturating_sub(part.bytes());
            }
            first &= part.records.is_empty();
        }
    }

    /// Places that have something of which nothing came, in the order of the fetch and by core: the
    /// first of all that have anything, and those that only their core's share kept back.
    fn kept_back(&self, wanted: &[Wanted], core_of: impl Fn(&Wanted) -> CoreId) -> VecDeque<Again> {
        let mut again: VecDeque<Again> = VecDeque::new();
        let mut first = true;
        for ((part, found), place) in wanted.iter().zip(&self.found).zip(0..) {
            let Some(found) = found.as_ref().filter(|f| f.has_anything(part)) else {
                continue;
            };
            let first = std::mem::take(&mut first);
            if !found.records.is_empty() || !(first || found.cut) {
                continue;
            }
            let core = core_of(part);
            match again.iter_mut().find(|a| a.core == core) {
                Some(known) => known.places.push(place),
                None => again.push_back(Again { core, places: vec![place], first }),
            }
        }
        again
    }
}

impl TopicKey {
    /// Whether an answer's topic is the one that is named so.
    fn is_of(&self, topic: &FetchableTopicResponse<'_>) -> bool {
        match self {
            Self::Id(id) => topic.topic_id == *id,
            Self::Name(name) => topic.topic == **name,
        }
    }
}

impl Shard {
    /// Begins a fetch: the first look. It may be answered before this returns.
    pub(crate) fn begin_fetch(&mut self, mut op: FetchOp) {
        let id = self.fetches.next;
        self.fetches.next += 1;
        // Nothing of its connection is carried out beside it.
        if let ReplyTo::Session { conn, .. } = op.pending.reply
            && let Some(session) = self.sessions.get_mut(conn)
        {
            session.fetch = Some(id);
        }
        op.round.unknown = self.unknown(&op.wanted);
        self.fetches.ops.insert(id, op);
        self.look_again(id);
    }

    /// What an answer may add to those that clients have not taken. A fetch gets one batch all the
    /// same (KIP-74), so slow readers hold this much together and a batch each; they are closed
    /// when they take nothing for long.
    fn answer_room(&self) -> usize {
        let max = self.settings.limits.answer_bytes_max;
        max.saturating_sub(self.io.output_bytes_of_all())
    }

    /// A round: every core that has partitions of the fetch looks at them.
    fn look_again(&mut self, id: u64) {
        let room = self.answer_room();
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        op.round.begin(op.wanted.len());
        op.waiting = false;
        let wanted = op.wanted.clone();
        let max_bytes = op.max_bytes.min(room);
        let unknown = std::mem::take(&mut op.round.unknown);
        // Nearly always all are here.
        let mut here = Vec::with_capacity(wanted.len());
        let mut elsewhere: BTreeMap<CoreId, Vec<u32>> = BTreeMap::new();
        for ((part, place), unknown) in wanted.iter().zip(0..).zip(&unknown) {
            if unknown.is_some() {
                continue;
            }
            match self.core_of(part) {
                core if core == self.me => here.push(place),
                core => elsewhere.entry(core).or_default().push(place),
            }
        }
        let cores = elsewhere.len() + usize::from(!here.is_empty());
        let share = max_bytes / cores.max(1);
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        op.round.unknown = unknown;
        (op.round.missing, op.round.cores) = (cores, cores);
        // Nobody waits for more than the cores may give, of which each has a share.
        op.min_bytes = op.min_bytes.min(share);
        if cores == 0 {
            self.answer_fetch(id);
            return;
        }
        // Of several cores each would add a batch beyond the limits: which one may is seen when
        // all have looked.
        for (core, places) in elsewhere {
            self.ask(id, core, &wanted, places, share, cores == 1);
        }
        if !here.is_empty() {
            self.ask(id, self.me, &wanted, here, share, cores == 1);
        }
    }

    fn ask(
        &mut self,
        id: u64,
        core: CoreId,
        wanted: &Arc<[Wanted]>,
        places: Vec<u32>,
        max_bytes: usize,
        at_least_one: bool,
    ) {
        let from = self.me;
        if core == from {
            let origin = Origin::Local { op: id };
            self.serve_fetch(origin, wanted, &places, max_bytes, at_least_one);
            return;
        }
        let wanted = wanted.clone();
        self.tell(core, Message::FetchPart { from, id, wanted, places, max_bytes, at_least_one });
    }

    /// What a core found.
    pub(crate) fn on_fetched(&mut self, id: u64, parts: Vec<FetchedPart>) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        for part in parts {
            let at = part.index as usize;
            op.round.found[at] = Some(part);
        }
        op.round.missing -= 1;
        if op.round.missing == 0 && !self.ask_again(id) {
            self.judge(id);
        }
    }

    /// Asks the next core for what did not fit into its share, with what the others left. False
    /// when there is none.
    ///
    /// In the order of the fetch, or a large batch would starve behind partitions of other cores
    /// that always have some:
    /// 1. of two cores each may give half; the batch of the first partition is larger, the second
    ///    partition has small ones,
    /// 2. every answer brings the small ones, and the first partition stays where it is.
    fn ask_again(&mut self, id: u64) -> bool {
        let room = self.answer_room();
        let Some(op) = self.fetches.ops.get(&id) else {
            return false;
        };
        if op.round.cores < 2 {
            return false;
        }
        let planned = match op.round.again {
            Some(_) => None,
            None => Some(op.round.kept_back(&op.wanted, |w| self.core_of(w))),
        };
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return false;
        };
        let again = op.round.again.get_or_insert_with(|| planned.unwrap_or_default());
        let Some(next) = again.pop_front() else {
            return false;
        };
        let left = if next.first {
            op.max_bytes.min(room)
        } else {
            op.max_bytes.min(room).saturating_sub(op.round.bytes())
        };
        if left == 0 && !next.first {
            return false;
        }
        op.round.missing = 1;
        let wanted = op.wanted.clone();
        self.ask(id, next.core, &wanted, next.places, left, next.first);
        true
    }

    /// A round is complete: answer, or wait for news.
    fn judge(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        let mut tell_now = op.deadline <= self.now;
        for part in op.round.found.iter().flatten() {
            tell_now |= part.error != 0 || part.diverging.is_some();
        }
        let enough = |op: &FetchOp| {
            let bytes = op.round.bytes();
            bytes >= op.min_bytes || (bytes > 0 && op.round.available(&op.wanted) >= op.min_bytes)
        };
        if tell_now || enough(op) {
            self.answer_fetch(id);
            return;
        }
        op.waiting = true;
        op.waits_since = self.now;
        if op.timer.is_none() {
            op.timer = Some(self.io.timer(op.deadline, token(Timer::Fetch, id)));
        }
        let wanted = op.wanted.clone();
        // News is what lies above what was seen, not above what was asked: some bytes may be there
        // already, too few. They are not kept: what is answered in the end is what is there then.
        let seen = std::mem::take(&mut op.round.found)
            .into_iter()
            .map(|found| found.map(|f| f.high_watermark))
            .collect::<Vec<Option<i64>>>();
        self.watch(id, &wanted, &seen);
    }

    /// `seen`: the high watermarks of this round, of what is waited for.
    fn watch(&mut self, id: u64, wanted: &[Wanted], seen: &[Option<i64>]) {
        let mut remote: BTreeMap<CoreId, Vec<(LogId, i64)>> = BTreeMap::new();
        let mut news = false;
        for (part, seen) in wanted.iter().zip(seen) {
            let Some(seen) = *seen else { continue };
            let (partition, past) = (part.partition, part.fetch_offset.max(seen));
            let (core, topic) = self.home_of(&part.topic, partition);
            // Deleted since it was looked at: the next look finds that.
            let Some(topic): Option<TopicId> = topic else {
                news = true;
                continue;
            };
            if core == self.me {
                let slot = self.partitions.slot(topic, partition);
                // It may have gone on while other cores, or the disk, were waited for.
                news |= slot.is_none_or(|s| self.store.offsets(s).high_watermark.0 > past);
                if let Some(leader) = slot.and_then(|s| self.partitions.at_mut(s)) {
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
        if news {
            self.on_woken(id);
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
        op.waited_ns += self.now.since(op.waits_since);
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

    /// A partition of the fetch advanced. It looks again when the turn settles, once for all that
    /// happened.
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

    /// The fetch's time is over: it looks a last time, and answers what is there
    /// (`DelayedFetch.onComplete`).
    ///
    /// What it saw when it began to wait may not be true any more:
    /// 1. a fetch sees 10 records, too few, and waits,
    /// 2. DeleteRecords up to 10 is answered,
    /// 3. the fetch answers these records, and the log start of before.
    pub(crate) fn on_fetch_deadline(&mut self, id: u64) {
        if let Some(op) = self.fetches.ops.get_mut(&id) {
            op.timer = None;
        }
        self.hurry_fetch(id);
    }

    /// The fetch waits for news no longer.
    pub(crate) fn hurry_fetch(&mut self, id: u64) {
        let Some(op) = self.fetches.ops.get_mut(&id) else {
            return;
        };
        // A round under way sees it when it ends.
        op.deadline = op.deadline.min(self.now);
        if op.waiting {
            self.stop_watching(id);
            self.look_again(id);
        }
    }

    /// No fetch waits for news any longer: the server stops. What needs another core or the disk
    /// for its last look may end without an answer, with its connection.
    pub(crate) fn answer_all_fetches(&mut self) {
        let mut ids: Vec<u64> = self.fetches.ops.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.hurry_fetch(id);
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
        let Some(mut op) = self.end_fetch(id) else {
            return;
        };
        self.forgive(op.pending.reply, op.waited_ns);
        // Somebody went on with the session meanwhile: what it was told is not known here
        // (`IncrementalFetchContext.updateAndGenerateResponseData`).
        if let Some(epoch) = op.next_epoch
            && self.fetch_sessions.next_epoch(op.session_id).is_some_and(|next| next != epoch)
        {
            let error = ErrorCode::InvalidFetchSessionEpoch;
            let response = FetchResponse {
                error_code: error.code(),
                session_id: op.session_id,
                ..Default::default()
            };
            self.finish(&op.pending, &response);
            return;
        }
        op.round.trim(op.max_bytes);
        let mut responses: Vec<FetchableTopicResponse<'static>> = Vec::new();
        let fetched = self.count_fetched(&op.wanted, &op.round.found);
        let mut tell_endpoints = false;
        let unknown = op.round.unknown.iter().map(|u| u.map(FetchedPart::failed));
        let found = op.round.found.into_iter().zip(unknown);
        for (at, (part, (found, unknown))) in op.wanted.iter().zip(found).enumerate() {
            let Some(found) = found.or(unknown) else {
                continue;
            };
            let news = News {
                error: found.error,
                high_watermark: found.high_watermark,
                log_start: found.log_start,
                has_records: !found.records.is_empty(),
                must_tell: found.diverging.is_some(),
            };
            if !self.fetch_sessions.tell(
                op.session_id,
                op.next_epoch.is_some(),
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
            if !responses.last().is_some_and(|last| part.topic.is_of(last)) {
                let (name, topic_id) = match &part.topic {
                    TopicKey::Id(id) => (String::new(), *id),
                    TopicKey::Name(name) => (name.to_string(), TopicId::ZERO),
                };
                // Those of the topic are counted: a list of them that doubles is most of the
                // memory.
                let room = op.wanted[at..].iter().take_while(|w| w.topic == part.topic).count();
                responses.push(FetchableTopicResponse {
                    topic: name.into(),
                    topic_id,
                    partitions: Vec::with_capacity(room),
                });
            }
            if let Some(topic) = responses.last_mut() {
                topic.partitions.push(data);
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
        // Clients of those versions do not know that an error of the disk may pass: one that makes
        // them ask again is told.
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
        // Since version 16 the new leader is told to who was fenced, too
        // (`KafkaApis.handleFetchRequest`).
        let fenced = found.error == ErrorCode::FencedLeaderEpoch.code();
        let elsewhere = found.error == ErrorCode::NotLeaderOrFollower.code();
        if pending.version >= if fenced { 16 } else { 12 }
            && (elsewhere || fenced)
            && let (_, Some(topic)) = self.home_of(&part.topic, part.partition)
        {
            let core = crate::core::placement::core_of(topic, part.partition, self.settings.cores);
            let leader_id = self.settings.client_id_of(core);
            data.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch: found.leader_epoch };
            *tell_endpoints |= pending.version >= 16;
        }
        data
    }
}
