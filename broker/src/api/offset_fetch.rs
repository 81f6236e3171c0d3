//! OffsetFetch (key 9): committed positions, of one group or (from version 8 on) of several.
use super::{
    groups::{Committed, around, other_core, scatter_groups},
    split::must_split,
};
use crate::{
    answer::{
        Elements, Portion, Progress,
        distinct::{Names, firsts, keep_firsts},
    },
    core::request::{Request, Stage},
    group::request::{fetch_has_group_error, fetch_is_batched, no_offset},
    shard::{Shard, forward::Split},
};
use record::TopicId;
use std::{
    cell::Cell,
    collections::BTreeSet,
    hash::{Hash, Hasher},
    rc::Rc,
};
use wire::{
    Decode, Encode, ErrorCode, Reader, Writer,
    offset_fetch::{
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
        OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
        OffsetFetchResponseTopics,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let version = request.version();
    let mut body = OffsetFetchRequest::decode(reader, version)?;
    // What is asked twice is answered once: what was committed may be a thousand times as long as
    // the question.
    keep_firsts(
        shard.secret,
        &mut body.groups,
        |group, hasher| (&group.group_id, group.topics.is_none(), Topics(group)).hash(hasher),
        |a, b| {
            let is_same = a.group_id == b.group_id && a.topics.is_none() == b.topics.is_none();
            is_same && Topics(a) == Topics(b)
        },
    );
    if version < 8 {
        if let Some(core) = other_core(shard, request, &body.group_id) {
            return Ok(shard.forward(request, core));
        }
    } else if must_split(shard, request) {
        let bare = OffsetFetchRequest { require_stable: body.require_stable, ..Default::default() };
        let put = |w: &mut Writer, group: &OffsetFetchRequestGroup<'_>| group.encode(w, version);
        let around = around(request, &bare);
        return scatter_groups::<_, OffsetFetchRequest<'_>>(
            shard,
            request,
            &body.groups,
            |g| &g.group_id,
            around,
            put,
        );
    }
    let asked = Asked::of(body, version);
    let error = Rc::new(Cell::new(ErrorCode::None));
    let offsets = Offsets {
        asked,
        version,
        error: error.clone(),
        at: 0,
        group: None,
        topic: None,
        interrupted: 0,
        committed: Committed::default(),
    };
    let around =
        move || OffsetFetchResponse { error_code: error.get().code(), ..Default::default() };
    shard.answer_in_portions(request.pending, around, offsets)
}

/// What of a group is asked for.
struct Topics<'g, 'a>(&'g OffsetFetchRequestGroup<'a>);

impl Topics<'_, '_> {
    fn each(&self) -> impl Iterator<Item = (&str, [u8; 16], &[i32])> {
        let topics = self.0.topics.iter().flatten();
        topics.map(|t| (&*t.name, t.topic_id.0, &*t.partition_indexes))
    }
}

impl Hash for Topics<'_, '_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.each().for_each(|topic| topic.hash(hasher));
    }
}

impl PartialEq for Topics<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        self.each().eq(other.each())
    }
}

/// What is asked for, as long as the answer is on its way: the bytes of it, and 8 more for each
/// group and topic.
struct Asked {
    groups: Names,
    /// Where the topics of each group end.
    group_ends: Vec<u32>,
    /// Groups of which all topics are asked for, by number.
    all: BTreeSet<usize>,
    topics: Names,
    /// In versions that have them.
    ids: Vec<TopicId>,
    /// Where the partitions of each topic end.
    topic_ends: Vec<u32>,
    partitions: Vec<i32>,
}

/// A topic that is asked for.
#[derive(Clone, Copy)]
struct AskedTopic<'r> {
    name: &'r str,
    id: TopicId,
    partitions: &'r [i32],
}

impl Asked {
    fn of(body: OffsetFetchRequest<'_>, version: i16) -> Self {
        let mut asked = Self {
            groups: Names::default(),
            group_ends: Vec::new(),
            all: BTreeSet::new(),
            topics: Names::default(),
            ids: Vec::new(),
            topic_ends: Vec::new(),
            partitions: Vec::new(),
        };
        if fetch_is_batched(version) {
            // Once for all groups: each of them by itself would move what is there.
            let topics = body.groups.iter().flat_map(|group| group.topics.iter().flatten());
            asked.reserve(topics.map(|t| (&*t.name, t.partition_indexes.len())));
            for group in body.groups {
                let topics = group.topics.as_deref();
                asked.push_topics(topics.unwrap_or_default(), |t| {
                    (&t.name, t.topic_id, &t.partition_indexes)
                });
                asked.end_group(&group.group_id, topics.is_none());
            }
        } else {
            let topics = body.topics.as_deref();
            let named = topics.unwrap_or_default().iter();
            asked.reserve(named.map(|t| (&*t.name, t.partition_indexes.len())));
            asked.push_topics(topics.unwrap_or_default(), |t| {
                (&t.name, TopicId::ZERO, &t.partition_indexes)
            });
            asked.end_group(&body.group_id, topics.is_none());
        }
        if version < 10 {
            asked.ids = Vec::new();
        }
        asked
    }

    /// Makes room for topics with so many partitions, and no more.
    fn reserve<'r>(&mut self, topics: impl Iterator<Item = (&'r str, usize)> + Clone) {
        let bytes = topics.clone().map(|(name, _)| name.len()).sum();
        let count = topics.clone().count();
        self.topics.reserve(count, bytes);
        self.topic_ends.reserve_exact(count);
        self.partitions.reserve_exact(topics.map(|(_, partitions)| partitions).sum());
    }

    /// Topics, each partition once.
    fn push_topics<T>(&mut self, topics: &[T], of: impl Fn(&T) -> (&str, TopicId, &[i32])) {
        for topic in topics {
            let (name, id, partitions) = of(topic);
            self.topics.push(name);
            if !id.is_zero() || !self.ids.is_empty() {
                // Ids come for all topics or for none.
                self.ids.resize(self.topics.len() - 1, TopicId::ZERO);
                self.ids.push(id);
            }
            let firsts = firsts(partitions, Ord::cmp);
            self.partitions.extend(firsts.into_iter().map(|at| partitions[at as usize]));
            self.topic_ends.push(u32::try_from(self.partitions.len()).unwrap_or(u32::MAX));
        }
    }

    fn end_group(&mut self, id: &str, all: bool) {
        if all {
            self.all.insert(self.groups.len());
        }
        self.groups.push(id);
        self.group_ends.push(u32::try_from(self.topics.len()).unwrap_or(u32::MAX));
    }

    fn group(&self, at: usize) -> &str {
        self.groups.get(at).unwrap_or_default()
    }

    fn begin(ends: &[u32], at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| ends[before] as usize)
    }

    /// How many topics of a group are asked for; `None` for all.
    fn topics(&self, group: usize) -> Option<usize> {
        let asked = self.group_ends[group] as usize - Self::begin(&self.group_ends, group);
        (!self.all.contains(&group)).then_some(asked)
    }

    /// The `n`-th topic of a group of which some are asked for.
    fn topic(&self, group: usize, n: usize) -> Option<AskedTopic<'_>> {
        self.topics(group)?;
        let at = Self::begin(&self.group_ends, group) + n;
        let partitions = Self::begin(&self.topic_ends, at)..*self.topic_ends.get(at)? as usize;
        Some(AskedTopic {
            name: self.topics.get(at)?,
            id: self.ids.get(at).copied().unwrap_or_default(),
            partitions: &self.partitions[partitions],
        })
    }
}

/// A group that changes again and again is answered in one go.
const INTERRUPTED_MAX: u32 = 3;

/// What groups have committed: one group, topic and partition after the other.
struct Offsets {
    asked: Asked,
    version: i16,
    /// Of the only group, in versions that have one.
    error: Rc<Cell<ErrorCode>>,
    at: usize,
    group: Option<OpenGroup>,
    topic: Option<OpenTopic>,
    interrupted: u32,
    committed: Committed,
}

/// A group that is being written.
struct OpenGroup {
    topics: usize,
    written: usize,
    /// The last topic that was written: its place, or its name where all are asked for.
    behind: Option<String>,
    tail: Vec<u8>,
    error: ErrorCode,
}

/// A topic of it.
struct OpenTopic {
    name: String,
    /// As it is known; none if it was asked for by an id that nobody knows.
    id: Option<TopicId>,
    partitions: usize,
    written: usize,
    behind: Option<i32>,
    tail: Vec<u8>,
}

impl Offsets {
    fn is_batched(&self) -> bool {
        self.version >= 8
    }

    fn again(&mut self) -> Progress {
        (self.at, self.group, self.topic) = (0, None, None);
        self.error.set(ErrorCode::None);
        self.interrupted += 1;
        self.committed = Committed::default();
        Progress::Again
    }

    fn is_full(&self, out: &Portion) -> bool {
        out.is_full() && self.interrupted < INTERRUPTED_MAX
    }

    /// The id of a topic in an answer to "all there is": from version 10 on it must have one.
    fn listed_id(&self, shard: &Shard, topic: &str) -> Option<TopicId> {
        if self.version < 10 {
            return Some(TopicId::ZERO);
        }
        shard.image.topic(topic).map(|t| t.id)
    }

    fn begin_group(&mut self, shard: &Shard, out: &mut Portion) -> Result<(), wire::Error> {
        let group_id = self.asked.group(self.at);
        let read = self.committed.read_group(shard, group_id);
        let (topics, error) = match (read, self.asked.topics(self.at)) {
            (Ok(_), Some(topics)) => (topics, ErrorCode::None),
            (Ok(coordinator), None) => {
                let names = coordinator.committed_topics(group_id, None);
                let known = names.filter(|(name, _)| self.listed_id(shard, name).is_some());
                (known.count(), ErrorCode::None)
            }
            (Err(error), Some(topics)) if !fetch_has_group_error(self.version) => (topics, error),
            (Err(error), _) => (0, error),
        };
        let tail = if self.is_batched() {
            let head = OffsetFetchResponseGroup {
                group_id: group_id.into(),
                topics: Vec::new(),
                error_code: error.code(),
            };
            out.begin(&head, topics)?
        } else {
            if fetch_has_group_error(self.version) {
                self.error.set(error);
            }
            Vec::new()
        };
        self.group = Some(OpenGroup { topics, written: 0, behind: None, tail, error });
        Ok(())
    }

    /// The next topic of the open group; `None` when there is none although there should be.
    fn begin_topic(&mut self, shard: &Shard, out: &mut Portion) -> Result<Option<()>, wire::Error> {
        let group_id = self.asked.group(self.at);
        let Some(group) = &self.group else {
            return Ok(None);
        };
        let asked = self.asked.topic(self.at, group.written);
        let (name, id, partitions) = if let Some(topic) = asked {
            let partitions = topic.partitions.len();
            if self.version < 10 {
                (topic.name.to_owned(), Some(TopicId::ZERO), partitions)
            } else {
                let known = shard.image.topic_by_id(topic.id);
                let name = known.map(|t| t.name.to_string());
                (name.unwrap_or_default(), known.map(|t| t.id), partitions)
            }
        } else {
            let Ok(coordinator) = self.committed.read_group(shard, group_id) else {
                return Ok(None);
            };
            let mut names = coordinator.committed_topics(group_id, group.behind.as_deref());
            let next = names.find_map(|(name, partitions)| {
                let id = self.listed_id(shard, name)?;
                Some((name.to_owned(), Some(id), partitions))
            });
            let Some(next) = next else {
                return Ok(None);
            };
            next
        };
        let topic_id = asked.map_or_else(|| id.unwrap_or_default(), |topic| topic.id);
        let tail = if self.is_batched() {
            let head = OffsetFetchResponseTopics {
                name: (&*name).into(),
                topic_id,
                partitions: Vec::new(),
            };
            out.begin_inner(&head, partitions)?
        } else {
            let head = OffsetFetchResponseTopic { name: (&*name).into(), partitions: Vec::new() };
            out.begin(&head, partitions)?
        };
        self.topic = Some(OpenTopic { name, id, partitions, written: 0, behind: None, tail });
        Ok(Some(()))
    }

    /// Writes partitions of the open topic; `None` when it is not as it was.
    fn write_partitions(
        &mut self,
        shard: &Shard,
        out: &mut Portion,
    ) -> Result<Option<()>, wire::Error> {
        let group_id = self.asked.group(self.at);
        let (Some(group), Some(topic)) = (&mut self.group, &mut self.topic) else {
            return Ok(None);
        };
        let full = |out: &Portion| out.is_full() && self.interrupted < INTERRUPTED_MAX;
        let error = match topic.id {
            _ if group.error != ErrorCode::None => group.error,
            None => ErrorCode::UnknownTopicId,
            Some(_) => ErrorCode::None,
        };
        if let Some(asked) = self.asked.topic(self.at, group.written) {
            for &index in &asked.partitions[topic.written..] {
                if full(out) {
                    return Ok(Some(()));
                }
                let answer = if error == ErrorCode::None {
                    let Ok(coordinator) = self.committed.read_group(shard, group_id) else {
                        return Ok(None);
                    };
                    let named = (&*topic.name, topic.id.unwrap_or_default());
                    coordinator.committed(group_id, named, index)
                } else {
                    no_offset(index, error)
                };
                put_partition(out, self.version, answer)?;
                topic.written += 1;
            }
        } else {
            let Ok(coordinator) = self.committed.read_group(shard, group_id) else {
                return Ok(None);
            };
            let all = coordinator.committed_partitions(group_id, &topic.name, topic.behind);
            for answer in all {
                if full(out) {
                    return Ok(Some(()));
                }
                if topic.written == topic.partitions {
                    return Ok(None);
                }
                topic.behind = Some(answer.partition_index);
                put_partition(out, self.version, answer)?;
                topic.written += 1;
            }
            if topic.written < topic.partitions {
                return Ok(None);
            }
        }
        out.end(&topic.tail);
        group.written += 1;
        group.behind = Some(std::mem::take(&mut topic.name));
        self.topic = None;
        Ok(Some(()))
    }

    /// One step; `None` when what was written is not true any more.
    fn step(&mut self, shard: &Shard, out: &mut Portion) -> Result<Option<()>, wire::Error> {
        let Some(group) = &self.group else {
            self.begin_group(shard, out)?;
            return Ok(Some(()));
        };
        if self.topic.is_some() {
            return self.write_partitions(shard, out);
        }
        if group.written < group.topics {
            return self.begin_topic(shard, out);
        }
        out.end(&group.tail);
        self.group = None;
        self.at += 1;
        Ok(Some(()))
    }
}

impl Elements for Offsets {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while self.at < self.asked.groups.len() {
            if self.is_full(out) {
                return Ok(Progress::More);
            }
            if self.step(shard, out)?.is_none() {
                return Ok(self.again());
            }
        }
        Ok(match self.committed.end(shard, out.id) {
            Progress::Again => self.again(),
            progress => progress,
        })
    }
}

fn put_partition(
    out: &mut Portion,
    version: i16,
    answer: OffsetFetchResponsePartitions<'_>,
) -> Result<(), wire::Error> {
    if version >= 8 {
        return out.put_inner(&answer);
    }
    out.put_inner(&OffsetFetchResponsePartition {
        partition_index: answer.partition_index,
        committed_offset: answer.committed_offset,
        committed_leader_epoch: answer.committed_leader_epoch,
        metadata: answer.metadata,
        error_code: answer.error_code,
    })
}

impl Split for OffsetFetchRequest<'_> {
    const IS_LIST: bool = true;

    fn merge<'r: 'r>(answers: Vec<OffsetFetchResponse<'r>>) -> OffsetFetchResponse<'r> {
        OffsetFetchResponse {
            groups: answers.into_iter().flat_map(|a| a.groups).collect(),
            ..Default::default()
        }
    }
}
