//! JoinGroup (key 11): a member enters, or a group's next generation begins. Answered when the rebalance is complete.
use wire::join_group::JoinGroupRequest;

super::groups::plain!(JoinGroupRequest, JoinGroup);
