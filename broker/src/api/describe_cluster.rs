//! DescribeCluster (key 60): its id, its brokers (one per core, or one per host in single-port
//! mode), its controller.
use super::metadata::ALL_CLUSTER_OPERATIONS;
use crate::{
    core::request::{Request, Stage},
    shard::Shard,
};
use netio::CoreId;
use wire::{
    Decode, ErrorCode, Reader,
    describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse},
};

/// Kafka's `EndpointType`.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeClusterRequest::decode(reader, request.version())?;
    let refused = match body.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "this is a listener of brokers, not of controllers",
        )),
        _ => Some((ErrorCode::UnsupportedEndpointType, "an endpoint type that does not exist")),
    };
    if let Some((error, why)) = refused {
        let response = DescribeClusterResponse {
            error_code: error.code(),
            error_message: Some(why.into()),
            endpoint_type: BROKERS,
            ..Default::default()
        };
        return request.answer(&response);
    }
    let settings = &shard.settings;
    let brokers = settings.endpoints_as(|e, rack| DescribeClusterBroker {
        broker_id: e.id,
        host: e.host.into(),
        port: e.port.into(),
        rack,
        is_fenced: false,
    });
    let operations = body.include_cluster_authorized_operations;
    request.answer(&DescribeClusterResponse {
        error_message: None,
        endpoint_type: body.endpoint_type,
        cluster_id: shard.cluster_id.to_string().into(),
        controller_id: settings.client_id_of(CoreId(0)),
        brokers,
        cluster_authorized_operations: if operations { ALL_CLUSTER_OPERATIONS } else { i32::MIN },
        ..Default::default()
    })
}
