//! Look-ups of offsets by time that wait for the disk.
use crate::shard::{
    Shard,
    reply::{Pending, Stage},
};
use hashbrown::HashMap;
use storage::TimeOffset;
use wire::list_offsets::{ListOffsetsResponse, ListOffsetsTopicResponse};

type Hasher = foldhash::fast::FixedState;

/// A ListOffsets answer under way.
#[derive(Debug)]
pub struct Lookup {
    pending: Pending,
    pub topics: Vec<ListOffsetsTopicResponse<'static>>,
    waiting: Vec<(u64, usize, usize)>,
}

impl Lookup {
    pub fn new(pending: Pending) -> Self {
        Self { pending, topics: Vec::new(), waiting: Vec::new() }
    }

    /// The `p`-th partition of the `t`-th topic waits for the store's `token`.
    pub fn wait_for(&mut self, token: u64, t: usize, p: usize) {
        self.waiting.push((token, t, p));
    }
}

/// The look-ups of a core.
#[derive(Debug, Default)]
pub struct Lookups {
    next: u64,
    ops: HashMap<u64, Lookup, Hasher>,
    by_token: HashMap<u64, u64, Hasher>,
}

impl Shard {
    pub(crate) fn begin_lookup(&mut self, lookup: Lookup) -> Result<Stage, wire::Error> {
        if lookup.waiting.is_empty() {
            let response = ListOffsetsResponse { throttle_time_ms: 0, topics: lookup.topics };
            return Ok(Stage::Reply(lookup.pending.encode(&response)?));
        }
        let id = self.lookups.next;
        self.lookups.next += 1;
        for &(token, _, _) in &lookup.waiting {
            self.lookups.by_token.insert(token, id);
        }
        self.lookups.ops.insert(id, lookup);
        Ok(Stage::Later)
    }

    pub(crate) fn on_time_found(
        &mut self,
        token: u64,
        result: Result<Option<TimeOffset>, storage::Error>,
    ) {
        let Some(id) = self.lookups.by_token.remove(&token) else {
            return;
        };
        let Some(lookup) = self.lookups.ops.get_mut(&id) else {
            return;
        };
        let Some(at) = lookup.waiting.iter().position(|w| w.0 == token) else {
            return;
        };
        let (_, t, p) = lookup.waiting.swap_remove(at);
        let topic = &lookup.topics[t];
        let (name, partition) = (topic.name.to_string(), topic.partitions[p].partition_index);
        // It may have been deleted meanwhile.
        let led = self.led(&name, partition, -1);
        let Some(lookup) = self.lookups.ops.get_mut(&id) else {
            return;
        };
        let answer = &mut lookup.topics[t].partitions[p];
        match result {
            _ if led.is_err() => {
                answer.error_code = led.map_or_else(|error| error.code(), |_| 0);
            }
            Ok(Some(found)) => {
                answer.offset = found.offset.0;
                answer.timestamp = found.timestamp;
                answer.leader_epoch =
                    if lookup.pending.version >= 4 { found.leader_epoch.0 } else { -1 };
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "look-up by time failed");
                answer.error_code = crate::api::error_map::storage_error(&error).code();
            }
        }
        if lookup.waiting.is_empty()
            && let Some(done) = self.lookups.ops.remove(&id)
        {
            self.finish(
                &done.pending,
                &ListOffsetsResponse { throttle_time_ms: 0, topics: done.topics },
            );
        }
    }
}
