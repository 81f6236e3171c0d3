//! DescribeAcls, CreateAcls, DeleteAcls (keys 29 to 31): there is no authorizer, and each says so
//! (`AclApis`).
use crate::{
    answer::{Elements, Portion, Progress},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, Encode, ErrorCode, Reader,
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
    let refused = Refused {
        answer: AclCreationResult { error_code: ERROR.code(), error_message: Some(WHY.into()) },
        all: body.creations.len(),
        written: 0,
    };
    drop(body);
    shard.answer_in_portions(request.pending, CreateAclsResponse::default, refused)
}

pub(crate) fn delete<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DeleteAclsRequest::decode(reader, request.version())?;
    let refused = Refused {
        answer: DeleteAclsFilterResult {
            error_code: ERROR.code(),
            error_message: Some(WHY.into()),
            ..Default::default()
        },
        all: body.filters.len(),
        written: 0,
    };
    drop(body);
    shard.answer_in_portions(request.pending, DeleteAclsResponse::default, refused)
}

/// The same answer to each of many.
struct Refused<T> {
    answer: T,
    all: usize,
    written: usize,
}

impl<T: Encode> Elements for Refused<T> {
    fn write(&mut self, _: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while self.written < self.all {
            if out.is_full() {
                return Ok(Progress::More);
            }
            out.put(&self.answer)?;
            self.written += 1;
        }
        Ok(Progress::Done)
    }

    fn rewind(&mut self) -> bool {
        self.written = 0;
        true
    }
}
