//! LeaveGroup (key 13): members leave, by member id or instance id.
use wire::leave_group::LeaveGroupRequest;

super::groups::plain!(LeaveGroupRequest, LeaveGroup);
