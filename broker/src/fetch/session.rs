//! Incremental fetch sessions (KIP-227), as Kafka's `FetchSession` and `FetchSessionCache`. Pure: a
//! table per core.
//!
//! A session remembers what a client fetches, so that a request names only what changed, and a
//! response only what has news. A table that is full first drops sessions that were idle for long,
//! then answers without a session: clients go on with full fetches.
use hashbrown::HashMap;
use netio::Instant;
use record::TopicId;
use std::collections::BTreeMap;

/// `FetchMetadata.INITIAL_EPOCH`: a full fetch that asks for a session.
pub const INITIAL_EPOCH: i32 = 0;
/// `FetchMetadata.FINAL_EPOCH`: a full fetch without a session.
pub const FINAL_EPOCH: i32 = -1;
/// A session idle for this long may be dropped for a new one
/// (`MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_MS: u64 = 120_000;

type Hasher = foldhash::fast::FixedState;

/// How a client names a partition: by topic id (version 13 and later) or by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicKey {
    Id(TopicId),
    Name(Box<str>),
}

/// One partition of a fetch, as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub topic: TopicKey,
    pub partition: i32,
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
    pub max_bytes: i32,
}

#[derive(Clone, Debug)]
struct Entry {
    wanted: Wanted,
    /// What the client was last told; -1 = nothing yet.
    high_watermark: i64,
    log_start: i64,
    error: i16,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next incremental request must carry.
    next_epoch: i32,
    by_id: bool,
    used: Instant,
    next_place: u64,
    /// In the order of service: a partition that got data goes to the end, so that none starves.
    order: BTreeMap<u64, Entry>,
    place: HashMap<(TopicKey, i32), u64, Hasher>,
}

impl Session {
    fn put(&mut self, wanted: Wanted) {
        let key = (wanted.topic.clone(), wanted.partition);
        if let Some(entry) = self.place.get(&key).and_then(|p| self.order.get_mut(p)) {
            entry.wanted = wanted;
            return;
        }
        self.place.insert(key, self.next_place);
        self.order
            .insert(self.next_place, Entry { wanted, high_watermark: -1, log_start: -1, error: 0 });
        self.next_place += 1;
    }

    fn remove(&mut self, key: &(TopicKey, i32)) {
        if let Some(place) = self.place.remove(key) {
            self.order.remove(&place);
        }
    }
}

/// Why a fetch request was refused; Kafka's error of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    SessionIdNotFound,
    InvalidSessionEpoch,
    /// A session of names was continued with topic ids, or the reverse.
    TopicIdError,
}

/// What a request is to fetch, and the session it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// 0 = none.
    pub session_id: i32,
    /// Only what has news is to be answered, if the session's next request is still to carry this
    /// epoch then.
    pub next_epoch: Option<i32>,
    pub wanted: Vec<Wanted>,
}

/// What a response says of a partition, for the decision whether it is news.
#[derive(Clone, Copy, Debug)]
pub struct News {
    pub error: i16,
    pub high_watermark: i64,
    pub log_start: i64,
    pub has_records: bool,
    /// A diverging epoch or a leader hint is in the answer.
    pub must_tell: bool,
}

/// The sessions of a core.
#[derive(Debug)]
pub struct FetchSessions {
    sessions: HashMap<i32, Session, Hasher>,
    sessions_max: usize,
    pub evictions: u64,
}

impl FetchSessions {
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions: HashMap::default(), sessions_max, evictions: 0 }
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Partitions remembered over all sessions.
    pub fn partitions(&self) -> usize {
        self.sessions.values().map(|s| s.order.len()).sum()
    }

    /// Takes a request's session fields and partitions. `random` is where a new session's id comes
    /// from.
    pub fn open(
        &mut self,
        (id, epoch): (i32, i32),
        by_id: bool,
        wanted: Vec<Wanted>,
        forgotten: Vec<(TopicKey, i32)>,
        now: Instant,
        random: u64,
    ) -> Result<Opened, Refused> {
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            if id != 0 {
                self.sessions.remove(&id);
            }
            let session_id =
                if epoch == FINAL_EPOCH { 0 } else { self.create(by_id, &wanted, now, random) };
            return Ok(Opened { session_id, next_epoch: None, wanted });
        }
        let session = self.sessions.get_mut(&id).ok_or(Refused::SessionIdNotFound)?;
        if session.next_epoch != epoch {
            return Err(Refused::InvalidSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(Refused::TopicIdError);
        }
        for w in &wanted {
            session.put(w.clone());
        }
        for key in &forgotten {
            session.remove(key);
        }
        // Nothing is left to remember (`FetchManager.newContext`).
        if session.order.is_empty() {
            self.sessions.remove(&id);
            return Ok(Opened { session_id: 0, next_epoch: None, wanted });
        }
        session.next_epoch = epoch.checked_add(1).unwrap_or(1);
        session.used = now;
        let wanted = session.order.values().map(|e| e.wanted.clone()).collect();
        Ok(Opened { session_id: id, next_epoch: Some(session.next_epoch), wanted })
    }

    fn create(&mut self, by_id: bool, wanted: &[Wanted], now: Instant, random: u64) -> i32 {
        if wanted.is_empty() || (self.sessions.len() >= self.sessions_max && !self.evict(now)) {
            return 0;
        }
        let mut id = (random as i32) & i32::MAX;
        while id == 0 || self.sessions.contains_key(&id) {
            id = id.wrapping_add(1) & i32::MAX;
        }
        let mut session = Session {
            next_epoch: 1,
            by_id,
            used: now,
            next_place: 0,
            order: BTreeMap::new(),
            place: HashMap::default(),
        };
        for w in wanted {
            session.put(w.clone());
        }
        self.sessions.insert(id, session);
        id
    }

    fn evict(&mut self, now: Instant) -> bool {
        let oldest = self.sessions.iter().map(|(&id, s)| (s.used, id)).min();
        match oldest {
            Some((used, id)) if now.since(used) >= EVICTION_MS * 1_000_000 => {
                self.sessions.remove(&id);
                self.evictions += 1;
                true
            }
            _ => false,
        }
    }

    /// The epoch that the next request of session `id` must carry, if there is such a session.
    pub fn next_epoch(&self, id: i32) -> Option<i32> {
        self.sessions.get(&id).map(|s| s.next_epoch)
    }

    /// Whether a partition's answer goes into the response of session `id`; remembers what was
    /// told. To be asked exactly once for each partition of a response.
    pub fn tell(
        &mut self,
        id: i32,
        incremental: bool,
        topic: &TopicKey,
        partition: i32,
        news: News,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return true;
        };
        let key = (topic.clone(), partition);
        let Some(&place) = session.place.get(&key) else {
            return true;
        };
        let Some(entry) = session.order.get_mut(&place) else {
            return true;
        };
        let changed = entry.high_watermark != news.high_watermark
            || entry.log_start != news.log_start
            || news.error != 0
            || entry.error != news.error
            || news.has_records
            || news.must_tell;
        entry.high_watermark = news.high_watermark;
        entry.log_start = news.log_start;
        entry.error = news.error;
        if news.has_records
            && let Some(entry) = session.order.remove(&place)
        {
            session.order.insert(session.next_place, entry);
            session.place.insert(key, session.next_place);
            session.next_place += 1;
        }
        changed || !incremental
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(topic: &str, partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            topic: TopicKey::Name(topic.into()),
            partition,
            current_leader_epoch: -1,
            fetch_offset,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            max_bytes: 1 << 20,
        }
    }

    fn news(high_watermark: i64, has_records: bool) -> News {
        News { error: 0, high_watermark, log_start: 0, has_records, must_tell: false }
    }

    #[test]
    fn incremental_session() {
        let mut sessions = FetchSessions::new(2);
        let now = Instant(0);
        let first = sessions
            .open((0, 0), false, vec![wanted("t", 0, 5), wanted("t", 1, 6)], vec![], now, 77)
            .unwrap();
        assert_eq!((first.session_id, first.next_epoch, first.wanted.len()), (77, None, 2));
        let t = TopicKey::Name("t".into());
        assert!(
            sessions.tell(77, false, &t, 0, news(5, false)),
            "a full response names everything"
        );
        assert!(sessions.tell(77, false, &t, 1, news(9, true)));

        let next = sessions.open((77, 1), false, vec![wanted("t", 1, 9)], vec![], now, 0).unwrap();
        assert_eq!((next.next_epoch, sessions.next_epoch(77)), (Some(2), Some(2)));
        let served: Vec<_> = next.wanted.iter().map(|w| (w.partition, w.fetch_offset)).collect();
        assert_eq!(served, [(0, 5), (1, 9)], "what was served goes behind what was not");
        assert!(!sessions.tell(77, true, &t, 0, news(5, false)), "no news");
        assert!(sessions.tell(77, true, &t, 1, news(10, false)), "the high watermark moved");

        assert_eq!(
            sessions.open((77, 1), false, vec![], vec![], now, 0),
            Err(Refused::InvalidSessionEpoch)
        );
        assert_eq!(
            sessions.open((77, 2), true, vec![], vec![], now, 0),
            Err(Refused::TopicIdError)
        );
        assert_eq!(
            sessions.open((78, 1), false, vec![], vec![], now, 0),
            Err(Refused::SessionIdNotFound)
        );

        let less = sessions.open((77, 2), false, vec![], vec![(t.clone(), 0)], now, 0).unwrap();
        assert_eq!(less.wanted.len(), 1);
        let last = sessions.open((77, -1), false, vec![wanted("t", 0, 0)], vec![], now, 0).unwrap();
        assert_eq!((last.session_id, last.next_epoch), (0, None));
        assert!(sessions.is_empty(), "the final epoch closes the session");
    }

    #[test]
    fn a_full_table_answers_without_a_session_until_one_is_idle() {
        let mut sessions = FetchSessions::new(1);
        let open = |s: &mut FetchSessions, now, random| {
            s.open((0, 0), false, vec![wanted("t", 0, 0)], vec![], now, random).unwrap().session_id
        };
        assert_eq!(open(&mut sessions, Instant(0), 1), 1);
        assert_eq!(open(&mut sessions, Instant(0), 2), 0);
        assert_eq!(open(&mut sessions, Instant(0).after_ms(EVICTION_MS), 3), 3);
        assert_eq!((sessions.len(), sessions.evictions), (1, 1));
    }
}
