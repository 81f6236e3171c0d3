//! ListGroups: all groups of the partition, by state (KIP-518) and type (KIP-848).

use super::Response;
use super::classic::GroupState;
use super::state::Coordinator;
use std::borrow::Cow;
use wire::IntoOwned;
use wire::list_groups::ListedGroup;

/// All groups here are of this type.
const CLASSIC: &str = "classic";

/// States of groups that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Vec<GroupState>);

impl Wanted {
    /// No filter lets everything through. A state that nobody knows matches no group, and a type
    /// neither.
    pub fn new(states: &[Cow<'_, str>], types: &[Cow<'_, str>]) -> Self {
        let mut wanted = GroupState::ALL.to_vec();
        if !types.is_empty() && !types.iter().any(|kind| kind.eq_ignore_ascii_case(CLASSIC)) {
            wanted.clear();
        }
        let named = |name: &str| {
            let mut states = states.iter();
            states.any(|state| state.trim().eq_ignore_ascii_case(name))
        };
        wanted.retain(|state| states.is_empty() || named(state.name()));
        Self(wanted)
    }
}

impl Coordinator {
    /// A group as it is listed, if it is wanted.
    pub fn list(&self, id: &str, wanted: &Wanted) -> Option<ListedGroup<'_>> {
        let group = self.groups.get(id)?;
        let classic = &group.classic;
        wanted.0.contains(&classic.state).then(|| ListedGroup {
            group_id: Cow::Borrowed(&group.id),
            protocol_type: Cow::Borrowed(classic.protocol_type.as_deref().unwrap_or_default()),
            group_state: Cow::Borrowed(classic.state.name()),
            group_type: Cow::Borrowed(CLASSIC),
        })
    }
}

pub(super) fn process(
    coordinator: &Coordinator,
    states: &[Cow<'_, str>],
    types: &[Cow<'_, str>],
) -> Response {
    let wanted = Wanted::new(states, types);
    let mut ids = coordinator.group_ids();
    ids.sort_unstable();
    let groups = ids.iter().filter_map(|id| coordinator.list(id, &wanted));
    Response::ListGroups(Ok(groups.map(IntoOwned::into_owned).collect()))
}
