//! DeleteGroups (key 42): forgets groups without members, some at a time: each is a decision and
//! records of its own, as in Kafka.
use super::{
    groups::{around, by_partition, scatter_groups, sort_by_partition},
    split::must_split,
};
use crate::{
    answer::{
        Elements, Portion, Progress,
        distinct::{Names, keep_once},
    },
    core::request::{Request, Stage},
    group::{self, Response},
    shard::{Shard, forward::Split},
};
use std::{cell::RefCell, collections::VecDeque, rc::Rc};
use wire::{
    Decode, ErrorCode, Message, Reader, Str, Writer,
    delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse},
};

/// Groups whose deletion is decided in one turn.
const GROUPS_AT_ONCE: usize = 512;

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
    let names = body.groups_names.iter().map(|name| &**name).collect();
    drop(body);
    let groups = Groups { version, names, at: 0, asked: 0, decided: Rc::default() };
    shard.answer_in_portions(request.pending, DeleteGroupsResponse::default, groups)
}

/// Groups to be deleted, sorted by the partition of their coordinators.
struct Groups {
    version: i16,
    names: Names,
    /// The first that is not answered.
    at: usize,
    /// How many from there on the coordinators were asked to delete.
    asked: usize,
    /// What they have decided of those.
    decided: Rc<RefCell<VecDeque<ErrorCode>>>,
}

impl Elements for Groups {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        loop {
            while let Some(error) = self.decided.borrow_mut().pop_front() {
                let group_id = self.names.get(self.at).unwrap_or_default().into();
                out.put(&DeletableGroupResult { group_id, error_code: error.code() })?;
                self.at += 1;
                self.asked -= 1;
            }
            if self.asked > 0 {
                return Ok(Progress::Wait);
            }
            if out.is_full() {
                return Ok(Progress::More);
            }
            let next = self.at..self.names.len().min(self.at + GROUPS_AT_ONCE);
            if next.is_empty() {
                return Ok(Progress::Done);
            }
            if !shard.has_room_for_answer(out.id) {
                return Ok(Progress::Wait);
            }
            self.asked = next.len();
            let names: Vec<Str<'_>> =
                next.filter_map(|at| self.names.get(at)).map(Str::from).collect();
            let parts: Vec<_> = by_partition(shard, &names)
                .into_iter()
                .map(|(partition, groups)| (partition, group::Request::DeleteGroups(groups)))
                .collect();
            let (decided, id) = (self.decided.clone(), out.id);
            shard.coordinate_some(self.version, &parts, move |shard, answers| {
                let errors = answers.into_iter().flat_map(|answer| match answer {
                    Response::DeleteGroups(errors) => errors,
                    other => unreachable!("{other:?} to DeleteGroups"),
                });
                decided.borrow_mut().extend(errors);
                shard.wake_answer(id);
            });
        }
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
