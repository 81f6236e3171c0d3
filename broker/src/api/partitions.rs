//! What APIs share that say something of each partition that a request names, in its order: the answer as elements.
use crate::{
    answer::{Elements, Portion, Progress, distinct::Names},
    shard::Shard,
};
use wire::Encode;

/// Topics of a request, each with its partitions.
#[derive(Default)]
pub(crate) struct Named {
    names: Names,
    partitions: Vec<i32>,
    /// Where the partitions of each topic end.
    ends: Vec<u32>,
}

impl Named {
    pub(crate) fn push(&mut self, name: &str, partitions: &[i32]) {
        self.names.push(name);
        self.partitions.extend_from_slice(partitions);
        // They come in one frame, which is shorter than that.
        let end = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        self.ends.push(end);
    }
}

pub(crate) fn named<'a>(topics: impl Iterator<Item = (&'a str, &'a [i32])>) -> Named {
    let mut all = Named::default();
    topics.for_each(|(name, partitions)| all.push(name, partitions));
    all
}

/// An API's answers.
pub(crate) trait Answers {
    /// A topic, its partitions left out.
    fn topic<'t>(&self, name: &'t str) -> impl Encode + 't;

    /// Writes what is said of a partition.
    fn partition(
        &mut self,
        shard: &mut Shard,
        topic: &str,
        partition: i32,
        out: &mut Portion,
    ) -> Result<(), wire::Error>;
}

/// The answers to all partitions.
pub(crate) struct Partitions<A> {
    named: Named,
    answers: A,
    topic: usize,
    partition: usize,
    /// What comes behind the partitions of the open topic.
    tail: Option<Vec<u8>>,
}

impl<A: Answers> Partitions<A> {
    pub(crate) fn new(named: Named, answers: A) -> Self {
        Self { named, answers, topic: 0, partition: 0, tail: None }
    }
}

impl<A: Answers> Elements for Partitions<A> {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let (Some(name), Some(&end)) =
            (self.named.names.get(self.topic), self.named.ends.get(self.topic))
        {
            let end = end as usize;
            if out.is_full() {
                return Ok(Progress::More);
            }
            let tail = match self.tail.take() {
                Some(tail) => tail,
                None => out.begin(&self.answers.topic(name), end - self.partition)?,
            };
            while self.partition < end {
                if out.is_full() {
                    self.tail = Some(tail);
                    return Ok(Progress::More);
                }
                let index = self.named.partitions[self.partition];
                self.answers.partition(shard, name, index, out)?;
                self.partition += 1;
            }
            out.end(&tail);
            self.topic += 1;
        }
        Ok(Progress::Done)
    }
}
