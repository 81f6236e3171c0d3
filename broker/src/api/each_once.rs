//! A produce request that names a partition twice.
//!
//! Kafka keeps a request's batches in a map (`KafkaApis.handleProduceRequest`): the one that was
//! named last is stored, and the partition is answered once. Where Kafka finds an earlier one
//! malformed, it stores the last and answers the error; here only the last counts.
use super::once;
use hashbrown::{HashMap, HashSet};
use wire::produce::{PartitionProduceData, TopicProduceData};

type Hasher = foldhash::fast::FixedState;

/// A batch of one record takes twice that, and more; so do a topic and a partition with one.
const NAMED_BYTES_MIN: usize = 30;
/// So many topics and partitions are looked at, whatever they have.
const NAMED_FEW: usize = 256;

/// Each partition once, where it was named first and with what was named last. The tables begin
/// with `seed`, which nobody outside knows: else names could be chosen that meet in them.
///
/// # Errors
/// The request has `bytes`, and names so many topics and partitions that most of them can have no
/// batch: it is given back. An answer takes more memory for each than its name did.
pub(crate) fn each_once(
    seed: u64,
    topics: Vec<TopicProduceData<'_>>,
    bytes: usize,
) -> Result<Vec<TopicProduceData<'_>>, Vec<TopicProduceData<'_>>> {
    let partitions: usize = topics.iter().map(|t| t.partition_data.len()).sum();
    if partitions < 2 && topics.len() < 2 {
        return Ok(topics);
    }
    let named = topics.len() + partitions;
    if named > NAMED_FEW && named > bytes / NAMED_BYTES_MIN {
        return Err(topics);
    }
    let is_each_once =
        once::is_each_once(&topics, same_topic, indexes) || no_two(seed, &topics, partitions);
    Ok(if is_each_once { topics } else { merged(seed, topics) })
}

fn same_topic(a: &TopicProduceData<'_>, b: &TopicProduceData<'_>) -> bool {
    a.topic_id == b.topic_id && a.name == b.name
}

fn indexes(topic: &TopicProduceData<'_>) -> impl Iterator<Item = i32> {
    topic.partition_data.iter().map(|p| p.index)
}

/// By a table of all, however many they are.
fn no_two(seed: u64, topics: &[TopicProduceData<'_>], partitions: usize) -> bool {
    let mut named = HashSet::with_capacity_and_hasher(partitions, Hasher::with_seed(seed));
    topics.iter().all(|t| indexes(t).all(|index| named.insert((&*t.name, t.topic_id, index))))
}

/// The number of each topic: of the same name and id, the same.
fn numbers(seed: u64, topics: &[TopicProduceData<'_>]) -> Vec<u32> {
    let mut known = HashMap::with_capacity_and_hasher(topics.len(), Hasher::with_seed(seed));
    let topics = (0..).zip(topics);
    topics.map(|(at, t)| *known.entry((&*t.name, t.topic_id)).or_insert(at)).collect()
}

fn merged(seed: u64, topics: Vec<TopicProduceData<'_>>) -> Vec<TopicProduceData<'_>> {
    let numbers = numbers(seed, &topics);
    let mut places: HashMap<(u32, i32), (usize, usize), Hasher> =
        HashMap::with_hasher(Hasher::with_seed(seed));
    let mut once: Vec<TopicProduceData<'_>> = Vec::with_capacity(topics.len());
    for (number, mut topic) in numbers.into_iter().zip(topics) {
        let t = once.len();
        let mut new: Vec<PartitionProduceData<'_>> = Vec::new();
        for partition in std::mem::take(&mut topic.partition_data) {
            let key = (number, partition.index);
            match places.get(&key) {
                Some(&(at, p)) if at == t => new[p] = partition,
                Some(&(at, p)) => once[at].partition_data[p] = partition,
                None => {
                    places.insert(key, (t, new.len()));
                    new.push(partition);
                }
            }
        }
        if !new.is_empty() {
            topic.partition_data = new;
            once.push(topic);
        }
    }
    once
}
