//! InitProducerId (key 22): the controller decides, see [`crate::controller::producer_ids`].
use crate::{
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{Decode, Reader, init_producer_id::InitProducerIdRequest};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = InitProducerIdRequest::decode(reader, request.version())?;
    shard.decide(request, None, |c| c.init_producer_id(&body))
}
