//! Starts the cores and the control thread, and waits for the end.
//!
//! ```text
//! signals caught -> data directory, admin listener -> cores boot -> every core serves -> asked to stop -> cores joined
//! \___________ an error, or a signal: one sentence, status 1 ___________________/         status 0
//! ```
//! Whatever comes in the way of the start is said before anything else is done, and nothing that
//! does not end can keep the process: cores that boot are dropped where they stand, and what they
//! wrote is as after a kill.
use crate::{
    admin::{self, Admin},
    banner,
    cli::Resolved,
    core::plan::{Plan, Progress},
    descriptors,
    heap::{self, Heap},
    output::Streams,
    shard::{boot, message::Message},
    signals::{Asked, Signals},
};
use anyhow::{Context, bail};
use netio::{Boot, Event, Program, Running, Turn};
use std::{
    io::{ErrorKind, IsTerminal},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Runtime, sync::watch, time::MissedTickBehavior};

/// Cores of a start that failed get this long to end by themselves; the process ends then, and
/// takes them with it.
const FAILED_START_WAIT: Duration = Duration::from_millis(1_500);

/// Of `sysexits.h`, "temporary failure": asked to stop, it did, and something is left for the next
/// start's replay.
const LEFT: u8 = 75;

/// A core that could not start.
struct NotStarted;

impl Program for NotStarted {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        events.clear();
        Turn::Done
    }
}

/// A process whose cores boot.
struct Host {
    control: Runtime,
    signals: Signals,
    admin_listener: std::net::TcpListener,
    running: Running<Message>,
    progress: watch::Receiver<Progress>,
}

/// Why the process is to end.
enum End {
    /// By a signal.
    Asked(&'static str),
    Failed(String),
    /// The cores have ended, and their threads know why.
    Cores,
}

/// Runs until SIGTERM, SIGINT, SIGHUP, an error, or a core's end. The status after an ordered stop
/// of a broker that served is 0, or [`LEFT`].
pub fn run(mut resolved: Resolved) -> ExitCode {
    netio::bound_heaps();
    // Lines go to threads of their own and are dropped when they fall behind: a core never waits
    // for one.
    let streams = Streams::open();
    let level =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // No escape codes into files and journals.
    let colours = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(streams.log())
        .with_ansi(colours)
        .with_target(false)
        .init();

    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = descriptors::fit(&mut resolved) {
        streams.complain(&error);
        return ExitCode::FAILURE;
    }
    let mut host = match prepare(&resolved) {
        Ok(host) => host,
        Err(error) => {
            streams.complain(&format_args!("{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let (end, served) = host.until_end(&resolved, &streams);
    let asked = match &end {
        End::Asked(signal) if !served => {
            streams.complain(&format_args!(
                "{signal} while starting: nothing was served, the data is as it was; start again to go on"
            ));
            false
        }
        End::Asked(signal) => {
            tracing::info!(signal, "asked to stop");
            true
        }
        End::Failed(reason) => {
            streams.complain(reason);
            false
        }
        End::Cores => false,
    };
    let Host { control, running, progress, .. } = host;
    running.stop();
    let joined = if served {
        running.join()
    } else {
        running.join_within(FAILED_START_WAIT).unwrap_or(Ok(()))
    };
    // Its connections are not waited for.
    control.shutdown_background();
    match (joined, end) {
        (Ok(()), _) if asked => {
            let left = progress.borrow().left.clone();
            return left.map_or(ExitCode::SUCCESS, |left| {
                streams.complain(&left);
                ExitCode::from(LEFT)
            });
        }
        (Err(error), _) => streams.complain(&error),
        (Ok(()), End::Cores) => streams.complain(&"the cores have ended without being asked to"),
        (Ok(()), _) => {}
    }
    ExitCode::FAILURE
}

/// Everything up to cores that boot. What fails here leaves nothing behind.
fn prepare(resolved: &Resolved) -> anyhow::Result<Host> {
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make the control thread's runtime")?;
    let signals = {
        let _inside = control.enter();
        Signals::catch().context("cannot catch signals")?
    };
    let data = &resolved.storage.data;
    make_data_dir(data)?;
    let admin_listener = std::net::TcpListener::bind(resolved.admin).with_context(|| {
        format!(
            "cannot listen on {} for health and metrics; choose another with --admin HOST:PORT",
            resolved.admin
        )
    })?;
    let (told, progress) = watch::channel(Progress::default());
    let plan = Plan {
        settings: resolved.settings.clone(),
        defaults: resolved.defaults.clone(),
        storage: resolved.storage.clone(),
        ready: Arc::new(told),
    };
    let boots = (0..resolved.settings.cores).map(|_| boot_of(plan.clone())).collect();
    let running =
        netio::start(resolved.netio.clone(), boots).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(Host { control, signals, admin_listener, running, progress })
}

/// Makes the data directory if it is not there.
fn make_data_dir(data: &Path) -> anyhow::Result<()> {
    // Also where a part of it is linked to another device, which may not be mounted.
    for part in ["", "wal", "kafka"] {
        let path = data.join(part);
        for path in path.ancestors().filter(|path| path.is_symlink()) {
            if std::fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
                let to = std::fs::read_link(path).unwrap_or_default();
                bail!(
                    "{} is a link to {}, which is not there: mount or make that, or choose another directory with --data DIR",
                    path.display(),
                    to.display()
                );
            }
        }
        if path.exists() && !path.is_dir() {
            bail!(
                "{} is a file where a directory is wanted: choose another with --data DIR",
                path.display()
            );
        }
    }
    std::fs::create_dir_all(data).with_context(|| {
        format!("cannot make the data directory {}; choose another with --data DIR", data.display())
    })
}

impl Host {
    /// Serves health and metrics until the end; whether the broker served, too.
    fn until_end(&mut self, resolved: &Resolved, streams: &Streams) -> (End, bool) {
        let features = self.running.features().clone();
        let nice = self.running.nice();
        let (ready, is_ready) = watch::channel(false);
        let admin = Admin {
            cores: self.running.sender(),
            core_count: resolved.settings.cores,
            ready: is_ready,
            health: self.progress.clone(),
            info: Arc::from([
                ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("kernel".to_owned(), features.kernel.clone()),
                ("features".to_owned(), features.to_string()),
                ("nice".to_owned(), nice.to_string()),
            ]),
            bounds: resolved.settings.metrics,
            scraping: Arc::default(),
        };
        let listener = &self.admin_listener;
        let (signals, progress) = (&mut self.signals, &mut self.progress);
        let mut served = false;
        let mut space = SpaceLines::default();
        let mut heap = Heap::default();
        let end = self.control.block_on(async {
            let http = async { admin::serve(listener.try_clone()?, admin).await };
            let mut http = std::pin::pin!(http);
            let mut looks = tokio::time::interval(heap::LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    asked = signals.next() => match asked {
                        Asked::Stop(signal) => return End::Asked(signal),
                        Asked::Nothing(signal) => {
                            tracing::info!(signal, "nothing is done for this signal; SIGTERM stops the broker");
                        }
                    },
                    ended = &mut http => {
                        let why = ended.err().map_or_else(String::new, |e| format!(": {e}"));
                        return End::Failed(format!("health and metrics on {} cannot be served{why}", resolved.admin));
                    }
                    _ = looks.tick() => heap.look(),
                    changed = progress.changed() => {
                        if changed.is_err() {
                            return End::Cores;
                        }
                        let now = progress.borrow_and_update().clone();
                        space.follow(&now, resolved);
                        if let Some(reason) = now.failed {
                            return End::Failed(reason);
                        }
                        if now.ready && !served {
                            served = true;
                            ready.send_replace(true);
                            streams.announce(&banner::text(&now, resolved, &features, nice));
                        }
                    }
                }
            }
        });
        (end, served)
    }
}

/// One line when the process begins to refuse records for want of space, whichever core is the
/// first, and one when none does any more.
#[derive(Debug, Default)]
struct SpaceLines {
    refusing: bool,
}

impl SpaceLines {
    fn follow(&mut self, now: &Progress, resolved: &Resolved) {
        let refusing = !now.refusing.is_empty();
        if refusing == self.refusing {
            return;
        }
        self.refusing = refusing;
        let data = resolved.storage.data.display();
        match now.refusing.first_key_value() {
            Some((core, reason)) => tracing::warn!(
                core,
                reason,
                "the volume of {data} is nearly full: records are refused (KAFKA_STORAGE_ERROR) until there is space. \
                 Reads, deletions, configurations, groups and commits go on: delete topics or records, lower \
                 retention.ms or retention.bytes, make the volume larger, or lower millrace.disk.reserve.bytes"
            ),
            None => {
                tracing::info!("there is space on the volume of {data} again: records are taken")
            }
        }
    }
}

fn boot_of(plan: Plan) -> Boot<Message> {
    Box::new(move |io, mesh| {
        Box::pin(async move {
            let progress = plan.ready.clone();
            match boot::boot(plan, io, mesh).await {
                Ok(shard) => Box::new(shard) as Box<dyn Program>,
                Err(reason) => {
                    progress.send_modify(|p| p.fail(reason));
                    Box::new(NotStarted) as Box<dyn Program>
                }
            }
        })
    })
}
