//! The small files of a Kafka log directory, their names, and the open files of a core.
//!
//! Kafka names a partition's files by the base offset of their segment, 20 digits, and tells them
//! by suffix. Files that are small and replaced as a whole (`leader-epoch-checkpoint`,
//! `partition.metadata`, `meta.properties`, `.snapshot`) go through [`Disk::replace`]: a temporary
//! file, synced, renamed over the old one, directory synced; a crash leaves the old or the new.
use crate::{error::Error, segment::tail::WRITE_BYTES};
use bytes::Bytes;
use netio::{File, Io, Open, buffer::Arena};
use record::{Offset, TopicId};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
};

/// The batches of a segment.
pub const LOG: &str = "log";
/// Offset index of a segment.
pub const INDEX: &str = "index";
/// Time index of a segment.
pub const TIME_INDEX: &str = "timeindex";
/// Producer state at an offset.
pub const SNAPSHOT: &str = "snapshot";
/// Our seal of a closed segment. Kafka leaves files of unknown suffix in a partition directory
/// alone.
pub const SEAL: &str = "seal";
/// Suffix of a file that waits for its removal (`file.delete.delay.ms`); Kafka removes what it
/// finds of them at a start.
pub const DELETED: &str = ".deleted";
/// Suffix of a partition directory that is being removed.
pub const DELETE_DIR: &str = "-delete";
/// Suffix of a partition directory that was set aside: nobody knows its log.
pub const STRAY_DIR: &str = "-stray";
/// Bytes of a name that file systems take (`NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;
/// First offsets of leader epochs.
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// Topic id of a partition directory.
pub const PARTITION_METADATA: &str = "partition.metadata";

/// `00000000000000000042.log`
pub fn name(base: Offset, suffix: &str) -> String {
    format!("{:020}.{suffix}", base.0)
}

/// Base offset and suffix of a segment's file; `None` for any other name.
pub fn parse_name(name: &str) -> Option<(Offset, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    Some((Offset(digits.parse().ok()?), suffix))
}

/// Where a partition's directory goes when it leaves its name:
/// `<topic>-<partition>.<32 hex digits><suffix>` beside it. A topic's name may be so long that this
/// is none that a file system takes: it is cut then, and the rest is kept, so that Kafka too reads
/// a partition from the name (`LocalLog.logDirNameWithSuffixCappedLength`).
pub(crate) fn aside(dir: &Path, unique: u128, suffix: &str) -> PathBuf {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (topic, partition) = name.split_at(name.rfind('-').unwrap_or(name.len()));
    let rest = format!("{partition}.{unique:032x}{suffix}");
    let topic = &topic[..topic.floor_char_boundary(NAME_BYTES_MAX.saturating_sub(rest.len()))];
    dir.with_file_name(format!("{topic}{rest}"))
}

/// Text of `partition.metadata`.
pub fn partition_metadata(topic: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic}")
}

/// Topic id in the text of `partition.metadata`; `None` if it is not one of version 0.
pub fn parse_partition_metadata(text: &str) -> Option<TopicId> {
    let mut version = None;
    let mut topic = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once(':')?;
        match key.trim() {
            "version" => version = Some(value.trim().to_owned()),
            "topic_id" => topic = Some(value.trim().parse().ok()?),
            _ => return None,
        }
    }
    (version.as_deref() == Some("0")).then_some(topic?)
}

/// The version in the text of a `partition.metadata`, if it says one and it is not known here.
fn foreign_partition_metadata(text: &str) -> Option<String> {
    let version = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "version").then(|| value.trim().to_owned())
    })?;
    let number = version.parse::<u32>().ok()?;
    (number != 0).then(|| number.to_string())
}

/// What `meta.properties` of a log directory says (KIP-858, version 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    pub cluster_id: String,
    pub node_id: i32,
    /// Id of the directory itself.
    pub directory_id: TopicId,
}

impl MetaProperties {
    /// The text, as Java's `Properties` reads it.
    pub fn to_text(&self) -> String {
        format!(
            "#\nversion=1\ncluster.id={}\nnode.id={}\ndirectory.id={}\n",
            self.cluster_id, self.node_id, self.directory_id
        )
    }
    fn fields(text: &str) -> Option<BTreeMap<&str, &str>> {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
        lines
            .map(|line| {
                let (key, value) = line.split_once(['=', ':'])?;
                Some((key.trim(), value.trim()))
            })
            .collect()
    }

    /// The version that the text says, if it is not the one known here.
    pub fn foreign_version(text: &str) -> Option<String> {
        let version = Self::fields(text)?.get("version")?.to_owned();
        (version != "1").then(|| version.to_owned())
    }

    /// `None` if a field is missing or the version is unknown.
    pub fn from_text(text: &str) -> Option<Self> {
        let fields = Self::fields(text)?;
        (fields.get("version") == Some(&"1")).then_some(())?;
        Some(Self {
            cluster_id: (*fields.get("cluster.id")?).to_owned(),
            node_id: fields.get("node.id")?.parse().ok()?,
            directory_id: fields.get("directory.id")?.parse().ok()?,
        })
    }
}

/// Which file of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileKey {
    pub(crate) log: u32,
    pub(crate) base: Offset,
    pub(crate) suffix: &'static str,
}

/// A core's hold on segment files: the handle of the disk, and the open files, at most so many.
/// Cheap to clone.
///
/// 10,000 partitions have 30,000 files and more; a process may have fewer open. A file is opened at
/// its first use and closed when it has not been used for longest and another one needs its place.
#[derive(Clone, Debug)]
pub struct Disk {
    inner: Rc<Inner>,
}

/// Limits of a [`Disk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskOptions {
    /// Segment files open at once; at least 8.
    pub open_files_max: usize,
    /// Producers remembered of one log.
    pub producer_ids_max: usize,
}

/// So many open files, else the defaults.
impl From<usize> for DiskOptions {
    fn from(open_files_max: usize) -> Self {
        Self { open_files_max, ..Self::default() }
    }
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self { open_files_max: 1_000, producer_ids_max: 1_000_000 }
    }
}

#[derive(Debug)]
struct Inner {
    io: Io,
    options: DiskOptions,
    open: RefCell<OpenFiles>,
    logs: Cell<u32>,
    tight: Cell<bool>,
    deferring: Cell<bool>,
    /// Syncs that were left out, and how many of them have been made good.
    deferred: Cell<u64>,
    settled: Cell<u64>,
    /// Where flushes gather what they write.
    buffers: Arena,
}

#[derive(Debug, Default)]
struct OpenFiles {
    clock: u64,
    by_key: BTreeMap<FileKey, (File, u64)>,
    by_use: BTreeMap<u64, FileKey>,
}

impl OpenFiles {
    fn remove(&mut self, key: &FileKey) {
        if let Some((_, used)) = self.by_key.remove(key) {
            self.by_use.remove(&used);
        }
    }
    fn insert(&mut self, key: FileKey, file: File) {
        self.remove(&key);
        self.clock += 1;
        self.by_key.insert(key, (file, self.clock));
        self.by_use.insert(self.clock, key);
    }
    fn get(&mut self, key: &FileKey) -> Option<File> {
        let file = self.by_key.get(key)?.0.clone();
        self.insert(*key, file.clone());
        Some(file)
    }
}

/// Free flush buffers kept by a core.
const BUFFERS_KEPT: usize = 4;

impl Disk {
    /// Of the core of `io`.
    pub fn new(io: &Io, options: impl Into<DiskOptions>) -> Self {
        let options = options.into();
        let inner = Inner {
            io: io.clone(),
            options,
            open: RefCell::default(),
            logs: Cell::new(0),
            tight: Cell::new(false),
            deferring: Cell::new(false),
            deferred: Cell::new(0),
            settled: Cell::new(0),
            buffers: Arena::new(WRITE_BYTES, BUFFERS_KEPT),
        };
        Self { inner: Rc::new(inner) }
    }
    pub fn options(&self) -> DiskOptions {
        self.inner.options
    }
    pub fn io(&self) -> &Io {
        &self.inner.io
    }
    /// Space is short: files are not extended in advance.
    pub(crate) fn set_tight(&self, tight: bool) {
        self.inner.tight.set(tight);
    }
    pub(crate) fn is_tight(&self) -> bool {
        self.inner.tight.get()
    }
    /// From now on, what makes, writes and closes a log's files leaves their syncs out:
    /// [`Self::settle`] does them all at once.
    pub(crate) fn defer_syncs(&self) {
        self.inner.deferring.set(true);
    }
    /// Whether a sync is left out here; counted.
    pub(crate) fn defers(&self) -> bool {
        let defers = self.inner.deferring.get();
        self.inner.deferred.set(self.inner.deferred.get() + u64::from(defers));
        defers
    }
    /// Makes everything below `dir` durable of which a sync was left out until now.
    pub(crate) async fn settle(&self, dir: &Path) -> Result<(), netio::Error> {
        let upto = self.inner.deferred.get();
        if upto > self.inner.settled.get() {
            self.inner.io.sync_all(dir).await?;
            self.inner.settled.set(upto);
        }
        Ok(())
    }
    pub(crate) fn buffers(&self) -> &Arena {
        &self.inner.buffers
    }
    /// Segment files open now.
    pub fn open_files(&self) -> usize {
        self.inner.open.borrow().by_key.len()
    }

    /// A number for the keys of one more log.
    pub(crate) fn new_log(&self) -> u32 {
        self.inner.logs.set(self.inner.logs.get() + 1);
        self.inner.logs.get()
    }

    /// The file, opened if it is not. `how` must be the same for every use of a key.
    pub(crate) async fn file(&self, key: FileKey, dir: &Path, how: Open) -> Result<File, Error> {
        if let Some(file) = self.inner.open.borrow_mut().get(&key) {
            return Ok(file);
        }
        let file = self.inner.io.open(&dir.join(name(key.base, key.suffix)), how).await?;
        let mut open = self.inner.open.borrow_mut();
        open.insert(key, file.clone());
        while open.by_key.len() > self.inner.options.open_files_max.max(8) {
            let Some((_, oldest)) = open.by_use.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            open.remove(&oldest);
        }
        Ok(file)
    }

    /// Closes one file, which is about to be replaced.
    pub(crate) fn close_file(&self, key: &FileKey) {
        self.inner.open.borrow_mut().remove(key);
    }

    /// Closes the files of a segment (before they are renamed or removed). Reads under way keep
    /// theirs.
    pub(crate) fn forget(&self, log: u32, base: Offset) {
        let mut open = self.inner.open.borrow_mut();
        for suffix in [LOG, INDEX, TIME_INDEX] {
            open.remove(&FileKey { log, base, suffix });
        }
    }

    /// All of a small file; `None` if there is none. Longer than `bytes_max` is damage.
    pub async fn read(&self, path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
        let file = match self.inner.io.open(path, Open::default()).await {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let len = file.len().await?;
        match usize::try_from(len) {
            Ok(len) if len <= bytes_max => Ok(Some(file.read_vec(0, len).await?)),
            _ => {
                Err(damaged(path, 0, format!("{len} bytes where at most {bytes_max} are expected")))
            }
        }
    }

    /// Replaces `dir/name` by a file of these bytes, on the device when it returns, or when
    /// [`Self::settle`] has.
    pub async fn replace(&self, dir: &Path, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let io = &self.inner.io;
        let temporary = dir.join(format!("{name}.tmp"));
        let file = io
            .open(&temporary, Open { write: true, create: true, truncate: true, ..Open::default() })
            .await?;
        if !bytes.is_empty() {
            file.write_at(Bytes::from(bytes), 0, false).await?;
        }
        let synced = !self.defers();
        if synced {
            file.sync(false).await?;
        }
        io.rename(&temporary, &dir.join(name)).await?;
        if synced {
            io.sync_dir(dir).await?;
        }
        Ok(())
    }

    /// Removes a file; one that is not there is fine.
    pub(crate) async fn remove(&self, path: &Path) -> Result<(), Error> {
        match self.inner.io.remove_file(path).await {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Renames a file; false if there is none.
    pub(crate) async fn rename(&self, from: &Path, to: &Path) -> Result<bool, Error> {
        match self.inner.io.rename(from, to).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Topic id of a partition directory; `None` if it does not say.
    ///
    /// # Errors
    /// The disk's; [`Error::Version`].
    pub async fn topic_of(&self, dir: &Path) -> Result<Option<TopicId>, Error> {
        let path = dir.join(PARTITION_METADATA);
        let Some(bytes) = self.read(&path, 4096).await? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        match foreign_partition_metadata(&text) {
            None => Ok(parse_partition_metadata(&text)),
            Some(found) => Err(Error::Version {
                file: path.display().to_string(),
                what: "a partition.metadata",
                found,
                known: "0",
            }),
        }
    }

    /// Whether a stop that the power has ended was making this directory: the file that says whose
    /// it is has a name and nothing in it. Kafka makes it with a sync.
    pub(crate) async fn is_half_made(&self, dir: &Path) -> Result<bool, Error> {
        let bytes = self.read(&dir.join(PARTITION_METADATA), 4096).await?;
        Ok(bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0)))
    }

    /// Removes a directory and the files in it (of a log that is gone). Directories in it are not
    /// touched and make it fail.
    pub async fn purge(&self, dir: PathBuf) -> Result<(), Error> {
        let io = &self.inner.io;
        for entry in io.read_dir(&dir).await? {
            io.remove_file(&dir.join(entry.name)).await?;
        }
        io.remove_dir(&dir).await?;
        if let Some(parent) = dir.parent() {
            io.sync_dir(parent).await?;
        }
        Ok(())
    }
}

/// A [`Error::Damaged`].
pub(crate) fn damaged(path: &Path, position: u64, what: impl Into<String>) -> Error {
    Error::Damaged { file: path.display().to_string(), position, what: what.into() }
}

/// Removes a partition's directory that is not open: first out of Kafka's sight by a rename, then
/// file by file.
pub(crate) async fn remove_dir(disk: &Disk, path: &Path) -> Result<(), Error> {
    let io = disk.io();
    let away = aside(path, u128::from(io.random()), DELETE_DIR);
    match io.rename(path, &away).await {
        Err(error) if error.is_not_found() => return Ok(()),
        other => other?,
    }
    if let Some(parent) = path.parent() {
        io.sync_dir(parent).await?;
    }
    disk.purge(away).await
}

/// As [`remove_dir`]; where a directory cannot be moved, its files go in their place. For recovery,
/// which nobody looks on: what is deleted stays recorded until it is gone.
pub(crate) async fn clear_dir(disk: &Disk, path: &Path) -> Result<(), Error> {
    match remove_dir(disk, path).await {
        Err(Error::Io(_)) => disk.purge(path.to_path_buf()).await,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name(Offset(42), LOG), "00000000000000000042.log");
        assert_eq!(parse_name("00000000000000000042.log"), Some((Offset(42), LOG)));
        assert_eq!(
            parse_name("00000000000000000042.log.deleted"),
            Some((Offset(42), "log.deleted"))
        );
        assert_eq!(parse_name(&name(Offset::MAX, INDEX)), Some((Offset::MAX, INDEX)));
        for other in [
            "leader-epoch-checkpoint",
            "42.log",
            "0000000000000000004x.log",
            "99999999999999999999.log",
        ] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_aside_is_one_that_file_systems_take() {
        let of = |topic: &str| {
            let aside = aside(Path::new(&format!("kafka/{topic}-7")), 0xab, DELETE_DIR);
            aside.strip_prefix("kafka").unwrap().display().to_string()
        };
        assert_eq!(of("a.b-c"), "a.b-c-7.000000000000000000000000000000ab-delete");
        for len in [213, 214, 249] {
            let name = of(&"t".repeat(len));
            assert!(name.len() <= NAME_BYTES_MAX, "{} of {len}", name.len());
            assert!(name.starts_with("ttt") && name.ends_with("ab-delete"));
            assert!(name.contains("t-7.0"), "the partition stays: {name}");
        }
        assert_eq!(of(&"t".repeat(212)).len(), 254);
        assert_eq!(of(&"t".repeat(249)).len(), 255);
    }

    #[test]
    fn partition_metadata_as_kafka_writes_it() {
        let topic = TopicId::from_random(7, 9);
        let text = partition_metadata(topic);
        assert!(text.starts_with("version: 0\ntopic_id: "));
        assert_eq!(parse_partition_metadata(&text), Some(topic));
        assert_eq!(parse_partition_metadata(&format!("{text}\n")), Some(topic));
        for bad in [
            "",
            "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
            "version: 0",
            "version: 0\ntopic_id: x",
            "what",
        ] {
            assert_eq!(parse_partition_metadata(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn meta_properties() {
        let meta = MetaProperties {
            cluster_id: "abc".into(),
            node_id: 7,
            directory_id: TopicId::from_random(1, 2),
        };
        assert_eq!(MetaProperties::from_text(&meta.to_text()), Some(meta));
        assert_eq!(MetaProperties::from_text("version=0\nbroker.id=1\n"), None);
    }
}
