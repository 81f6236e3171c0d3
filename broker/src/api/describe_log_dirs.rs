//! DescribeLogDirs (key 35): sizes of this core's partitions, or of the host's in single-port mode.
use super::split::{merged, must_split};
use crate::{
    answer::{Elements, Portion, Progress},
    core::request::{Request, Stage},
    partition::Leader,
    shard::{Shard, forward::Split},
};
use std::sync::Arc;
use storage::LogSlot;
use wire::{
    Decode, Reader,
    describe_log_dirs::{
        DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest,
        DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeLogDirsRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        return Ok(shard.ask_all::<DescribeLogDirsRequest<'_>>(request));
    }
    let logs = Logs { logs: logs(shard, body.topics.as_deref()), at: 0, open: None };
    let space = shard.store.space();
    let log_dir = shard.log_dir.clone();
    let around = move || {
        let result = DescribeLogDirsResult {
            error_code: 0,
            log_dir: log_dir.to_string().into(),
            // Here they belong.
            topics: Vec::new(),
            total_bytes: space.map_or(-1, |s| i64::try_from(s.total_bytes).unwrap_or(i64::MAX)),
            usable_bytes: space
                .map_or(-1, |s| i64::try_from(s.available_bytes).unwrap_or(i64::MAX)),
            ..Default::default()
        };
        DescribeLogDirsResponse { results: vec![result], ..Default::default() }
    };
    shard.answer_in_portions(request.pending, around, logs)
}

/// A log of this core, by the names of its topic and partition.
type Named = (Arc<str>, i32, LogSlot);

/// The logs that are asked for, or all, in order and each once.
fn logs(shard: &Shard, asked: Option<&[DescribableLogDirTopic<'_>]>) -> Vec<Named> {
    let named = |leader: &Leader| (leader.name.clone(), leader.partition, leader.slot);
    let mut logs: Vec<Named> = match asked {
        None => shard.partitions.iter().map(named).collect(),
        Some(topics) => {
            let mut logs = Vec::new();
            let mut enough = 1024;
            for topic in topics {
                let Some(known) = shard.image.topic(&topic.topic) else {
                    continue;
                };
                let leaders = topic.partitions.iter();
                let leaders = leaders.filter_map(|&p| shard.partitions.get(known.id, p));
                logs.extend(leaders.map(named));
                // So that a name that comes again and again does not fill the list.
                if logs.len() > enough {
                    logs.sort_unstable();
                    logs.dedup();
                    enough = 2 * logs.len().max(512);
                }
            }
            logs
        }
    };
    logs.sort_unstable();
    logs.dedup();
    logs
}

/// Logs, of one topic after the other.
struct Logs {
    logs: Vec<Named>,
    at: usize,
    /// Where the topic that is being written ends, and what comes behind it.
    open: Option<(usize, Vec<u8>)>,
}

impl Elements for Logs {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let Some((name, partition_index, slot)) = self.logs.get(self.at) {
            if out.is_full() {
                return Ok(Progress::More);
            }
            if self.open.is_none() {
                let same = self.logs[self.at..].partition_point(|(other, ..)| other <= name);
                let topic = DescribeLogDirsTopic { name: (&**name).into(), partitions: Vec::new() };
                self.open = Some((self.at + same, out.begin(&topic, same)?));
            }
            // It may be gone by now, and another in its slot.
            let is_same = |l: &&Leader| *l.name == **name && l.partition == *partition_index;
            let log = shard.partitions.at(*slot).filter(is_same);
            let bytes = log.map_or(0, |l| shard.store.size_bytes(l.slot));
            out.put_inner(&DescribeLogDirsPartition {
                partition_index: *partition_index,
                partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
                offset_lag: 0,
                is_future_key: false,
            })?;
            self.at += 1;
            if let Some((_, tail)) = self.open.take_if(|(end, _)| *end == self.at) {
                out.end(&tail);
            }
        }
        Ok(Progress::Done)
    }
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
                let topics = [std::mem::take(&mut result.topics), more.topics];
                result.topics = merged(topics);
            }
        }
        all.unwrap_or_default()
    }
}
