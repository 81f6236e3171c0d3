//! The features that client programs exercise: the rows of docs/clients.md, in reading order.
//!
//! A case's name is a feature's name. What a case asserts is in the programs; this says what it
//! is about. A case that is not listed here fails, so that the table can't lose a row.

/// Name, what it proves. A name without text opens a group.
pub(crate) const FEATURES: &[(&str, &str)] = &[
    ("Produce", ""),
    ("produce_acks_0", "acks=0: no answer, records arrive"),
    ("produce_acks_1", "acks=1"),
    (
        "produce_acks_all",
        "acks=all: offsets in order, content and keys intact",
    ),
    (
        "produce_idempotent",
        "idempotent producer: producer id, sequences, no gap, no double",
    ),
    (
        "produce_batches",
        "thousands of records in large batches, checksummed",
    ),
    ("codec_gzip", "gzip written and read"),
    ("codec_snappy", "snappy written and read"),
    ("codec_lz4", "lz4 written and read"),
    ("codec_zstd", "zstd written and read"),
    (
        "headers_and_null_values",
        "headers (repeated keys, null and empty), null key, null value",
    ),
    (
        "timestamps",
        "CreateTime kept; LogAppendTime stamped by the broker",
    ),
    ("large_message", "a record close to max.message.bytes"),
    (
        "message_too_large_error",
        "beyond max.message.bytes: MESSAGE_TOO_LARGE, nothing stored",
    ),
    ("auto_create", "a topic made by producing to it"),
    (
        "unknown_topic_error",
        "a topic that is not there, with auto-creation off in the client",
    ),
    ("Consume", ""),
    (
        "consume_from_beginning",
        "all records of all partitions, in order",
    ),
    (
        "consume_from_timestamp",
        "offsets for times, then read from there",
    ),
    ("list_offsets_earliest", "the log start offset"),
    ("list_offsets_latest", "the end offset"),
    (
        "list_offsets_max_timestamp",
        "the offset of the largest time stamp",
    ),
    ("seek", "to the beginning, into the middle, to the end"),
    ("long_poll", "a waiting fetch wakes when a record arrives"),
    (
        "fetch_many_partitions",
        "many partitions over several rounds (fetch sessions)",
    ),
    (
        "fetch_max_bytes",
        "small fetch limits: a larger record still comes through",
    ),
    (
        "offset_out_of_range",
        "a position beyond the log follows the reset policy",
    ),
    (
        "read_committed",
        "isolation read_committed on a log without transactions",
    ),
    (
        "offset_for_leader_epoch",
        "OffsetForLeaderEpoch answers epoch and end offset",
    ),
    ("Groups", ""),
    ("group_subscribe", "one eager member gets all partitions"),
    (
        "group_rebalance",
        "a second member joins and leaves: all covered, nothing lost",
    ),
    (
        "group_cooperative",
        "cooperative rebalance: kept partitions are not taken away",
    ),
    (
        "group_static_member",
        "group.instance.id: a restart keeps its partitions",
    ),
    (
        "group_regex",
        "subscription by pattern finds topics, also later ones",
    ),
    (
        "commit_and_resume",
        "a new consumer goes on at the committed offset",
    ),
    ("commit_metadata_roundtrip", "offset metadata comes back"),
    ("list_groups", "the group with its state"),
    ("describe_group", "members, their clients and partitions"),
    (
        "alter_group_offsets",
        "offsets of an empty group set by an administrator",
    ),
    ("offset_delete", "committed offsets of a topic deleted"),
    (
        "delete_group",
        "an empty group is gone; a living one is refused",
    ),
    ("Administration", ""),
    (
        "create_topic",
        "partitions and replication; existing and bad names refused",
    ),
    (
        "create_topic_config",
        "created with configuration; an unknown key is refused",
    ),
    (
        "create_partitions",
        "more partitions, usable at once; fewer are refused",
    ),
    (
        "delete_topic",
        "gone from metadata; deleting an absent one is an error",
    ),
    ("list_topics", "the new topic is among them"),
    (
        "describe_topic",
        "topic id, leaders, replicas, in-sync replicas",
    ),
    ("describe_cluster", "cluster id, controller, nodes"),
    (
        "describe_configs",
        "defaults with source; a topic's own value",
    ),
    (
        "describe_broker_configs",
        "the broker's values, read-only ones marked",
    ),
    (
        "alter_configs_incremental",
        "set, then delete back to the default; a bad value is refused",
    ),
    (
        "alter_configs_legacy",
        "the older call that replaces all of a topic's values",
    ),
    (
        "list_config_resources",
        "resources that have a configuration",
    ),
    (
        "describe_log_dirs",
        "size per partition, as large as what was written",
    ),
    (
        "alter_log_dirs",
        "the directory that a replica is in may be named, others are refused",
    ),
    (
        "describe_producers",
        "the idempotent producer's id, epoch and last sequence",
    ),
    (
        "delete_records",
        "the log start offset moves; older records are gone",
    ),
    (
        "transaction_refused_fast",
        "Millrace: refused at once, not retried; Kafka: served",
    ),
    ("Console tools", ""),
    (
        "tool_kafka_topics",
        "TopicCommand: create, describe, alter, list, delete",
    ),
    (
        "tool_console_producer_consumer",
        "ConsoleProducer, ConsoleConsumer: keys, headers, order",
    ),
    (
        "tool_consumer_groups",
        "ConsumerGroupCommand: list, describe, reset-offsets, delete",
    ),
    (
        "tool_configs",
        "ConfigCommand: alter, describe, delete for a topic",
    ),
    ("tool_get_offsets", "GetOffsetShell: earliest, latest"),
    ("tool_log_dirs", "LogDirsCommand"),
    ("tool_delete_records", "DeleteRecordsCommand"),
    ("tool_broker_api_versions", "BrokerApiVersionsCommand"),
    (
        "tool_producer_perf",
        "ProducerPerformance, and ConsumerPerformance reads it back",
    ),
    (
        "tool_verifiable",
        "VerifiableProducer and VerifiableConsumer agree",
    ),
    (
        "dump_log_segments",
        "DumpLogSegments over all segments and indexes after a clean stop",
    ),
];

/// Whether a case of this name may be reported (`program` and `stop` are the harness's own).
pub(crate) fn known(name: &str) -> bool {
    name == "program"
        || FEATURES
            .iter()
            .any(|(feature, about)| *feature == name && !about.is_empty())
}
