//! DeleteTopics (key 20): the controller decides, see [`crate::controller::delete`].
use crate::{
    controller::{TOO_MANY, is_too_much},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DeleteTopicsRequest::decode(reader, request.version())?;
    if is_too_much(body.topic_names.len() + body.topics.len()) {
        let by_state = body.topics.iter().map(|topic| topic.name.as_deref().unwrap_or_default());
        let names = body.topic_names.iter().map(|name| &**name).chain(by_state).collect();
        let by_name = body.topic_names.len();
        let ids: Vec<_> = body.topics.iter().map(|topic| topic.topic_id).collect();
        return shard.refuse_all::<DeleteTopicsResponse<'_>>(
            request.pending,
            names,
            move |at, name, out| {
                let id = at.checked_sub(by_name).and_then(|at| ids.get(at));
                out.put(&DeletableTopicResult {
                    name: (!name.is_empty()).then(|| name.into()),
                    topic_id: id.copied().unwrap_or_default(),
                    error_code: ErrorCode::PolicyViolation.code(),
                    error_message: Some(TOO_MANY.into()),
                })
            },
        );
    }
    shard.decide(request, Some(body.timeout_ms), |c| c.delete_topics(&body, request.version()))
}
