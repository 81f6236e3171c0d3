//! DescribeGroups (key 15): states, protocols and members of classic groups.
use super::{
    groups::{Committed, around, scatter_groups},
    split::must_split,
};
use crate::{
    answer::{
        Elements, Portion, Progress,
        distinct::{Names, keep_once},
    },
    core::request::{Request, Stage},
    group::Membership,
    shard::{Shard, forward::Split},
};
use wire::{
    Decode, Message, Reader, Str, Writer,
    describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup},
};

/// Bits of `AclOperation` that exist for groups: READ 3, DELETE 6, DESCRIBE 8, DESCRIBE_CONFIGS 10,
/// ALTER_CONFIGS 11.
const ALL_GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let mut body = DescribeGroupsRequest::decode(reader, request.version())?;
    // A group that is named twice is described once. (Kafka describes it each time; its clients
    // keep answers by group.)
    keep_once(shard.secret, &mut body.groups);
    let operations = body.include_authorized_operations;
    if must_split(shard, request) {
        let bare = DescribeGroupsRequest { groups: Vec::new(), ..body };
        let flexible = DescribeGroupsRequest::is_flexible(request.version());
        let put = |w: &mut Writer, group: &Str<'_>| w.string(group, flexible);
        let around = around(request, &bare);
        return scatter_groups::<_, DescribeGroupsRequest<'_>>(
            shard,
            request,
            &body.groups,
            |g| g,
            around,
            put,
        );
    }
    let groups = Groups {
        names: body.groups.iter().map(|name| &**name).collect(),
        operations,
        at: 0,
        open: None,
        interrupted: 0,
        committed: Committed::default(),
    };
    shard.answer_in_portions(request.pending, DescribeGroupsResponse::default, groups)
}

/// A group whose members change again and again is described in one go.
const INTERRUPTED_MAX: u32 = 3;

/// Groups, one after the other, and of a large one some members at a time.
struct Groups {
    names: Names,
    operations: bool,
    at: usize,
    /// The group that is being written.
    open: Option<Open>,
    interrupted: u32,
    committed: Committed,
}

struct Open {
    membership: Membership,
    written: usize,
    /// The member that was written last.
    behind: String,
    tail: Vec<u8>,
}

impl Groups {
    /// Begins again, since what was written is not true any more.
    fn again(&mut self) -> Progress {
        self.at = 0;
        self.open = None;
        self.interrupted += 1;
        self.committed = Committed::default();
        Progress::Again
    }

    fn begin(&mut self, shard: &Shard, out: &mut Portion) -> Result<(), wire::Error> {
        let name = self.names.get(self.at).unwrap_or_default();
        let coordinator = match self.committed.read_group(shard, name) {
            Ok(coordinator) => coordinator,
            Err(error) => {
                self.at += 1;
                return out.put(&DescribedGroup {
                    error_code: error.code(),
                    group_id: name.into(),
                    ..Default::default()
                });
            }
        };
        let (mut group, membership) = coordinator.describe(name, out.version());
        if self.operations && group.error_code == 0 {
            group.authorized_operations = ALL_GROUP_OPERATIONS;
        }
        let tail = out.begin(&group, membership.members)?;
        self.open = Some(Open { membership, written: 0, behind: String::new(), tail });
        Ok(())
    }

    /// Writes members of the open group; false when it is not as it was.
    fn go_on(&mut self, shard: &Shard, out: &mut Portion) -> Result<bool, wire::Error> {
        let name = self.names.get(self.at).unwrap_or_default();
        let Some(open) = &mut self.open else {
            return Ok(true);
        };
        let Ok(coordinator) = self.committed.read_group(shard, name) else {
            return Ok(false);
        };
        if coordinator.describe(name, out.version()).1 != open.membership {
            return Ok(false);
        }
        let behind = Some(&*open.behind).filter(|_| open.written > 0);
        let mut last = None;
        for member in coordinator.describe_members(name, behind) {
            if out.is_full() && self.interrupted < INTERRUPTED_MAX {
                break;
            }
            out.put_inner(&member)?;
            open.written += 1;
            last = Some(member.member_id);
        }
        if let Some(last) = last {
            open.behind = last.into_owned();
        }
        if open.written == open.membership.members {
            out.end(&open.tail);
            self.open = None;
            self.at += 1;
        }
        Ok(true)
    }
}

impl Elements for Groups {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while self.at < self.names.len() {
            if out.is_full() && self.interrupted < INTERRUPTED_MAX {
                return Ok(Progress::More);
            }
            if self.open.is_none() {
                self.begin(shard, out)?;
            }
            if !self.go_on(shard, out)? {
                return Ok(self.again());
            }
        }
        Ok(match self.committed.end(shard, out.id) {
            Progress::Again => self.again(),
            progress => progress,
        })
    }
}

impl Split for DescribeGroupsRequest<'_> {
    const IS_LIST: bool = true;

    fn merge<'r: 'r>(answers: Vec<DescribeGroupsResponse<'r>>) -> DescribeGroupsResponse<'r> {
        DescribeGroupsResponse {
            groups: answers.into_iter().flat_map(|a| a.groups).collect(),
            ..Default::default()
        }
    }
}
