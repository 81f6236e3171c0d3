//! DeleteGroups (key 42): forgets groups without members.
use super::{
    groups::{around, by_partition, scatter_groups, sort_by_partition},
    split::must_split,
};
use crate::{
    answer::{
        Elements, Portion, Progress,
        distinct::{Names, keep_once},
    },
    group::{self, Response},
    shard::{
        Shard,
        forward::Split,
        reply::{Request, Stage},
    },
};
use wire::{
    Decode, ErrorCode, Message, Reader, Str, Writer,
    delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let version = request.version();
    let mut body = DeleteGroupsRequest::decode(reader, version)?;
    // A group that is named twice is deleted, and answered, once.
    keep_once(shard.secret, &mut body.groups_names);
    if must_split(shard, request) {
        let bare = DeleteGroupsRequest::default();
        let put = |w: &mut Writer, group: &Str<'_>| {
            w.string(group, DeleteGroupsRequest::is_flexible(version))
        };
        let around = around(request, &bare);
        let groups = &body.groups_names;
        return scatter_groups::<_, DeleteGroupsRequest<'_>>(
            shard,
            request,
            groups,
            |g| g,
            around,
            put,
        );
    }
    sort_by_partition(shard, &mut body.groups_names);
    let groups: Names = body.groups_names.iter().map(|group| &**group).collect();
    let parts: Vec<_> = by_partition(shard, &body.groups_names)
        .into_iter()
        .map(|(partition, groups)| (partition, group::Request::DeleteGroups(groups)))
        .collect();
    shard.coordinate(request, &parts, |shard, pending, answers| {
        let mut errors = Vec::with_capacity(groups.len());
        for answer in answers {
            let Response::DeleteGroups(results) = answer else {
                unreachable!("{answer:?} to DeleteGroups")
            };
            errors.extend(results);
        }
        let deleted = Deleted { groups, errors, at: 0 };
        shard.answer_in_portions(pending, DeleteGroupsResponse::default, deleted)
    })
}

/// Groups, and what became of each.
struct Deleted {
    groups: Names,
    errors: Vec<ErrorCode>,
    at: usize,
}

impl Elements for Deleted {
    fn write(&mut self, _: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let (Some(group), Some(error)) = (self.groups.get(self.at), self.errors.get(self.at))
        {
            if out.is_full() {
                return Ok(Progress::More);
            }
            let (group_id, error_code) = (group.into(), error.code());
            out.put(&DeletableGroupResult { group_id, error_code })?;
            self.at += 1;
        }
        Ok(Progress::Done)
    }

    fn rewind(&mut self) -> bool {
        self.at = 0;
        true
    }
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
