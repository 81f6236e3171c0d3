//! From a data directory to cores that serve.
//!
//! Core 0 reads what the last run left: first `__cluster_metadata`, then every log that the image
//! knows. It raises every leader epoch by a metadata record that is durable before anybody serves,
//! and hands each core the image and its logs.
//!
//! ```text
//! core 0:  recover -> open own logs -> raise epochs -> durable -> Boot to the others -> listen
//! core n:                                                          open own logs     -> listen -> Serving to core 0
//! ```
use super::{
    Shard,
    control::{ControllerHome, metadata_batch},
    coordinate::Coordinators,
    message::Message,
};
use crate::{
    answer::{Answers, distinct::Secret},
    config::topic::TopicConfig,
    controller::Controller,
    core::{
        placement::{METADATA_TOPIC_ID, core_of},
        plan::{Plan, reason},
    },
    fetch::{FetchOps, session::FetchSessions},
    identity,
    metadata::{Image, MetadataRecord},
    partition::{Leader, Partitions, leader::Role, traffic::Traffic},
    produce::ProduceOps,
    session::{
        Sessions,
        admission::{PerAddress, RequestMemory},
    },
};
use netio::{CoreId, Io, Mesh, Sharing};
use record::{Batches, LeaderEpoch, Offset};
use std::{collections::VecDeque, net::SocketAddr, path::Path, rc::Rc, sync::Arc};
use storage::{LogConfig, LogId, RecoveredLog, Recovery, Store};

/// How often a core that waits looks for its message.
const LOOK_US: u64 = 500;
/// Why a core does not start when another cannot.
const STOPPED: &str = "stopped while starting";

/// A core's program, or the reason why there is none.
pub async fn boot(plan: Plan, io: Io, mesh: Mesh<Message>) -> Result<Shard, String> {
    let me = mesh.me();
    let shard = if me == CoreId(0) {
        boot_first(plan, io, mesh).await
    } else {
        boot_other(plan, io, mesh).await
    };
    shard.map_err(|error| format!("core {}: {error}", me.0))
}

async fn boot_first(plan: Plan, io: Io, mesh: Mesh<Message>) -> Result<Shard, String> {
    let data = plan.storage.data.clone();
    let text = |e: storage::Error| reason(&e, &data);
    identity::check(&io, &plan).await?;
    let mut recovery = Recovery::scan(&io, &plan.storage).await.map_err(text)?;
    let metadata_id = LogId { topic: METADATA_TOPIC_ID, partition: 0 };
    look_at_metadata(&recovery, &plan, metadata_id).await?;
    let found =
        recovery.replay(metadata_id, METADATA_NAME, metadata_config()).await.map_err(text)?;
    let (image, mut through) = match found {
        Some(offsets) => read_image(&recovery, metadata_id, offsets.log_start).await?,
        None => (Image::default(), 0),
    };
    let cluster_id = identity::cluster_id(&io, &plan).await?;

    let known = |id: LogId| {
        if id == metadata_id {
            return Some((METADATA_NAME.to_owned(), metadata_config()));
        }
        let topic = image.topic_by_id(id.topic)?;
        topic.partitions.get(usize::try_from(id.partition).ok()?)?;
        let config = TopicConfig::resolve(image.topic_configs(&topic.name), &plan.defaults);
        Some((topic.name.to_string(), config.log))
    };
    let (recovered, report) = recovery.finish(known).await.map_err(text)?;
    let report = describe(&report);
    let mut logs: Vec<Vec<RecoveredLog>> = (0..plan.settings.cores).map(|_| Vec::new()).collect();
    for log in recovered {
        logs[usize::from(core_of(log.id.topic, log.id.partition, plan.settings.cores).0)].push(log);
    }

    let mut store = Store::open(io.clone(), plan.storage.clone(), std::mem::take(&mut logs[0]))
        .await
        .map_err(text)?;
    let slot = match store.find(metadata_id) {
        Some(slot) => slot,
        None => store
            .create(metadata_id, METADATA_NAME, metadata_config(), LeaderEpoch(0))
            .map_err(text)?,
    };
    let epoch = store.epoch(slot).0 + 1;
    store.set_epoch(slot, LeaderEpoch(epoch));
    let mut controller = Controller::new(image, plan.settings.clone(), plan.defaults.clone());
    let records = controller.start_records(io.random(), io.random());
    for record in &records {
        controller.apply(record);
    }
    // In pieces, so that a host with very many partitions stays within a batch's bounds.
    for chunk in records.chunks(START_RECORDS_PER_BATCH) {
        let batch = metadata_batch(chunk, io.wall()).map_err(|e| e.to_string())?;
        through = store.append_own(slot, &batch).map_err(|e| e.to_string())?.end_offset.0;
    }
    plan.ready.send_modify(|p| {
        p.cluster_id.clone_from(&cluster_id);
        p.recovery = report;
    });
    let cores = plan.settings.cores;
    let ready = plan.ready.clone();
    let mut shard = Shard::assemble(plan, io, mesh, store, cluster_id.into());
    shard.partitions.insert(Leader {
        topic: METADATA_TOPIC_ID,
        name: METADATA_NAME.into(),
        partition: 0,
        slot,
        role: Role::Metadata,
        epoch,
        config: Rc::new(TopicConfig::resolve(&Default::default(), &shard.defaults)),
        acks: Default::default(),
        watchers: Default::default(),
        acked: Default::default(),
        traffic: Default::default(),
        failed: None,
    });
    shard.controller = Some(ControllerHome::new(controller, slot, cores, through));
    shard.ready = Some(ready);
    shard.starting = Some(Starting { through, logs });
    shard.continue_start();
    Ok(shard)
}

/// Core 0 between recovery and service: the raised epochs are on their way to the device.
#[derive(Debug)]
pub struct Starting {
    through: i64,
    logs: Vec<Vec<RecoveredLog>>,
}

/// Name of the metadata log's directory, as Kafka's.
pub(crate) const METADATA_NAME: &str = "__cluster_metadata";
const START_RECORDS_PER_BATCH: usize = 5_000;

fn metadata_config() -> LogConfig {
    LogConfig { delete: false, retention_ms: -1, segment_bytes: 64 << 20, ..LogConfig::default() }
}

async fn boot_other(plan: Plan, io: Io, mesh: Mesh<Message>) -> Result<Shard, String> {
    let (image, through, logs, cluster_id) = loop {
        match mesh.receive() {
            Some((_, Message::Boot { image, through, logs, cluster_id })) => {
                break (image, through, logs, cluster_id);
            }
            Some((_, Message::Stop)) => return Err(STOPPED.into()),
            // A scrape while starting: the sender is dropped, which says so.
            Some(_) => {}
            // It could not start, and has said why.
            None if mesh.has_ended(CoreId(0)) => return Err(STOPPED.into()),
            None => io.sleep_until(io.now().after_us(LOOK_US)).await,
        }
    };
    let store = Store::open(io.clone(), plan.storage.clone(), logs)
        .await
        .map_err(|e| reason(&e, &plan.storage.data))?;
    let mut shard = Shard::assemble(plan, io, mesh, store, cluster_id);
    shard.serve(through, &image)?;
    Ok(shard)
}

/// A directory that a newer program has written is left as it is: its metadata is looked at before
/// anything is changed.
async fn look_at_metadata(recovery: &Recovery, plan: &Plan, id: LogId) -> Result<(), String> {
    let looked = recovery.look(id, METADATA_NAME).await;
    for bytes in looked.map_err(|e| e.to_string())? {
        for view in Batches::new(&bytes) {
            // What is damaged is judged when it is read for good.
            let Some(records) = view.records() else {
                continue;
            };
            for (n, record) in records.flatten().enumerate() {
                let value = record.value.unwrap_or_default();
                if let Some(unknown) = MetadataRecord::unknown(value) {
                    return Err(format!(
                        "{}: record {} of the metadata log is {unknown}: start the program that wrote it, or restore the data directory of before; nothing was changed",
                        Path::new(&*log_dir(&plan.storage.data))
                            .join(format!("{METADATA_NAME}-0"))
                            .display(),
                        view.base_offset.0 + n as i64,
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Reads all of the metadata log into an image.
async fn read_image(recovery: &Recovery, id: LogId, from: Offset) -> Result<(Image, i64), String> {
    let mut image = Image::default();
    let mut through = from;
    loop {
        let batches = recovery
            .read(id, through, READ_BYTES)
            .await
            .map_err(|e| format!("metadata log: {e}"))?;
        if batches.is_empty() {
            return Ok((image, through.0));
        }
        for bytes in &batches {
            for view in Batches::new(bytes) {
                through = view.next_offset();
                for record in metadata_records(view)? {
                    image.apply(&record);
                }
            }
        }
    }
}

/// One read of the metadata log.
const READ_BYTES: usize = 1 << 20;

/// Where DescribeLogDirs says that the partitions are: a path that another process can use, as
/// Kafka's is.
fn log_dir(data: &Path) -> String {
    let kafka = data.join("kafka");
    std::path::absolute(&kafka).unwrap_or(kafka).display().to_string()
}

/// What recovery did, in one line for the operator.
fn describe(report: &storage::recover::RecoveryReport) -> String {
    for damage in &report.damaged {
        tracing::error!(
            file = damage.file,
            position = damage.position,
            what = damage.what,
            "damage found while recovering"
        );
    }
    for stray in &report.strays {
        tracing::warn!(directory = stray, "a partition that nobody knows was set aside");
    }
    for (directory, why) in &report.stuck {
        tracing::error!(
            directory,
            why,
            "a directory below kafka/ could not be moved or removed: the start goes on without it; \
             move it out of the data directory, or mend its permissions, before the next start"
        );
    }
    if report.clean && report.logs == 0 {
        return "a new data directory".to_owned();
    }
    let how = if report.clean { "clean stop" } else { "recovered" };
    format!(
        "{how}: {} logs, {} batches ({} bytes) replayed from the write-ahead log in {} ms, {} damaged",
        report.logs,
        report.batches,
        report.bytes,
        report.scan_ms + report.replay_ms,
        report.damaged.len()
    )
}

fn metadata_records(view: record::BatchView<'_>) -> Result<Vec<MetadataRecord>, String> {
    let Some(records) = view.records() else {
        return Err("a compressed batch in the metadata log".into());
    };
    let mut decoded = Vec::new();
    for record in records {
        let record = record.map_err(|e| format!("metadata log: {e}"))?;
        decoded.extend(
            MetadataRecord::decode(record.value.unwrap_or_default())
                .map_err(|e| format!("metadata log: {e}"))?,
        );
    }
    Ok(decoded)
}

impl Shard {
    fn assemble(
        plan: Plan,
        io: Io,
        mesh: Mesh<Message>,
        store: Store,
        cluster_id: Arc<str>,
    ) -> Self {
        let limits = &plan.settings.limits;
        let cores = usize::from(mesh.cores());
        Self {
            me: mesh.me(),
            now: io.now(),
            listener: None,
            image: Image::default(),
            image_through: 0,
            store,
            partitions: Partitions::default(),
            traffic: Traffic::new(plan.settings.metrics.topics_max),
            coordinators: Coordinators::default(),
            controller: None,
            sessions: Sessions::default(),
            hosts: PerAddress::default(),
            memory: RequestMemory::new(limits.request_bytes_max),
            memory_freed: false,
            resume_later: Vec::new(),
            turns: 0,
            resting: VecDeque::new(),
            answers: Answers::default(),
            produces: ProduceOps::default(),
            fetches: FetchOps::default(),
            fetch_sessions: FetchSessions::new(limits.fetch_sessions_max),
            forwards: Default::default(),
            deferred: Default::default(),
            lookups: Default::default(),
            delete_records: Vec::new(),
            secret: Secret::new(u128::from(io.random()) << 64 | u128::from(io.random())),
            scratch: record::compress::Scratch::new(),
            outbox: (0..cores).map(|_| VecDeque::new()).collect(),
            stopping: false,
            flushing: false,
            stopped: false,
            cores_stopped: Default::default(),
            ends_seen: 0,
            marking: None,
            stats: Default::default(),
            refusals: Default::default(),
            ready: None,
            health: plan.ready.clone(),
            starting: None,
            storage_options: plan.storage.clone(),
            log_dir: log_dir(&plan.storage.data).into(),
            settings: Rc::new(plan.settings),
            defaults: Rc::new(plan.defaults),
            cluster_id,
            io,
            mesh,
        }
    }

    /// Core 0: once the raised epochs are durable, every core gets the image and its logs, and
    /// serves.
    pub(crate) fn continue_start(&mut self) {
        if self.stopping {
            // Nobody is to serve any more. What the others would have got is in segments.
            self.starting = None;
        }
        let Some(starting) = &self.starting else {
            return;
        };
        let Some(home) = &self.controller else { return };
        if self.store.offsets(home.slot).high_watermark.0 < starting.through {
            return;
        }
        let image = Arc::new(home.controller.image().to_records());
        let Some(Starting { through, logs }) = self.starting.take() else {
            return;
        };
        // First this core: it sees that the address is free.
        if let Err(reason) = self.serve(through, &image) {
            self.fail_start(reason);
            return;
        }
        for (core, logs) in (0..).zip(logs).skip(1) {
            let message = Message::Boot {
                image: image.clone(),
                through,
                logs,
                cluster_id: self.cluster_id.clone(),
            };
            self.tell(CoreId(core), message);
        }
    }

    fn fail_start(&mut self, reason: String) {
        if let Some(ready) = &self.ready {
            ready.send_modify(|p| p.fail(reason));
        }
        self.begin_stop();
    }

    /// Applies the image, opens the logs, listens.
    fn serve(&mut self, through: i64, image: &[MetadataRecord]) -> Result<(), String> {
        self.now = self.io.now();
        self.apply_metadata(through, image);
        self.arm_tick();
        let mut address = self.settings.listen;
        let sharing = match (self.settings.single_port && self.settings.cores > 1, self.me) {
            (false, _) => Sharing::Alone,
            (true, CoreId(0)) => Sharing::First,
            (true, _) => Sharing::Also,
        };
        if !self.settings.single_port {
            let port = address
                .port()
                .checked_add(self.me.0)
                .ok_or("the last core's port is above 65535")?;
            // Port 0 lets the system choose, for tests.
            address.set_port(if address.port() == 0 { 0 } else { port });
        }
        let listener = self.io.listen_shared(address, sharing).map_err(|e| {
            format!("cannot listen on {address}: {e}; another process may have the port: choose others with --listen HOST:PORT")
        })?;
        self.listener = Some(listener);
        let listening = self.io.local_addr(listener);
        let core = self.me;
        if core == CoreId(0) {
            self.on_serving(core, listening);
        } else {
            self.tell(CoreId(0), Message::Serving { core, listening });
        }
        Ok(())
    }

    /// A core serves. Core 0 counts them.
    pub(crate) fn on_serving(&mut self, core: CoreId, listening: SocketAddr) {
        let cores = usize::from(self.settings.cores);
        if let Some(ready) = &self.ready {
            ready.send_modify(|p| {
                p.serving.push((core, listening));
                p.serving.sort_unstable();
                p.ready = p.serving.len() == cores;
            });
        }
    }
}
