//! DescribeGroups (key 15): states, protocols and members of classic groups.
use super::{
    groups::{by_core, by_partition},
    split::must_split,
};
use crate::{
    group::{self, Response},
    shard::{
        Shard,
        forward::Split,
        reply::{Request, Stage},
    },
};
use wire::{
    Decode, Reader,
    describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup},
};

/// Bits of `AclOperation` that exist for groups: READ 3, DELETE 6, DESCRIBE 8, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11.
const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeGroupsRequest::decode(reader, request.version())?;
    let operations = body.include_authorized_operations;
    if must_split(shard, request) {
        let parts: Vec<_> = by_core(shard, body.groups, |g| g)
            .into_iter()
            .map(|(core, groups)| {
                (
                    core,
                    DescribeGroupsRequest {
                        groups,
                        include_authorized_operations: operations,
                    },
                )
            })
            .collect();
        return match parts.as_slice() {
            [] => request.answer(&DescribeGroupsResponse::default()),
            [(core, _)] => Ok(shard.forward(request, *core)),
            _ => shard.scatter(request, parts),
        };
    }
    let split = by_partition(shard, &body.groups);
    let parts: Vec<_> = split
        .iter()
        .map(|(&partition, groups)| (partition, group::Request::DescribeGroups(groups)))
        .collect();
    shard.coordinate(request, &parts, move |pending, answers| {
        let mut groups: Vec<DescribedGroup<'static>> = Vec::new();
        for answer in answers {
            let Response::DescribeGroups(described) = answer else {
                unreachable!("{answer:?} to DescribeGroups")
            };
            groups.extend(described);
        }
        for group in &mut groups {
            group.authorized_operations = if operations && group.error_code == 0 {
                ALL_GROUP_OPERATIONS
            } else {
                i32::MIN
            };
        }
        pending.encode(&DescribeGroupsResponse {
            groups,
            ..Default::default()
        })
    })
}

impl Split for DescribeGroupsRequest<'_> {
    fn merge<'r: 'r>(answers: Vec<DescribeGroupsResponse<'r>>) -> DescribeGroupsResponse<'r> {
        DescribeGroupsResponse {
            groups: answers.into_iter().flat_map(|a| a.groups).collect(),
            ..Default::default()
        }
    }
}
