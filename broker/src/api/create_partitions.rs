//! CreatePartitions (key 37): the controller decides, see [`crate::controller::partitions`].
use crate::{
    controller::{TOO_MANY, is_too_much},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    create_partitions::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = CreatePartitionsRequest::decode(reader, request.version())?;
    if is_too_much(body.topics.len()) {
        let names = body.topics.iter().map(|topic| &*topic.name).collect();
        return shard.refuse_all::<CreatePartitionsResponse<'_>>(
            request.pending,
            names,
            |_, name, out| {
                out.put(&CreatePartitionsTopicResult {
                    name: name.into(),
                    error_code: ErrorCode::PolicyViolation.code(),
                    error_message: Some(TOO_MANY.into()),
                })
            },
        );
    }
    shard.decide(request, Some(body.timeout_ms), |c| c.create_partitions(&body))
}
