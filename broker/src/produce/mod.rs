//! Produce requests that wait for their acks.
//!
//! An operation is the response as far as it is known, and the number of partitions whose watermark
//! has not come yet. The answer goes when the last has, or when the request's time is over.
use crate::{core::request::Pending, shard::Shard};
use hashbrown::HashMap;
use netio::Instant;
use wire::{
    ErrorCode,
    produce::{NodeEndpoint, PartitionProduceResponse, ProduceResponse, TopicProduceResponse},
};

/// The response under way: topics in request order.
#[derive(Debug, Default)]
pub struct ProduceAnswer {
    pub topics: Vec<TopicProduceResponse<'static>>,
    /// acks=0: there is no answer, but what comes behind it on its connection waits until it can be
    /// seen.
    pub silent: bool,
    /// Some partition answered NOT_LEADER_OR_FOLLOWER: the endpoints of this host go along
    /// (KIP-951).
    pub tell_endpoints: bool,
}

/// A produce request that waits.
#[derive(Debug)]
pub struct ProduceOp {
    pending: Pending,
    answer: ProduceAnswer,
    /// Partitions whose watermark has not come.
    missing: usize,
    deadline: Instant,
}

/// The waiting produce requests of a core.
#[derive(Debug, Default)]
pub struct ProduceOps {
    next: u64,
    ops: HashMap<u64, ProduceOp, foldhash::fast::FixedState>,
}

impl ProduceOps {
    /// The id that the next operation will have: its waiters are entered before it.
    pub fn next_id(&self) -> u64 {
        self.next
    }

    pub fn add(
        &mut self,
        pending: Pending,
        answer: ProduceAnswer,
        missing: usize,
        deadline: Instant,
    ) {
        assert!(missing > 0, "a produce operation that waits for nothing");
        self.ops.insert(self.next, ProduceOp { pending, answer, missing, deadline });
        self.next += 1;
    }

    pub fn len(&self) -> usize {
        self.ops.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Operations whose time is over, in the order they began.
    fn expired(&self, now: Instant) -> Vec<u64> {
        let mut ids: Vec<u64> =
            self.ops.iter().filter(|(_, op)| op.deadline <= now).map(|(&id, _)| id).collect();
        ids.sort_unstable();
        ids
    }
}

impl ProduceAnswer {
    /// The answer of the `index`-th partition, counted over all topics.
    fn partition_mut(&mut self, index: u32) -> &mut PartitionProduceResponse<'static> {
        let mut left = index as usize;
        for topic in &mut self.topics {
            if left < topic.partition_responses.len() {
                return &mut topic.partition_responses[left];
            }
            left -= topic.partition_responses.len();
        }
        panic!("partition {index} of a produce answer that has fewer");
    }

    /// Of every partition that failed.
    pub fn error_codes(&self) -> impl Iterator<Item = i16> {
        let partitions = self.topics.iter().flat_map(|t| &t.partition_responses);
        partitions.map(|p| p.error_code).filter(|&code| code != 0)
    }

    fn fail(&mut self, index: u32, error: ErrorCode, message: Option<&str>) {
        let partition = self.partition_mut(index);
        partition.error_code = error.code();
        partition.base_offset = -1;
        partition.log_append_time_ms = -1;
        partition.log_start_offset = -1;
        partition.error_message = message.map(|m| m.to_owned().into());
    }
}

impl Shard {
    /// One partition of `op` is settled: durable, or failed with `error`.
    pub(crate) fn settle_produce(&mut self, op: u64, index: u32, error: Option<(ErrorCode, &str)>) {
        // The request's time may have been over before.
        let Some(waiting) = self.produces.ops.get_mut(&op) else {
            return;
        };
        if let Some((error, message)) = error {
            waiting.answer.fail(index, error, Some(message));
        }
        waiting.missing -= 1;
        if waiting.missing == 0
            && let Some(op) = self.produces.ops.remove(&op)
        {
            self.answer_produce(op.pending, op.answer);
        }
    }

    pub(crate) fn answer_produce(&mut self, pending: Pending, answer: ProduceAnswer) {
        if answer.silent {
            let stored = |p: &PartitionProduceResponse<'_>| {
                p.error_code == 0 || p.error_code == ErrorCode::RequestTimedOut.code()
            };
            let mut partitions = answer.topics.iter().flat_map(|t| &t.partition_responses);
            return match partitions.all(stored) {
                true => self.send(pending.reply, Vec::new()),
                false => {
                    for code in answer.error_codes() {
                        self.stats.error(pending.key, code, 1);
                    }
                    self.fail_reply(pending, "a produce request with acks=0 that failed")
                }
            };
        }
        let response = self.produce_response(&pending, answer);
        self.finish(&pending, &response);
    }

    pub(crate) fn produce_response(
        &self,
        pending: &Pending,
        answer: ProduceAnswer,
    ) -> ProduceResponse<'static> {
        let node_endpoints = if answer.tell_endpoints && pending.version >= 10 {
            self.settings.endpoints_as(|e, rack| NodeEndpoint {
                node_id: e.id,
                host: e.host.into(),
                port: e.port.into(),
                rack,
            })
        } else {
            Vec::new()
        };
        ProduceResponse { responses: answer.topics, throttle_time_ms: 0, node_endpoints }
    }

    /// Answers REQUEST_TIMED_OUT where the log took longer than the request allows. What was
    /// appended stays.
    pub(crate) fn expire_produces(&mut self) {
        for id in self.produces.expired(self.now) {
            let Some(mut op) = self.produces.ops.remove(&id) else {
                continue;
            };
            let mut index = 0;
            let partitions: usize =
                op.answer.topics.iter().map(|t| t.partition_responses.len()).sum();
            while (index as usize) < partitions {
                let settled = !self.waits_for_ack(id, index);
                if !settled {
                    op.answer.fail(index, ErrorCode::RequestTimedOut, None);
                }
                index += 1;
            }
            self.answer_produce(op.pending, op.answer);
        }
    }

    fn waits_for_ack(&self, op: u64, index: u32) -> bool {
        self.partitions.iter().any(|p| p.acks.contains(op, index))
    }
}
