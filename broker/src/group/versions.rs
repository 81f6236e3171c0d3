//! What the version of a request changes in the rules. Everything else about versions is the crate
//! `wire`'s.

/// JoinGroup: a new dynamic member is told its id and must join again with it (KIP-394), so that a
/// client that never hears the answer leaves no member behind.
pub(super) const fn join_requires_member_id(version: i16) -> bool {
    version >= 4
}

/// JoinGroup: a static leader that comes back can be told to skip the assignment (KIP-814).
pub(super) const fn join_can_skip_assignment(version: i16) -> bool {
    version >= 9
}

/// JoinGroup: version 0 has no rebalance timeout, the session timeout stands for it.
pub(super) const fn join_has_rebalance_timeout(version: i16) -> bool {
    version >= 1
}

/// LeaveGroup: many members in one request (KIP-345); before, one member and one error code.
pub(super) const fn leave_is_batched(version: i16) -> bool {
    version >= 3
}

/// OffsetCommit: an unknown group is GROUP_ID_NOT_FOUND; before, ILLEGAL_GENERATION (KIP-848).
pub(super) const fn commit_names_unknown_group(version: i16) -> bool {
    version >= 9
}

/// OffsetFetch: an error of the group stands beside its topics; before version 2 it is on each
/// partition.
pub(super) const fn fetch_has_group_error(version: i16) -> bool {
    version >= 2
}

/// OffsetFetch: many groups in one request.
pub(super) const fn fetch_is_batched(version: i16) -> bool {
    version >= 8
}

/// DescribeGroups: an unknown group is GROUP_ID_NOT_FOUND; before, a group in state Dead
/// (KIP-1043).
pub(super) const fn describe_names_unknown_group(version: i16) -> bool {
    version >= 6
}
