//! Requests that name partitions, split by the core that owns each (single-port mode), and their
//! answers put together.
use crate::{
    core::{
        placement::core_of,
        request::{Request, Stage},
    },
    shard::{Shard, forward::Split},
};
use bytes::Bytes;
use netio::CoreId;
use record::TopicId;
use std::collections::BTreeMap;

/// A topic of a request, with its partitions.
pub(crate) trait Topic: Clone {
    type Partition;
    fn id(&self, shard: &Shard, version: i16) -> Option<TopicId>;
    fn index(partition: &Self::Partition) -> i32;
    fn partitions(&mut self) -> &mut Vec<Self::Partition>;
}

/// A topic of an answer, with its partitions.
pub(crate) trait Answered {
    /// Which topic: by name, and by id where there is one.
    fn topic(&self) -> (Str<'_>, TopicId);
    fn append(&mut self, other: &mut Self);
}

macro_rules! topic {
    ($request:ty, $name:ident, $partitions:ident, $partition:ty, $index:expr, $response:ty, $answer_name:ident, $answers:ident) => {
        impl Topic for $request {
            type Partition = $partition;
            fn id(&self, shard: &Shard, _: i16) -> Option<TopicId> {
                shard.image.topic(&self.$name).map(|t| t.id)
            }
            fn index(partition: &Self::Partition) -> i32 {
                $index(partition)
            }
            fn partitions(&mut self) -> &mut Vec<Self::Partition> {
                &mut self.$partitions
            }
        }
        impl Answered for $response {
            fn topic(&self) -> (Str<'_>, TopicId) {
                (Str::Borrowed(&*self.$answer_name), TopicId::ZERO)
            }
            fn append(&mut self, other: &mut Self) {
                self.$answers.append(&mut other.$answers);
            }
        }
    };
}

macro_rules! answered {
    ($answer:ty, $id:expr) => {
        impl Answered for $answer {
            fn topic(&self) -> (Str<'_>, TopicId) {
                (Str::Borrowed(&*self.name), $id(self))
            }
            fn append(&mut self, other: &mut Self) {
                self.partitions.append(&mut other.partitions);
            }
        }
    };
}

answered!(dl::DescribeLogDirsTopic<'_>, |_: &Self| TopicId::ZERO);
answered!(oc::OffsetCommitResponseTopic<'_>, |t: &Self| t.topic_id);
answered!(od::OffsetDeleteResponseTopic<'_>, |_: &Self| TopicId::ZERO);

use wire::{
    Around, Encode, Str, Writer, delete_records as dr, describe_log_dirs as dl,
    describe_producers as dp, frame::SIZE_BYTES, list_offsets as lo, offset_commit as oc,
    offset_delete as od, offset_for_leader_epoch as oe, produce as pr,
};

topic!(
    lo::ListOffsetsTopic<'_>,
    name,
    partitions,
    lo::ListOffsetsPartition,
    |p: &lo::ListOffsetsPartition| p.partition_index,
    lo::ListOffsetsTopicResponse<'_>,
    name,
    partitions
);
topic!(
    dr::DeleteRecordsTopic<'_>,
    name,
    partitions,
    dr::DeleteRecordsPartition,
    |p: &dr::DeleteRecordsPartition| p.partition_index,
    dr::DeleteRecordsTopicResult<'_>,
    name,
    partitions
);
topic!(
    oe::OffsetForLeaderTopic<'_>,
    topic,
    partitions,
    oe::OffsetForLeaderPartition,
    |p: &oe::OffsetForLeaderPartition| p.partition,
    oe::OffsetForLeaderTopicResult<'_>,
    topic,
    partitions
);
topic!(
    dp::TopicRequest<'_>,
    name,
    partition_indexes,
    i32,
    |p: &i32| *p,
    dp::TopicResponse<'_>,
    name,
    partitions
);

impl<'a> Topic for pr::TopicProduceData<'a> {
    type Partition = pr::PartitionProduceData<'a>;
    fn id(&self, shard: &Shard, version: i16) -> Option<TopicId> {
        if version >= 13 {
            Some(self.topic_id)
        } else {
            shard.image.topic(&self.name).map(|t| t.id)
        }
    }
    fn index(partition: &Self::Partition) -> i32 {
        partition.index
    }
    fn partitions(&mut self) -> &mut Vec<Self::Partition> {
        &mut self.partition_data
    }
}

impl Answered for pr::TopicProduceResponse<'_> {
    fn topic(&self) -> (Str<'_>, TopicId) {
        (Str::Borrowed(&*self.name), self.topic_id)
    }
    fn append(&mut self, other: &mut Self) {
        self.partition_responses.append(&mut other.partition_responses);
    }
}

/// Whether this core must split the request: it came from a client, and a client sees one node for
/// all cores.
pub(crate) fn must_split(shard: &Shard, request: &Request<'_>) -> bool {
    shard.settings.splits() && !request.forwarded
}

/// Topics by the core that owns their partitions, in request order; what nobody owns stays here.
pub(crate) fn by_owner<T: Topic>(
    shard: &Shard,
    version: i16,
    topics: Vec<T>,
) -> BTreeMap<CoreId, Vec<T>> {
    let mut split: BTreeMap<CoreId, Vec<T>> = BTreeMap::new();
    for mut topic in topics {
        let id = topic.id(shard, version);
        let partitions = std::mem::take(topic.partitions());
        let mut mine: BTreeMap<CoreId, T> = BTreeMap::new();
        for partition in partitions {
            let core =
                id.map_or(shard.me, |id| core_of(id, T::index(&partition), shard.settings.cores));
            mine.entry(core).or_insert_with(|| topic.clone()).partitions().push(partition);
        }
        for (core, topic) in mine {
            split.entry(core).or_default().push(topic);
        }
    }
    split
}

/// The cores among the owners of what a request names, in order.
pub(super) fn each_core(owners: &[CoreId]) -> Vec<CoreId> {
    let mut cores: Vec<CoreId> = Vec::new();
    for &core in owners {
        if cores.last() != Some(&core) && !cores.contains(&core) {
            cores.push(core);
        }
    }
    cores.sort_unstable();
    cores
}

/// A part of a request as a frame without its length.
pub(super) fn part_frame(Around { head, tail, .. }: &Around, elements: Writer) -> Bytes {
    [&head[SIZE_BYTES..], &elements.into_vec(), tail].concat().into()
}

/// Sends each owner its part. `body` is the request without topics. Parts are written from the
/// decoded request as they are sent: there is no second one in memory.
pub(crate) fn scatter_topics<T: Topic + Encode, Q: Split>(
    shard: &mut Shard,
    request: &Request<'_>,
    mut topics: Vec<T>,
    body: &Q,
) -> Result<Stage, wire::Error>
where
    T::Partition: Encode,
{
    let version = request.version();
    let mut owners: Vec<CoreId> = Vec::new();
    for topic in &mut topics {
        let id = topic.id(shard, version);
        owners.extend(topic.partitions().iter().map(|partition| {
            id.map_or(shard.me, |id| core_of(id, T::index(partition), shard.settings.cores))
        }));
    }
    let cores = each_core(&owners);
    match cores.as_slice() {
        // Nobody owns a partition that is not named.
        [] => return Ok(shard.forward(request, shard.me)),
        [core] => return Ok(shard.forward(request, *core)),
        _ => {}
    }
    let mut frames = Vec::with_capacity(cores.len());
    for core in cores {
        let mut elements = Writer::new();
        let (mut count, mut begin) = (0, 0);
        for topic in &mut topics {
            let partitions = std::mem::take(topic.partitions());
            let owners = &owners[begin..begin + partitions.len()];
            begin += partitions.len();
            let own = owners.iter().filter(|owner| **owner == core).count();
            if own > 0 {
                count += 1;
                let tail = elements.around(topic, own, version)?;
                for (partition, owner) in partitions.iter().zip(owners) {
                    if *owner == core {
                        partition.encode(&mut elements, version)?;
                    }
                }
                elements.raw(&tail);
            }
            *topic.partitions() = partitions;
        }
        let (id, client) = (request.pending.correlation_id, request.client_id);
        let around = wire::encode_request_around(body, id, client, version, count, elements.len())?;
        frames.push((core, part_frame(&around, elements)));
    }
    Ok(shard.scatter_frames::<Q>(request, frames))
}

/// The part of each owner, at least one.
pub(crate) fn parts_of<T: Topic, Q>(
    shard: &Shard,
    request: &Request<'_>,
    topics: Vec<T>,
    body: impl Fn(Vec<T>) -> Q,
) -> Vec<(CoreId, Q)> {
    let mut parts: Vec<(CoreId, Q)> = by_owner(shard, request.version(), topics)
        .into_iter()
        .map(|(core, topics)| (core, body(topics)))
        .collect();
    if parts.is_empty() {
        parts.push((shard.me, body(Vec::new())));
    }
    parts
}

/// Sends each core its part; a request that is one core's goes there as it came.
pub(crate) fn scatter_parts<Q: Split>(
    shard: &mut Shard,
    request: &Request<'_>,
    parts: Vec<(CoreId, Q)>,
) -> Result<Stage, wire::Error> {
    match parts.as_slice() {
        [(core, _)] => Ok(shard.forward(request, *core)),
        _ => shard.scatter(request, parts),
    }
}

/// Topics of several answers, partitions of the same topic together, in the order in which they are
/// named first.
pub(crate) fn merged<T: Answered>(answers: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
    let all: Vec<T> = answers.into_iter().flatten().collect();
    let by_topic = |a: &T, b: &T| {
        let ((a, a_id), (b, b_id)) = (a.topic(), b.topic());
        a.cmp(&b).then(a_id.0.cmp(&b_id.0))
    };
    // The place of the first of each topic, for all that are sorted behind it.
    let mut places: Vec<u32> = (0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect();
    let topic = |place: u32| &all[place as usize];
    places.sort_unstable_by(|&a, &b| by_topic(topic(a), topic(b)).then(a.cmp(&b)));
    let mut first_of: Vec<u32> = vec![0; all.len()];
    for same in places.chunk_by(|&a, &b| by_topic(topic(a), topic(b)).is_eq()) {
        for &place in same {
            first_of[place as usize] = same[0];
        }
    }
    drop(places);
    let mut merged: Vec<T> = Vec::new();
    let mut places_merged: Vec<u32> = vec![0; first_of.len()];
    for (place, mut topic) in all.into_iter().enumerate() {
        let first = first_of[place] as usize;
        if first == place {
            places_merged[place] = u32::try_from(merged.len()).unwrap_or(u32::MAX);
            merged.push(topic);
        } else {
            merged[places_merged[first] as usize].append(&mut topic);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_put_together_in_the_order_of_their_first_naming() {
        let topic = |name: &'static str, partitions: &[i32]| dp::TopicResponse {
            name: name.into(),
            partitions: partitions
                .iter()
                .map(|&partition_index| dp::PartitionResponse {
                    partition_index,
                    ..Default::default()
                })
                .collect(),
        };
        let all = merged([
            vec![topic("b", &[1]), topic("a", &[1])],
            vec![topic("c", &[]), topic("a", &[0, 2]), topic("b", &[0])],
        ]);
        assert_eq!(all, [topic("b", &[1, 0]), topic("a", &[1, 0, 2]), topic("c", &[])]);
    }
}
