//! OffsetForLeaderEpoch (key 23): where an epoch ended, for the detection of truncation (KIP-320).
use super::{
    partitions::{Named, Partitions, told},
    split::{merged, must_split, scatter_topics},
};
use crate::{
    answer::concat::Skip,
    core::request::{Request, Stage},
    shard::{Shard, forward::Split},
};
use record::LeaderEpoch;
use wire::{
    Decode, Reader,
    offset_for_leader_epoch::{
        EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        OffsetForLeaderTopicResult,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = OffsetForLeaderEpochRequest::decode(reader, request.version())?;
    if must_split(shard, request) {
        let bare = OffsetForLeaderEpochRequest { topics: Vec::new(), ..body };
        return scatter_topics(shard, request, body.topics, &bare);
    }
    let topics = body.topics.iter().map(|t| (&*t.topic, t.partitions.len()));
    let mut named = Named::with_room(topics);
    for topic in &body.topics {
        let answers = topic.partitions.iter().map(|p| {
            let mut answer = EpochEndOffset {
                partition: p.partition,
                leader_epoch: -1,
                end_offset: -1,
                error_code: 0,
            };
            match shard.led(&topic.topic, p.partition, p.current_leader_epoch) {
                Ok((slot, leader_epoch)) => {
                    let asked = LeaderEpoch(p.leader_epoch);
                    if let Some((epoch, end)) = shard.end_of_epoch(slot, leader_epoch, asked) {
                        answer.leader_epoch = epoch.0;
                        answer.end_offset = end.0;
                    }
                }
                Err(error) => {
                    answer.error_code = error.code();
                }
            }
            answer
        });
        named.push(&topic.topic, answers);
    }
    drop(body);
    let partitions = Partitions::new(named, Told);
    shard.answer_in_portions(request.pending, OffsetForLeaderEpochResponse::default, partitions)
}

told!(Told: OffsetForLeaderTopicResult { topic, partitions }, EpochEndOffset);

impl Split for OffsetForLeaderEpochRequest<'_> {
    const SKIP: Option<Skip> = Some(|r, version| EpochEndOffset::decode(r, version).map(drop));

    fn merge<'r: 'r>(
        answers: Vec<OffsetForLeaderEpochResponse<'r>>,
    ) -> OffsetForLeaderEpochResponse<'r> {
        OffsetForLeaderEpochResponse {
            throttle_time_ms: 0,
            topics: merged(answers.into_iter().map(|a| a.topics)),
        }
    }
}
