//! What the group APIs share: finding the coordinator, one answer or several.
use super::split::{each_core, part_frame};
use crate::{
    answer::{AnswerId, Progress},
    coordinator::Context,
    core::{
        placement::core_of,
        request::{Pending, Request, Stage},
    },
    group::{self, Response},
    shard::{Shard, forward::Split, metadata::OFFSETS_TOPIC},
};
use netio::CoreId;
use std::{cell::Cell, collections::BTreeSet, rc::Rc};
use wire::{Around, ErrorCode, Str, Writer};

/// Answers with what the coordinator of one group says. `assemble` turns it into the API's answer.
pub(crate) fn one(
    shard: &mut Shard,
    request: &Request<'_>,
    group_id: &str,
    body: group::Request<'_>,
    assemble: impl FnOnce(&mut Shard, Pending, Response) -> Result<Stage, wire::Error> + 'static,
) -> Result<Stage, wire::Error> {
    if let Some(refused) = refuse_first(shard, request, &body) {
        return assemble(shard, request.pending, refused);
    }
    if let Some(core) = other_core(shard, request, group_id) {
        return Ok(shard.forward(request, core));
    }
    let partition = shard.partition_of_group(group_id).unwrap_or(NOWHERE);
    shard.coordinate(
        request,
        &[(partition, body)],
        move |shard, pending, mut answers| match answers.pop() {
            Some(answer) => assemble(shard, pending, answer),
            None => unreachable!("one part, one answer"),
        },
    )
}

/// Protocols that a member may name.
const PROTOCOLS_MAX: usize = 1_000;

/// What Kafka says before it looks for the coordinator, so also where there is none
/// (`GroupCoordinatorService`).
fn refuse_first(
    shard: &Shard,
    request: &Request<'_>,
    body: &group::Request<'_>,
) -> Option<Response> {
    let settings = &shard.settings.group;
    let sessions = settings.min_session_timeout_ms..=settings.max_session_timeout_ms;
    // Nullable in the schema, and mandatory since version 5 (KIP-559; Kafka:
    // `KafkaApis.handleSyncGroupRequest`).
    let no_protocol = request.version() >= 5
        && matches!(body, group::Request::SyncGroup(r) if r.protocol_type.is_none() || r.protocol_name.is_none());
    // Kafka has no bound. A client names as many as it has assignors; each is looked up among those
    // of all members.
    let too_many =
        matches!(body, group::Request::JoinGroup(r) if r.protocols.len() > PROTOCOLS_MAX);
    let (group_id, session_timeout_ms) = match body {
        group::Request::JoinGroup(r) => (&r.group_id, Some(r.session_timeout_ms)),
        group::Request::SyncGroup(r) => (&r.group_id, None),
        group::Request::Heartbeat(r) => (&r.group_id, None),
        group::Request::LeaveGroup(r) => (&r.group_id, None),
        group::Request::OffsetDelete(r) => (&r.group_id, None),
        _ => return None,
    };
    let error = if too_many {
        ErrorCode::InvalidRequest
    } else if no_protocol {
        ErrorCode::InconsistentGroupProtocol
    } else if group_id.is_empty() {
        ErrorCode::InvalidGroupId
    } else if session_timeout_ms.is_some_and(|ms| !sessions.contains(&ms)) {
        ErrorCode::InvalidSessionTimeout
    } else {
        return None;
    };
    let context =
        Context { api_version: request.version(), client_id: "", client_host: "", random: 0 };
    let mut refused = body.refuse(&context, error);
    if let (group::Request::JoinGroup(r), Response::JoinGroup(answer)) = (body, &mut refused) {
        answer.member_id = r.member_id.clone().into_owned().into();
    }
    Some(refused)
}

/// A partition that no core leads: its groups are refused.
const NOWHERE: i32 = -1;

/// The core that coordinates the group, if the request must go there: clients see one node for all
/// cores.
pub(crate) fn other_core(shard: &Shard, request: &Request<'_>, group_id: &str) -> Option<CoreId> {
    if !super::split::must_split(shard, request) {
        return None;
    }
    Some(core_of_group(shard, group_id)).filter(|&core| core != shard.me)
}

fn core_of_group(shard: &Shard, group_id: &str) -> CoreId {
    let topic = shard.image.topic(OFFSETS_TOPIC).map(|t| t.id);
    match (topic, shard.partition_of_group(group_id)) {
        (Some(id), Some(partition)) => core_of(id, partition, shard.settings.cores),
        _ => shard.me,
    }
}

/// Sorts group ids by the partition of their coordinators. Those of a partition stay in order.
pub(crate) fn sort_by_partition(shard: &Shard, groups: &mut [Str<'_>]) {
    groups.sort_by_cached_key(|group| shard.partition_of_group(group).unwrap_or(NOWHERE));
}

/// Groups that [`sort_by_partition`] has sorted, those of a partition together.
pub(crate) fn by_partition<'g, 'a>(
    shard: &Shard,
    groups: &'g [Str<'a>],
) -> Vec<(i32, &'g [Str<'a>])> {
    let partition = |group: &Str<'a>| shard.partition_of_group(group).unwrap_or(NOWHERE);
    let parts = groups.chunk_by(|a, b| partition(a) == partition(b));
    parts.filter_map(|part| Some((partition(part.first()?), part))).collect()
}

/// Sends each core the items of its groups. `body` is the request without items, and `put` writes
/// one. As in [`super::split::scatter_topics`], there is no second request in memory.
pub(crate) fn scatter_groups<T, Q: Split>(
    shard: &mut Shard,
    request: &Request<'_>,
    items: &[T],
    group_of: impl Fn(&T) -> &str,
    around: impl Fn(usize, usize) -> Result<Around, wire::Error>,
    put: impl Fn(&mut Writer, &T) -> Result<(), wire::Error>,
) -> Result<Stage, wire::Error> {
    let owners: Vec<CoreId> =
        items.iter().map(|item| core_of_group(shard, group_of(item))).collect();
    let cores = each_core(&owners);
    match cores.as_slice() {
        [] => return request.answer(&Q::Response::default()),
        [core] => return Ok(shard.forward(request, *core)),
        _ => {}
    }
    let mut frames = Vec::with_capacity(cores.len());
    for core in cores {
        let (mut elements, mut count) = (Writer::new(), 0);
        for (item, _) in items.iter().zip(&owners).filter(|(_, owner)| **owner == core) {
            put(&mut elements, item)?;
            count += 1;
        }
        let around = around(count, elements.len())?;
        frames.push((core, part_frame(&around, elements)));
    }
    Ok(shard.scatter_frames::<Q>(request, frames))
}

/// What stands around the parts of a request.
pub(crate) fn around<'q, Q: Split>(
    request: &'q Request<'_>,
    body: &'q Q,
) -> impl Fn(usize, usize) -> Result<Around, wire::Error> + 'q {
    let (pending, client) = (request.pending, request.client_id);
    move |count, bytes| {
        let (id, version) = (pending.correlation_id, pending.version);
        wire::encode_request_around(body, id, client, version, count, bytes)
    }
}

/// Waits until what an answer was told of groups is committed.
#[derive(Default)]
pub(crate) struct Committed {
    partitions: BTreeSet<i32>,
    asked: bool,
    fine: Rc<Cell<Option<bool>>>,
}

impl Committed {
    /// The state of a group's coordinator is read for the answer.
    pub(crate) fn read<'s>(
        &mut self,
        shard: &'s Shard,
        partition: i32,
    ) -> Result<&'s group::Coordinator, ErrorCode> {
        let coordinator = shard.coordinators.serving(partition)?;
        self.partitions.insert(partition);
        Ok(coordinator)
    }

    /// As [`Self::read`], of the coordinator of this group.
    pub(crate) fn read_group<'s>(
        &mut self,
        shard: &'s Shard,
        group: &str,
    ) -> Result<&'s group::Coordinator, ErrorCode> {
        let partition = shard.partition_of_group(group).unwrap_or(NOWHERE);
        self.read(shard, partition)
    }

    /// Everything is read. [`Progress::Again`] when a coordinator has failed since: what it said
    /// did not last.
    pub(crate) fn end(&mut self, shard: &mut Shard, id: AnswerId) -> Progress {
        if !self.asked {
            self.asked = true;
            let fine = self.fine.clone();
            shard.when_committed(&self.partitions, move |shard, is_fine| {
                fine.set(Some(is_fine));
                shard.wake_answer(id);
            });
        }
        match self.fine.take() {
            Some(true) => Progress::Done,
            Some(false) => Progress::Again,
            None => Progress::Wait,
        }
    }
}

/// The error of a partition that a commit names; `None` when it exists.
pub(crate) fn unknown_partition(shard: &Shard, topic: &str, partition: i32) -> Option<ErrorCode> {
    let known = shard
        .image
        .topic(topic)
        .is_some_and(|t| usize::try_from(partition).is_ok_and(|p| p < t.partitions.len()));
    (!known).then_some(ErrorCode::UnknownTopicOrPartition)
}

/// Declares the handler of an API that names one group and is answered by it as it is.
macro_rules! plain {
    ($request:ident, $variant:ident) => {
        pub(crate) fn handle<'a>(
            shard: &mut crate::shard::Shard,
            request: &crate::core::request::Request<'a>,
            reader: &mut wire::Reader<'a>,
        ) -> Result<crate::core::request::Stage, wire::Error> {
            let body = <$request<'a> as wire::Decode<'a>>::decode(reader, request.version())?;
            let part = crate::group::Request::$variant(&body);
            crate::api::groups::one(shard, request, &body.group_id, part, |_, pending, answer| {
                match answer {
                    crate::group::Response::$variant(answer) => {
                        pending.encode(&answer).map(crate::core::request::Stage::Reply)
                    }
                    other => unreachable!("{other:?} to {}", stringify!($variant)),
                }
            })
        }
    };
}
pub(crate) use plain;
