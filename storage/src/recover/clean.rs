//! What a clean stop leaves for Kafka: the checkpoints of its log directory and the marker of a
//! clean shutdown.
//!
//! Written once all cores have stopped, from their own checkpoints; removed by the next recovery.
//! Millrace itself does not read them. Formats: Kafka's `OffsetCheckpointFile` (version, count,
//! `topic partition offset` a line) and `CleanShutdownFileHandler`.
use crate::{
    checkpoint::{self, LogState, RECOVERED},
    error::Error,
    files::Disk,
    options::Options,
};
use netio::Io;
use record::Offset;
use std::{collections::BTreeMap, path::Path};

/// Kafka's marker of a clean shutdown.
const MARKER: &str = ".kafka_cleanshutdown";
const LOG_STARTS: &str = "log-start-offset-checkpoint";
const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";

/// Writes Kafka's checkpoints and marker; false, and nothing written, if not every core has stopped
/// cleanly. To be called once, on any core, after [`crate::Event::Stopped`] of all.
///
/// # Errors
/// The disk's.
pub async fn mark_clean(io: &Io, options: &Options) -> Result<bool, Error> {
    let wal = options.data.join("wal");
    let Some(base) = checkpoint::read(io, &wal, RECOVERED).await? else {
        return Ok(false);
    };
    let (files, cores) = super::list(io, &wal).await?;
    // Each core's checkpoint has all of its logs. One that only the start's has was deleted since:
    // its files need no closing.
    let mut logs: BTreeMap<_, LogState> = BTreeMap::new();
    let mut clean = Vec::new();
    for core in cores {
        let read = checkpoint::read(io, &wal, core).await?;
        let Some(read) = read.filter(|read| read.head.start == base.head.start && read.head.clean)
        else {
            return Ok(false);
        };
        clean.push(core);
        logs.extend(read.logs.into_iter().map(|log| (log.id, log)));
    }
    if files.keys().any(|core| !clean.contains(core)) {
        return Ok(false);
    }
    // Kafka looks at no file behind the marker: all must be as it would have left them.
    if logs.values().any(|log| log.disk.is_some() && !log.closed) {
        return Ok(false);
    }
    let disk = Disk::new(io, 8);
    let kafka = options.data.join("kafka");
    let starts = offsets(&logs, |log| log.log_start);
    let ends = offsets(&logs, |log| log.flushed().max(log.log_start));
    disk.replace(&kafka, LOG_STARTS, starts.into_bytes()).await?;
    disk.replace(&kafka, RECOVERY_POINTS, ends.clone().into_bytes()).await?;
    disk.replace(&kafka, HIGH_WATERMARKS, ends.into_bytes()).await?;
    disk.replace(&kafka, MARKER, b"{\"version\":0,\"brokerEpoch\":-1}".to_vec()).await?;
    Ok(true)
}

/// The log directory is in use again.
pub(super) async fn unmark(io: &Io, kafka: &Path) -> Result<(), Error> {
    match io.remove_file(&kafka.join(MARKER)).await {
        Ok(()) => Ok(io.sync_dir(kafka).await?),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn offsets<K>(logs: &BTreeMap<K, LogState>, of: impl Fn(&LogState) -> Offset) -> String {
    use std::fmt::Write;
    let on_disk: Vec<&LogState> = logs.values().filter(|log| log.disk.is_some()).collect();
    let mut text = format!("0\n{}\n", on_disk.len());
    for log in on_disk {
        let _ = writeln!(text, "{} {} {}", log.name, log.id.partition, of(log));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{disk_log::FlushedState, ids::LogId};
    use record::{LeaderEpoch, TopicId};

    #[test]
    fn kafkas_text() {
        let id = |partition| LogId { topic: TopicId([1; 16]), partition };
        let log = |partition, disk| LogState {
            disk,
            ..LogState::empty(id(partition), "a.b", Offset(4), LeaderEpoch(0))
        };
        let logs: BTreeMap<LogId, LogState> =
            [(id(0), log(0, Some(FlushedState::empty(Offset(4))))), (id(1), log(1, None))].into();
        assert_eq!(offsets(&logs, |log| log.flushed()), "0\n1\na.b 0 4\n");
    }
}
