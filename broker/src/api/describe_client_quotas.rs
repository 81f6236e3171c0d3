//! DescribeClientQuotas (key 48): quotas are not enforced and cannot be set, so there are none
//! (`ClientQuotasImage.describe`).
use crate::{
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    describe_client_quotas::{
        ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
    },
};

const TYPES: [&str; 3] = ["user", "client-id", "ip"];
/// `DescribeClientQuotasRequest.MATCH_TYPE_*`
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub(crate) fn handle<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeClientQuotasRequest::decode(reader, request.version())?;
    let response = match check(&body.components) {
        Ok(()) => DescribeClientQuotasResponse {
            error_message: None,
            entries: Some(Vec::new()),
            ..Default::default()
        },
        Err((error, why)) => DescribeClientQuotasResponse {
            error_code: error.code(),
            error_message: Some(why.into()),
            entries: None,
            ..Default::default()
        },
    };
    request.answer(&response)
}

/// What Kafka refuses in a filter.
fn check(components: &[ComponentData<'_>]) -> Result<(), (ErrorCode, String)> {
    let invalid = |why: String| Err((ErrorCode::InvalidRequest, why));
    for (i, component) in components.iter().enumerate() {
        let kind = &*component.entity_type;
        if kind.is_empty() {
            return invalid("Invalid empty entity type.".into());
        }
        if components.iter().take(i).any(|c| c.entity_type == *kind) {
            return invalid(format!(
                "Entity type {kind} cannot appear more than once in the filter."
            ));
        }
        if !TYPES.contains(&kind) {
            let why = format!("Unsupported entity type {kind}");
            return Err((ErrorCode::UnsupportedVersion, why));
        }
        match (component.match_type, &component.match_) {
            (EXACT, Some(_)) | (DEFAULT | SPECIFIED, None) => {}
            (EXACT, None) => {
                return invalid("An exact match was asked for without a name.".into());
            }
            (DEFAULT | SPECIFIED, Some(_)) => {
                return invalid("A name was given for a match that takes none.".into());
            }
            (other, _) => return invalid(format!("Unknown match type {other}")),
        }
    }
    let has = |kind: &str| components.iter().any(|c| c.entity_type == *kind);
    if has("ip") && (has("user") || has("client-id")) {
        return invalid("ip cannot be combined with user or client-id.".into());
    }
    Ok(())
}
