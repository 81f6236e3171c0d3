//! DescribeAcls, CreateAcls, DeleteAcls (keys 29 to 31): there is no authorizer, and each says so
//! (`AclApis`).
use crate::{
    answer::Rows,
    core::request::{Request, Stage},
    shard::Shard,
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
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = CreateAclsRequest::decode(reader, request.version())?;
    let refused = Rows::new(body.creations.len(), |_, out| {
        out.put(&AclCreationResult { error_code: ERROR.code(), error_message: Some(WHY.into()) })
    });
    drop(body);
    shard.answer_in_portions(request.pending, CreateAclsResponse::default, refused)
}

pub(crate) fn delete<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DeleteAclsRequest::decode(reader, request.version())?;
    let refused = Rows::new(body.filters.len(), |_, out| {
        out.put(&DeleteAclsFilterResult {
            error_code: ERROR.code(),
            error_message: Some(WHY.into()),
            ..Default::default()
        })
    });
    drop(body);
    shard.answer_in_portions(request.pending, DeleteAclsResponse::default, refused)
}
