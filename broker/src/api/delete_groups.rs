//! DeleteGroups (key 42): forgets groups without members.
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
use std::collections::BTreeSet;
use wire::{
    Decode, Reader,
    delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let mut body = DeleteGroupsRequest::decode(reader, request.version())?;
    // A group that is named twice is deleted, and answered, once.
    let mut named = BTreeSet::new();
    body.groups_names.retain(|group| named.insert(group.clone()));
    if must_split(shard, request) {
        let parts: Vec<_> = by_core(shard, body.groups_names, |g| g)
            .into_iter()
            .map(|(core, groups_names)| (core, DeleteGroupsRequest { groups_names }))
            .collect();
        return match parts.as_slice() {
            [] => request.answer(&DeleteGroupsResponse::default()),
            [(core, _)] => Ok(shard.forward(request, *core)),
            _ => shard.scatter(request, parts),
        };
    }
    let split = by_partition(shard, &body.groups_names);
    let parts: Vec<_> = split
        .iter()
        .map(|(&partition, groups)| (partition, group::Request::DeleteGroups(groups)))
        .collect();
    shard.coordinate(request, &parts, |pending, answers| {
        let mut response = DeleteGroupsResponse::default();
        for answer in answers {
            let Response::DeleteGroups(results) = answer else {
                unreachable!("{answer:?} to DeleteGroups")
            };
            response.results.extend(results);
        }
        pending.encode(&response)
    })
}

impl Split for DeleteGroupsRequest<'_> {
    const IS_LIST: bool = true;

    fn merge<'r: 'r>(answers: Vec<DeleteGroupsResponse<'r>>) -> DeleteGroupsResponse<'r> {
        DeleteGroupsResponse {
            throttle_time_ms: 0,
            results: answers.into_iter().flat_map(|a| a.results).collect(),
        }
    }
}
