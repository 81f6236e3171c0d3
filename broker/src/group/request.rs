//! The operations of a group coordinator and their answers.
//!
//! Where a request can name groups of several partitions (OffsetFetch from version 8 on,
//! DescribeGroups, DeleteGroups, ListGroups), the broker splits it; [`fetch_groups`] and
//! [`fetch_response`] do so for OffsetFetch, whose shape depends on its version.

use super::versions;
use crate::coordinator::Context;
use std::borrow::Cow;
use wire::ErrorCode;
use wire::describe_groups::DescribedGroup;
use wire::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use wire::join_group::{JoinGroupRequest, JoinGroupResponse};
use wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use wire::list_groups::ListedGroup;
use wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use wire::offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
use wire::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use wire::sync_group::{SyncGroupRequest, SyncGroupResponse};

/// An operation. Authorization has been checked.
#[derive(Debug, Clone, Copy)]
pub enum Request<'a> {
    JoinGroup(&'a JoinGroupRequest<'a>),
    SyncGroup(&'a SyncGroupRequest<'a>),
    Heartbeat(&'a HeartbeatRequest<'a>),
    LeaveGroup(&'a LeaveGroupRequest<'a>),
    /// Only topics and partitions that exist; each topic with its name *and* its id, whatever the
    /// version (an id of zeros where it is not known).
    OffsetCommit(&'a OffsetCommitRequest<'a>),
    /// One group; each topic with its name.
    OffsetFetch(&'a OffsetFetchRequestGroup<'a>),
    /// Only topics and partitions that exist.
    OffsetDelete(&'a OffsetDeleteRequest<'a>),
    /// Groups of this partition.
    DescribeGroups(&'a [Cow<'a, str>]),
    /// No filter lets everything through.
    ListGroups {
        states: &'a [Cow<'a, str>],
        types: &'a [Cow<'a, str>],
    },
    /// Groups of this partition.
    DeleteGroups(&'a [Cow<'a, str>]),
}

impl Request<'_> {
    /// Whether it may lead to records.
    pub fn may_write(&self) -> bool {
        match self {
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::LeaveGroup(_)
            | Request::OffsetCommit(_)
            | Request::OffsetDelete(_)
            | Request::DeleteGroups(_) => true,
            Request::Heartbeat(_)
            | Request::OffsetFetch(_)
            | Request::DescribeGroups(_)
            | Request::ListGroups { .. } => false,
        }
    }
}

/// The answer to the request of the same name.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    JoinGroup(JoinGroupResponse<'static>),
    SyncGroup(SyncGroupResponse<'static>),
    Heartbeat(HeartbeatResponse),
    LeaveGroup(LeaveGroupResponse<'static>),
    OffsetCommit(OffsetCommitResponse<'static>),
    OffsetFetch(OffsetFetchResponseGroup<'static>),
    OffsetDelete(OffsetDeleteResponse<'static>),
    DescribeGroups(Vec<DescribedGroup<'static>>),
    /// The groups, or an error for all of them.
    ListGroups(Result<Vec<ListedGroup<'static>>, ErrorCode>),
    /// Of each group, in the order of the request.
    DeleteGroups(Vec<ErrorCode>),
}

/// Text that outlives the request.
pub(super) fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

impl Request<'_> {
    /// The answer that refuses all of the request with `error`, in the shape that Kafka gives it.
    pub fn refuse(&self, context: &Context<'_>, error: ErrorCode) -> Response {
        let error_code = error.into();
        match self {
            // What does not come to the group names no member, as in Kafka.
            Self::JoinGroup(_) => Response::JoinGroup(join_error("", error)),
            Self::SyncGroup(_) => Response::SyncGroup(sync_error(error)),
            Self::Heartbeat(_) => {
                Response::Heartbeat(HeartbeatResponse { error_code, ..Default::default() })
            }
            Self::LeaveGroup(_) => {
                Response::LeaveGroup(LeaveGroupResponse { error_code, ..Default::default() })
            }
            Self::OffsetCommit(request) => Response::OffsetCommit(commit_error(request, error)),
            Self::OffsetFetch(request) => {
                Response::OffsetFetch(fetch_error(request, context.api_version, error))
            }
            Self::OffsetDelete(_) => {
                Response::OffsetDelete(OffsetDeleteResponse { error_code, ..Default::default() })
            }
            Self::DescribeGroups(groups) => Response::DescribeGroups(
                groups
                    .iter()
                    .map(|group| DescribedGroup {
                        error_code,
                        group_id: owned(group),
                        ..Default::default()
                    })
                    .collect(),
            ),
            Self::ListGroups { .. } => Response::ListGroups(Err(error)),
            Self::DeleteGroups(groups) => Response::DeleteGroups(vec![error; groups.len()]),
        }
    }
}

impl Response {
    /// The same answer turned into a refusal: what it promised did not last.
    pub fn fail(&mut self, error: ErrorCode) {
        let error_code: i16 = error.into();
        match self {
            Self::JoinGroup(answer) => *answer = join_error("", error),
            Self::SyncGroup(answer) => *answer = sync_error(error),
            Self::Heartbeat(answer) => answer.error_code = error_code,
            Self::LeaveGroup(answer) => {
                answer.error_code = error_code;
                answer.members.clear();
            }
            Self::OffsetCommit(answer) => {
                let partitions = answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions.for_each(|partition| partition.error_code = error_code);
            }
            Self::OffsetFetch(answer) => {
                answer.error_code = error_code;
                let partitions = answer.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                partitions
                    .for_each(|partition| *partition = no_offset(partition.partition_index, error));
            }
            Self::OffsetDelete(answer) => {
                answer.error_code = error_code;
                answer.topics.clear();
            }
            Self::DescribeGroups(groups) => {
                for group in groups {
                    *group = DescribedGroup {
                        error_code,
                        group_id: std::mem::take(&mut group.group_id),
                        ..Default::default()
                    };
                }
            }
            Self::ListGroups(answer) => *answer = Err(error),
            Self::DeleteGroups(results) => {
                results.fill(error);
            }
        }
    }
}

/// A refused JoinGroup. What "no protocol" looks like is up to the version: `api::join_group`.
pub(super) fn join_error(member_id: &str, error: ErrorCode) -> JoinGroupResponse<'static> {
    JoinGroupResponse {
        error_code: error.into(),
        member_id: owned(member_id),
        protocol_name: Some(Cow::Borrowed("")),
        ..Default::default()
    }
}

pub(super) fn sync_error(error: ErrorCode) -> SyncGroupResponse<'static> {
    SyncGroupResponse { error_code: error.into(), ..Default::default() }
}

/// OffsetCommit has no place for an error but its partitions.
pub(super) fn commit_error(
    request: &OffsetCommitRequest<'_>,
    error: ErrorCode,
) -> OffsetCommitResponse<'static> {
    let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: owned(&topic.name),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: error.into(),
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

/// "There is no offset", or why it is not told.
pub(crate) fn no_offset(
    partition: i32,
    error: ErrorCode,
) -> OffsetFetchResponsePartitions<'static> {
    OffsetFetchResponsePartitions {
        partition_index: partition,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(Cow::Borrowed("")),
        error_code: error.into(),
    }
}

fn fetch_error(
    group: &OffsetFetchRequestGroup<'_>,
    version: i16,
    error: ErrorCode,
) -> OffsetFetchResponseGroup<'static> {
    let mut topics = Vec::new();
    if !versions::fetch_has_group_error(version) {
        topics.extend(group.topics.iter().flatten().map(|topic| {
            OffsetFetchResponseTopics {
                name: owned(&topic.name),
                topic_id: topic.topic_id,
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|partition| no_offset(*partition, error))
                    .collect(),
            }
        }));
    }
    OffsetFetchResponseGroup { group_id: owned(&group.group_id), topics, error_code: error.into() }
}

/// Whether an error of a group stands beside its topics.
pub(crate) const fn fetch_has_group_error(version: i16) -> bool {
    versions::fetch_has_group_error(version)
}

/// Whether an OffsetFetch names several groups.
pub(crate) const fn fetch_is_batched(version: i16) -> bool {
    versions::fetch_is_batched(version)
}

/// The groups of an OffsetFetch, of whatever version.
pub fn fetch_groups<'a>(
    request: &OffsetFetchRequest<'a>,
    version: i16,
) -> Vec<OffsetFetchRequestGroup<'a>> {
    if versions::fetch_is_batched(version) {
        return request.groups.clone();
    }
    let topics = request.topics.as_ref().map(|topics| {
        topics
            .iter()
            .map(|topic| OffsetFetchRequestTopics {
                name: topic.name.clone(),
                partition_indexes: topic.partition_indexes.clone(),
                ..Default::default()
            })
            .collect()
    });
    vec![OffsetFetchRequestGroup {
        group_id: request.group_id.clone(),
        topics,
        ..Default::default()
    }]
}

/// The answer to an OffsetFetch, from the answers to its groups.
pub fn fetch_response(
    mut groups: Vec<OffsetFetchResponseGroup<'static>>,
    version: i16,
) -> OffsetFetchResponse<'static> {
    if versions::fetch_is_batched(version) {
        return OffsetFetchResponse { groups, ..Default::default() };
    }
    let Some(group) = groups.pop() else {
        return OffsetFetchResponse::default();
    };
    let topics = group.topics.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| OffsetFetchResponsePartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                metadata: partition.metadata,
                error_code: partition.error_code,
            })
            .collect(),
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..Default::default()
    }
}

/// The answer of LeaveGroup in the shape of its version: one error code while it had one member.
pub(super) fn leave_response(
    version: i16,
    error: ErrorCode,
    members: Vec<MemberResponse<'static>>,
) -> LeaveGroupResponse<'static> {
    if versions::leave_is_batched(version) {
        return LeaveGroupResponse { error_code: error.into(), members, ..Default::default() };
    }
    let of_member = members.first().map_or(0, |member| member.error_code);
    let error_code = if error.is_none() { of_member } else { error.into() };
    LeaveGroupResponse { error_code, ..Default::default() }
}
