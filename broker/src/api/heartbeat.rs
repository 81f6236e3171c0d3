//! Heartbeat (key 12): a member lives, and learns of a rebalance.
use wire::heartbeat::HeartbeatRequest;

super::groups::plain!(HeartbeatRequest, Heartbeat);
