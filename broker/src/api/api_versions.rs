//! ApiVersions (key 18): what is served, computed from the table.
use super::TABLE;
use crate::{
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    ApiKey, Decode, ErrorCode, Reader,
    api_versions::{
        ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey,
        SupportedFeatureKey,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ApiVersionsRequest::decode(reader, request.version())?;
    if request.version() >= 3
        && !(is_name(&body.client_software_name) && is_name(&body.client_software_version))
    {
        let response = ApiVersionsResponse {
            error_code: ErrorCode::InvalidRequest.code(),
            ..Default::default()
        };
        return request.answer(&response);
    }
    if request.version() >= 3 {
        let (name, version) = (&body.client_software_name, &body.client_software_version);
        shard.note_software(request.pending.reply, name, version);
    }
    let features = shard.image.features();
    let response = ApiVersionsResponse {
        error_code: 0,
        api_keys: served(),
        supported_features: features
            .iter()
            .map(|(name, level)| SupportedFeatureKey {
                name: name.to_string().into(),
                min_version: *level,
                max_version: *level,
            })
            .collect(),
        finalized_features_epoch: shard.image_through,
        finalized_features: features
            .iter()
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.to_string().into(),
                max_version_level: *level,
                min_version_level: *level,
            })
            .collect(),
        ..Default::default()
    };
    request.answer(&response)
}

/// A version from the future is answered in version 0, with the range of ApiVersions itself
/// (KIP-511; wire rule 3).
pub(crate) fn answer_unknown_version(request: &Request<'_>) -> Result<Stage, wire::Error> {
    let mut pending = request.pending;
    pending.version = 0;
    let own = served().into_iter().filter(|v| v.api_key == ApiKey::ApiVersions.code()).collect();
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: own,
        ..Default::default()
    };
    Ok(Stage::Reply(pending.encode(&response)?))
}

fn served() -> Vec<ApiVersion> {
    TABLE
        .iter()
        .map(|api| ApiVersion {
            api_key: api.key.code(),
            // librdkafka turns on message format 2 only if it sees version 0 (KAFKA-18659); 0-2 are
            // refused when they come.
            min_version: if api.key == ApiKey::Produce { 0 } else { api.min },
            max_version: api.max,
        })
        .collect()
}

/// Kafka's pattern for software names and versions: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_name(text: &str) -> bool {
    let alphanumeric = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names() {
        assert!(is_name("apache-kafka-java") && is_name("4.3.1") && is_name("x"));
        assert!(!is_name("") && !is_name("-x") && !is_name("x.") && !is_name("a b"));
    }

    #[test]
    fn produce_is_offered_from_version_0() {
        let produce = served().into_iter().find(|v| v.api_key == 0).unwrap();
        assert_eq!((produce.min_version, produce.max_version), (0, 13));
    }
}
