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
    shard.decide(request, Some(body.timeout_ms), |c| c.create_partitions(&body))
}
