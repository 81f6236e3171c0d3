//! FindCoordinator (key 10): the core that leads a group's partition of `__consumer_offsets`.
use crate::{
    coordinator::placement,
    shard::{
        Shard,
        control::AUTO_CREATE_MS,
        metadata::OFFSETS_TOPIC,
        reply::{Request, Stage},
        route::core_of,
    },
};
use netio::CoreId;
use wire::{
    Decode, ErrorCode, Reader,
    find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
};

/// `CoordinatorType.GROUP`
const GROUP: i8 = 0;
/// `CoordinatorType.TRANSACTION`
const TRANSACTION: i8 = 1;

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = FindCoordinatorRequest::decode(reader, request.version())?;
    let kind = body.key_type;
    let keys: Vec<String> = if request.version() >= 4 {
        body.coordinator_keys.into_iter().map(Into::into).collect()
    } else {
        vec![body.key.into()]
    };
    let pending = request.pending;
    if kind == GROUP && !keys.is_empty() && shard.image.topic(OFFSETS_TOPIC).is_none() {
        if shard.me != CoreId(0) {
            return Ok(shard.forward(request, CoreId(0)));
        }
        let records = shard.auto_create(&[OFFSETS_TOPIC.to_owned()]);
        // Without them the answer says that they are not there, on which clients ask again.
        let deadline = request.deadline(AUTO_CREATE_MS);
        shard.propose_then(records, deadline, move |shard, _| {
            let response = answer(shard, pending.version, kind, keys);
            shard.finish(&pending, &response);
        });
        return Ok(Stage::Later);
    }
    request.answer(&answer(shard, request.version(), kind, keys))
}

fn answer(
    shard: &Shard,
    version: i16,
    kind: i8,
    keys: Vec<String>,
) -> FindCoordinatorResponse<'static> {
    let mut found: Vec<Coordinator<'static>> =
        keys.into_iter().map(|key| find(shard, kind, key)).collect();
    if version >= 4 {
        return FindCoordinatorResponse {
            coordinators: found,
            ..Default::default()
        };
    }
    let one = found.pop().unwrap_or_default();
    let error_message = match one.error_code {
        // Kafka: `Errors.NONE.message`.
        0 => Some("NONE".into()),
        _ => one.error_message,
    };
    FindCoordinatorResponse {
        error_code: one.error_code,
        error_message,
        node_id: one.node_id,
        host: one.host,
        port: one.port,
        ..Default::default()
    }
}

fn find(shard: &Shard, kind: i8, key: String) -> Coordinator<'static> {
    let refuse = |key: String, error: ErrorCode, message: &'static str| Coordinator {
        key: key.into(),
        node_id: -1,
        host: "".into(),
        port: -1,
        error_code: error.code(),
        error_message: Some(message.into()),
    };
    match kind {
        GROUP => {}
        // Final, so that a transactional producer fails at once instead of looking for a coordinator for ever.
        TRANSACTION => {
            return refuse(
                key,
                ErrorCode::TransactionalIdAuthorizationFailed,
                "transactions are not served yet",
            );
        }
        _ => {
            return refuse(
                key,
                ErrorCode::InvalidRequest,
                "a coordinator type that is not served",
            );
        }
    }
    let Some(topic) = shard.image.topic(OFFSETS_TOPIC) else {
        return refuse(
            key,
            ErrorCode::CoordinatorNotAvailable,
            "the topic __consumer_offsets does not exist yet",
        );
    };
    let partitions = i32::try_from(topic.partitions.len()).unwrap_or(1);
    let partition = placement::partition_for(&key, partitions);
    let endpoint = shard
        .settings
        .endpoint(core_of(topic.id, partition, shard.settings.cores));
    Coordinator {
        key: key.into(),
        node_id: endpoint.id,
        host: endpoint.host.into(),
        port: endpoint.port.into(),
        error_code: 0,
        error_message: Some("".into()),
    }
}
