//! The files of a core's chain: pre-written, filled one after the other, used again once everything
//! in them is flushed.
//!
//! On ext4 a write into unwritten extents costs a journal commit; a write into extents that hold
//! data is a pure overwrite. So a file is filled with zeros before its first use, in the
//! background, and a file that is done gets the next number (its *generation*) and serves again
//! without being cleaned: frames of its former use carry the old generation.
//!
//! A file has its name only since it is full of zeros: whoever finds it may take it as pre-written.
//! Recovery leaves some of the files that it has emptied as `spare-<k>.wal`, for any core of the
//! next start: their frames are of an earlier start, so they need no cleaning either, and a start
//! writes no zeros.
//!
//! ```text
//! 0                LANDMARK         2 * LANDMARK
//! | frame | frame |.| frame | frame  | ...             no frame crosses a landmark,
//! | frame larger than that ......................|..|  or it begins at one, and so does the next one
//! ```
//! So recovery finds how far a file was filled by a look at its landmarks: see `recover::scan`.
//!
//! Not here: when a file may be recycled (the owner says so, after the checkpoint).
use super::frame::{BLOCK, Foreign};
use bytes::Bytes;
use netio::{AlignedBuf, File, Io, Open};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

/// Bytes of one pre-writing write.
const ZEROS: usize = 1 << 20;
/// Places of a file that are the beginning of a frame, if it was filled that far and no frame lies
/// over them. Part of the format. Small, and a start reads little; large, and little space is left
/// over before them.
pub(crate) const LANDMARK: u64 = 4 << 20;
/// Before the number of a file that waits for any core.
const SPARE: &str = "spare-";
/// Suffix of a file that is not full of zeros yet.
const HALF_MADE: &str = ".wal.tmp";

/// `<core>-<n>.wal`
pub(crate) fn file_name(core: u32, n: u64) -> String {
    format!("{core}-{n}.wal")
}

/// Core and number of a WAL file's name.
pub(crate) fn parse_name(name: &str) -> Option<(u32, u64)> {
    let (core, n) = name.strip_suffix(".wal")?.split_once('-')?;
    Some((core.parse().ok()?, n.parse().ok()?))
}

/// A file of the chain.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub n: u64,
    pub file: File,
    pub bytes: u64,
    /// Sequence of the last frame in it; 0 = none.
    pub last: u64,
}

/// Why there is no next file, and the one that should have been it, under the name that it has now:
/// nothing in it counts.
#[derive(Debug)]
pub(crate) struct NotMade {
    pub error: netio::Error,
    pub old: Option<WalFile>,
}

/// Where a frame goes.
#[derive(Debug)]
pub(crate) struct Place {
    pub file: File,
    pub n: u64,
    pub offset: u64,
}

/// The chain's files, oldest first; the last of `live` is being written.
#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    core: u32,
    live: VecDeque<WalFile>,
    /// Next free byte of the current file.
    at: u64,
    /// Ready to be used, in order of `n`.
    spare: VecDeque<WalFile>,
    next_n: u64,
    /// A background task makes or renames a file: one at a time, so that numbers rise in the order
    /// of use.
    making: bool,
}

impl Files {
    pub(crate) fn new(dir: PathBuf, core: u32, first: WalFile) -> Files {
        let next_n = first.n + 1;
        Files {
            dir,
            core,
            live: VecDeque::from([first]),
            at: 0,
            spare: VecDeque::new(),
            next_n,
            making: false,
        }
    }

    /// Takes `bytes` for frame `sequence`; `None` when no file is ready.
    pub(crate) fn place(&mut self, sequence: u64, bytes: u64) -> Option<Place> {
        let current = self.live.back()?;
        let at = settle(self.at, bytes);
        if at + bytes <= current.bytes {
            self.at = at;
        } else {
            let ready = self.spare.iter().position(|file| file.bytes >= bytes)?;
            // Files too small for this frame are passed over; they keep their place in the order
            // and go with the checkpoint.
            for _ in 0..=ready {
                self.live.extend(self.spare.pop_front());
            }
            self.at = 0;
        }
        let current = self.live.back_mut()?;
        let offset = self.at;
        current.last = sequence;
        assert!(
            offset + bytes <= current.bytes,
            "frame {sequence} ends at {} of {} in file {}",
            offset + bytes,
            current.bytes,
            current.n
        );
        self.at = after(offset, bytes);
        Some(Place { file: current.file.clone(), n: current.n, offset })
    }

    /// Bytes of files in use up to the writing position.
    pub(crate) fn live_bytes(&self) -> u64 {
        let full: u64 = self.live.iter().rev().skip(1).map(|file| file.bytes).sum();
        full + self.at
    }

    /// Number of the first file in use.
    pub(crate) fn first_n(&self) -> u64 {
        self.live.front().map_or(self.next_n, |file| file.n)
    }

    /// Last sequence of the oldest file, unless it is the one being written.
    pub(crate) fn oldest_full_last(&self) -> Option<u64> {
        (self.live.len() > 1).then(|| self.live[0].last)
    }

    pub(crate) fn spares(&self) -> usize {
        self.spare.len()
    }

    /// Files in use and ready for it.
    pub(crate) fn count(&self) -> usize {
        self.live.len() + self.spare.len()
    }

    pub(crate) fn is_making(&self) -> bool {
        self.making
    }

    /// Takes out the files in which everything is below `first_live`.
    pub(crate) fn take_done(&mut self, first_live: u64) -> Vec<WalFile> {
        let mut done = Vec::new();
        while self.live.len() > 1 && self.live[0].last < first_live {
            done.extend(self.live.pop_front());
        }
        done
    }

    /// The task that makes a new file, or turns `old` into one.
    pub(crate) fn make(
        &mut self,
        io: &Io,
        old: Option<WalFile>,
        bytes: u64,
    ) -> impl Future<Output = Result<WalFile, NotMade>> + 'static {
        assert!(!self.making, "one WAL file is made at a time");
        self.making = true;
        let (io, dir, core, n) = (io.clone(), self.dir.clone(), self.core, self.next_n);
        self.next_n += 1;
        async move {
            match old {
                Some(old) => rename(&io, &dir, core, old, n).await,
                None => make(&io, &dir, core, n, bytes)
                    .await
                    .map_err(|error| NotMade { error, old: None }),
            }
        }
    }

    pub(crate) fn on_made(&mut self, made: Option<WalFile>) {
        self.making = false;
        if let Some(file) = made {
            assert!(
                self.spare.back().is_none_or(|last| last.n < file.n),
                "WAL files come in order"
            );
            self.spare.push_back(file);
        }
    }
}

/// Where a frame of `bytes` begins, from `at` on.
fn settle(at: u64, bytes: u64) -> u64 {
    let landmark = at.next_multiple_of(LANDMARK);
    if at + bytes > landmark { landmark } else { at }
}

/// Where the frame behind one of `bytes` at `offset` may begin.
fn after(offset: u64, bytes: u64) -> u64 {
    match offset + bytes {
        end if bytes > LANDMARK => end.next_multiple_of(LANDMARK),
        end => end,
    }
}

/// A chain's first file: one that an earlier start has left, else a small one, so that the start
/// does not wait long for zeros.
pub(crate) async fn first(
    io: &Io,
    dir: &Path,
    core: u32,
    bytes: u64,
    first_bytes: u64,
) -> Result<WalFile, netio::Error> {
    match take_spare(io, dir, core, 1, bytes).await? {
        Some(file) => Ok(file),
        None => make(io, dir, core, 1, first_bytes).await,
    }
}

/// Makes file `n`, pre-written and durable, name included.
pub(crate) async fn make(
    io: &Io,
    dir: &Path,
    core: u32,
    n: u64,
    bytes: u64,
) -> Result<WalFile, netio::Error> {
    if let Some(file) = take_spare(io, dir, core, n, bytes).await? {
        return Ok(file);
    }
    let path = dir.join(file_name(core, n));
    let half_made = dir.join(format!("{core}-{n}{HALF_MADE}"));
    match fill(io, &half_made, bytes).await {
        Ok(file) => {
            io.rename(&half_made, &path).await?;
            io.sync_dir(dir).await?;
            Ok(WalFile { n, file, bytes, last: 0 })
        }
        Err(error) => {
            // Space that a half-made file holds is better free; if the removal fails as well,
            // recovery removes it.
            let _ = io.remove_file(&half_made).await;
            Err(error)
        }
    }
}

/// A spare file of `bytes` as file `n`, if there is one. Other cores take theirs at the same time:
/// the rename decides.
async fn take_spare(
    io: &Io,
    dir: &Path,
    core: u32,
    n: u64,
    bytes: u64,
) -> Result<Option<WalFile>, netio::Error> {
    for name in spares(io, dir).await? {
        let from = dir.join(name);
        let taken = async {
            let how = Open { write: true, direct: true, ..Open::default() };
            let file = io.open(&from, how).await?;
            if file.len().await? != bytes {
                return Ok(None);
            }
            let (head, read) = file.read_at(AlignedBuf::zeroed(BLOCK), 0).await;
            // Garbage whose age cannot be told must not stop the next start.
            if Foreign::read(&head[..read?]).is_some_and(|foreign| !foreign.is_of_our_layout()) {
                drop(file);
                io.remove_file(&from).await?;
                return Ok(None);
            }
            io.rename(&from, &dir.join(file_name(core, n))).await?;
            Ok(Some(file))
        };
        match taken.await {
            Ok(Some(file)) => {
                io.sync_dir(dir).await?;
                return Ok(Some(WalFile { n, file, bytes, last: 0 }));
            }
            Ok(None) => {}
            Err(error) if netio::Error::is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Names of the files that wait for any core.
async fn spares(io: &Io, dir: &Path) -> Result<Vec<String>, netio::Error> {
    let names = io.read_dir(dir).await?.into_iter().map(|entry| entry.name);
    Ok(names.filter(|name| name.starts_with(SPARE) && name.ends_with(".wal")).collect())
}

/// After a recovery: nothing in the chains' files counts any more. At most `keep` of them, of
/// `bytes` each, become spares; all others go, and so does what was half made. The caller syncs the
/// directory.
pub(crate) async fn retire(
    io: &Io,
    dir: &Path,
    files: impl Iterator<Item = (u32, u64)>,
    keep: usize,
    bytes: u64,
) -> Result<(), netio::Error> {
    for entry in io.read_dir(dir).await? {
        if entry.name.ends_with(HALF_MADE) {
            io.remove_file(&dir.join(entry.name)).await?;
        }
    }
    let mut numbers = std::collections::BTreeSet::new();
    for name in spares(io, dir).await? {
        let number = name[SPARE.len()..].trim_end_matches(".wal").parse::<u64>();
        match number {
            Ok(number) if numbers.len() < keep && has(io, &dir.join(&name), bytes).await? => {
                numbers.insert(number);
            }
            _ => io.remove_file(&dir.join(name)).await?,
        }
    }
    for (core, n) in files {
        let path = dir.join(file_name(core, n));
        if numbers.len() < keep && has(io, &path, bytes).await? {
            let number = (0..).find(|number| !numbers.contains(number)).unwrap_or_default();
            numbers.insert(number);
            io.rename(&path, &dir.join(format!("{SPARE}{number}.wal"))).await?;
        } else {
            io.remove_file(&path).await?;
        }
    }
    Ok(())
}

/// Before a recovery writes anything on a device that is nearly full: files that hold nothing go -
/// those of the chains named in `void`, those that wait for any core, and what was half made - but
/// for `keep` of them of `bytes` each.
pub(crate) async fn free_void(
    io: &Io,
    dir: &Path,
    void: &[(u32, u64)],
    mut keep: usize,
    bytes: u64,
) -> Result<(), netio::Error> {
    for entry in io.read_dir(dir).await? {
        let name = entry.name;
        let half_made = name.ends_with(HALF_MADE);
        let waits = name.starts_with(SPARE) && name.ends_with(".wal");
        let is_void = parse_name(&name).is_some_and(|of| void.contains(&of));
        if !half_made && !waits && !is_void {
            continue;
        }
        let path = dir.join(name);
        if !half_made && keep > 0 && has(io, &path, bytes).await? {
            keep -= 1;
            continue;
        }
        io.remove_file(&path).await?;
    }
    io.sync_dir(dir).await
}

/// Is the file as long as that?
async fn has(io: &Io, path: &Path, bytes: u64) -> Result<bool, netio::Error> {
    Ok(io.open(path, Open::default()).await?.len().await? == bytes)
}

async fn fill(io: &Io, path: &Path, bytes: u64) -> Result<File, netio::Error> {
    let file = io
        .open(
            path,
            Open { write: true, create: true, truncate: true, direct: true, ..Open::default() },
        )
        .await?;
    file.allocate(0, bytes).await?;
    let zeros = AlignedBuf::zeroed(ZEROS.min(bytes as usize)).freeze();
    let mut at = 0;
    while at < bytes {
        let piece: Bytes = zeros.slice(..(ZEROS as u64).min(bytes - at) as usize);
        let len = piece.len() as u64;
        file.write_at(piece, at, false).await?;
        at += len;
        io.yield_now().await;
    }
    file.sync(false).await?;
    Ok(file)
}

async fn rename(
    io: &Io,
    dir: &Path,
    core: u32,
    mut old: WalFile,
    n: u64,
) -> Result<WalFile, NotMade> {
    let from = dir.join(file_name(core, old.n));
    if let Err(error) = io.rename(&from, &dir.join(file_name(core, n))).await {
        let old = Some(old);
        return Err(NotMade { error, old });
    }
    old.n = n;
    if let Err(error) = io.sync_dir(dir).await {
        let old = Some(old);
        return Err(NotMade { error, old });
    }
    old.last = 0;
    Ok(old)
}

/// Deletes files that are not wanted any more.
pub(crate) async fn remove(
    io: &Io,
    dir: &Path,
    core: u32,
    files: Vec<WalFile>,
) -> Result<(), netio::Error> {
    for file in files {
        io.remove_file(&dir.join(file_name(core, file.n))).await?;
    }
    io.sync_dir(dir).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(parse_name(&file_name(3, 41)), Some((3, 41)));
        for name in ["3.checkpoint", "a-1.wal", "1-b.wal", "1.wal", "1-2.wal.tmp", "spare-3.wal"] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[test]
    fn no_frame_crosses_a_landmark_unless_it_is_larger() {
        const BLOCK: u64 = 4096;
        let mut at = 0;
        // Sizes that fit, fill up to a landmark, do not fit before one, and are larger than all
        // between two.
        for bytes in [
            BLOCK,
            LANDMARK - BLOCK,
            LANDMARK,
            3 * BLOCK,
            LANDMARK - 2 * BLOCK,
            LANDMARK + BLOCK,
            BLOCK,
            3 * LANDMARK,
            LANDMARK / 2,
            LANDMARK / 2,
            BLOCK,
        ] {
            let offset = settle(at, bytes);
            assert!(offset >= at && offset - at < LANDMARK, "{offset} from {at}");
            let next = after(offset, bytes);
            if bytes <= LANDMARK {
                assert_eq!(offset / LANDMARK, (offset + bytes - 1) / LANDMARK);
                assert_eq!(next, offset + bytes);
            } else {
                assert!(offset.is_multiple_of(LANDMARK) && next.is_multiple_of(LANDMARK));
                assert!(next >= offset + bytes && next < offset + bytes + LANDMARK);
            }
            at = next;
        }
        assert_eq!(at, 11 * LANDMARK + BLOCK);
    }
}
