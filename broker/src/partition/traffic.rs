//! What clients write to and read from topics, counted by each core for `/metrics`.
//!
//! The number of topics has no bound that a time-series database would like, so only so many have
//! counters of their own (`millrace.metrics.topics.max`); all others share one set. A topic keeps
//! what it has until it is deleted. If one that shares could get its own later, the shared counters
//! would have to go back, and a total that goes back looks like a restart to Prometheus: it would
//! count all of it again as new.
use bytes::Bytes;
use hashbrown::{HashMap, hash_map::Entry};
use record::TopicId;
use std::{cell::Cell, rc::Rc, sync::Arc};

/// Totals of a topic, or of all that share, since the start of the process.
#[derive(Debug, Default)]
pub struct TopicTraffic {
    produced_bytes: Cell<u64>,
    produced_records: Cell<u64>,
    fetched_bytes: Cell<u64>,
    fetched_records: Cell<u64>,
}

/// As [`TopicTraffic`], at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Batches as they were stored.
    pub produced_bytes: u64,
    pub produced_records: u64,
    /// Batches as they were sent: all of a batch, also where a fetch began within it.
    pub fetched_bytes: u64,
    pub fetched_records: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.produced_bytes += other.produced_bytes;
        self.produced_records += other.produced_records;
        self.fetched_bytes += other.fetched_bytes;
        self.fetched_records += other.fetched_records;
    }
}

fn add(to: &Cell<u64>, more: u64) {
    to.set(to.get() + more);
}

impl TopicTraffic {
    #[inline]
    pub fn produced(&self, bytes: usize, records: u64) {
        add(&self.produced_bytes, bytes as u64);
        add(&self.produced_records, records);
    }

    #[inline]
    pub fn fetched(&self, bytes: usize, records: u64) {
        add(&self.fetched_bytes, bytes as u64);
        add(&self.fetched_records, records);
    }

    fn totals(&self) -> Totals {
        Totals {
            produced_bytes: self.produced_bytes.get(),
            produced_records: self.produced_records.get(),
            fetched_bytes: self.fetched_bytes.get(),
            fetched_records: self.fetched_records.get(),
        }
    }
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    counts: Rc<TopicTraffic>,
    /// Its place in [`Traffic::own`].
    own: Option<usize>,
}

/// The topics of the cluster, as a core counts them. Every core opens and closes the same ones in
/// the same order, so the same ones have counters of their own everywhere.
#[derive(Debug)]
pub struct Traffic {
    topics: HashMap<TopicId, Topic, foldhash::fast::FixedState>,
    /// Those with counters of their own; a place that is free serves again.
    own: Vec<Option<(Arc<str>, Rc<TopicTraffic>)>>,
    free: Vec<usize>,
    own_max: usize,
    shared: Rc<TopicTraffic>,
}

impl Traffic {
    pub fn new(own_max: usize) -> Self {
        Self {
            topics: HashMap::default(),
            own: Vec::new(),
            free: Vec::new(),
            own_max,
            shared: Rc::default(),
        }
    }

    /// The counters of a topic, and its name; new ones if it was not there.
    pub fn open(&mut self, id: TopicId, name: &str) -> (Arc<str>, Rc<TopicTraffic>) {
        let topic = match self.topics.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let name: Arc<str> = name.into();
                let place = self.free.pop().or_else(|| {
                    let more = self.own.len() < self.own_max;
                    more.then(|| {
                        self.own.push(None);
                        self.own.len() - 1
                    })
                });
                let counts = match place {
                    Some(at) => {
                        let counts = Rc::default();
                        self.own[at] = Some((name.clone(), Rc::clone(&counts)));
                        counts
                    }
                    None => self.shared.clone(),
                };
                new.insert(Topic { name, counts, own: place })
            }
        };
        (topic.name.clone(), topic.counts.clone())
    }

    /// The topic was deleted.
    pub fn close(&mut self, id: TopicId) {
        if let Some(at) = self.topics.remove(&id).and_then(|topic| topic.own) {
            self.own[at] = None;
            self.free.push(at);
        }
    }

    pub fn of(&self, id: TopicId) -> &TopicTraffic {
        self.topics.get(&id).map_or(&self.shared, |t| &t.counts)
    }

    /// Topics with counters of their own, from a place on, each with its place.
    pub fn own_from(&self, from: usize) -> impl Iterator<Item = (usize, &Arc<str>, Totals)> {
        let rest = self.own.get(from..).unwrap_or_default();
        (from..).zip(rest).filter_map(|(at, topic)| {
            let (name, counts) = topic.as_ref()?;
            Some((at, name, counts.totals()))
        })
    }

    /// What the others have together, and how many they are.
    pub fn shared(&self) -> (Totals, usize) {
        let own = self.own.len() - self.free.len();
        (self.shared.totals(), self.topics.len() - own)
    }
}

/// Records of whole batches, by their headers.
pub fn records_in(slices: &[Bytes]) -> u64 {
    let mut records = 0;
    for slice in slices {
        let mut rest = &slice[..];
        while let Some((bytes, count)) = record::size_and_count(rest) {
            records += count;
            rest = rest.get(bytes..).unwrap_or_default();
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(traffic: &Traffic) -> Vec<(&str, u64)> {
        let own = traffic.own_from(0);
        own.map(|(_, name, totals)| (&**name, totals.produced_bytes)).collect()
    }

    #[test]
    fn above_the_bound_topics_share_and_no_total_goes_back() {
        let mut traffic = Traffic::new(2);
        let ids: Vec<TopicId> = (1..=4u128).map(|n| TopicId(n.to_be_bytes())).collect();
        let names = ["a", "b", "c", "d"];
        for (&id, name) in ids.iter().zip(names) {
            traffic.open(id, name);
            traffic.of(id).produced(10, 1);
        }
        assert_eq!(own(&traffic), [("a", 10), ("b", 10)]);
        assert_eq!(traffic.shared().0.produced_bytes, 20);
        assert_eq!(traffic.shared().1, 2);
        // A topic that has its own goes: those that share stay where they are.
        traffic.close(ids[0]);
        traffic.open(ids[2], "c");
        traffic.of(ids[2]).fetched(5, 1);
        assert_eq!(traffic.shared().0.fetched_bytes, 5);
        // One that shares goes: what it had stays.
        traffic.close(ids[3]);
        assert_eq!(traffic.shared().0.produced_bytes, 20);
        // A new one takes the place.
        let fifth = TopicId(9u128.to_be_bytes());
        traffic.open(fifth, "e");
        traffic.of(fifth).produced(1, 1);
        assert_eq!(own(&traffic), [("e", 1), ("b", 10)]);
        assert_eq!(traffic.own_from(1).count(), 1);
        assert_eq!(traffic.shared().1, 1);
    }
}
