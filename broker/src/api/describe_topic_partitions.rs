//! DescribeTopicPartitions (key 75): topics page by page, so that no answer is unbounded (KIP-966).
use super::metadata::{ALL_TOPIC_OPERATIONS, NO_OPERATIONS, is_internal};
use crate::{
    answer::{Elements, Portion, Progress, distinct::Names},
    controller::topics::is_valid_name,
    core::{
        placement::core_of,
        request::{Request, Stage},
    },
    metadata::{Image, TopicImage},
    settings::Settings,
    shard::Shard,
};
use record::TopicId;
use std::{cell::RefCell, rc::Rc, sync::Arc};
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
    let limit = shard.defaults.integer("max.request.partition.size.limit").unwrap_or(i64::MAX);
    let (pages, next) = Pages::of(&shard.image, &shard.settings, &body, limit);
    let around = move || DescribeTopicPartitionsResponse {
        next_cursor: next.borrow().clone(),
        ..Default::default()
    };
    shard.answer_in_portions(request.pending, around, pages)
}

/// Where the next page begins, known when this one is written.
type Next = Rc<RefCell<Option<ResponseCursor<'static>>>>;

fn end_at(next: &Next, topic: &str, partition_index: usize) {
    *next.borrow_mut() = Some(ResponseCursor {
        topic_name: topic.to_owned().into(),
        partition_index: i32::try_from(partition_index).unwrap_or(i32::MAX),
    });
}

/// The topics of a page, one after the other.
struct Pages {
    settings: Rc<Settings>,
    wanted: Wanted,
    at: usize,
    /// Where the page begins.
    cursor: (String, i32),
    /// Partitions that it still has room for.
    remaining: usize,
    next: Next,
}

enum Wanted {
    /// Every topic, by name, behind one (or from the cursor on).
    All { behind: Option<Arc<str>> },
    /// By name.
    Named(Names),
    /// All that is said is that the request is wrong.
    Refused(Names),
}

impl Pages {
    /// A page of at most `limit` partitions.
    fn of(
        image: &Image,
        settings: &Rc<Settings>,
        body: &DescribeTopicPartitionsRequest<'_>,
        limit: i64,
    ) -> (Self, Next) {
        let cursor = body.cursor.as_ref();
        let cursor = cursor.map_or(("", 0), |c| (&*c.topic_name, c.partition_index));
        let all = body.topics.is_empty();
        let mut names: Vec<&str> = body.topics.iter().map(|t| &*t.name).collect();
        let lost = body.cursor.is_some() && !all && !names.contains(&cursor.0);
        let wanted = if lost || cursor.1 < 0 {
            // There is no place for an error of the whole. Nothing is said of the topics themselves
            // (Kafka: `DescribeTopicPartitionsRequest.getErrorResponse`).
            Wanted::Refused(names.into_iter().collect())
        } else if all {
            // From the cursor's topic on: behind the last name before it.
            let before = image.topic_before(cursor.0);
            Wanted::All { behind: before.map(|t| t.name.clone()) }
        } else {
            names.retain(|name| *name >= cursor.0);
            names.sort_unstable();
            names.dedup();
            Wanted::Named(names.into_iter().collect())
        };
        let remaining = usize::try_from(limit.min(body.response_partition_limit.into()));
        let next = Next::default();
        let pages = Self {
            settings: settings.clone(),
            wanted,
            at: 0,
            cursor: (cursor.0.to_owned(), cursor.1),
            remaining: remaining.unwrap_or(1).max(1),
            next: next.clone(),
        };
        (pages, next)
    }

    /// Writes the next topic; false when the page is complete.
    fn step(&mut self, image: &Image, out: &mut Portion) -> Result<bool, wire::Error> {
        let at = self.at;
        self.at += 1;
        let name: &str = match &mut self.wanted {
            Wanted::Refused(names) => {
                let Some(name) = names.get(at) else {
                    return Ok(false);
                };
                out.put(&DescribeTopicPartitionsResponseTopic {
                    is_internal: false,
                    topic_authorized_operations: NO_OPERATIONS,
                    ..unknown(name, ErrorCode::InvalidRequest)
                })?;
                return Ok(true);
            }
            Wanted::Named(names) => match names.get(at) {
                Some(name) => name,
                None => return Ok(false),
            },
            Wanted::All { behind } => match image.topic_after(behind.as_deref()) {
                Some(topic) => {
                    *behind = Some(topic.name.clone());
                    &topic.name
                }
                None => return Ok(false),
            },
        };
        if self.remaining == 0 {
            end_at(&self.next, name, 0);
            return Ok(false);
        }
        let Some(topic) = image.topic(name) else {
            let error = if is_valid_name(name) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            out.put(&unknown(name, error))?;
            return Ok(true);
        };
        let first =
            if *name == *self.cursor.0 { usize::try_from(self.cursor.1).unwrap_or(0) } else { 0 };
        let first = first.min(topic.partitions.len());
        let end = topic.partitions.len().min(first.saturating_add(self.remaining));
        // A page is short: what one topic has of it is written at once.
        out.put(&page(&self.settings, topic, first, end))?;
        out.looked_at(end - first);
        if end < topic.partitions.len() {
            end_at(&self.next, name, end);
            return Ok(false);
        }
        self.remaining -= end - first;
        Ok(true)
    }
}

impl Elements for Pages {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        loop {
            if out.is_full() {
                return Ok(Progress::More);
            }
            if !self.step(&shard.image, out)? {
                return Ok(Progress::Done);
            }
        }
    }
}

fn unknown(name: &str, error: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'_> {
    DescribeTopicPartitionsResponseTopic {
        error_code: error.code(),
        name: Some(name.into()),
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
            if *host == settings.node_id { settings.client_id_of(core) } else { *host }
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
            topics: names.iter().map(|n| TopicRequest { name: (*n).to_owned().into() }).collect(),
            response_partition_limit: limit,
            cursor: cursor.map(|(t, partition_index)| RequestCursor {
                topic_name: t.to_owned().into(),
                partition_index,
            }),
        }
    }

    fn ask(body: &DescribeTopicPartitionsRequest<'_>) -> DescribeTopicPartitionsResponse<'static> {
        let mut controller = controller_with(Settings { default_partitions: 3, ..settings() });
        for record in controller.auto_create(&["a", "b", "c"].map(str::to_owned), numbers()).records
        {
            controller.apply(&record);
        }
        let settings = Rc::new(settings());
        let (mut pages, next) = Pages::of(controller.image(), &settings, body, 2000);
        let mut out = Portion::alone(0);
        while pages.step(controller.image(), &mut out).unwrap() {}
        let around = DescribeTopicPartitionsResponse {
            next_cursor: next.borrow().clone(),
            ..Default::default()
        };
        out.into_message(&around)
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
                assert!(partitions <= usize::try_from(limit).unwrap_or(0).max(1), "{limit}");
                for topic in &page.topics {
                    let name = topic.name.clone().unwrap();
                    seen.extend(
                        topic.partitions.iter().map(|p| (name.to_string(), p.partition_index)),
                    );
                }
                match page.next_cursor {
                    Some(next) => {
                        cursor = Some((next.topic_name.to_string(), next.partition_index))
                    }
                    None => break,
                }
            }
            let expected: Vec<_> =
                ["a", "b", "c"].iter().flat_map(|t| (0..3).map(|p| ((*t).to_owned(), p))).collect();
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
            assert_eq!((&p.replica_nodes, &p.isr_nodes), (&vec![p.leader_id], &vec![p.leader_id]));
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
            [ErrorCode::None, ErrorCode::InvalidTopicException, ErrorCode::UnknownTopicOrPartition]
        );
        assert_eq!(codes(&request(&["a"], 100, Some(("b", 0)))), [ErrorCode::InvalidRequest]);
        let refused = ask(&request(&["__consumer_offsets"], 100, Some(("b", 0))));
        let refused = &refused.topics[0];
        assert_eq!(
            (refused.is_internal, refused.topic_authorized_operations),
            (false, i32::MIN),
            "nothing is said of the topic"
        );
        let missing = ask(&request(&["__share_group_state"], 100, None));
        assert!(missing.topics[0].is_internal);
        assert_eq!(codes(&request(&["a"], 100, Some(("a", -1)))), [ErrorCode::InvalidRequest]);
        // A topic that was deleted between two pages.
        assert_eq!(codes(&request(&[], 100, Some(("bb", 7)))), [ErrorCode::None]);
        assert_eq!(ask(&request(&[], 100, Some(("b", 7)))).topics[0].partitions.len(), 0);
    }
}
