//! Behaviours of groups, one file per API, and a simulation of members from a seed.
//!
//! What is expected is what Kafka 4.3 does (`GroupMetadataManagerTest`, `OffsetMetadataManagerTest`
//! were the source of the cases).

mod admin;
mod commit;
mod expiry;
mod join;
mod leave;
mod members;
mod offsets;
mod records;
mod simulation;
mod sync;

use super::offsets::Offsets;
use super::{Coordinator, GroupState, Options, Request, Response, subscription};
use crate::coordinator::{Context, Now, Record, ReplyTo};
use std::borrow::Cow;
use std::collections::BTreeMap;
use wire::ErrorCode;
use wire::heartbeat::HeartbeatRequest;
use wire::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use wire::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use wire::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use wire::offset_fetch::OffsetFetchRequestGroup;
use wire::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};

const GROUP: &str = "group";
const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;

/// What a restart would find: per group its record, and its offsets.
type Lasting = BTreeMap<String, (Option<Vec<u8>>, Offsets)>;

pub(super) fn lasting(coordinator: &Coordinator) -> Lasting {
    let groups = coordinator.groups.values();
    groups
        .filter(|group| group.persisted.is_some() || !group.offsets.is_empty())
        .map(|group| (group.id.to_string(), (group.persisted.clone(), group.offsets.clone())))
        .collect()
}

/// A coordinator, its clock, its log, and the answers it gave.
struct Bed {
    coordinator: Coordinator,
    now: Now,
    log: Vec<Record>,
    asked: u64,
    answers: BTreeMap<u64, Response>,
}

impl Bed {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let mut bed = Self {
            coordinator: Coordinator::new(options),
            now: Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 },
            log: Vec::new(),
            asked: 0,
            answers: BTreeMap::new(),
        };
        let outcome = bed.coordinator.activate(bed.now);
        bed.take(outcome);
        bed
    }

    fn take(&mut self, outcome: super::Outcome) {
        self.log.extend(outcome.records);
        for (to, response) in outcome.replies {
            assert!(to.0 <= self.asked, "an answer to {to:?}, which nobody asked");
            let before = self.answers.insert(to.0, response);
            assert!(before.is_none(), "{to:?} answered twice, first {before:?}");
        }
        self.coordinator.check();
    }

    /// Returns the number of the request; its answer may come later.
    fn send(&mut self, request: Request<'_>, version: i16) -> u64 {
        self.asked += 1;
        let context = Context {
            api_version: version,
            client_id: "client",
            client_host: "/127.0.0.1",
            random: u128::from(self.asked),
        };
        let outcome = self.coordinator.handle(request, &context, ReplyTo(self.asked), self.now);
        self.take(outcome);
        self.asked
    }

    fn call(&mut self, request: Request<'_>, version: i16) -> Response {
        let asked = self.send(request, version);
        self.answer(asked)
    }

    #[track_caller]
    fn answer(&mut self, asked: u64) -> Response {
        self.answers.remove(&asked).unwrap_or_else(|| panic!("request {asked} is not answered"))
    }

    #[track_caller]
    fn is_open(&self, asked: u64) {
        assert!(!self.answers.contains_key(&asked), "answered: {:?}", self.answers.get(&asked));
    }

    /// Lets time pass in steps to each deadline.
    fn sleep(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        while let Some(next) = self.coordinator.next_deadline().filter(|next| *next <= end) {
            self.pass(next.saturating_sub(self.now.monotonic_ms));
            let outcome = self.coordinator.tick(self.now);
            self.take(outcome);
        }
        self.pass(end - self.now.monotonic_ms);
    }

    fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += i64::try_from(ms).unwrap();
    }

    /// What the log makes of it.
    fn replayed(&self) -> Coordinator {
        let mut replayed = Coordinator::new(self.coordinator.options.clone());
        for record in &self.log {
            assert!(
                replayed.replay(&record.key, record.value.as_deref(), self.now.wall_ms).unwrap()
            );
            replayed.check();
        }
        replayed
    }

    #[track_caller]
    fn replay_is_the_same(&self) {
        assert_eq!(lasting(&self.replayed()), lasting(&self.coordinator));
    }

    /// The process dies and comes back; who waited is not answered.
    fn restart(&mut self) {
        self.replay_is_the_same();
        self.coordinator = self.replayed();
        let outcome = self.coordinator.activate(self.now);
        self.take(outcome);
    }

    // ---- the group

    fn state(&self) -> GroupState {
        self.coordinator.groups[GROUP].classic.state
    }

    fn generation(&self) -> i32 {
        self.coordinator.groups[GROUP].classic.generation
    }

    fn size(&self) -> usize {
        self.coordinator.groups[GROUP].classic.len()
    }

    // ---- requests

    fn send_join(&mut self, join: Join<'_>) -> u64 {
        self.send(Request::JoinGroup(&join.request()), join.version)
    }

    #[track_caller]
    /// All of them join again, with what they said before.
    fn send_joins(&mut self, members: &[String]) -> Vec<u64> {
        let again = |id: &String| self.send_join(Join { member: id, ..Join::default() });
        members.iter().map(again).collect()
    }

    fn joined(&mut self, asked: u64) -> JoinGroupResponse<'static> {
        match self.answer(asked) {
            Response::JoinGroup(answer) => answer,
            other => panic!("not an answer to JoinGroup: {other:?}"),
        }
    }

    #[track_caller]
    fn join(&mut self, join: Join<'_>) -> JoinGroupResponse<'static> {
        let asked = self.send_join(join);
        self.joined(asked)
    }

    /// Asks for a member id, as clients since KIP-394 do.
    fn new_id(&mut self) -> String {
        let answer = self.join(Join::default());
        assert_eq!(error(answer.error_code), ErrorCode::MemberIdRequired);
        answer.member_id.into_owned()
    }

    fn send_sync(&mut self, member: &str, generation: i32, assignments: &[(&str, &[u8])]) -> u64 {
        self.send(Request::SyncGroup(&sync_request(member, generation, assignments)), 5)
    }

    #[track_caller]
    fn synced(&mut self, asked: u64) -> SyncGroupResponse<'static> {
        match self.answer(asked) {
            Response::SyncGroup(answer) => answer,
            other => panic!("not an answer to SyncGroup: {other:?}"),
        }
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> ErrorCode {
        self.heartbeat_as(member, generation, None)
    }

    fn heartbeat_as(&mut self, member: &str, generation: i32, instance: Option<&str>) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            member_id: member.into(),
            generation_id: generation,
            group_instance_id: instance.map(Cow::Borrowed),
        };
        match self.call(Request::Heartbeat(&request), 4) {
            Response::Heartbeat(answer) => error(answer.error_code),
            other => panic!("not an answer to Heartbeat: {other:?}"),
        }
    }

    fn leave(&mut self, members: &[(&str, Option<&str>)]) -> LeaveGroupResponse<'static> {
        let request = LeaveGroupRequest {
            group_id: GROUP.into(),
            members: members
                .iter()
                .map(|(id, instance)| MemberIdentity {
                    member_id: Cow::Borrowed(id),
                    group_instance_id: instance.map(Cow::Borrowed),
                    reason: None,
                })
                .collect(),
            ..Default::default()
        };
        match self.call(Request::LeaveGroup(&request), 5) {
            Response::LeaveGroup(answer) => answer,
            other => panic!("not an answer to LeaveGroup: {other:?}"),
        }
    }

    /// Commits `offset` for `t-0`.
    fn commit(&mut self, member: &str, generation: i32, offset: i64) -> ErrorCode {
        let request = commit_request(member, generation, "t", 0, offset);
        self.send_commit(&request, 9)
    }

    fn send_commit(&mut self, request: &OffsetCommitRequest<'_>, version: i16) -> ErrorCode {
        match self.call(Request::OffsetCommit(request), version) {
            Response::OffsetCommit(answer) => error(answer.topics[0].partitions[0].error_code),
            other => panic!("not an answer to OffsetCommit: {other:?}"),
        }
    }

    /// The offset committed for `topic` and `partition`, -1 if none.
    fn fetch(&mut self, topic: &str, partition: i32) -> i64 {
        let group = OffsetFetchRequestGroup {
            group_id: GROUP.into(),
            topics: Some(vec![wire::offset_fetch::OffsetFetchRequestTopics {
                name: topic.into(),
                partition_indexes: vec![partition],
                ..Default::default()
            }]),
            ..Default::default()
        };
        match self.call(Request::OffsetFetch(&group), 9) {
            Response::OffsetFetch(answer) => answer.topics[0].partitions[0].committed_offset,
            other => panic!("not an answer to OffsetFetch: {other:?}"),
        }
    }

    // ---- courses

    /// A stable group of `count` dynamic members; the leader is the first.
    fn stable(&mut self, count: usize) -> Vec<String> {
        let ids: Vec<String> = (0..count).map(|_| self.new_id()).collect();
        let joins: Vec<u64> = ids
            .iter()
            .map(|id| self.send_join(Join { member: id, ..Default::default() }))
            .collect();
        // Who comes after the first makes the group wait for more once.
        self.sleep(if count > 1 { 6_000 } else { 3_000 });
        let mut leader = String::new();
        for join in joins {
            let answer = self.joined(join);
            assert_eq!(error(answer.error_code), ErrorCode::None);
            leader = answer.leader.into_owned();
        }
        let mut members = vec![leader.clone()];
        members.extend(ids.into_iter().filter(|id| *id != leader));
        self.sync_all(&members);
        members
    }

    /// Every member gets its own id as its assignment.
    fn sync_all(&mut self, members: &[String]) {
        let generation = self.generation();
        let followers: Vec<u64> =
            members.iter().skip(1).map(|id| self.send_sync(id, generation, &[])).collect();
        let assignments: Vec<(&str, &[u8])> =
            members.iter().map(|id| (id.as_str(), id.as_bytes())).collect();
        let leader = self.send_sync(&members[0], generation, &assignments);
        for (asked, id) in std::iter::once(leader).chain(followers).zip(members) {
            let answer = self.synced(asked);
            assert_eq!(error(answer.error_code), ErrorCode::None);
            assert_eq!(&*answer.assignment, id.as_bytes());
        }
        assert_eq!(self.state(), GroupState::Stable);
        self.replay_is_the_same();
    }
}

fn error(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

fn sync_request<'a>(
    member: &'a str,
    generation: i32,
    assignments: &[(&'a str, &'a [u8])],
) -> SyncGroupRequest<'a> {
    SyncGroupRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        generation_id: generation,
        assignments: assignments
            .iter()
            .map(|(id, bytes)| SyncGroupRequestAssignment {
                member_id: Cow::Borrowed(id),
                assignment: Cow::Borrowed(bytes),
            })
            .collect(),
        ..Default::default()
    }
}

fn commit_request<'a>(
    member: &'a str,
    generation: i32,
    topic: &'a str,
    partition: i32,
    offset: i64,
) -> OffsetCommitRequest<'a> {
    OffsetCommitRequest {
        group_id: GROUP.into(),
        member_id: member.into(),
        generation_id_or_member_epoch: generation,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A JoinGroup of a consumer of topic `t`.
#[derive(Clone)]
struct Join<'a> {
    group: &'a str,
    member: &'a str,
    instance: Option<&'a str>,
    kind: &'a str,
    protocols: &'a [&'a str],
    topics: &'a [&'a str],
    session_ms: i32,
    rebalance_ms: i32,
    version: i16,
}

impl Default for Join<'_> {
    fn default() -> Self {
        Self {
            group: GROUP,
            member: "",
            instance: None,
            kind: "consumer",
            protocols: &["range"],
            topics: &["t"],
            session_ms: SESSION_MS,
            rebalance_ms: REBALANCE_MS,
            version: 9,
        }
    }
}

impl<'a> Join<'a> {
    fn request(&self) -> JoinGroupRequest<'a> {
        let metadata = subscription::encode(self.topics);
        JoinGroupRequest {
            group_id: self.group.into(),
            session_timeout_ms: self.session_ms,
            rebalance_timeout_ms: self.rebalance_ms,
            member_id: self.member.into(),
            group_instance_id: self.instance.map(Cow::Borrowed),
            protocol_type: self.kind.into(),
            protocols: self
                .protocols
                .iter()
                .map(|name| JoinGroupRequestProtocol {
                    name: Cow::Borrowed(name),
                    metadata: Cow::Owned(metadata.clone()),
                })
                .collect(),
            reason: None,
        }
    }
}
