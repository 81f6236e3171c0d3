//! ListConfigResources (key 74): names of what can have a configuration. Version 0 asks for client
//! metrics only, of which there are none.
use crate::{
    answer::{Elements, Portion, Progress},
    core::request::{Request, Stage},
    metadata::resource,
    shard::Shard,
};
use std::sync::Arc;
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
    let brokers = shard.settings.endpoints();
    let brokers = brokers.iter().filter(|_| wants(resource::BROKER));
    let mut resources = Resources {
        brokers: brokers.map(|e| e.id).collect(),
        topics: wants(resource::TOPIC),
        behind: None,
    };
    resources.brokers.reverse();
    shard.answer_in_portions(request.pending, ListConfigResourcesResponse::default, resources)
}

struct Resources {
    /// To come, the next one last.
    brokers: Vec<i32>,
    /// Topics follow, by name, behind one.
    topics: bool,
    behind: Option<Arc<str>>,
}

impl Elements for Resources {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let Some(id) = self.brokers.pop() {
            out.put(&ConfigResource {
                resource_name: id.to_string().into(),
                resource_type: resource::BROKER,
            })?;
        }
        while self.topics
            && let Some(topic) = shard.image.topic_after(self.behind.as_deref())
        {
            if out.is_full() {
                return Ok(Progress::More);
            }
            self.behind = Some(topic.name.clone());
            out.put(&ConfigResource {
                resource_name: (&*topic.name).into(),
                resource_type: resource::TOPIC,
            })?;
        }
        Ok(Progress::Done)
    }
}
