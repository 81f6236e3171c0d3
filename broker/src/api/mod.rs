//! Kafka's APIs: one table, one file each.
//!
//! ApiVersions, the version gate and the choice of the core that answers are computed from
//! [`TABLE`].
pub mod acls;
pub mod alter_configs;
pub mod alter_replica_log_dirs;
pub mod api_versions;
pub mod consumer_group;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_user_scram_credentials;
mod each_once;
pub mod elect_leaders;
pub mod fetch;
pub mod find_coordinator;
pub(crate) mod groups;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub(crate) mod once;
pub(crate) mod partitions;
pub mod produce;
pub mod reassignments;
pub(crate) mod split;
pub mod sync_group;

use crate::{
    core::request::{Request, Stage},
    shard::Shard,
};
use netio::CoreId;
use wire::{ApiKey, Reader};

/// A handler's first stage: decodes, does, answers or leaves word who will.
type Handler = for<'a> fn(&mut Shard, &Request<'a>, &mut Reader<'a>) -> Result<Stage, wire::Error>;

/// Which core runs the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The connection's.
    Here,
    /// Core 0, where the controller is.
    Controller,
    /// The connection's, which in single-port mode splits the request by owner.
    Owner,
}

/// A served API.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    pub key: ApiKey,
    /// Versions served.
    pub min: i16,
    pub max: i16,
    pub home: Home,
    pub handler: Handler,
}

const fn api(key: ApiKey, (min, max): (i16, i16), home: Home, handler: Handler) -> Api {
    Api { key, min, max, home, handler }
}

/// Every API that is served, by key.
pub const TABLE: &[Api] = &[
    api(ApiKey::Produce, (3, 13), Home::Owner, produce::handle),
    api(ApiKey::Fetch, (4, 18), Home::Here, fetch::handle),
    api(ApiKey::ListOffsets, (1, 11), Home::Owner, list_offsets::handle),
    api(ApiKey::Metadata, (0, 13), Home::Here, metadata::handle),
    api(ApiKey::OffsetCommit, (2, 10), Home::Owner, offset_commit::handle),
    api(ApiKey::OffsetFetch, (1, 10), Home::Owner, offset_fetch::handle),
    api(ApiKey::FindCoordinator, (0, 6), Home::Here, find_coordinator::handle),
    api(ApiKey::JoinGroup, (0, 9), Home::Owner, join_group::handle),
    api(ApiKey::Heartbeat, (0, 4), Home::Owner, heartbeat::handle),
    api(ApiKey::LeaveGroup, (0, 5), Home::Owner, leave_group::handle),
    api(ApiKey::SyncGroup, (0, 5), Home::Owner, sync_group::handle),
    api(ApiKey::DescribeGroups, (0, 6), Home::Owner, describe_groups::handle),
    api(ApiKey::ListGroups, (0, 5), Home::Owner, list_groups::handle),
    api(ApiKey::ApiVersions, (0, 4), Home::Here, api_versions::handle),
    api(ApiKey::CreateTopics, (2, 7), Home::Controller, create_topics::handle),
    api(ApiKey::DeleteTopics, (1, 6), Home::Controller, delete_topics::handle),
    api(ApiKey::DeleteRecords, (0, 2), Home::Owner, delete_records::handle),
    api(ApiKey::InitProducerId, (0, 5), Home::Controller, init_producer_id::handle),
    api(ApiKey::OffsetForLeaderEpoch, (2, 4), Home::Owner, offset_for_leader_epoch::handle),
    api(ApiKey::DescribeAcls, (1, 3), Home::Here, acls::describe),
    api(ApiKey::CreateAcls, (1, 3), Home::Here, acls::create),
    api(ApiKey::DeleteAcls, (1, 3), Home::Here, acls::delete),
    api(ApiKey::DescribeConfigs, (1, 4), Home::Here, describe_configs::handle),
    api(ApiKey::AlterConfigs, (0, 2), Home::Controller, alter_configs::handle),
    api(ApiKey::AlterReplicaLogDirs, (1, 2), Home::Here, alter_replica_log_dirs::handle),
    api(ApiKey::DescribeLogDirs, (1, 5), Home::Owner, describe_log_dirs::handle),
    api(ApiKey::CreatePartitions, (0, 3), Home::Controller, create_partitions::handle),
    api(ApiKey::DeleteGroups, (0, 2), Home::Owner, delete_groups::handle),
    api(ApiKey::ElectLeaders, (0, 2), Home::Here, elect_leaders::handle),
    api(
        ApiKey::IncrementalAlterConfigs,
        (0, 1),
        Home::Controller,
        incremental_alter_configs::handle,
    ),
    api(ApiKey::AlterPartitionReassignments, (0, 1), Home::Controller, reassignments::alter),
    api(ApiKey::ListPartitionReassignments, (0, 0), Home::Here, reassignments::list),
    api(ApiKey::OffsetDelete, (0, 0), Home::Owner, offset_delete::handle),
    api(ApiKey::DescribeClientQuotas, (0, 1), Home::Here, describe_client_quotas::handle),
    api(
        ApiKey::DescribeUserScramCredentials,
        (0, 0),
        Home::Here,
        describe_user_scram_credentials::handle,
    ),
    api(ApiKey::DescribeQuorum, (0, 2), Home::Controller, describe_quorum::handle),
    api(ApiKey::DescribeCluster, (0, 2), Home::Here, describe_cluster::handle),
    api(ApiKey::DescribeProducers, (0, 0), Home::Owner, describe_producers::handle),
    api(ApiKey::ListTransactions, (0, 2), Home::Here, list_transactions::handle),
    api(ApiKey::ConsumerGroupHeartbeat, (0, 1), Home::Here, consumer_group::heartbeat),
    api(ApiKey::ConsumerGroupDescribe, (0, 1), Home::Here, consumer_group::describe),
    api(ApiKey::ListConfigResources, (0, 1), Home::Here, list_config_resources::handle),
    api(ApiKey::DescribeTopicPartitions, (0, 0), Home::Here, describe_topic_partitions::handle),
];

/// The table's line for `key`.
pub fn find(key: ApiKey) -> Option<&'static Api> {
    TABLE.binary_search_by_key(&key.code(), |a| a.key.code()).ok().and_then(|i| TABLE.get(i))
}

/// Runs the handler of a request, here or on core 0. Versions and APIs that are not served end the
/// connection, but for ApiVersions, which must be able to say what is (wire rule 3).
pub(crate) fn dispatch<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let pending = request.pending;
    let Some(api) = find(pending.key) else {
        return Ok(shard.not_served(request, "API"));
    };
    if !(api.min..=api.max).contains(&pending.version) {
        if pending.key == ApiKey::ApiVersions {
            return api_versions::answer_unknown_version(request);
        }
        return Ok(shard.not_served(request, "version"));
    }
    let stage = if api.home == Home::Controller && shard.me != CoreId(0) {
        Ok(shard.forward(request, CoreId(0)))
    } else {
        (api.handler)(shard, request, reader)
    };
    // A request counts once: where its connection is, and when it is begun.
    if !request.forwarded && !matches!(stage, Ok(Stage::Hold(_))) {
        shard.stats.handled(pending.at);
    }
    stage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_keys_and_knows_each_once() {
        assert!(TABLE.windows(2).all(|w| w[0].key.code() < w[1].key.code()));
    }

    #[test]
    fn versions_served_are_versions_of_kafka() {
        for api in TABLE {
            let (min, max) = wire_versions(api.key);
            assert!(min <= api.min && api.max <= max, "{:?}", api.key);
        }
    }

    fn wire_versions(key: ApiKey) -> (i16, i16) {
        macro_rules! table {
            ($($key:ident, $request:ty, $response:ty;)*) => {
                match key {
                    $(ApiKey::$key => {
                        let range = <$request as wire::Message>::VERSIONS;
                        (range.min, range.max)
                    })*
                    _ => (0, -1),
                }
            };
        }
        wire::for_each_api!(table)
    }
}
