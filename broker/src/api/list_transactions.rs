//! ListTransactions (key 66): there are none.
use crate::shard::{
    Shard,
    reply::{Request, Stage},
};
use wire::{
    Decode, Reader,
    list_transactions::{ListTransactionsRequest, ListTransactionsResponse},
};

/// `TransactionState`
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

pub(crate) fn handle<'a>(
    _: &mut Shard,
    request: &Request<'a>,
    reader: &mut Reader<'a>,
) -> Result<Stage, wire::Error> {
    let body = ListTransactionsRequest::decode(reader, request.version())?;
    let unknown = body
        .state_filters
        .into_iter()
        .filter(|state| !STATES.contains(&&**state))
        .map(|state| state.into_owned().into())
        .collect();
    request.answer(&ListTransactionsResponse {
        unknown_state_filters: unknown,
        ..Default::default()
    })
}
