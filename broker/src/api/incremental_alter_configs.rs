//! IncrementalAlterConfigs (key 44): the controller decides, see [`crate::controller::configs`].
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{Decode, Reader, incremental_alter_configs::IncrementalAlterConfigsRequest};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = IncrementalAlterConfigsRequest::decode(reader, request.version())?;
    shard.decide(request, None, |c| c.incremental_alter_configs(&body))
}
