//! OffsetFetch (key 9): committed positions, of one group or (from version 8 on) of several.
use super::{
    groups::{by_core, other_core},
    split::must_split,
};
use crate::{
    group::{
        self, Response,
        request::{fetch_groups, fetch_response},
    },
    shard::{
        Shard,
        forward::Split,
        reply::{Request, Stage},
    },
};
use record::TopicId;
use wire::{
    Decode, ErrorCode, Reader,
    offset_fetch::{
        OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchResponse, OffsetFetchResponseGroup,
        OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let version = request.version();
    let body = OffsetFetchRequest::decode(reader, version)?;
    if version < 8 {
        if let Some(core) = other_core(shard, request, &body.group_id) {
            return Ok(shard.forward(request, core));
        }
    } else if must_split(shard, request) {
        let require_stable = body.require_stable;
        let parts: Vec<_> = by_core(shard, body.groups, |g| &g.group_id)
            .into_iter()
            .map(|(core, groups)| {
                (
                    core,
                    OffsetFetchRequest {
                        groups,
                        require_stable,
                        ..Default::default()
                    },
                )
            })
            .collect();
        if let [(core, _)] = parts.as_slice() {
            return Ok(shard.forward(request, *core));
        }
        if !parts.is_empty() {
            return shard.scatter(request, parts);
        }
        return request.answer(&fetch_response(Vec::new(), version));
    }
    let mut groups = fetch_groups(&body, version);
    let by_id = version >= 10;
    let mut unknown: Vec<Vec<OffsetFetchResponseTopics<'static>>> = Vec::new();
    for group in &mut groups {
        unknown.push(if by_id {
            name_topics(shard, group)
        } else {
            Vec::new()
        });
    }
    let parts: Vec<(i32, group::Request<'_>)> = groups
        .iter()
        .map(|g| {
            (
                shard.partition_of_group(&g.group_id).unwrap_or(-1),
                group::Request::OffsetFetch(g),
            )
        })
        .collect();
    // Without a list of topics the answer has them all, by name: from version 10 on each needs its id.
    let names: Vec<(String, TopicId)> = if by_id && groups.iter().any(|g| g.topics.is_none()) {
        shard
            .image
            .topics()
            .map(|t| (t.name.to_string(), t.id))
            .collect()
    } else {
        Vec::new()
    };
    shard.coordinate(request, &parts, move |pending, answers| {
        let groups: Vec<OffsetFetchResponseGroup<'static>> = answers
            .into_iter()
            .zip(unknown)
            .map(|(answer, unknown)| {
                let Response::OffsetFetch(mut group) = answer else {
                    unreachable!("{answer:?} to OffsetFetch")
                };
                if pending.version >= 10 {
                    name_ids(&mut group, &names);
                }
                if group.error_code == 0 {
                    group.topics.extend(unknown);
                }
                group
            })
            .collect();
        pending.encode(&fetch_response(groups, pending.version))
    })
}

/// Gives topics of an answer that were not asked by id theirs; those that are gone are left out.
fn name_ids(group: &mut OffsetFetchResponseGroup<'static>, names: &[(String, TopicId)]) {
    group.topics.retain_mut(|topic| {
        if topic.topic_id.is_zero() {
            let known = names.binary_search_by(|(name, _)| name.as_str().cmp(&topic.name));
            topic.topic_id = known
                .ok()
                .and_then(|at| names.get(at))
                .map_or(TopicId::ZERO, |(_, id)| *id);
        }
        !topic.topic_id.is_zero()
    });
}

/// Gives topics asked by id their names; those that nobody knows are set apart with UNKNOWN_TOPIC_ID.
fn name_topics(
    shard: &Shard,
    group: &mut OffsetFetchRequestGroup<'_>,
) -> Vec<OffsetFetchResponseTopics<'static>> {
    let mut unknown = Vec::new();
    let Some(topics) = &mut group.topics else {
        return unknown;
    };
    topics.retain_mut(|topic| match shard.image.topic_by_id(topic.topic_id) {
        Some(known) => {
            topic.name = known.name.to_string().into();
            true
        }
        None => {
            let partitions = topic
                .partition_indexes
                .iter()
                .map(|&partition_index| OffsetFetchResponsePartitions {
                    partition_index,
                    committed_offset: -1,
                    committed_leader_epoch: -1,
                    metadata: Some("".into()),
                    error_code: ErrorCode::UnknownTopicId.code(),
                })
                .collect();
            unknown.push(OffsetFetchResponseTopics {
                name: "".into(),
                topic_id: topic.topic_id,
                partitions,
            });
            false
        }
    });
    unknown
}

impl Split for OffsetFetchRequest<'_> {
    fn merge<'r: 'r>(answers: Vec<OffsetFetchResponse<'r>>) -> OffsetFetchResponse<'r> {
        OffsetFetchResponse {
            groups: answers.into_iter().flat_map(|a| a.groups).collect(),
            ..Default::default()
        }
    }
}
