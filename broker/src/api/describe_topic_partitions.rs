//! DescribeTopicPartitions (key 75): topics page by page, so that no answer is unbounded (KIP-966).
use super::metadata::{ALL_TOPIC_OPERATIONS, NO_OPERATIONS, is_internal};
use crate::{
    controller::topics::is_valid_name,
    metadata::{Image, TopicImage},
    settings::Settings,
    shard::{
        Shard,
        reply::{Request, Stage},
        route::core_of,
    },
};
use record::TopicId;
use wire::{
    Decode, ErrorCode, Reader,
    describe_topic_partitions::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        ResponseCursor,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeTopicPartitionsRequest::decode(reader, request.version())?;
    let limit = shard
        .defaults
        .integer("max.request.partition.size.limit")
        .unwrap_or(i64::MAX);
    request.answer(&answer(&shard.image, &shard.settings, &body, limit))
}

/// A page of at most `limit` partitions, and where the next one begins.
fn answer(
    image: &Image,
    settings: &Settings,
    body: &DescribeTopicPartitionsRequest<'_>,
    limit: i64,
) -> DescribeTopicPartitionsResponse<'static> {
    let all = body.topics.is_empty();
    let cursor = body
        .cursor
        .as_ref()
        .map_or(("", 0), |c| (&*c.topic_name, c.partition_index));
    let mut names: Vec<&str> = if all {
        image.topics_from(cursor.0).map(|t| &*t.name).collect()
    } else {
        body.topics
            .iter()
            .map(|t| &*t.name)
            .filter(|name| *name >= cursor.0)
            .collect()
    };
    let lost = body.cursor.is_some() && !all && !names.contains(&cursor.0);
    if lost || cursor.1 < 0 {
        // There is no place for an error of the whole. Nothing is said of the topics themselves (Kafka:
        // `DescribeTopicPartitionsRequest.getErrorResponse`).
        let refused = body
            .topics
            .iter()
            .map(|t| DescribeTopicPartitionsResponseTopic {
                is_internal: false,
                topic_authorized_operations: NO_OPERATIONS,
                ..unknown(&t.name, ErrorCode::InvalidRequest)
            });
        return DescribeTopicPartitionsResponse {
            topics: refused.collect(),
            next_cursor: None,
            ..Default::default()
        };
    }
    names.sort_unstable();
    names.dedup();
    let mut remaining = usize::try_from(limit.min(body.response_partition_limit.into()))
        .unwrap_or(1)
        .max(1);
    let mut response = DescribeTopicPartitionsResponse {
        next_cursor: None,
        ..Default::default()
    };
    for name in names {
        if remaining == 0 {
            response.next_cursor = Some(ResponseCursor {
                topic_name: name.to_owned().into(),
                partition_index: 0,
            });
            break;
        }
        let Some(topic) = image.topic(name) else {
            let error = if is_valid_name(name) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            response.topics.push(unknown(name, error));
            continue;
        };
        let first = if name == cursor.0 {
            usize::try_from(cursor.1).unwrap_or(0)
        } else {
            0
        };
        let first = first.min(topic.partitions.len());
        let end = topic.partitions.len().min(first.saturating_add(remaining));
        response.topics.push(page(settings, topic, first, end));
        if end < topic.partitions.len() {
            let partition_index = i32::try_from(end).unwrap_or(i32::MAX);
            response.next_cursor = Some(ResponseCursor {
                topic_name: name.to_owned().into(),
                partition_index,
            });
            break;
        }
        remaining -= end - first;
    }
    response
}

fn unknown(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'static> {
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.to_owned().into()),
        topic_id: TopicId::ZERO,
        is_internal: is_internal(name),
        partitions: Vec::new(),
        topic_authorized_operations: ALL_TOPIC_OPERATIONS,
    }
}

fn page(
    settings: &Settings,
    topic: &TopicImage,
    first: usize,
    end: usize,
) -> DescribeTopicPartitionsResponseTopic<'static> {
    let partition = |index: usize| {
        let p = &topic.partitions[index];
        let partition_index = i32::try_from(index).unwrap_or(i32::MAX);
        let core = core_of(topic.id, partition_index, settings.cores);
        // Records speak of hosts; clients see the host's leading core.
        let visible = |host: &i32| {
            if *host == settings.node_id {
                settings.client_id_of(core)
            } else {
                *host
            }
        };
        let all = |hosts: &[i32]| hosts.iter().map(visible).collect::<Vec<_>>();
        DescribeTopicPartitionsResponsePartition {
            error_code: 0,
            partition_index,
            leader_id: visible(&p.leader),
            leader_epoch: p.leader_epoch,
            replica_nodes: all(&p.replicas),
            isr_nodes: all(&p.isr),
            eligible_leader_replicas: Some(all(&p.eligible_leader_replicas)),
            last_known_elr: Some(all(&p.last_known_elr)),
            offline_replicas: Vec::new(),
        }
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: 0,
        name: Some(topic.name.to_string().into()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: (first..end).map(partition).collect(),
        topic_authorized_operations: ALL_TOPIC_OPERATIONS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::tests::{controller_with, numbers, settings};
    use wire::describe_topic_partitions::{RequestCursor, TopicRequest};

    fn request(
        names: &[&str],
        limit: i32,
        cursor: Option<(&str, i32)>,
    ) -> DescribeTopicPartitionsRequest<'static> {
        DescribeTopicPartitionsRequest {
            topics: names
                .iter()
                .map(|n| TopicRequest {
                    name: (*n).to_owned().into(),
                })
                .collect(),
            response_partition_limit: limit,
            cursor: cursor.map(|(t, partition_index)| RequestCursor {
                topic_name: t.to_owned().into(),
                partition_index,
            }),
        }
    }

    fn ask(body: &DescribeTopicPartitionsRequest<'_>) -> DescribeTopicPartitionsResponse<'static> {
        let mut controller = controller_with(Settings {
            default_partitions: 3,
            ..settings()
        });
        for record in controller
            .auto_create(&["a", "b", "c"].map(str::to_owned), numbers())
            .records
        {
            controller.apply(&record);
        }
        answer(controller.image(), &settings(), body, 2000)
    }

    #[test]
    fn every_partition_is_on_one_page_whatever_its_size() {
        for limit in [-1, 0, 1, 2, 3, 4, 9, 2000] {
            let mut seen = Vec::new();
            let mut cursor: Option<(String, i32)> = None;
            loop {
                let body = request(&[], limit, cursor.as_ref().map(|(t, p)| (t.as_str(), *p)));
                let page = ask(&body);
                let partitions: usize = page.topics.iter().map(|t| t.partitions.len()).sum();
                assert!(
                    partitions <= usize::try_from(limit).unwrap_or(0).max(1),
                    "{limit}"
                );
                for topic in &page.topics {
                    let name = topic.name.clone().unwrap();
                    seen.extend(
                        topic
                            .partitions
                            .iter()
                            .map(|p| (name.to_string(), p.partition_index)),
                    );
                }
                match page.next_cursor {
                    Some(next) => {
                        cursor = Some((next.topic_name.to_string(), next.partition_index))
                    }
                    None => break,
                }
            }
            let expected: Vec<_> = ["a", "b", "c"]
                .iter()
                .flat_map(|t| (0..3).map(|p| ((*t).to_owned(), p)))
                .collect();
            assert_eq!(seen, expected, "{limit}");
        }
    }

    #[test]
    fn leaders_are_cores_as_clients_know_them() {
        let page = ask(&request(&["b"], 100, None));
        let topic = &page.topics[0];
        assert_eq!((topic.error_code, topic.is_internal), (0, false));
        for p in &topic.partitions {
            assert!(p.leader_id == 1000 || p.leader_id == 1001);
            assert_eq!(
                (&p.replica_nodes, &p.isr_nodes),
                (&vec![p.leader_id], &vec![p.leader_id])
            );
        }
    }

    #[test]
    fn what_is_not_there_and_cursors_that_lead_nowhere() {
        let codes = |body: &DescribeTopicPartitionsRequest<'_>| {
            let code = |t: &DescribeTopicPartitionsResponseTopic<'_>| {
                ErrorCode::from_code(t.error_code).unwrap()
            };
            ask(body).topics.iter().map(code).collect::<Vec<_>>()
        };
        assert_eq!(
            codes(&request(&["x", "a", "not a name"], 100, None)),
            [
                ErrorCode::None,
                ErrorCode::InvalidTopicException,
                ErrorCode::UnknownTopicOrPartition
            ]
        );
        assert_eq!(
            codes(&request(&["a"], 100, Some(("b", 0)))),
            [ErrorCode::InvalidRequest]
        );
        let refused = ask(&request(&["__consumer_offsets"], 100, Some(("b", 0))));
        let refused = &refused.topics[0];
        assert_eq!(
            (refused.is_internal, refused.topic_authorized_operations),
            (false, i32::MIN),
            "nothing is said of the topic"
        );
        let missing = ask(&request(&["__share_group_state"], 100, None));
        assert!(missing.topics[0].is_internal);
        assert_eq!(
            codes(&request(&["a"], 100, Some(("a", -1)))),
            [ErrorCode::InvalidRequest]
        );
        // A topic that was deleted between two pages.
        assert_eq!(
            codes(&request(&[], 100, Some(("bb", 7)))),
            [ErrorCode::None]
        );
        assert_eq!(
            ask(&request(&[], 100, Some(("b", 7)))).topics[0]
                .partitions
                .len(),
            0
        );
    }
}
