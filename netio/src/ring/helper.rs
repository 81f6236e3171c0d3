//! One thread per process for what would block a core and the ring cannot do: listing, statvfs,
//! syncfs, ftruncate on kernels before 6.9, and memory whose pages have to be found. It is started
//! when it is first needed. A core never waits for it; answers come back through the ring's
//! wake-up.
use super::{sys, wake::RingWake};
use crate::{
    buffer::Arena,
    error::{Error, Result},
    seam::{DirEntry, Outcome, Slot, Space, Wake},
};
use std::{
    ffi::CString,
    os::{
        fd::{AsRawFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

#[derive(Debug)]
pub(crate) enum Job {
    ReadDir(PathBuf),
    Space(PathBuf),
    SyncAll(PathBuf),
    /// The descriptor stays open until the answer is there.
    Truncate(RawFd, u64),
}

#[derive(Debug)]
enum Answer {
    Dir(Result<Vec<DirEntry>>),
    Space(Result<Space>),
    Done(Result<()>),
}

/// Where a ring's answers arrive.
#[derive(Debug)]
pub(crate) struct Answers {
    any: AtomicBool,
    list: Mutex<Vec<(Slot, Answer)>>,
    wake: Arc<RingWake>,
}

impl Answers {
    pub(crate) fn new(wake: Arc<RingWake>) -> Arc<Self> {
        Arc::new(Self { any: AtomicBool::new(false), list: Mutex::default(), wake })
    }
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::SeqCst)
    }
    pub(crate) fn take(&self) -> Vec<(Slot, Outcome)> {
        self.any.store(false, Ordering::SeqCst);
        let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = |answer| match answer {
            Answer::Dir(result) => Outcome::Dir(result),
            Answer::Space(result) => Outcome::Space(result),
            Answer::Done(result) => Outcome::Done(result),
        };
        list.into_iter().map(|(slot, answer)| (slot, outcome(answer))).collect()
    }
    fn push(&self, slot: Slot, answer: Answer) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push((slot, answer));
        self.any.store(true, Ordering::SeqCst);
        self.wake.wake();
    }
}

enum Request {
    Job(Slot, Job, Arc<Answers>),
    /// A chunk made ahead; nobody waits for it.
    Chunk(Arena),
}

/// Hands a job to the thread, which runs on `cpus` (empty: on any).
pub(crate) fn submit(slot: Slot, job: Job, answers: &Arc<Answers>, cpus: &[usize]) {
    request(Request::Job(slot, job, answers.clone()), cpus);
}

/// Has the thread make a free chunk.
pub(crate) fn make_chunk(arena: Arena, cpus: &[usize]) {
    request(Request::Chunk(arena), cpus);
}

fn request(request: Request, cpus: &[usize]) {
    static THREAD: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let sender = THREAD.get_or_init(|| {
        let (sender, requests) = mpsc::channel();
        let cpus = cpus.to_vec();
        let run = move || {
            // The thread that starts it may be pinned, and a thread inherits that.
            sys::run_on(&cpus);
            requests.iter().for_each(|request| match request {
                Request::Job(slot, job, answers) => answers.push(slot, perform(&job)),
                Request::Chunk(arena) => arena.make_chunk(),
            });
        };
        std::thread::Builder::new()
            .name("helper".into())
            .spawn(run)
            .expect("a thread for what would block a core");
        sender
    });
    sender.send(request).expect("the helper thread lives as long as the process");
}

fn perform(job: &Job) -> Answer {
    match job {
        Job::ReadDir(path) => Answer::Dir(read_dir(path).map_err(|e| failed("readdir", &e))),
        Job::Space(path) => Answer::Space(space(path).map_err(|e| failed("statvfs", &e))),
        Job::SyncAll(path) => Answer::Done(sync_all(path).map_err(|e| failed("syncfs", &e))),
        Job::Truncate(fd, len) => {
            // SAFETY: no pointers; the driver keeps the descriptor open.
            let result = unsafe { libc::ftruncate(*fd, *len as libc::off_t) };
            let error = std::io::Error::last_os_error();
            Answer::Done(if result == 0 { Ok(()) } else { Err(failed("ftruncate", &error)) })
        }
    }
}

fn failed(op: &'static str, error: &std::io::Error) -> Error {
    Error::new(op, "", error.raw_os_error().unwrap_or(libc::EIO))
}

fn read_dir(path: &Path) -> std::io::Result<Vec<DirEntry>> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry?;
        // As the listing says it itself; only the length takes a look at each file.
        let is_dir = entry.file_type()?.is_dir();
        let bytes = match is_dir.then_some(0).map_or_else(|| Ok(entry.metadata()?.len()), Ok) {
            Ok(bytes) => bytes,
            // Gone since it was listed.
            Err(error) if std::io::Error::kind(&error) == std::io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(Some(DirEntry { name: entry.file_name().to_string_lossy().into_owned(), is_dir, bytes }))
    };
    std::fs::read_dir(path)?.map(entry).filter_map(std::io::Result::transpose).collect()
}

fn sync_all(path: &Path) -> std::io::Result<()> {
    let dir = std::fs::File::open(path)?;
    // SAFETY: no pointers, and the descriptor is open.
    match unsafe { libc::syncfs(dir.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn space(path: &Path) -> std::io::Result<Space> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: plain integers, for which zeros are valid.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a terminated string and a valid struct.
    if unsafe { libc::statvfs(path.as_ptr(), &mut stat) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(Space {
        total_bytes: stat.f_blocks * stat.f_frsize,
        available_bytes: stat.f_bavail * stat.f_frsize,
    })
}
