//! The controller's home on core 0: its records go into `__cluster_metadata`, its answers wait until they are committed and
//! applied by every core of this host, so that a client reads its own writes on any core.
use super::{Shard, message::Message, reply::Pending};
use crate::{controller::Controller, metadata::MetadataRecord};
use netio::CoreId;
use record::{BatchBuilder, Timestamp};
use std::{collections::VecDeque, sync::Arc};
use storage::LogSlot;
use wire::ApiMessage;

/// Done when a proposal is in force everywhere.
type Then = Box<dyn FnOnce(&mut Shard)>;

struct Proposal {
    /// In force when every core has applied the metadata below this offset.
    end_offset: i64,
    /// Who asked, should it come to nothing.
    pending: Pending,
    then: Then,
}

/// The controller and what waits for it.
pub struct ControllerHome {
    pub controller: Controller,
    pub slot: LogSlot,
    /// Appended and not committed, in order, with the offset after each.
    uncommitted: VecDeque<(i64, Arc<Vec<MetadataRecord>>)>,
    proposals: VecDeque<Proposal>,
    /// What each core has applied.
    applied: Vec<i64>,
    /// Its log has failed: no change of metadata until another start.
    failed: Option<String>,
    /// Bytes appended since the last snapshot, and the snapshot's first offset while it is not committed.
    since_snapshot: u64,
    snapshot: Option<(i64, i64)>,
}

impl std::fmt::Debug for ControllerHome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControllerHome")
            .field("applied", &self.applied)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Metadata appended since the last snapshot that makes the next (`metadata.log.max.record.bytes.between.snapshots` of Kafka is
/// 20 MiB; ours follows the bound of internal logs, see docs/data-files.md).
const SNAPSHOT_BYTES: u64 = 64 << 20;
/// Most bytes of one snapshot batch.
const SNAPSHOT_BATCH_BYTES: usize = 512 << 10;

impl ControllerHome {
    pub fn new(controller: Controller, slot: LogSlot, cores: u16, through: i64) -> Self {
        Self {
            controller,
            slot,
            uncommitted: VecDeque::new(),
            proposals: VecDeque::new(),
            applied: vec![through; usize::from(cores)],
            failed: None,
            since_snapshot: 0,
            snapshot: None,
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
        &mut self
            .controller
            .as_mut()
            .expect("the controller is on core 0")
            .controller
    }

    /// Appends what the controller decided and answers when it is in force. Without records it answers when what the
    /// controller has seen is.
    pub(crate) fn propose<T: ApiMessage + 'static>(
        &mut self,
        pending: Pending,
        records: Vec<MetadataRecord>,
        response: T,
    ) {
        self.propose_then(pending, records, move |shard| {
            shard.finish(&pending, &response)
        });
    }

    /// As [`Self::propose`], with any continuation. Core 0 only.
    pub(crate) fn propose_then(
        &mut self,
        pending: Pending,
        records: Vec<MetadataRecord>,
        then: impl FnOnce(&mut Shard) + 'static,
    ) {
        let wall = self.io.wall();
        let home = self
            .controller
            .as_mut()
            .expect("the controller is on core 0");
        let slot = home.slot;
        if !records.is_empty() {
            if let Some(reason) = &home.failed {
                let why = format!("metadata is read-only: {reason}");
                self.fail_reply(pending, &why);
                return;
            }
            let batch = match metadata_batch(&records, wall) {
                Ok(batch) => batch,
                Err(error) => return self.fail_reply(pending, &error.to_string()),
            };
            match self.store.append(slot, &batch, None) {
                Ok(appended) => {
                    for record in &records {
                        home.controller.apply(record);
                    }
                    home.since_snapshot += batch.len() as u64;
                    home.uncommitted
                        .push_back((appended.end_offset.0, Arc::new(records)));
                }
                Err(error) => return self.fail_reply(pending, &error.to_string()),
            }
        }
        let end_offset = home
            .uncommitted
            .back()
            .map_or_else(|| home.applied_everywhere(), |u| u.0);
        let end_offset = end_offset.max(home.proposals.back().map_or(0, |p| p.end_offset));
        home.proposals.push_back(Proposal {
            end_offset,
            pending,
            then: Box::new(then),
        });
        self.release_proposals();
    }

    /// `auto.create.topics.enable`
    pub(crate) fn auto_create_topics(&self) -> bool {
        self.settings.auto_create_topics
    }

    /// Records that make the topics of these names which can be made: with defaults, internal ones as Kafka has them. Core 0.
    pub(crate) fn auto_create(&mut self, names: &[String]) -> Vec<MetadataRecord> {
        let io = self.io.clone();
        let home = self
            .controller
            .as_mut()
            .expect("the controller is on core 0");
        home.controller.auto_create(names, || io.random())
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
        if let Some((start, _)) = home.snapshot.filter(|s| s.1 <= through) {
            home.snapshot = None;
            let slot = home.slot;
            if let Err(error) = self.store.delete_records(slot, record::Offset(start)) {
                tracing::error!(%error, "metadata log cannot be cut to its snapshot");
            }
        }
        for (through, records) in committed {
            for core in 1..self.settings.cores {
                self.tell(
                    CoreId(core),
                    Message::Metadata {
                        through,
                        records: records.clone(),
                    },
                );
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
            (proposal.then)(self);
        }
    }

    pub(crate) fn on_metadata_failed(&mut self, reason: &str) {
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        home.failed.get_or_insert_with(|| reason.to_owned());
        // What was proposed is neither done nor undone: those who asked lose their connection, and ask again.
        home.uncommitted.clear();
        let proposals = std::mem::take(&mut home.proposals);
        let why = format!("metadata is read-only: {reason}");
        for proposal in proposals {
            self.fail_reply(proposal.pending, &why);
        }
    }

    /// Bounds the metadata log: past 64 MiB, the image is appended again and the log begins there.
    pub(crate) fn settle_control(&mut self) {
        let Some(home) = self.controller.as_mut() else {
            return;
        };
        if home.since_snapshot < SNAPSHOT_BYTES
            || home.snapshot.is_some()
            || home.failed.is_some()
            || !home.uncommitted.is_empty()
        {
            return;
        }
        let (slot, wall) = (home.slot, self.io.wall());
        let mut batches = Vec::new();
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for record in home.controller.image().to_records() {
            bytes += record.encode().len();
            chunk.push(record);
            if bytes > SNAPSHOT_BATCH_BYTES {
                batches.push(std::mem::take(&mut chunk));
                bytes = 0;
            }
        }
        batches.push(chunk);
        let start = self.store.offsets(slot).log_end.0;
        let mut end = start;
        for records in batches.iter().filter(|b| !b.is_empty()) {
            let appended = metadata_batch(records, wall)
                .ok()
                .and_then(|batch| self.store.append(slot, &batch, None).ok());
            match appended {
                Some(appended) => end = appended.end_offset.0,
                None => return,
            }
        }
        if let Some(home) = self.controller.as_mut() {
            home.since_snapshot = 0;
            home.snapshot = Some((start, end));
        }
    }
}
