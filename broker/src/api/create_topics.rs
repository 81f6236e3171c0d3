//! CreateTopics (key 19): the controller decides, see [`crate::controller::topics`].
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{Decode, Reader, create_topics::CreateTopicsRequest};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = CreateTopicsRequest::decode(reader, request.version())?;
    let io = shard.io.clone();
    shard.decide(request, Some(body.timeout_ms), |c| c.create_topics(&body, || io.random()))
}
