//! One thread per core: start, the loop that spins and parks, and the end.
use crate::ring::{
    Ring, RingWake, directory,
    probe::{self, Features},
    sys,
};
use crate::{
    core::{
        mesh::{self, Sender},
        program::Boot,
        turn::{Core, Step},
    },
    driver::Driver,
    error::{Error, Result},
    options::Options,
    seam::Wake,
};
use std::{path::Path, sync::Arc, sync::mpsc, thread::JoinHandle, time::Duration};

/// A core spins no longer than this at first, until it has learned what pays.
const SPIN_START_US: u64 = 5;
/// Between two looks at threads that are to end.
const JOIN_PAUSE: Duration = Duration::from_millis(2);
/// Looks at the flags between two looks at the clock.
const SPIN_LOOKS: u32 = 16;

/// The cores of this process.
#[derive(Debug)]
pub struct Running<M> {
    sender: Sender<M>,
    threads: Vec<JoinHandle<()>>,
    features: Features,
    nice: i32,
    _lock: Option<Arc<sys::Lock>>,
}

impl<M: Send + 'static> Running<M> {
    /// For threads that are not cores.
    pub fn sender(&self) -> Sender<M> {
        self.sender.clone()
    }
    /// Asks every core to stop: each gets [`crate::Event::Stop`], or ends if its boot still runs.
    pub fn stop(&self) {
        self.sender.stop();
    }
    /// What of the kernel is in use.
    pub fn features(&self) -> &Features {
        &self.features
    }
    /// Nice value of the cores' threads: what was wished for, or 0 where that was not allowed.
    pub fn nice(&self) -> i32 {
        self.nice
    }
    /// As [`Self::join`], but gives up after `wait`: then cores still run, and end with the
    /// process.
    pub fn join_within(self, wait: Duration) -> Option<Result<()>> {
        let mut left = wait;
        while !self.threads.iter().all(JoinHandle::is_finished) {
            if left.is_zero() {
                return None;
            }
            std::thread::sleep(JOIN_PAUSE);
            left = left.saturating_sub(JOIN_PAUSE);
        }
        Some(self.join())
    }
    /// Waits until every core has ended. An error names the core that panicked.
    pub fn join(self) -> Result<()> {
        let mut first = Ok(());
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or("core").to_string();
            if thread.join().is_err() && first.is_ok() {
                first = Err(Error::new("join", format!("{name} panicked"), libc::ECANCELED));
            }
        }
        first
    }
}

/// Starts one core per entry of `options.cpus`, each with its boot. Returns when every core has its
/// ring, or with the first error, whose text names the cure.
pub fn start<M: Send + 'static>(options: Options, boots: Vec<Boot<M>>) -> Result<Running<M>> {
    assert_eq!(options.cpus.len(), boots.len(), "one boot per core");
    let features = probe::probe()?;
    let lock = options.lock_file.as_deref().map(sys::lock).transpose()?.map(Arc::new);
    if let Some(data) = options.lock_file.as_deref().and_then(Path::parent) {
        // What is linked elsewhere may be of another file system.
        let below = ["wal", "kafka"].map(|name| data.join(name));
        let below = below.iter().filter(|dir| dir.is_dir());
        for dir in std::iter::once(&data.to_path_buf()).chain(below) {
            directory::probe(dir)?;
        }
    }
    let failed =
        |e: std::io::Error| Error::new("eventfd", "", e.raw_os_error().unwrap_or(libc::EIO));
    let wakes = boots
        .iter()
        .map(|_| RingWake::new().map(Arc::new).map_err(failed))
        .collect::<Result<Vec<_>>>()?;
    let (meshes, sender) = mesh::create(
        wakes.iter().map(|wake| wake.clone() as Arc<dyn Wake>).collect(),
        options.lane_slots,
    );
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let spin_us_max = if cpus < 2 || options.cpus.len() > cpus { 0 } else { options.spin_us_max };

    let (report, reports) = mpsc::channel::<Result<bool>>();
    // Dropped without a word, they end the cores before anything of them runs.
    let mut goes = Vec::new();
    let mut threads = Vec::new();
    let mut outcome = Ok(());
    for ((index, (boot, mesh)), wake) in boots.into_iter().zip(meshes).enumerate().zip(wakes) {
        let (options, features, lock, report) =
            (options.clone(), features.clone(), lock.clone(), report.clone());
        let (go, may_go) = mpsc::channel::<()>();
        goes.push(go);
        let body = move || {
            let made = options.cpus[index]
                .map_or(Ok(()), sys::pin_to)
                .and_then(|()| Ring::new(&options, features, wake, lock));
            let ring = match made {
                Ok(ring) => ring,
                Err(error) => return drop(report.send(Err(error))),
            };
            let nice = options.nice == 0 || sys::set_nice(options.nice);
            drop(report.send(Ok(nice)));
            drop(report);
            // A boot that is stopped may have begun to write: none begins unless all cores can.
            if may_go.recv().is_err() {
                return;
            }
            let core = Core::new(Driver::Ring(Box::new(ring)), &options, mesh, boot);
            run(core, spin_us_max);
        };
        let thread = std::thread::Builder::new().name(format!("core-{index}")).spawn(body);
        match thread {
            Ok(thread) => threads.push(thread),
            Err(e) => {
                let errno = e.raw_os_error().unwrap_or(libc::EAGAIN);
                outcome = Err(Error::new("spawn", format!("core-{index}"), errno));
                break;
            }
        }
    }
    drop(report);
    let mut nice = options.nice;
    let outcome = outcome.and_then(|()| {
        threads.iter().try_for_each(|_| {
            let allowed = reports.recv().unwrap_or_else(|_| {
                Err(Error::new("start", "a core panicked while it started", libc::ECANCELED))
            })?;
            if !allowed {
                nice = 0;
            }
            Ok(())
        })
    });
    if let Err(error) = outcome {
        drop(goes);
        for thread in threads {
            // One that panicked has been told by the error.
            drop(thread.join());
        }
        return Err(error);
    }
    for go in goes {
        // A core that is gone says so when it is joined.
        go.send(()).unwrap_or(());
    }
    Ok(Running { sender, threads, features, nice, _lock: lock })
}

/// Steps a core until it ends. At rest it spins for as long as that has paid lately, then parks.
fn run(mut core: Core, spin_us_max: u64) {
    let spin_ns_max = spin_us_max * 1_000;
    let mut spin_ns = spin_ns_max.min(SPIN_START_US * 1_000);
    let mut busy_since = core.now();
    loop {
        let until = match core.step() {
            Step::Again => continue,
            Step::Ended => return,
            Step::Rest(until) => until,
        };
        let rest_from = core.now();
        core.add_busy(rest_from.since(busy_since));
        let due = |now| until.is_some_and(|at| at <= now);
        let mut now = rest_from;
        if spin_ns > 0 {
            if core.has_queued() {
                // It has to be submitted before anything can come of it, which the next step does;
                // a park does so by itself.
                busy_since = rest_from;
                continue;
            }
            while now.since(rest_from) < spin_ns && !core.is_ready() && !due(now) {
                (0..SPIN_LOOKS).for_each(|_| std::hint::spin_loop());
                now = core.now();
            }
        }
        if !core.is_ready() && !due(now) {
            core.park(until);
            let parked_ns = core.now().since(now);
            // A park that was shorter than a spin may be would have been spared by spinning; a
            // longer one wasted the spin.
            spin_ns = if parked_ns < spin_ns_max {
                spin_ns_max.min(spin_ns * 2 + 1_000)
            } else {
                spin_ns / 2
            };
        }
        busy_since = core.now();
    }
}
