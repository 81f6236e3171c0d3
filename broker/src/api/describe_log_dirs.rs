//! DescribeLogDirs (key 35): sizes of this core's partitions, or of the host's in single-port mode.
use super::split::must_split;
use crate::shard::{
    Shard,
    forward::Split,
    reply::{Request, Stage},
};
use netio::CoreId;
use std::collections::BTreeMap;
use wire::{
    Decode, Reader,
    describe_log_dirs::{
        DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
        DescribeLogDirsResult, DescribeLogDirsTopic,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeLogDirsRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        let parts = (0..shard.settings.cores)
            .map(|core| (CoreId(core), body.clone()))
            .collect();
        return shard.scatter(request, parts);
    }
    let mut by_topic: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for leader in shard.partitions.iter() {
        let asked = body.topics.as_ref().is_none_or(|topics| {
            topics
                .iter()
                .any(|t| *t.topic == *leader.name && t.partitions.contains(&leader.partition))
        });
        if asked {
            by_topic
                .entry(&leader.name)
                .or_default()
                .push(DescribeLogDirsPartition {
                    partition_index: leader.partition,
                    partition_size: i64::try_from(shard.store.size_bytes(leader.slot))
                        .unwrap_or(i64::MAX),
                    offset_lag: 0,
                    is_future_key: false,
                });
        }
    }
    let topics = by_topic
        .into_iter()
        .map(|(name, partitions)| DescribeLogDirsTopic {
            name: name.to_owned().into(),
            partitions,
        })
        .collect();
    let space = shard.store.space();
    let result = DescribeLogDirsResult {
        error_code: 0,
        log_dir: shard.log_dir.to_string().into(),
        topics,
        total_bytes: space.map_or(-1, |s| i64::try_from(s.total_bytes).unwrap_or(i64::MAX)),
        usable_bytes: space.map_or(-1, |s| i64::try_from(s.available_bytes).unwrap_or(i64::MAX)),
        ..Default::default()
    };
    request.answer(&DescribeLogDirsResponse {
        results: vec![result],
        ..Default::default()
    })
}

impl Split for DescribeLogDirsRequest<'_> {
    /// All cores have the same directory; their topics are put together.
    fn merge<'r: 'r>(answers: Vec<DescribeLogDirsResponse<'r>>) -> DescribeLogDirsResponse<'r> {
        let mut all: Option<DescribeLogDirsResponse<'r>> = None;
        for answer in answers {
            let Some(all) = &mut all else {
                all = Some(answer);
                continue;
            };
            for (result, more) in all.results.iter_mut().zip(answer.results) {
                for topic in more.topics {
                    match result.topics.iter_mut().find(|t| t.name == topic.name) {
                        Some(known) => known.partitions.extend(topic.partitions),
                        None => result.topics.push(topic),
                    }
                }
            }
        }
        all.unwrap_or_default()
    }
}
