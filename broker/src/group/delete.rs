//! DeleteGroups: an administrator removes groups without members, with their offsets (KIP-229).

use super::classic::GroupState::Empty;
use super::state::Coordinator;
use super::{Outcome, Response, records};
use std::borrow::Cow;
use wire::ErrorCode;

pub(super) fn process(
    coordinator: &mut Coordinator,
    groups: &[Cow<'_, str>],
    out: &mut Outcome,
) -> Response {
    let results = groups.iter().map(|id| {
        let result = match coordinator.groups.get(&**id) {
            None => Err(ErrorCode::GroupIdNotFound),
            Some(group) if !group.classic.is(Empty) => Err(ErrorCode::NonEmptyGroup),
            Some(_) => {
                delete(coordinator, id, out);
                Ok(())
            }
        };
        result.err().unwrap_or(ErrorCode::None)
    });
    Response::DeleteGroups(results.collect())
}

/// Removes a group with all that is lasting of it.
pub(super) fn delete(coordinator: &mut Coordinator, id: &str, out: &mut Outcome) {
    let Some(group) = coordinator.remove(id) else {
        return;
    };
    for (topic, partitions) in group.offsets.topics() {
        for partition in partitions.keys() {
            out.records.push(records::offset_tombstone(id, topic, *partition));
        }
    }
    out.records.push(records::group(id, None));
}
