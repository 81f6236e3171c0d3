//! What APIs share that say something of each partition that a request names, in its order: the
//! answer as elements.
use crate::{
    answer::{Elements, Portion, Progress, distinct::Names},
    shard::Shard,
};
use wire::Encode;

/// Topics of a request, each with a row for each of its partitions: which it is, or already what is
/// answered.
#[derive(Debug)]
pub(crate) struct Named<R = i32> {
    names: Names,
    rows: Vec<R>,
    /// Where the rows of each topic end.
    ends: Vec<u32>,
}

impl<R> Default for Named<R> {
    fn default() -> Self {
        Self { names: Names::default(), rows: Vec::new(), ends: Vec::new() }
    }
}

/// A topic of [`Named`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'n> {
    /// The number of the topic.
    pub(crate) at: usize,
    pub(crate) name: &'n str,
}

impl<R> Named<R> {
    /// With room for so many rows, and no more.
    pub(crate) fn with_rows(rows: usize) -> Self {
        Self { rows: Vec::with_capacity(rows), ..Self::default() }
    }

    /// With room for these topics, and no more.
    pub(crate) fn with_room<'a>(topics: impl Iterator<Item = (&'a str, usize)> + Clone) -> Self {
        let count = topics.clone().count();
        let bytes = topics.clone().map(|(name, _)| name.len()).sum();
        Self {
            names: Names::with_room(count, bytes),
            rows: Vec::with_capacity(topics.map(|(_, rows)| rows).sum()),
            ends: Vec::with_capacity(count),
        }
    }

    pub(crate) fn push(&mut self, name: &str, rows: impl IntoIterator<Item = R>) {
        self.rows.extend(rows);
        self.end(name);
    }

    pub(crate) fn push_row(&mut self, row: R) {
        self.rows.push(row);
    }

    /// The rows that were pushed since the last topic are of this one.
    pub(crate) fn end(&mut self, name: &str) {
        self.names.push(name);
        // They come in one frame, which is shorter than that.
        let end = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        self.ends.push(end);
    }

    pub(crate) fn rows(&self) -> &[R] {
        &self.rows
    }

    pub(crate) fn rows_mut(&mut self) -> &mut [R] {
        &mut self.rows
    }

    /// The topic of a row.
    pub(crate) fn topic_of(&self, row: usize) -> &str {
        let at = self.ends.partition_point(|&end| end as usize <= row);
        self.names.get(at).unwrap_or_default()
    }
}

pub(crate) fn named<'a>(topics: impl Iterator<Item = (&'a str, &'a [i32])> + Clone) -> Named {
    let mut all = Named::with_room(topics.clone().map(|(name, rows)| (name, rows.len())));
    topics.for_each(|(name, partitions)| all.push(name, partitions.iter().copied()));
    all
}

/// An API's answers.
pub(crate) trait Answers {
    /// What is known of a partition before it is answered.
    type Row;
    /// The same is said again, whatever has changed: the answer is written as it leaves, and never
    /// kept.
    const LASTS: bool;

    /// A topic, its partitions left out.
    fn topic<'t>(&self, topic: Place<'t>) -> impl Encode + 't;

    /// Writes what is said of a partition.
    fn partition(
        &mut self,
        shard: &mut Shard,
        topic: Place<'_>,
        row: &Self::Row,
        out: &mut Portion,
    ) -> Result<(), wire::Error>;
}

/// The answers to all partitions.
pub(crate) struct Partitions<A: Answers> {
    named: Named<A::Row>,
    answers: A,
    topic: usize,
    row: usize,
    /// What comes behind the partitions of the open topic.
    tail: Option<Vec<u8>>,
}

impl<A: Answers> Partitions<A> {
    pub(crate) fn new(named: Named<A::Row>, answers: A) -> Self {
        Self { named, answers, topic: 0, row: 0, tail: None }
    }
}

impl<A: Answers> Elements for Partitions<A> {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let (Some(name), Some(&end)) =
            (self.named.names.get(self.topic), self.named.ends.get(self.topic))
        {
            let end = end as usize;
            let topic = Place { at: self.topic, name };
            if out.is_full() {
                return Ok(Progress::More);
            }
            let tail = match self.tail.take() {
                Some(tail) => tail,
                None => out.begin(&self.answers.topic(topic), end - self.row)?,
            };
            while self.row < end {
                if out.is_full() {
                    self.tail = Some(tail);
                    return Ok(Progress::More);
                }
                self.answers.partition(shard, topic, &self.named.rows[self.row], out)?;
                self.row += 1;
            }
            out.end(&tail);
            self.topic += 1;
        }
        Ok(Progress::Done)
    }

    fn rewind(&mut self) -> bool {
        if A::LASTS {
            (self.topic, self.row, self.tail) = (0, 0, None);
        }
        A::LASTS
    }
}

/// Rows that are the answer: `topic` makes what stands around those of a topic, of its name.
macro_rules! told {
    ($told:ident: $topic:ident { $name:ident, $partitions:ident }, $row:ty) => {
        struct $told;

        impl crate::api::partitions::Answers for $told {
            type Row = $row;
            const LASTS: bool = true;

            fn topic<'t>(
                &self,
                topic: crate::api::partitions::Place<'t>,
            ) -> impl wire::Encode + 't {
                $topic { $name: topic.name.into(), $partitions: Vec::new() }
            }

            fn partition(
                &mut self,
                _: &mut crate::shard::Shard,
                _: crate::api::partitions::Place<'_>,
                row: &$row,
                out: &mut crate::answer::Portion,
            ) -> Result<(), wire::Error> {
                out.put_inner(row)
            }
        }
    };
}
pub(crate) use told;

/// A partition that a request names: its places there, and how often it is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) topic: u32,
    pub(crate) partition: u32,
    pub(crate) times: u32,
}

/// All that is named, by the number of partitions of each topic.
pub(crate) fn all_asked(partitions: impl Iterator<Item = usize> + Clone) -> Vec<Asked> {
    let mut all = Vec::with_capacity(partitions.clone().sum());
    for (topic, count) in (0..).zip(partitions) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        all.extend((0..count).map(|partition| Asked { topic, partition, times: 1 }));
    }
    all
}

/// Which of those that are named again and again is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    First,
    Last,
}

/// Each partition once, sorted by what it is. Needs no memory, and trusts no hashes.
pub(crate) fn keep_each_once<K: Ord>(all: &mut Vec<Asked>, keep: Keep, key: impl Fn(&Asked) -> K) {
    all.sort_unstable_by(|a, b| {
        key(a).cmp(&key(b)).then((a.topic, a.partition).cmp(&(b.topic, b.partition)))
    });
    all.dedup_by(|later, kept| {
        let same = key(later) == key(kept);
        if same {
            let times = kept.times + 1;
            if keep == Keep::Last {
                *kept = *later;
            }
            kept.times = times;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_once_by_its_first_or_last_naming() {
        let topics = [("b", vec![1, 0, 1]), ("a", vec![7]), ("b", vec![1, 2])];
        let key = |a: &Asked| {
            let (name, partitions) = &topics[a.topic as usize];
            (*name, partitions[a.partition as usize])
        };
        let kept = |keep| {
            let mut all = all_asked(topics.iter().map(|(_, partitions)| partitions.len()));
            keep_each_once(&mut all, keep, key);
            all.iter().map(|a| (key(a), a.topic, a.partition, a.times)).collect::<Vec<_>>()
        };
        let rest = [(("b", 0), 0, 1, 1), (("b", 1), 0, 0, 3), (("b", 2), 2, 1, 1)];
        assert_eq!(kept(Keep::First), [&[(("a", 7), 1, 0, 1)][..], &rest].concat());
        let rest = [(("b", 0), 0, 1, 1), (("b", 1), 2, 0, 3), (("b", 2), 2, 1, 1)];
        assert_eq!(kept(Keep::Last), [&[(("a", 7), 1, 0, 1)][..], &rest].concat());
    }

    #[test]
    fn rows_know_their_topic() {
        let mut named = Named::default();
        named.push("a", [1, 2]);
        named.push("none", []);
        named.push("b", [3]);
        assert_eq!([0, 1, 2].map(|row| named.topic_of(row)), ["a", "a", "b"]);
    }
}
