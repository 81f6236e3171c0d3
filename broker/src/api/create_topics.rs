//! CreateTopics (key 19): the controller decides, see [`crate::controller::topics`].
use crate::{
    controller::{is_too_much, topics::too_many},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, Reader,
    create_topics::{CreateTopicsRequest, CreateTopicsResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = CreateTopicsRequest::decode(reader, request.version())?;
    // Each of them has at least one partition. How many there are in all is counted by the
    // controller.
    if is_too_much(body.topics.len()) {
        let names = body.topics.iter().map(|topic| &*topic.name).collect();
        return shard.refuse_all::<CreateTopicsResponse<'_>>(
            request.pending,
            names,
            |_, name, out| out.put(&too_many(name)),
        );
    }
    let io = shard.io.clone();
    shard.decide(request, Some(body.timeout_ms), |c| c.create_topics(&body, || io.random()))
}
