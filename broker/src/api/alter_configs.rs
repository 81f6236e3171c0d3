//! AlterConfigs (key 33): the controller decides, see [`crate::controller::configs`].
use crate::{
    controller::{TOO_MANY, is_too_much},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    alter_configs::{AlterConfigsRequest, AlterConfigsResourceResponse, AlterConfigsResponse},
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = AlterConfigsRequest::decode(reader, request.version())?;
    let changes: usize = body.resources.iter().map(|resource| resource.configs.len()).sum();
    if is_too_much(changes.max(body.resources.len())) {
        let names = body.resources.iter().map(|resource| &*resource.resource_name).collect();
        let kinds: Vec<i8> = body.resources.iter().map(|r| r.resource_type).collect();
        return shard.refuse_all::<AlterConfigsResponse<'_>>(
            request.pending,
            names,
            move |at, name, out| {
                out.put(&AlterConfigsResourceResponse {
                    error_code: ErrorCode::PolicyViolation.code(),
                    error_message: Some(TOO_MANY.into()),
                    resource_type: kinds.get(at).copied().unwrap_or_default(),
                    resource_name: name.into(),
                })
            },
        );
    }
    shard.decide(request, None, |c| c.alter_configs(&body))
}
