//! Answers of several cores put together as they are: nothing of them is decoded and encoded again.
use crate::core::request::Pending;
use bytes::Bytes;
use std::ops::Range;
use wire::{ApiMessage, Around, Reader, frame::SIZE_BYTES};

/// An answer that is an array, and no more.
struct List<'p, T> {
    pending: &'p Pending,
    /// What stands before the array's length, without the frame's.
    head: Vec<u8>,
    /// What stands behind its elements.
    tail: Vec<u8>,
    answer: std::marker::PhantomData<T>,
}

impl<'p, T: ApiMessage + Default> List<'p, T> {
    fn of(pending: &'p Pending) -> Option<Self> {
        let (head, tail) = (Vec::new(), Vec::new());
        let list = Self { pending, head, tail, answer: std::marker::PhantomData };
        let Around { head: none, tail, .. } = list.around(0, 0)?;
        let count_bytes = if T::is_flexible(pending.version) { 1 } else { 4 };
        let head = none.get(SIZE_BYTES..none.len() - count_bytes)?.to_vec();
        Some(Self { head, tail, ..list })
    }

    fn around(&self, count: usize, bytes: usize) -> Option<Around> {
        let (id, version) = (self.pending.correlation_id, self.pending.version);
        wire::encode_response_around(&T::default(), id, version, count, bytes).ok()
    }

    /// How many elements a frame has, and what follows: `None` if it says something else before
    /// them.
    fn elements<'f>(&self, frame: &'f [u8]) -> Option<(usize, &'f [u8])> {
        let mut reader = Reader::new(frame.strip_prefix(&*self.head)?);
        let count = length(&mut reader, T::is_flexible(self.pending.version))?;
        Some((count, reader.remaining()))
    }
}

/// The length of an array that is there.
fn length(reader: &mut Reader<'_>, is_flexible: bool) -> Option<usize> {
    let length = match is_flexible {
        true => i64::from(reader.uvarint().ok()?) - 1,
        false => i64::from(reader.i32().ok()?),
    };
    usize::try_from(length).ok()
}

/// The answer that holds the elements of all answers, each given as the slices of its frame. `None`
/// where one of them says something else beside its elements, such as an error: then they are for
/// the API to put together.
pub(crate) fn concatenated<T: ApiMessage + Default>(
    pending: &Pending,
    answers: &[Vec<Bytes>],
) -> Option<Vec<Bytes>> {
    let list = List::<T>::of(pending)?;
    let (mut count, mut bytes) = (0, 0);
    let mut elements: Vec<Bytes> = Vec::new();
    for answer in answers {
        let (more, elements_of_first) = list.elements(answer.first()?.get(SIZE_BYTES..)?)?;
        count += more;
        let left = elements_of_first.len();
        let from = elements.len();
        elements.extend(answer.iter().cloned());
        let first = elements.get_mut(from)?;
        *first = first.slice(first.len() - left..);
        let last = elements.last_mut()?;
        if !last.ends_with(&list.tail) {
            return None;
        }
        last.truncate(last.len() - list.tail.len());
        bytes += elements[from..].iter().map(Bytes::len).sum::<usize>();
    }
    let Around { head, tail, .. } = list.around(count, bytes)?;
    let mut all: Vec<Bytes> = vec![head.into()];
    all.extend(elements.into_iter().filter(|slice| !slice.is_empty()));
    if !tail.is_empty() {
        all.push(tail.into());
    }
    Some(all)
}

/// Reads over a partition of a topic.
pub(crate) type Skip = for<'a> fn(&mut Reader<'a>, i16) -> Result<(), wire::Error>;

/// What one answer says of a topic: 28 bytes.
struct Run {
    answer: u32,
    name: Range<u32>,
    partitions: u32,
    body: Range<u32>,
}

/// Bytes of a part of an answer that is put together.
const PART_BYTES: usize = 64 << 10;

/// The answer that holds the topics of all answers, each given as its frame without the length;
/// partitions of the same topic together, in the order in which topics are named first. An element
/// is the topic's name and its partitions, and no more. `None` where one of them says something
/// else.
pub(crate) fn by_topic<T: ApiMessage + Default>(
    pending: &Pending,
    answers: &[Bytes],
    skip: Skip,
) -> Option<Vec<Bytes>> {
    let list = List::<T>::of(pending)?;
    let is_flexible = T::is_flexible(pending.version);
    let mut runs: Vec<Run> = Vec::new();
    for (answer, frame) in (0..).zip(answers) {
        let (count, elements) = list.elements(frame)?;
        let mut reader = Reader::new(elements);
        let at = |reader: &Reader<'_>| u32::try_from(frame.len() - reader.remaining().len()).ok();
        // A topic takes at least its lengths.
        runs.reserve_exact(count.min(elements.len() / 2));
        for _ in 0..count {
            let bytes = reader.string(is_flexible).ok()?.len();
            let end = at(&reader)?;
            let name = end - u32::try_from(bytes).ok()?..end;
            let partitions = length(&mut reader, is_flexible)?;
            let start = at(&reader)?;
            for _ in 0..partitions {
                skip(&mut reader, pending.version).ok()?;
            }
            let body = start..at(&reader)?;
            if is_flexible && reader.uvarint().ok()? != 0 {
                return None;
            }
            runs.push(Run { answer, name, partitions: u32::try_from(partitions).ok()?, body });
        }
        if reader.remaining() != list.tail {
            return None;
        }
    }
    let slice = |run: &Run, range: &Range<u32>| {
        &answers[run.answer as usize][range.start as usize..range.end as usize]
    };
    let name = |place: u32| slice(&runs[place as usize], &runs[place as usize].name);
    let mut places: Vec<u32> = (0..u32::try_from(runs.len()).ok()?).collect();
    places.sort_unstable_by(|&a, &b| name(a).cmp(name(b)).then(a.cmp(&b)));
    // For each the first of its name.
    let mut first_of = vec![0; runs.len()];
    for same in places.chunk_by(|&a, &b| name(a) == name(b)) {
        same.iter().for_each(|&place| first_of[place as usize] = same[0]);
    }
    places.sort_unstable_by_key(|&place| (first_of[place as usize], place));
    let mut all: Vec<Bytes> = vec![Bytes::new()];
    let (mut part, mut count, mut bytes) = (Vec::with_capacity(256), 0, 0);
    for same in places.chunk_by(|&a, &b| first_of[a as usize] == first_of[b as usize]) {
        let partitions: u32 = same.iter().map(|&place| runs[place as usize].partitions).sum();
        let mut head = wire::Writer::with_buffer(part);
        head.string(std::str::from_utf8(name(same[0])).ok()?, is_flexible).ok()?;
        match is_flexible {
            true => head.uvarint(partitions.checked_add(1)?),
            false => head.i32(i32::try_from(partitions).ok()?),
        }
        part = head.into_vec();
        for run in same.iter().map(|&place| &runs[place as usize]) {
            part.extend_from_slice(slice(run, &run.body));
        }
        if is_flexible {
            part.push(0);
        }
        count += 1;
        if part.len() >= PART_BYTES {
            bytes += part.len();
            part.shrink_to_fit();
            all.push(std::mem::take(&mut part).into());
        }
    }
    bytes += part.len();
    let Around { head, tail, .. } = list.around(count, bytes)?;
    if all.len() == 1 {
        return Some(vec![[&head[..], &part, &tail].concat().into()]);
    }
    all[0] = head.into();
    part.extend_from_slice(&tail);
    all.push(part.into());
    all.retain(|slice| !slice.is_empty());
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::request::ReplyTo;
    use netio::{CoreId, Instant};
    use wire::{ApiKey, Decode, describe_producers as dp, list_groups::*};

    fn answer(names: Range<i32>) -> ListGroupsResponse<'static> {
        let group =
            |i: i32| ListedGroup { group_id: format!("group {i}").into(), ..Default::default() };
        ListGroupsResponse { groups: names.map(group).collect(), ..Default::default() }
    }

    #[test]
    fn elements_of_all_in_one_frame() {
        for version in 0..=5 {
            let pending = Pending {
                reply: ReplyTo::Core { core: CoreId(0), id: 0 },
                key: ApiKey::ListGroups,
                version,
                correlation_id: 9,
                at: Instant(0),
            };
            let slices = |answer: &ListGroupsResponse<'_>| pending.encode(answer).unwrap().slices;
            let mut parts =
                vec![slices(&answer(0..200)), slices(&answer(0..0)), slices(&answer(200..500))];
            // In slices, as an answer comes that was written in portions.
            let whole = parts[2].remove(0);
            parts[2] = vec![whole.slice(..100), whole.slice(100..)];
            let all = concatenated::<ListGroupsResponse<'_>>(&pending, &parts).unwrap();
            let expected = slices(&answer(0..500));
            assert_eq!(all.concat(), expected.concat());
            let error = ListGroupsResponse { error_code: 15, ..Default::default() };
            parts.push(slices(&error));
            assert!(concatenated::<ListGroupsResponse<'_>>(&pending, &parts).is_none());
        }
    }

    #[test]
    fn topics_of_all_in_the_order_of_their_first_naming() {
        let topic = |name: &str, partitions: &[i32]| dp::TopicResponse {
            name: name.to_owned().into(),
            partitions: partitions
                .iter()
                .map(|&partition_index| dp::PartitionResponse {
                    partition_index,
                    error_message: (partition_index == 2).then(|| "why".into()),
                    active_producers: vec![dp::ProducerState::default(); partition_index as usize],
                    ..Default::default()
                })
                .collect(),
        };
        let answer = |topics| dp::DescribeProducersResponse { throttle_time_ms: 0, topics };
        let pending = Pending {
            reply: ReplyTo::Core { core: CoreId(0), id: 0 },
            key: ApiKey::DescribeProducers,
            version: 0,
            correlation_id: 9,
            at: Instant(0),
        };
        let frame = |answer: &dp::DescribeProducersResponse<'_>| {
            pending.encode(answer).unwrap().slices.concat()
        };
        let bare = |answer: &dp::DescribeProducersResponse<'_>| {
            Bytes::from(frame(answer)[SIZE_BYTES..].to_vec())
        };
        let skip: Skip = |r, version| dp::PartitionResponse::decode(r, version).map(drop);
        let many: Vec<i32> = (0..300).map(|i| i % 3).collect();
        let parts = [
            answer(vec![topic("b", &[1]), topic("a", &[1])]),
            answer(Vec::new()),
            answer(vec![topic("c", &[]), topic("a", &[0, 2]), topic("d", &many), topic("b", &[0])]),
        ];
        let all = by_topic::<dp::DescribeProducersResponse<'_>>(
            &pending,
            &parts.each_ref().map(bare),
            skip,
        );
        let expected = answer(vec![
            topic("b", &[1, 0]),
            topic("a", &[1, 0, 2]),
            topic("c", &[]),
            topic("d", &many),
        ]);
        assert_eq!(all.unwrap().concat(), frame(&expected));
        let late = dp::DescribeProducersResponse { throttle_time_ms: 1, topics: Vec::new() };
        assert!(
            by_topic::<dp::DescribeProducersResponse<'_>>(&pending, &[bare(&late)], skip).is_none()
        );
    }
}
