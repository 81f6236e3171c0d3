//! FindCoordinator (key 10): the core that leads a group's partition of `__consumer_offsets`.
use crate::{
    answer::{Elements, Portion, Progress, distinct::Names},
    coordinator::placement,
    core::{
        placement::core_of,
        request::{Request, Stage},
    },
    shard::{Shard, control::AUTO_CREATE_MS, metadata::OFFSETS_TOPIC},
};
use netio::CoreId;
use wire::{
    Decode, ErrorCode, IntoOwned, Reader,
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
    let keys: Names = if request.version() >= 4 {
        body.coordinator_keys.iter().map(|key| &**key).collect()
    } else {
        [&*body.key].into_iter().collect()
    };
    let pending = request.pending;
    if kind == GROUP && keys.len() > 0 && shard.image.topic(OFFSETS_TOPIC).is_none() {
        if shard.me != CoreId(0) {
            return Ok(shard.forward(request, CoreId(0)));
        }
        let records = shard.auto_create(&[OFFSETS_TOPIC.to_owned()]);
        // Without them the answer says that they are not there, on which clients ask again.
        let deadline = request.deadline(AUTO_CREATE_MS);
        shard.propose_then(records, deadline, move |shard, _| {
            if pending.version < 4 {
                let response = one(shard, kind, &keys);
                return shard.finish(&pending, &response);
            }
            let coordinators = Coordinators { keys, kind, at: 0 };
            shard.finish_in_portions(pending, FindCoordinatorResponse::default, coordinators);
        });
        return Ok(Stage::Later);
    }
    if pending.version < 4 {
        return request.answer(&one(shard, kind, &keys));
    }
    let coordinators = Coordinators { keys, kind, at: 0 };
    shard.answer_in_portions(pending, FindCoordinatorResponse::default, coordinators)
}

/// The coordinators of keys, one after the other.
struct Coordinators {
    keys: Names,
    kind: i8,
    at: usize,
}

impl Elements for Coordinators {
    fn write(&mut self, shard: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let Some(key) = self.keys.get(self.at) {
            if out.is_full() {
                return Ok(Progress::More);
            }
            out.put(&find(shard, self.kind, key))?;
            self.at += 1;
        }
        Ok(Progress::Done)
    }
}

/// The answer while a request had one key.
fn one(shard: &Shard, kind: i8, keys: &Names) -> FindCoordinatorResponse<'static> {
    let one = find(shard, kind, keys.get(0).unwrap_or_default()).into_owned();
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

fn find<'k>(shard: &Shard, kind: i8, key: &'k str) -> Coordinator<'k> {
    let refuse = |key: &'k str, error: ErrorCode, message: &'static str| Coordinator {
        key: key.into(),
        node_id: -1,
        host: "".into(),
        port: -1,
        error_code: error.code(),
        error_message: Some(message.into()),
    };
    match kind {
        GROUP => {}
        // Final, so that a transactional producer fails at once instead of looking for a
        // coordinator for ever.
        TRANSACTION => {
            return refuse(
                key,
                ErrorCode::TransactionalIdAuthorizationFailed,
                "transactions are not served yet",
            );
        }
        _ => {
            return refuse(key, ErrorCode::InvalidRequest, "a coordinator type that is not served");
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
    let partition = placement::partition_for(key, partitions);
    let endpoint = shard.settings.endpoint(core_of(topic.id, partition, shard.settings.cores));
    Coordinator {
        key: key.into(),
        node_id: endpoint.id,
        host: endpoint.host.into(),
        port: endpoint.port.into(),
        error_code: 0,
        error_message: Some("".into()),
    }
}
