//! DescribeGroups: state and members of groups.

use super::classic::GroupState::Stable;
use super::state::{Coordinator, Group};
use super::{Response, versions};
use crate::coordinator::Context;
use std::borrow::Cow;
use std::ops::Bound;
use wire::describe_groups::{DescribedGroup, DescribedGroupMember};
use wire::{ErrorCode, IntoOwned};

/// What stays as it is while a group's members do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    state: &'static str,
    generation: i32,
    pub members: usize,
}

impl Coordinator {
    /// A group without its members, and how these are.
    pub fn describe<'a>(&'a self, id: &'a str, version: i16) -> (DescribedGroup<'a>, Membership) {
        let Some(group) = self.groups.get(id) else {
            let nobody = Membership { state: "", generation: 0, members: 0 };
            return (unknown(id, version), nobody);
        };
        let classic = &group.classic;
        let membership = Membership {
            state: classic.state.name(),
            generation: classic.generation,
            members: classic.len(),
        };
        let described = DescribedGroup {
            group_id: Cow::Borrowed(id),
            group_state: Cow::Borrowed(classic.state.name()),
            protocol_type: Cow::Borrowed(classic.protocol_type.as_deref().unwrap_or_default()),
            protocol_data: Cow::Borrowed(protocol(group).unwrap_or_default()),
            ..Default::default()
        };
        (described, membership)
    }

    /// The members of a group behind one of them, or all, by id.
    pub fn describe_members<'a>(
        &'a self,
        id: &str,
        behind: Option<&str>,
    ) -> impl Iterator<Item = DescribedGroupMember<'a>> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let group = self.groups.get(id);
        let protocol = group.and_then(protocol);
        let members = group.map(|group| group.classic.members_from(from));
        members.into_iter().flatten().map(move |member| {
            let metadata = protocol.and_then(|protocol| member.metadata(protocol));
            DescribedGroupMember {
                member_id: Cow::Borrowed(&member.id),
                group_instance_id: member.instance_id.as_deref().map(Cow::Borrowed),
                client_id: Cow::Borrowed(&member.client_id),
                client_host: Cow::Borrowed(&member.client_host),
                member_metadata: Cow::Borrowed(metadata.map_or(&[], |metadata| &**metadata)),
                member_assignment: Cow::Borrowed(&member.assignment),
            }
        })
    }
}

/// What members say counts once they agree on a protocol and an assignment.
fn protocol(group: &Group) -> Option<&str> {
    let classic = &group.classic;
    let protocol = classic.protocol_name.as_deref();
    protocol.filter(|_| classic.is(Stable))
}

pub(super) fn process(
    coordinator: &Coordinator,
    groups: &[Cow<'_, str>],
    context: &Context<'_>,
) -> Response {
    let describe_one = |id: &Cow<'_, str>| {
        let (mut group, _) = coordinator.describe(id, context.api_version);
        group.members = coordinator.describe_members(id, None).collect();
        group.into_owned()
    };
    Response::DescribeGroups(groups.iter().map(describe_one).collect())
}

fn unknown(id: &str, version: i16) -> DescribedGroup<'_> {
    let group = DescribedGroup {
        group_id: Cow::Borrowed(id),
        group_state: Cow::Borrowed("Dead"),
        ..Default::default()
    };
    if !versions::describe_names_unknown_group(version) {
        return group;
    }
    DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound.into(),
        error_message: Some(Cow::Owned(format!("Group {} not found.", crate::answer::shown(id)))),
        ..group
    }
}
