//! ListGroups (key 16): the groups of this core, or of the host in single-port mode.
use super::{groups::Committed, split::must_split};
use crate::{
    answer::{Elements, Portion, Progress},
    core::request::{Request, Stage},
    group::Wanted,
    shard::{Shard, forward::Split},
};
use std::{cell::Cell, rc::Rc, sync::Arc};
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
        return Ok(shard.ask_all::<ListGroupsRequest<'_>>(request));
    }
    let error = Rc::new(Cell::new(ErrorCode::None));
    let groups = Groups {
        wanted: Wanted::new(&body.states_filter, &body.types_filter),
        partitions: shard.coordinators.partitions().into_iter().rev().collect(),
        ids: Vec::new(),
        open: None,
        error: error.clone(),
        committed: Committed::default(),
    };
    let around =
        move || ListGroupsResponse { error_code: error.get().code(), ..Default::default() };
    shard.answer_in_portions(request.pending, around, groups)
}

/// The groups of one coordinator after the other.
struct Groups {
    wanted: Wanted,
    /// Those to come, the next one last.
    partitions: Vec<i32>,
    /// Groups of the open partition, the next one last.
    ids: Vec<Arc<str>>,
    open: Option<i32>,
    error: Rc<Cell<ErrorCode>>,
    committed: Committed,
}

impl Groups {
    fn again(&mut self, shard: &Shard) -> Progress {
        self.partitions = shard.coordinators.partitions();
        self.partitions.reverse();
        self.ids.clear();
        self.open = None;
        self.error.set(ErrorCode::None);
        self.committed = Committed::default();
        Progress::Again
    }
}

impl Elements for Groups {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        loop {
            if out.is_full() {
                return Ok(Progress::More);
            }
            if let Some(partition) = self.open {
                let Ok(coordinator) = self.committed.read(shard, partition) else {
                    return Ok(self.again(shard));
                };
                while let Some(id) = self.ids.pop() {
                    match coordinator.list(&id, &self.wanted) {
                        Some(group) => out.put(&group)?,
                        None => out.looked_at(1),
                    }
                    if out.is_full() {
                        return Ok(Progress::More);
                    }
                }
            }
            let Some(partition) = self.partitions.pop() else {
                break;
            };
            self.open = None;
            out.looked_at(1);
            match self.committed.read(shard, partition) {
                Ok(coordinator) => {
                    self.open = Some(partition);
                    self.ids = coordinator.group_ids();
                    self.ids.sort_unstable_by(|a, b| b.cmp(a));
                }
                // One partition that is led no more does not hide the groups of all others (Kafka:
                // `GroupCoordinatorService.listGroups`).
                Err(ErrorCode::NotCoordinator) => {}
                // Any other error is the answer, alone.
                Err(error) => {
                    self.error.set(error);
                    self.partitions.clear();
                    self.committed = Committed::default();
                    return Ok(Progress::Again);
                }
            }
        }
        Ok(match self.committed.end(shard, out.id) {
            Progress::Again => self.again(shard),
            progress => progress,
        })
    }
}

impl Split for ListGroupsRequest<'_> {
    const IS_LIST: bool = true;

    fn merge<'r: 'r>(answers: Vec<ListGroupsResponse<'r>>) -> ListGroupsResponse<'r> {
        let error_code = answers.iter().map(|a| a.error_code).find(|&e| e != 0).unwrap_or(0);
        let groups = if error_code == 0 {
            answers.into_iter().flat_map(|a| a.groups).collect()
        } else {
            Vec::new()
        };
        ListGroupsResponse { error_code, groups, ..Default::default() }
    }
}
