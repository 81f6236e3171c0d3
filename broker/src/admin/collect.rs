//! Gathers from the cores what `/metrics` tells, a bounded portion a message (`shard::scrape`), all
//! cores at once.
use super::{http::Admin, process::ProcessNumbers};
use crate::{
    group::numbers::GroupNumbers,
    partition::traffic::Totals,
    settings::MetricsSettings,
    shard::{
        message::Message,
        scrape::{GroupCursor, PartitionRow},
        snapshot::Snapshot,
    },
};
use netio::CoreId;
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinSet};

/// A core that does not answer a message within this is left out.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// What one core said.
#[derive(Clone, Debug, Default)]
pub struct CoreNumbers {
    pub snapshot: Snapshot,
    /// Topics with counters of their own.
    pub topics: Vec<(Arc<str>, Totals)>,
    pub partitions: Vec<PartitionRow>,
    pub acked_not_durable_bytes: u64,
    pub acked_not_durable_ns: u64,
    pub groups: Vec<GroupNumbers>,
    /// Its groups have more offsets than are told.
    pub more_groups: bool,
}

/// All that `/metrics` tells, at about one moment.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// What this process is and runs on.
    pub info: Arc<[(String, String)]>,
    /// As `/readyz` says.
    pub ready: bool,
    pub core_count: u16,
    /// Those that answered, in order.
    pub cores: Vec<CoreNumbers>,
    /// None if `/proc` cannot be read.
    pub process: Option<ProcessNumbers>,
    pub bounds: MetricsSettings,
}

/// Asks every core that serves: all for their groups before any for its partitions, so that no
/// committed offset is above the end of its log because it is younger.
pub(super) async fn numbers(admin: &Admin) -> Numbers {
    let (status, _) = admin.readiness();
    let serves = *admin.ready.borrow();
    let mut asked = JoinSet::new();
    for core in 0..if serves { admin.core_count } else { 0 } {
        asked.spawn(ask(admin.clone(), CoreId(core)));
    }
    let mut again = JoinSet::new();
    for numbers in answers(asked).await {
        again.spawn(ask_for_partitions(admin.clone(), numbers));
    }
    let mut cores = answers(again).await;
    cores.sort_unstable_by_key(|c| c.snapshot.core);
    let process = ProcessNumbers::read()
        .inspect_err(|error| tracing::debug!(%error, "no process metrics"))
        .ok();
    Numbers {
        info: admin.info.clone(),
        ready: status.is_success(),
        core_count: admin.core_count,
        cores,
        process,
        bounds: admin.bounds,
    }
}

async fn answers(mut asked: JoinSet<Option<CoreNumbers>>) -> Vec<CoreNumbers> {
    let mut all = Vec::new();
    while let Some(answer) = asked.join_next().await {
        all.extend(answer.ok().flatten());
    }
    all
}

async fn message<T>(
    admin: &Admin,
    core: CoreId,
    of: impl FnOnce(oneshot::Sender<T>) -> Message,
) -> Option<T> {
    let (to, from) = oneshot::channel();
    admin.cores.send(core, of(to)).ok()?;
    tokio::time::timeout(ANSWER_WAIT, from).await.ok()?.ok()
}

/// Totals and groups; `None` if the core does not answer.
async fn ask(admin: Admin, core: CoreId) -> Option<CoreNumbers> {
    let snapshot = message(&admin, core, |to| Message::Snapshot { to }).await?;
    let mut numbers = CoreNumbers { snapshot: *snapshot, ..CoreNumbers::default() };
    let mut next = Some(0);
    while let Some(from) = next {
        let portion = message(&admin, core, |to| Message::Topics { from, to }).await?;
        numbers.topics.extend(portion.rows);
        next = portion.next;
    }
    let (mut next, mut left) = (Some(GroupCursor::default()), admin.bounds.group_offsets_max);
    while let Some(from) = next.take() {
        if left == 0 {
            numbers.more_groups = admin.bounds.group_offsets_max > 0;
            break;
        }
        let portion = message(&admin, core, |to| Message::Groups { from, to }).await?;
        for group in &portion.rows {
            left = left.saturating_sub(group.offsets.len().max(1));
        }
        numbers.groups.extend(portion.rows);
        next = portion.next;
    }
    Some(numbers)
}

async fn ask_for_partitions(admin: Admin, mut numbers: CoreNumbers) -> Option<CoreNumbers> {
    let core = CoreId(numbers.snapshot.core);
    let mut next = Some(0);
    while let Some(from) = next {
        let portion = message(&admin, core, |to| Message::Partitions { from, to }).await?;
        numbers.partitions.extend(portion.rows);
        numbers.acked_not_durable_bytes += portion.acked_not_durable_bytes;
        let ns = portion.acked_not_durable_ns;
        numbers.acked_not_durable_ns = numbers.acked_not_durable_ns.max(ns);
        next = portion.next;
    }
    Some(numbers)
}
