//! ListConfigResources (key 74): names of what can have a configuration. Version 0 asks for client metrics only, of which
//! there are none.
use crate::{
    metadata::resource,
    shard::{
        Shard,
        reply::{Request, Stage},
    },
};
use wire::{
    Decode, ErrorCode, Reader,
    list_config_resources::{
        ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
    },
};

const KNOWN: [i8; 5] = [
    resource::TOPIC,
    resource::BROKER,
    resource::BROKER_LOGGER,
    resource::CLIENT_METRICS,
    resource::GROUP,
];

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ListConfigResourcesRequest::decode(reader, request.version())?;
    let mut response = ListConfigResourcesResponse::default();
    if body.resource_types.iter().any(|t| !KNOWN.contains(t)) {
        response.error_code = ErrorCode::UnsupportedVersion.code();
        return request.answer(&response);
    }
    let wants = |kind: i8| {
        request.version() >= 1
            && (body.resource_types.is_empty() || body.resource_types.contains(&kind))
    };
    let mut list = |kind: i8, name: String| {
        response.config_resources.push(ConfigResource {
            resource_name: name.into(),
            resource_type: kind,
        });
    };
    if wants(resource::BROKER) {
        shard
            .settings
            .endpoints()
            .iter()
            .for_each(|e| list(resource::BROKER, e.id.to_string()));
    }
    if wants(resource::TOPIC) {
        shard
            .image
            .topics()
            .for_each(|t| list(resource::TOPIC, t.name.to_string()));
    }
    request.answer(&response)
}
