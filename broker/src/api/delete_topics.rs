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
    let outcome = shard.controller().delete_topics(&body, request.version());
    shard.propose(request.pending, outcome.records, outcome.response);
    Ok(Stage::Later)
}
