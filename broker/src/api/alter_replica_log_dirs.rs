//! AlterReplicaLogDirs (key 34): which directory a partition's log lies in. There is one, so whoever names it asks for what is,
//! and any other is not found (`ReplicaManager.alterReplicaLogDirs`).
use crate::{
    metadata::Image,
    shard::{
        Shard,
        reply::{Request, Stage},
        route::core_of,
    },
};
use std::collections::BTreeMap;
use wire::{
    Decode, ErrorCode, Reader,
    alter_replica_log_dirs::{
        AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
        AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = AlterReplicaLogDirsRequest::decode(reader, request.version())?;
    let settings = &shard.settings;
    // With one port every core speaks for the host.
    let mine = |topic, partition| {
        settings.single_port || core_of(topic, partition, settings.cores) == shard.me
    };
    let results = asked(&body)
        .into_iter()
        .map(|(topic, partitions)| AlterReplicaLogDirTopicResult {
            topic_name: topic.into(),
            partitions: partitions
                .into_iter()
                .map(|(partition_index, dir)| {
                    let here = body.dirs.get(dir as usize);
                    let here = here.is_some_and(|dir| *dir.path == *shard.log_dir);
                    let error = match held(&shard.image, topic, partition_index, mine) {
                        // Kafka looks at the directory first.
                        _ if !here => ErrorCode::LogDirNotFound,
                        held => held,
                    };
                    AlterReplicaLogDirPartitionResult { partition_index, error_code: error.code() }
                })
                .collect(),
        })
        .collect();
    request.answer(&AlterReplicaLogDirsResponse { throttle_time_ms: 0, results })
}

/// Partitions by topic, in order, each once, with the place of its directory in the request. Of several the last counts
/// (`AlterReplicaLogDirsRequest.partitionDirs`).
fn asked<'b>(body: &'b AlterReplicaLogDirsRequest<'_>) -> BTreeMap<&'b str, Vec<(i32, u32)>> {
    let mut asked: BTreeMap<&str, Vec<(i32, u32)>> = BTreeMap::new();
    for (dir, topics) in (0..).zip(body.dirs.iter().map(|dir| &dir.topics)) {
        for topic in topics {
            let partitions = asked.entry(&topic.name).or_default();
            partitions.extend(topic.partitions.iter().map(|&partition| (partition, dir)));
        }
    }
    for partitions in asked.values_mut() {
        partitions.sort_unstable();
        // Of one partition, the last directory is the first of those that are kept.
        partitions.reverse();
        partitions.dedup_by_key(|(partition, _)| *partition);
        partitions.reverse();
    }
    asked
}

/// Whether the node that was asked holds the partition.
fn held(
    image: &Image,
    topic: &str,
    partition: i32,
    mine: impl Fn(record::TopicId, i32) -> bool,
) -> ErrorCode {
    let known = image.topic(topic).filter(|known| {
        usize::try_from(partition).is_ok_and(|index| index < known.partitions.len())
    });
    match known {
        None => ErrorCode::UnknownTopicOrPartition,
        Some(known) if mine(known.id, partition) => ErrorCode::None,
        // Kafka's NOT_LEADER_OR_FOLLOWER, which this API calls so for its older clients.
        Some(_) => ErrorCode::ReplicaNotAvailable,
    }
}
