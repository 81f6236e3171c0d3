//! ListGroups: all groups of the partition, by state (KIP-518) and type (KIP-848).

use super::Response;
use super::request::owned;
use super::state::Coordinator;
use std::borrow::Cow;
use wire::list_groups::ListedGroup;

/// All groups here are of this type.
const CLASSIC: &str = "classic";

pub(super) fn process(
    coordinator: &Coordinator,
    states: &[Cow<'_, str>],
    types: &[Cow<'_, str>],
) -> Response {
    // A type that nobody knows matches no group; no type at all matches every group.
    if !types.is_empty() && !types.iter().any(|kind| kind.eq_ignore_ascii_case(CLASSIC)) {
        return Response::ListGroups(Ok(Vec::new()));
    }
    let mut groups: Vec<ListedGroup<'static>> = coordinator
        .groups
        .values()
        .filter(|group| {
            let name = group.classic.state.name();
            states.is_empty()
                || states
                    .iter()
                    .any(|state| state.trim().eq_ignore_ascii_case(name))
        })
        .map(|group| ListedGroup {
            group_id: owned(&group.id),
            protocol_type: owned(group.classic.protocol_type.as_deref().unwrap_or_default()),
            group_state: Cow::Borrowed(group.classic.state.name()),
            group_type: Cow::Borrowed(CLASSIC),
        })
        .collect();
    groups.sort_unstable_by(|a, b| a.group_id.cmp(&b.group_id));
    Response::ListGroups(Ok(groups))
}
