//! SyncGroup (key 14): the leader hands in the assignment, every member gets its part.
use wire::sync_group::SyncGroupRequest;

super::groups::plain!(SyncGroupRequest, SyncGroup);
