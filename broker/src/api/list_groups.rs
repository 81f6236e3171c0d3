//! ListGroups (key 16): the groups of this core, or of the host in single-port mode.
use super::split::must_split;
use crate::{
    group::{self, Response},
    shard::{
        Shard,
        forward::Split,
        reply::{Request, Stage},
    },
};
use netio::CoreId;
use wire::{
    Decode, ErrorCode, Reader,
    list_groups::{ListGroupsRequest, ListGroupsResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ListGroupsRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        let parts = (0..shard.settings.cores)
            .map(|core| (CoreId(core), body.clone()))
            .collect();
        return shard.scatter(request, parts);
    }
    let part = group::Request::ListGroups {
        states: &body.states_filter,
        types: &body.types_filter,
    };
    let parts: Vec<_> = shard
        .coordinators
        .partitions()
        .into_iter()
        .map(|partition| (partition, part))
        .collect();
    shard.coordinate(request, &parts, |pending, answers| {
        let mut response = ListGroupsResponse::default();
        for answer in answers {
            match answer {
                Response::ListGroups(Ok(groups)) => response.groups.extend(groups),
                // One partition that is led no more does not hide the groups of all others (Kafka:
                // `GroupCoordinatorService.listGroups`).
                Response::ListGroups(Err(ErrorCode::NotCoordinator)) => {}
                Response::ListGroups(Err(error)) => response.error_code = error.code(),
                other => unreachable!("{other:?} to ListGroups"),
            }
        }
        if response.error_code != 0 {
            response.groups.clear();
        }
        pending.encode(&response)
    })
}

impl Split for ListGroupsRequest<'_> {
    fn merge<'r: 'r>(answers: Vec<ListGroupsResponse<'r>>) -> ListGroupsResponse<'r> {
        let error_code = answers
            .iter()
            .map(|a| a.error_code)
            .find(|&e| e != 0)
            .unwrap_or(0);
        let groups = if error_code == 0 {
            answers.into_iter().flat_map(|a| a.groups).collect()
        } else {
            Vec::new()
        };
        ListGroupsResponse {
            error_code,
            groups,
            ..Default::default()
        }
    }
}
