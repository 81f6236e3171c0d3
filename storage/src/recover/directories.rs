//! Directories below `kafka/` that no checkpoint counts on: removed, set aside, or taken in.
use super::{Recovery, replay::Replayed};
use crate::{
    checkpoint::LogState,
    disk_log::DiskLog,
    error::Error,
    files::{self, DELETE_DIR, STRAY_DIR, clear_dir},
    ids::LogId,
    log::dir_name,
    options::LogConfig,
};
use record::LeaderEpoch;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

impl Recovery {
    /// Removes the directories of deleted logs, sets aside those of logs that nobody knows, and
    /// takes in known ones that nothing else names. `wanted`: the logs to come, with the topic's
    /// name, and whether a checkpoint counts on a directory.
    pub(super) async fn settle_directories(
        &mut self,
        wanted: &[(LogId, String, bool)],
        known: &impl Fn(LogId) -> Option<(String, LogConfig)>,
    ) -> Result<(), Error> {
        let kafka = self.options.data.join("kafka");
        let replayed = self
            .replayed
            .iter()
            .map(|(id, log)| (*id, log.state.name.clone(), log.state.disk.is_some()));
        let wanted: BTreeMap<LogId, (String, bool)> = wanted
            .iter()
            .cloned()
            .chain(replayed)
            .map(|(id, name, on_disk)| (id, (dir_name(&name, id.partition), on_disk)))
            .collect();
        let expected: BTreeSet<&str> = wanted
            .values()
            .filter(|(_, on_disk)| *on_disk)
            .map(|(name, _)| name.as_str())
            .collect();
        let begun: BTreeSet<&str> = wanted
            .values()
            .filter(|(_, on_disk)| !*on_disk)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut changed = false;
        for entry in self.io.read_dir(&kafka).await?.into_iter().filter(|entry| entry.is_dir) {
            let (path, name) = (kafka.join(&entry.name), entry.name);
            if expected.contains(name.as_str()) || name.ends_with(STRAY_DIR) {
                continue;
            }
            if name.ends_with(DELETE_DIR) {
                match self.disk.purge(path).await {
                    Ok(()) => self.report.removed.push(name),
                    Err(error) => self.report.stuck.push((name, error.to_string())),
                }
                continue;
            }
            let partition = name.rsplit_once('-').and_then(|(_, partition)| partition.parse().ok());
            let topic = self.disk.topic_of(&path).await?;
            let id = topic.zip(partition).map(|(topic, partition)| LogId { topic, partition });
            let deleted = id.is_some_and(|id| self.deleted.contains_key(&id));
            // Made, and the power went before it said whose it is. Nothing was written to it, or it
            // was in a recovery or a stop, whose syncs come at the end: then a file that was made
            // later may be there before the one that says so, and the chain knows all of the log.
            let half_made = topic.is_none()
                && (begun.contains(name.as_str())
                    || self.disk.is_half_made(&path).await?
                    || !self
                        .io
                        .read_dir(&path)
                        .await?
                        .iter()
                        .any(|file| file.name.ends_with(".log")));
            // The chain knows all of a log that no checkpoint counts on.
            let uncounted = id.is_some_and(|id| wanted.contains_key(&id));
            if deleted || half_made || uncounted {
                match clear_dir(&self.disk, &path).await {
                    Ok(()) => self.report.removed.push(name),
                    Err(error) => {
                        // Who makes the log anew empties the directory first.
                        self.report.stuck.push((name, error.to_string()));
                        if let Some(id) = id.filter(|_| deleted) {
                            self.undeleted.extend(
                                self.deleted
                                    .get_key_value(&id)
                                    .map(|(id, name)| (*id, name.clone())),
                            );
                        }
                    }
                }
            } else if let Some((id, (topic, config))) = id.and_then(|id| Some((id, known(id)?))) {
                self.adopt(id, topic, config, path).await?;
            } else {
                let stray = files::aside(&path, u128::from(self.io.random()), STRAY_DIR);
                match self.io.rename(&path, &stray).await {
                    Ok(()) => {
                        changed = true;
                        let stray = stray.file_name().unwrap_or_default();
                        self.report.strays.push(stray.to_string_lossy().into_owned());
                    }
                    // It stays, and the next start tries again. A log of its name is refused until
                    // then.
                    Err(error) => self.report.stuck.push((name, error.to_string())),
                }
            }
        }
        if changed {
            self.io.sync_dir(&kafka).await?;
        }
        Ok(())
    }

    /// The directory of a known log that neither a checkpoint nor a chain names: it is the log, as
    /// Kafka would leave it.
    async fn adopt(
        &mut self,
        id: LogId,
        name: String,
        config: LogConfig,
        path: PathBuf,
    ) -> Result<(), Error> {
        let (disk, _) = Box::pin(DiskLog::open(&self.disk, path, id, config.clone(), None)).await?;
        let known = disk.state();
        let epochs = disk.epochs();
        let state = LogState {
            log_start: known.log_start,
            disk: Some(known),
            closed: false,
            epoch: epochs.latest().unwrap_or(LeaderEpoch(0)),
            producers: disk.with_producers(crate::producer_state::ProducerStates::to_bytes),
            epochs,
            ..LogState::empty(id, &name, known.log_start, LeaderEpoch(0))
        };
        let replayed =
            Replayed { state, config, disk: None, damaged: Vec::new(), batches: 0, bytes: 0 };
        self.replayed.insert(id, replayed);
        Ok(())
    }
}
