//! DeleteTopics (key 20): the controller decides, see [`crate::controller::delete`].
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{Decode, Reader, delete_topics::DeleteTopicsRequest};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DeleteTopicsRequest::decode(reader, request.version())?;
    shard.decide(request, Some(body.timeout_ms), |c| c.delete_topics(&body, request.version()))
}
