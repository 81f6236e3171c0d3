//! AlterReplicaLogDirs (key 34): which directory a partition's log lies in. There is one, so
//! whoever names it asks for what is, and any other is not found
//! (`ReplicaManager.alterReplicaLogDirs`).
use super::partitions::{Asked, Keep, Named, Partitions, all_asked, keep_each_once, told};
use crate::{
    answer::distinct::numbered,
    core::{
        placement::core_of,
        request::{Request, Stage},
    },
    metadata::Image,
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    alter_replica_log_dirs::{
        AlterReplicaLogDir, AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
        AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = AlterReplicaLogDirsRequest::decode(reader, request.version())?;
    let settings = shard.settings.clone();
    // With one port every core speaks for the host.
    let mine = |topic, partition| {
        settings.single_port || core_of(topic, partition, settings.cores) == shard.me
    };
    // Partitions by topic, each once. Of several directories the last counts
    // (`AlterReplicaLogDirsRequest.partitionDirs`).
    let here = |dir: &AlterReplicaLogDir<'_>| *dir.path == *shard.log_dir;
    let topics = body.dirs.iter().flat_map(|dir| dir.topics.iter().map(move |t| (dir, t)));
    let topics: Vec<_> = topics.filter(|(_, topic)| !topic.partitions.is_empty()).collect();
    let numbers = numbered(shard.secret, &topics, |(_, topic)| &topic.name);
    let number = |a: &Asked| numbers[a.topic as usize];
    let index = |a: &Asked| topics[a.topic as usize].1.partitions[a.partition as usize];
    let mut all = all_asked(topics.iter().map(|(_, topic)| topic.partitions.len()));
    keep_each_once(&mut all, Keep::Last, |a| (number(a), index(a)));
    let mut named = Named::with_rows(all.len());
    for same in all.chunk_by(|a, b| number(a) == number(b)) {
        let topic = &*topics[same[0].topic as usize].1.name;
        let answers = same.iter().map(|a| {
            let partition_index = index(a);
            let error = match held(&shard.image, topic, partition_index, mine) {
                // Kafka looks at the directory first.
                _ if !here(topics[a.topic as usize].0) => ErrorCode::LogDirNotFound,
                held => held,
            };
            AlterReplicaLogDirPartitionResult { partition_index, error_code: error.code() }
        });
        named.push(topic, answers);
    }
    drop((all, topics));
    drop(body);
    let partitions = Partitions::new(named, Told);
    shard.answer_in_portions(request.pending, AlterReplicaLogDirsResponse::default, partitions)
}

told!(
    Told: AlterReplicaLogDirTopicResult { topic_name, partitions },
    AlterReplicaLogDirPartitionResult
);

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
