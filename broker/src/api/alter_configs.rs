//! AlterConfigs (key 33): the controller decides, see [`crate::controller::configs`].
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{Decode, Reader, alter_configs::AlterConfigsRequest};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = AlterConfigsRequest::decode(reader, request.version())?;
    shard.decide(request, None, |c| c.alter_configs(&body))
}
