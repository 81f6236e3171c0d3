//! DescribeGroups: state and members of groups.

use super::classic::GroupState::Stable;
use super::request::owned;
use super::state::{Coordinator, Group};
use super::{Response, versions};
use crate::coordinator::Context;
use std::borrow::Cow;
use wire::ErrorCode;
use wire::describe_groups::{DescribedGroup, DescribedGroupMember};

pub(super) fn process(
    coordinator: &Coordinator,
    groups: &[Cow<'_, str>],
    context: &Context<'_>,
) -> Response {
    let describe_one = |id: &Cow<'_, str>| match coordinator.groups.get(&**id) {
        Some(group) => describe(group),
        None => unknown(id, context.api_version),
    };
    Response::DescribeGroups(groups.iter().map(describe_one).collect())
}

fn unknown(id: &str, version: i16) -> DescribedGroup<'static> {
    let group = DescribedGroup {
        group_id: owned(id),
        group_state: Cow::Borrowed("Dead"),
        ..Default::default()
    };
    if !versions::describe_names_unknown_group(version) {
        return group;
    }
    DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound.into(),
        error_message: Some(Cow::Owned(format!("Group {id} not found."))),
        ..group
    }
}

fn describe(group: &Group) -> DescribedGroup<'static> {
    let classic = &group.classic;
    // What members say counts once they agree on a protocol and an assignment.
    let protocol = classic
        .protocol_name
        .as_deref()
        .filter(|_| classic.is(Stable));
    let members = classic.members().map(|member| DescribedGroupMember {
        member_id: owned(&member.id),
        group_instance_id: member.instance_id.as_deref().map(owned),
        client_id: owned(&member.client_id),
        client_host: owned(&member.client_host),
        member_metadata: protocol
            .and_then(|protocol| member.metadata(protocol))
            .map_or(Cow::Borrowed(&[]), |metadata| Cow::Owned(metadata.to_vec())),
        member_assignment: Cow::Owned(member.assignment.to_vec()),
    });
    DescribedGroup {
        group_id: owned(&group.id),
        group_state: Cow::Borrowed(classic.state.name()),
        protocol_type: owned(classic.protocol_type.as_deref().unwrap_or_default()),
        protocol_data: owned(protocol.unwrap_or_default()),
        members: members.collect(),
        ..Default::default()
    }
}
