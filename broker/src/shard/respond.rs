//! How answers of the controller leave: those with an array of results, in portions.
use super::Shard;
use crate::{
    answer::{Elements, Portion, Progress, Rows, distinct::Names},
    controller::{refuse::Refuse, topics::Created},
    core::request::{Pending, Stage},
};
use wire::{
    ApiMessage, Error,
    alter_configs::AlterConfigsResponse,
    alter_partition_reassignments::{
        AlterPartitionReassignmentsResponse, ReassignableTopicResponse,
    },
    create_partitions::CreatePartitionsResponse,
    create_topics::CreateTopicsResponse,
    delete_topics::DeleteTopicsResponse,
    incremental_alter_configs::IncrementalAlterConfigsResponse,
    init_producer_id::InitProducerIdResponse,
};

/// An answer of the controller.
pub(crate) trait Respond: Refuse {
    /// Answers, as a handler does.
    fn respond(self, shard: &mut Shard, pending: Pending) -> Result<Stage, Error>;
}

impl Shard {
    /// Answers a request of which all is refused: `write` says so of one of the names. They are all
    /// that is kept of it.
    pub(crate) fn refuse_all<T: ApiMessage + Default + 'static>(
        &mut self,
        pending: Pending,
        names: Names,
        write: impl Fn(usize, &str, &mut Portion) -> Result<(), Error> + 'static,
    ) -> Result<Stage, Error> {
        let refused = Rows::new(names.len(), move |at, out| {
            write(at, names.get(at).unwrap_or_default(), out)
        });
        self.answer_in_portions(pending, T::default, refused)
    }
}

impl Respond for Created {
    fn respond(self, shard: &mut Shard, pending: Pending) -> Result<Stage, Error> {
        let topics = Rows::new(self.topics.len(), move |at, out| {
            let result = self.result(at);
            out.looked_at(result.configs.as_ref().map_or(0, Vec::len));
            out.put(&result)
        });
        shard.answer_in_portions(pending, CreateTopicsResponse::default, topics)
    }
}

macro_rules! in_portions {
    ($($response:ident: $results:ident),* $(,)?) => {$(
        impl Respond for $response<'static> {
            fn respond(self, shard: &mut Shard, pending: Pending) -> Result<Stage, Error> {
                let results = self.$results;
                let results = Rows::new(results.len(), move |at, out| out.put(&results[at]));
                shard.answer_in_portions(pending, $response::default, results)
            }
        }
    )*};
}

in_portions!(
    DeleteTopicsResponse: responses,
    CreatePartitionsResponse: results,
    AlterConfigsResponse: responses,
    IncrementalAlterConfigsResponse: responses,
);

/// Topics of AlterPartitionReassignments, some partitions at a time.
struct Reassigned {
    topics: Vec<ReassignableTopicResponse<'static>>,
    at: usize,
    /// How many partitions of this topic are written, and what comes behind them.
    open: Option<(usize, Vec<u8>)>,
}

impl Elements for Reassigned {
    fn write(&mut self, _: &mut Shard, out: &mut Portion) -> Result<Progress, Error> {
        while let Some(topic) = self.topics.get(self.at) {
            if out.is_full() {
                return Ok(Progress::More);
            }
            if self.open.is_none() {
                let head = ReassignableTopicResponse {
                    name: (&*topic.name).into(),
                    partitions: Vec::new(),
                };
                self.open = Some((0, out.begin(&head, topic.partitions.len())?));
            }
            if let Some((written, tail)) = &mut self.open {
                while let Some(partition) = topic.partitions.get(*written) {
                    if out.is_full() {
                        return Ok(Progress::More);
                    }
                    out.put_inner(partition)?;
                    *written += 1;
                }
                out.end(tail);
            }
            self.open = None;
            self.at += 1;
        }
        Ok(Progress::Done)
    }

    fn rewind(&mut self) -> bool {
        (self.at, self.open) = (0, None);
        true
    }
}

impl Respond for AlterPartitionReassignmentsResponse<'static> {
    fn respond(mut self, shard: &mut Shard, pending: Pending) -> Result<Stage, Error> {
        let reassigned =
            Reassigned { topics: std::mem::take(&mut self.responses), at: 0, open: None };
        shard.answer_in_portions(pending, move || self.clone(), reassigned)
    }
}

impl Respond for InitProducerIdResponse {
    fn respond(self, _: &mut Shard, pending: Pending) -> Result<Stage, Error> {
        Ok(Stage::Reply(pending.encode(&self)?))
    }
}
