//! CreatePartitions (key 37): the controller decides, see [`crate::controller::partitions`].
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{Decode, Reader, create_partitions::CreatePartitionsRequest};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = CreatePartitionsRequest::decode(reader, request.version())?;
    let outcome = shard.controller().create_partitions(&body);
    shard.propose(request.pending, outcome.records, outcome.response);
    Ok(Stage::Later)
}
