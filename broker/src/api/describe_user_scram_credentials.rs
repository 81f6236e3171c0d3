//! DescribeUserScramCredentials (key 50): there are no users (`ScramImage.describe`).
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{
    Decode, ErrorCode, Reader,
    describe_user_scram_credentials::{
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
        DescribeUserScramCredentialsResult,
    },
};

pub(crate) fn handle<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeUserScramCredentialsRequest::decode(reader, request.version())?;
    let mut names: Vec<String> = body
        .users
        .unwrap_or_default()
        .into_iter()
        .map(|user| user.name.into_owned())
        .collect();
    names.sort_unstable();
    let results = names.chunk_by(|a, b| a == b).map(|same| {
        let user = &same[0];
        let (error, why) = if same.len() > 1 {
            let why = format!(
                "Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
            );
            (ErrorCode::DuplicateResource, why)
        } else {
            let why = format!("Attempt to describe a user credential that does not exist: {user}");
            (ErrorCode::ResourceNotFound, why)
        };
        DescribeUserScramCredentialsResult {
            user: user.clone().into(),
            error_code: error.code(),
            error_message: Some(why.into()),
            ..Default::default()
        }
    });
    request.answer(&DescribeUserScramCredentialsResponse {
        error_message: None,
        results: results.collect(),
        ..Default::default()
    })
}
