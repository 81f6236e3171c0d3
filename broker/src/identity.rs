//! Whose data this is: `kafka/meta.properties` (KIP-858), made at the first start and checked at
//! every other.
use crate::core::plan::{Plan, reason};
use netio::Io;
use record::TopicId;
use storage::files::{Disk, MetaProperties};

const NAME: &str = "meta.properties";
const BYTES_MAX: usize = 64 << 10;

/// What the data directory says of itself, if it says anything; nothing is changed.
///
/// # Errors
/// It is another node's, or of a version that is not known here.
pub async fn check(io: &Io, plan: &Plan) -> Result<Option<MetaProperties>, String> {
    let dir = plan.storage.data.join("kafka");
    let path = dir.join(NAME);
    let bytes = Disk::new(io, FILES_OPEN).read(&path, BYTES_MAX).await;
    let Some(bytes) = bytes.map_err(|e| e.to_string())? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&bytes);
    if let Some(found) = MetaProperties::foreign_version(&text) {
        return Err(format!(
            "{}: of version {found}, and this program knows 1: start the program that wrote it, or choose another --data; nothing was changed",
            path.display()
        ));
    }
    let known = MetaProperties::from_text(&text).ok_or_else(|| {
        format!("{}: not a meta.properties of version 1; restore it", path.display())
    })?;
    if known.node_id != plan.settings.node_id {
        return Err(format!(
            "{} belongs to node.id {}, this start says {}: use --node-id {}, or another --data",
            dir.display(),
            known.node_id,
            plan.settings.node_id,
            known.node_id
        ));
    }
    Ok(Some(known))
}

/// The cluster id of the data directory; a new one when the directory is new.
pub async fn cluster_id(io: &Io, plan: &Plan) -> Result<String, String> {
    if let Some(known) = check(io, plan).await? {
        return Ok(known.cluster_id);
    }
    let dir = plan.storage.data.join("kafka");
    let disk = Disk::new(io, FILES_OPEN);
    let id = |io: &Io| TopicId::from_random(io.random(), io.random());
    let new = MetaProperties {
        cluster_id: id(io).to_string(),
        node_id: plan.settings.node_id,
        directory_id: id(io),
    };
    let replaced = disk.replace(&dir, NAME, new.to_text().into_bytes()).await;
    replaced.map_err(|e| reason(&e, &plan.storage.data))?;
    Ok(new.cluster_id)
}

const FILES_OPEN: usize = 8;
