//! Answers of several cores put behind each other as they are: nothing of them is decoded, copied or encoded again.
use crate::shard::reply::Pending;
use bytes::Bytes;
use wire::{ApiMessage, Around, Reader, frame::SIZE_BYTES};

/// The answer that holds the elements of all answers, each given as the slices of its frame. `None` where one of them says
/// something else beside its elements, such as an error: then they are for the API to put together.
pub(crate) fn concatenated<T: ApiMessage + Default>(
    pending: &Pending,
    answers: &[Vec<Bytes>],
) -> Option<Vec<Bytes>> {
    let (id, version) = (pending.correlation_id, pending.version);
    let around =
        |count, bytes| wire::encode_response_around(&T::default(), id, version, count, bytes).ok();
    let Around { head: none, tail, .. } = around(0, 0)?;
    let is_flexible = T::is_flexible(version);
    let count_bytes = if is_flexible { 1 } else { 4 };
    let head = none.get(SIZE_BYTES..none.len() - count_bytes)?;
    let (mut count, mut bytes) = (0, 0);
    let mut elements: Vec<Bytes> = Vec::new();
    for answer in answers {
        let first = answer.first()?.get(SIZE_BYTES..)?.strip_prefix(head)?;
        let mut reader = Reader::new(first);
        let more = match is_flexible {
            true => i64::from(reader.uvarint().ok()?) - 1,
            false => i64::from(reader.i32().ok()?),
        };
        count += usize::try_from(more).ok()?;
        let left = reader.remaining().len();
        let from = elements.len();
        elements.extend(answer.iter().cloned());
        let first = elements.get_mut(from)?;
        *first = first.slice(first.len() - left..);
        let last = elements.last_mut()?;
        if !last.ends_with(&tail) {
            return None;
        }
        last.truncate(last.len() - tail.len());
        bytes += elements[from..].iter().map(Bytes::len).sum::<usize>();
    }
    let Around { head, tail, .. } = around(count, bytes)?;
    let mut all: Vec<Bytes> = vec![head.into()];
    all.extend(elements.into_iter().filter(|slice| !slice.is_empty()));
    if !tail.is_empty() {
        all.push(tail.into());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::reply::ReplyTo;
    use netio::{CoreId, Instant};
    use wire::{ApiKey, list_groups::*};

    fn answer(names: std::ops::Range<i32>) -> ListGroupsResponse<'static> {
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
}
