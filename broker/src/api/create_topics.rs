//! CreateTopics (key 19): the controller decides, see [`crate::controller::topics`].
use crate::{
    controller::{TOO_MANY_PARTITIONS, is_too_much},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse},
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
            |_, name, out| {
                out.put(&CreatableTopicResult {
                    name: name.into(),
                    error_code: ErrorCode::PolicyViolation.code(),
                    error_message: Some(TOO_MANY_PARTITIONS.into()),
                    configs: Some(Vec::new()),
                    ..Default::default()
                })
            },
        );
    }
    let io = shard.io.clone();
    shard.decide(request, Some(body.timeout_ms), |c| c.create_topics(&body, || io.random()))
}
