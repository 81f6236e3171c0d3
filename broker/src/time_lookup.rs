//! Look-ups of offsets by time that wait for the disk.
use crate::{
    api::partitions::{Named, Partitions, told},
    core::request::{Pending, Stage},
    shard::Shard,
};
use hashbrown::HashMap;
use storage::TimeOffset;
use wire::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

type Hasher = foldhash::fast::FixedState;

/// A ListOffsets answer under way.
#[derive(Debug)]
pub struct Lookup {
    pending: Pending,
    pub(crate) named: Named<ListOffsetsPartitionResponse>,
    /// Tokens of the store that are waited for, each with its row.
    waiting: Vec<(u64, u32)>,
}

impl Lookup {
    pub fn new(pending: Pending, partitions: usize) -> Self {
        Self { pending, named: Named::with_rows(partitions), waiting: Vec::new() }
    }

    /// The row that comes next waits for the store's `token`.
    pub fn wait_for(&mut self, token: u64) {
        let row = u32::try_from(self.named.rows().len()).unwrap_or(u32::MAX);
        self.waiting.push((token, row));
    }
}

told!(Told: ListOffsetsTopicResponse { name, partitions }, ListOffsetsPartitionResponse);

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
            return self.answer_lookup(lookup);
        }
        let id = self.lookups.next;
        self.lookups.next += 1;
        for &(token, _) in &lookup.waiting {
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
        let (_, row) = lookup.waiting.swap_remove(at);
        let row = row as usize;
        let name = lookup.named.topic_of(row).to_owned();
        let partition = lookup.named.rows()[row].partition_index;
        // It may have been deleted meanwhile.
        let led = self.led(&name, partition, -1);
        let Some(lookup) = self.lookups.ops.get_mut(&id) else {
            return;
        };
        let answer = &mut lookup.named.rows_mut()[row];
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
                answer.error_code = crate::core::error_map::storage_error(&error).code();
            }
        }
        if lookup.waiting.is_empty()
            && let Some(done) = self.lookups.ops.remove(&id)
        {
            let pending = done.pending;
            let done = self.answer_lookup(done);
            self.finish_stage(pending, done);
        }
    }

    fn answer_lookup(&mut self, done: Lookup) -> Result<Stage, wire::Error> {
        let partitions = Partitions::new(done.named, Told);
        self.answer_in_portions(done.pending, ListOffsetsResponse::default, partitions)
    }
}
