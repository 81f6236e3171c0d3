//! How a new log gets its directory.
use crate::{
    error::Error,
    files::{self, Disk},
    ids::LogId,
};
use std::{cell::Cell, path::Path};

/// How often, and how long each time, a new log waits for its name.
const WAITS_MAX: u32 = 1_000;
const WAIT_MS: u64 = 20;
const EEXIST: i32 = 17;
const ENOTEMPTY: i32 = 39;

/// Takes the directory's name for a new log, in one step with the file that says whose it is; waits
/// while a deleted topic of the same name, perhaps of another core, is still on its way out. Crash
/// shown: the name is taken by creating the directory first, a deleted log that was just being made
/// does the same, and each removes the other's files.
pub(super) async fn take_name(
    disk: &Disk,
    dir: &Path,
    id: LogId,
    gone: &Cell<bool>,
) -> Result<(), Error> {
    let io = disk.io();
    // Until it has its name it is one to be deleted, for us and for Kafka.
    let new = files::aside(dir, u128::from_be_bytes(id.topic.0), files::DELETE_DIR);
    let mut made = false;
    for _ in 0..WAITS_MAX {
        let owner = disk.topic_of(dir).await?;
        if owner == Some(id.topic) {
            break;
        }
        if owner.is_none() {
            if !made {
                io.create_dir(&new).await?;
                let text = files::partition_metadata(id.topic);
                disk.replace(&new, files::PARTITION_METADATA, text.into_bytes()).await?;
                made = true;
            }
            match io.rename(&new, dir).await {
                Ok(()) => {
                    if let Some(parent) = dir.parent().filter(|_| !disk.defers()) {
                        io.sync_dir(parent).await?;
                    }
                    return Ok(());
                }
                Err(error) if error.errno == EEXIST || error.errno == ENOTEMPTY => {}
                Err(error) => return Err(error.into()),
            }
        }
        if gone.get() {
            break;
        }
        io.sleep_until(io.now().after_ms(WAIT_MS)).await;
    }
    if made {
        disk.purge(new).await?;
    }
    if gone.get() {
        // The name may be that of a new log for as long as that lives.
        return Err(Error::Failed("the log was deleted".into()));
    }
    // If another one stays in the way, making the log says so.
    Ok(())
}
