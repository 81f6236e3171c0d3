//! DescribeAcls, CreateAcls, DeleteAcls (keys 29 to 31): there is no authorizer, and each says so (`AclApis`).
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{
    Decode, ErrorCode, Reader,
    create_acls::{AclCreationResult, CreateAclsRequest, CreateAclsResponse},
    delete_acls::{DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse},
    describe_acls::{DescribeAclsRequest, DescribeAclsResponse},
};

const ERROR: ErrorCode = ErrorCode::SecurityDisabled;
const WHY: &str = "No Authorizer is configured.";

pub(crate) fn describe<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    DescribeAclsRequest::decode(reader, request.version())?;
    request.answer(&DescribeAclsResponse {
        error_code: ERROR.code(),
        error_message: Some("No Authorizer is configured on the broker".into()),
        ..Default::default()
    })
}

pub(crate) fn create<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = CreateAclsRequest::decode(reader, request.version())?;
    let refused = AclCreationResult {
        error_code: ERROR.code(),
        error_message: Some(WHY.into()),
    };
    request.answer(&CreateAclsResponse {
        results: vec![refused; body.creations.len()],
        ..Default::default()
    })
}

pub(crate) fn delete<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DeleteAclsRequest::decode(reader, request.version())?;
    let refused = DeleteAclsFilterResult {
        error_code: ERROR.code(),
        error_message: Some(WHY.into()),
        ..Default::default()
    };
    request.answer(&DeleteAclsResponse {
        filter_results: vec![refused; body.filters.len()],
        ..Default::default()
    })
}
