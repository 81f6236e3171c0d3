//! The controller's home on core 0: its records go into `__cluster_metadata`, its answers wait
//! until they are committed and applied by every core of this host, so that a client reads its own
//! writes on any core.
use super::{Shard, message::Message, respond::Respond};
use crate::{
    controller::{Controller, Outcome, replicas::Clipped},
    core::{
        error_map::append_error,
        request::{Request, Stage},
        timer::{Timer, token},
    },
    metadata::MetadataRecord,
};
use netio::{CoreId, Instant};
use record::{BatchBuilder, Timestamp};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use storage::{AppendError, LogSlot};
use wire::ErrorCode;

/// Done when a proposal is in force everywhere, or has come to nothing.
type Then = Box<dyn FnOnce(&mut Shard, Result<(), Failed>)>;

/// Why a proposal came to nothing, for its answer.
pub(crate) struct Failed {
    error: ErrorCode,
    message: String,
}

/// The whole image, on its way into the log. No other record comes between: one that was decided
/// later, and stood before an older word of the same topic, would be undone by the next start.
struct Snapshot {
    /// Its first offset.
    start: i64,
    /// Behind what is appended of it.
    end: i64,
    /// Batches that are still to be appended.
    left: VecDeque<Vec<u8>>,
}

struct Proposal {
    id: u64,
    /// Ends the wait for it.
    timer: u64,
    /// In force when every core has applied the metadata below this offset.
    end_offset: i64,
    then: Then,
}

/// The controller and what waits for it.
pub struct ControllerHome {
    pub controller: Controller,
    pub slot: LogSlot,
    /// Appended and not committed, in order, with the offset after each.
    uncommitted: VecDeque<(i64, Arc<Vec<MetadataRecord>>)>,
    proposals: VecDeque<Proposal>,
    next_proposal: u64,
    /// What the controller has seen is in force when all cores have applied the metadata below this
    /// offset.
    proposed: i64,
    /// What each core has applied.
    applied: Vec<i64>,
    /// Its log has failed: no change of metadata until another start.
    failed: Option<String>,
    /// Bytes appended since the last snapshot.
    since_snapshot: u64,
    snapshot: Option<Snapshot>,
    /// Topics of which the log has said that fewer replicas are kept than were asked for; at most
    /// [`SAID_MAX`].
    said_clipped: BTreeSet<String>,
}

impl Failed {
    /// Nothing can be written until another start.
    fn by_fault(reason: &str) -> Self {
        Self {
            error: ErrorCode::KafkaStorageError,
            message: format!("metadata is read-only: {reason}"),
        }
    }

    /// What was proposed may come into force later.
    fn by_time() -> Self {
        let error = ErrorCode::RequestTimedOut;
        Self { error, message: error.message().to_owned() }
    }
}

impl std::fmt::Debug for ControllerHome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControllerHome")
            .field("applied", &self.applied)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// How long a request for the controller may take that does not say: as long as Kafka's broker
/// waits for its controller.
pub(crate) const FORWARDED_MS: i32 = 60_000;
/// `request.timeout.ms`: topics that are made by the way have so much time.
pub(crate) const AUTO_CREATE_MS: i32 = 30_000;
/// Topics whose clipped replicas are remembered to have been said; then it begins anew.
const SAID_MAX: usize = 10_000;
/// Most bytes of one snapshot batch.
const SNAPSHOT_BATCH_BYTES: usize = 512 << 10;

impl ControllerHome {
    pub fn new(controller: Controller, slot: LogSlot, cores: u16, through: i64) -> Self {
        Self {
            controller,
            slot,
            uncommitted: VecDeque::new(),
            proposals: VecDeque::new(),
            next_proposal: 0,
            proposed: through,
            applied: vec![through; usize::from(cores)],
            failed: None,
            since_snapshot: 0,
            snapshot: None,
            said_clipped: BTreeSet::new(),
        }
    }

    fn applied_everywhere(&self) -> i64 {
        self.applied.iter().copied().min().unwrap_or(0)
    }
}

/// A batch of `__cluster_metadata`: values only.
pub fn metadata_batch(
    records: &[MetadataRecord],
    wall: i64,
) -> Result<Vec<u8>, record::BuildError> {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.append(None, Some(&record.encode()), Timestamp(wall), &[])?;
    }
    builder.build()
}

impl Shard {
    /// The controller. Core 0 only.
    pub(crate) fn controller(&mut self) -> &mut Controller {
        &mut self.controller.as_mut().expect("the controller is on core 0").controller
    }

    /// Lets the controller decide a request, appends the records and answers when they are in
    /// force; without records, when what the controller has seen is. Waits for room in the log
    /// before the decision.
    ///
    /// All of it takes at most `timeout_ms` ([`FORWARDED_MS`] for requests that name no time), then
    /// the answer is REQUEST_TIMED_OUT: what was decided may come into force later, as in Kafka.
    pub(crate) fn decide<T: Respond + 'static>(
        &mut self,
        request: &Request<'_>,
        timeout_ms: Option<i32>,
        decision: impl FnOnce(&mut Controller) -> Outcome<T>,
    ) -> Result<Stage, wire::Error> {
        let deadline = request.deadline(timeout_ms.unwrap_or(FORWARDED_MS));
        if self.defer(request, deadline) {
            return Ok(Stage::Later);
        }
        let outcome = decision(self.controller());
        let mut response = outcome.response;
        if request.expired {
            let failed = Failed::by_time();
            response.refuse(failed.error, &failed.message);
            return response.respond(self, request.pending);
        }
        self.say_clipped(outcome.clipped);
        let pending = request.pending;
        self.propose_then(outcome.records, deadline, move |shard, done| {
            if let Err(failed) = done {
                response.refuse(failed.error, &failed.message);
            }
            let done = response.respond(shard, pending);
            shard.finish_stage(pending, done);
        });
        Ok(Stage::Later)
    }

    /// Appends what the controller decided and goes on with `then` when it is in force, has failed,
    /// or takes longer than `deadline`. Core 0 only.
    pub(crate) fn propose_then(
        &mut self,
        records: Vec<MetadataRecord>,
        deadline: Instant,
        then: impl FnOnce(&mut Shard, Result<(), Failed>) + 'static,
    ) {
        let end_offset = match self.append_metadata(records) {
            Ok(end_offset) => end_offset,
            Err(failed) => return then(self, Err(failed)),
        };
        if let Some(home) = self.controller.as_mut() {
            let id = home.next_proposal;
            home.next_proposal += 1;
            let timer = self.io.timer(deadline, token(Timer::Proposal, id));
            home.proposals.push_back(Proposal { id, timer, end_offset, then: Box::new(then) });
        }
        self.release_proposals();
    }

    /// Appends records of the controller and gives the offset at which they, and all that it has
    /// seen before, are in force.
    fn append_metadata(&mut self, records: Vec<MetadataRecord>) -> Result<i64, Failed> {
        let wall = self.io.wall();
        if !records.is_empty() {
            self.append_snapshot(usize::MAX).map_err(refused)?;
        }
        let home = self.controller.as_mut().expect("the controller is on core 0");
        // Also without records: what the controller has seen may never be in force.
        if let Some(reason) = &home.failed {
            return Err(Failed::by_fault(reason));
        }
        if !records.is_empty() {
            let batch = metadata_batch(&records, wall).map_err(|error| Failed {
                error: ErrorCode::UnknownServerError,
                message: error.to_string(),
            })?;
            let appended = self.store.append_own(home.slot, &batch).map_err(refused)?;
            for record in &records {
                home.controller.apply(record);
            }
            home.since_snapshot += batch.len() as u64;
            home.uncommitted.push_back((appended.end_offset.0, Arc::new(records)));
            home.proposed = appended.end_offset.0;
        }
        Ok(home.proposed)
    }

    /// `auto.create.topics.enable`
    pub(crate) fn auto_create_topics(&self) -> bool {
        self.settings.auto_create_topics
    }

    /// Records that make the topics of these names which can be made: with defaults, internal ones
    /// as Kafka has them. Core 0.
    pub(crate) fn auto_create(&mut self, names: &[String]) -> Vec<MetadataRecord> {
        let io = self.io.clone();
        let home = self.controller.as_mut().expect("the controller is on core 0");
        let outcome = home.controller.auto_create(names, || io.random());
        self.say_clipped(outcome.clipped);
        for (topic, refusal) in outcome.response {
            self.refusals.log(self.now, "automatic creation", || {
                format!("topic {topic} is not made: {}", refusal.message)
            });
        }
        outcome.records
    }

    /// Says once a topic that fewer replicas are kept than were asked for.
    fn say_clipped(&mut self, clipped: Vec<Clipped>) {
        let shown = self.settings.endpoints().len();
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        for Clipped { topic, asked, kept } in clipped {
            if home.said_clipped.contains(&topic) {
                continue;
            }
            tracing::warn!(
                topic,
                "{asked} replicas were asked for and {kept} is kept: the {shown} brokers that clients see are cores of one host \
                 (millrace.replication.factor.above.hosts=refuse refuses this, --single-port shows one broker)"
            );
            if home.said_clipped.len() == SAID_MAX {
                home.said_clipped.clear();
            }
            home.said_clipped.insert(topic);
        }
    }

    /// The metadata log is durable below `through`: every core gets what is new.
    pub(crate) fn on_metadata_committed(&mut self, through: i64) {
        if self.starting.is_some() {
            self.continue_start();
            return;
        }
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        let mut committed = Vec::new();
        while home.uncommitted.front().is_some_and(|u| u.0 <= through) {
            committed.extend(home.uncommitted.pop_front());
        }
        let done = |s: &mut Snapshot| s.left.is_empty() && s.end <= through;
        if let Some(Snapshot { start, .. }) = home.snapshot.take_if(done) {
            let slot = home.slot;
            if let Err(error) = self.store.delete_records(slot, record::Offset(start)) {
                tracing::error!(%error, "metadata log cannot be cut to its snapshot");
            }
        }
        for (through, records) in committed {
            for core in 1..self.settings.cores {
                self.tell(CoreId(core), Message::Metadata { through, records: records.clone() });
            }
            self.on_metadata(through, &records);
        }
    }

    /// A core has applied metadata.
    pub(crate) fn on_applied(&mut self, core: CoreId, through: i64) {
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        let applied = &mut home.applied[usize::from(core.0)];
        *applied = (*applied).max(through);
        self.release_proposals();
    }

    fn release_proposals(&mut self) {
        loop {
            let Some(home) = self.controller.as_mut() else {
                return;
            };
            let through = home.applied_everywhere();
            let Some(proposal) = home.proposals.pop_front_if(|p| p.end_offset <= through) else {
                return;
            };
            self.io.cancel_timer(proposal.timer);
            (proposal.then)(self, Ok(()));
        }
    }

    /// A proposal takes longer than its request allows. It is not taken back.
    pub(crate) fn on_proposal_deadline(&mut self, id: u64) {
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        let at = home.proposals.iter().position(|p| p.id == id);
        if let Some(proposal) = at.and_then(|at| home.proposals.remove(at)) {
            (proposal.then)(self, Err(Failed::by_time()));
        }
    }

    pub(crate) fn on_metadata_failed(&mut self, reason: &str) {
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        home.failed.get_or_insert_with(|| reason.to_owned());
        // What was proposed is neither done nor undone until another start.
        home.uncommitted.clear();
        for proposal in std::mem::take(&mut home.proposals) {
            self.io.cancel_timer(proposal.timer);
            (proposal.then)(self, Err(Failed::by_fault(reason)));
        }
    }

    /// Bounds the metadata log: when enough was appended, the image is appended again, a batch a
    /// turn, and the log begins there. False when something is left that can go on now.
    pub(crate) fn settle_control(&mut self) -> bool {
        let Some(home) = self.controller.as_mut() else {
            return true;
        };
        if home.snapshot.is_none() {
            let most = self.settings.limits.metadata_snapshot_bytes;
            if home.since_snapshot < most || home.failed.is_some() || !home.uncommitted.is_empty() {
                return true;
            }
            let left = match snapshot_batches(&home.controller, self.io.wall()) {
                Ok(left) => left,
                Err(error) => {
                    tracing::error!(%error, "no snapshot of the metadata can be made");
                    home.since_snapshot = 0;
                    return true;
                }
            };
            let start = self.store.offsets(home.slot).log_end.0;
            home.since_snapshot = 0;
            home.snapshot = Some(Snapshot { start, end: start, left });
        }
        // Refused for want of room, it goes on when there is some: a turn follows.
        !matches!(self.append_snapshot(1), Ok(true))
    }

    /// Appends some of what is left of a snapshot; true when there is more.
    fn append_snapshot(&mut self, batches_max: usize) -> Result<bool, AppendError> {
        let Some(home) = self.controller.as_mut() else {
            return Ok(false);
        };
        let Some(snapshot) = home.snapshot.as_mut().filter(|_| home.failed.is_none()) else {
            return Ok(false);
        };
        for _ in 0..batches_max {
            let Some(batch) = snapshot.left.front() else {
                return Ok(false);
            };
            // Asked first, so that the store says when there is room again.
            if !self.store.has_room() {
                return Err(AppendError::Busy);
            }
            snapshot.end = self.store.append_own(home.slot, batch)?.end_offset.0;
            snapshot.left.pop_front();
        }
        Ok(!snapshot.left.is_empty())
    }
}

fn refused(error: AppendError) -> Failed {
    let (error, message) = append_error(&error);
    Failed { error, message }
}

fn snapshot_batches(
    controller: &Controller,
    wall: i64,
) -> Result<VecDeque<Vec<u8>>, record::BuildError> {
    let mut batches = VecDeque::new();
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for record in controller.image().to_records() {
        bytes += record.encode().len();
        chunk.push(record);
        if bytes > SNAPSHOT_BATCH_BYTES {
            batches.push_back(metadata_batch(&chunk, wall)?);
            chunk.clear();
            bytes = 0;
        }
    }
    if !chunk.is_empty() {
        batches.push_back(metadata_batch(&chunk, wall)?);
    }
    Ok(batches)
}
