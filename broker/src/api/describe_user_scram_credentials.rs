//! DescribeUserScramCredentials (key 50): there are no users (`ScramImage.describe`).
use crate::{
    answer::{Rows, distinct::Names, shown},
    core::request::{Request, Stage},
    shard::Shard,
};
use wire::{
    Decode, ErrorCode, Reader,
    describe_user_scram_credentials::{
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
        DescribeUserScramCredentialsResult,
    },
};

pub(crate) fn handle<'a>(
    shard: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = DescribeUserScramCredentialsRequest::decode(reader, request.version())?;
    let mut users = body.users.unwrap_or_default();
    users.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let (mut names, mut twice) = (Names::default(), Vec::new());
    for same in users.chunk_by(|a, b| a.name == b.name) {
        names.push(&same[0].name);
        twice.push(same.len() > 1);
    }
    drop(users);
    let around =
        || DescribeUserScramCredentialsResponse { error_message: None, ..Default::default() };
    let users = Rows::new(names.len(), move |at, out| {
        let user = names.get(at).unwrap_or_default();
        let short = shown(user);
        let (error, why) = if twice[at] {
            let why = format!(
                "Cannot describe SCRAM credentials for the same user twice in a single request: {short}"
            );
            (ErrorCode::DuplicateResource, why)
        } else {
            let why = format!("Attempt to describe a user credential that does not exist: {short}");
            (ErrorCode::ResourceNotFound, why)
        };
        out.put(&DescribeUserScramCredentialsResult {
            user: user.into(),
            error_code: error.code(),
            error_message: Some(why.into()),
            ..Default::default()
        })
    });
    shard.answer_in_portions(request.pending, around, users)
}
