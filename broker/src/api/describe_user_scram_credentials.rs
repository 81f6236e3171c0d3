//! DescribeUserScramCredentials (key 50): there are no users (`ScramImage.describe`).
use crate::{
    answer::{Elements, Portion, Progress, distinct::Names, shown},
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
    let mut named = Users::default();
    for same in users.chunk_by(|a, b| a.name == b.name) {
        named.names.push(&same[0].name);
        named.twice.push(same.len() > 1);
    }
    drop(users);
    let around =
        || DescribeUserScramCredentialsResponse { error_message: None, ..Default::default() };
    shard.answer_in_portions(request.pending, around, named)
}

/// Users that are asked for, by name.
#[derive(Default)]
struct Users {
    names: Names,
    twice: Vec<bool>,
    at: usize,
}

impl Elements for Users {
    fn write(&mut self, _: &mut Shard, out: &mut Portion) -> Result<Progress, wire::Error> {
        while let (Some(user), Some(&twice)) = (self.names.get(self.at), self.twice.get(self.at)) {
            if out.is_full() {
                return Ok(Progress::More);
            }
            let short = shown(user);
            let (error, why) = if twice {
                let why = format!(
                    "Cannot describe SCRAM credentials for the same user twice in a single request: {short}"
                );
                (ErrorCode::DuplicateResource, why)
            } else {
                let why =
                    format!("Attempt to describe a user credential that does not exist: {short}");
                (ErrorCode::ResourceNotFound, why)
            };
            out.put(&DescribeUserScramCredentialsResult {
                user: user.into(),
                error_code: error.code(),
                error_message: Some(why.into()),
                ..Default::default()
            })?;
            self.at += 1;
        }
        Ok(Progress::Done)
    }

    fn rewind(&mut self) -> bool {
        self.at = 0;
        true
    }
}
