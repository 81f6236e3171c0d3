//! Starts the cores and the control thread, and waits for the end.
use crate::{
    admin::{self, Admin},
    banner,
    cli::Resolved,
    shard::{
        boot::{self, Plan, Progress},
        message::Message,
    },
};
use anyhow::{Context, bail};
use netio::{Boot, Event, Program, Turn};
use std::sync::Arc;
use tokio::sync::watch;

/// A core that could not start.
struct NotStarted;

impl Program for NotStarted {
    fn turn(&mut self, events: &mut Vec<Event>) -> Turn {
        events.clear();
        Turn::Done
    }
}

/// Runs until SIGTERM, SIGINT, or a core's end.
pub fn run(resolved: Resolved) -> anyhow::Result<()> {
    // Lines go to a thread of their own and are dropped when it falls behind: a core never waits for one.
    let (lines, _guard) = tracing_appender::non_blocking(std::io::stderr());
    let level =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(level)
        .with_writer(lines)
        .with_target(false)
        .init();

    let cores = resolved.settings.cores;
    let data = resolved.storage.data.clone();
    std::fs::create_dir_all(&data).with_context(|| {
        format!(
            "cannot make the data directory {}; choose another with --data DIR",
            data.display()
        )
    })?;
    let admin_listener = std::net::TcpListener::bind(resolved.admin).with_context(|| {
        format!(
            "cannot listen on {} for health and metrics; choose another with --admin HOST:PORT",
            resolved.admin
        )
    })?;
    let (told, mut progress) = watch::channel(Progress::default());
    let plan = Plan {
        settings: resolved.settings.clone(),
        defaults: resolved.defaults.clone(),
        storage: resolved.storage.clone(),
        ready: Arc::new(told),
    };
    let boots = (0..cores).map(|_| boot_of(plan.clone())).collect();
    drop(plan);
    let running =
        netio::start(resolved.netio.clone(), boots).map_err(|e| anyhow::anyhow!("{e}"))?;
    let features = running.features().clone();
    let (ready, is_ready) = watch::channel(false);
    let admin = Admin {
        cores: running.sender(),
        core_count: cores,
        ready: is_ready,
        info: Arc::from([
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("kernel".to_owned(), features.kernel.clone()),
            ("features".to_owned(), features.to_string()),
            ("nice".to_owned(), running.nice().to_string()),
        ]),
    };
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let failed = control.block_on(async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut http = std::pin::pin!(admin::serve(admin_listener, admin));
        let mut announced = false;
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = tokio::signal::ctrl_c() => break,
                ended = &mut http => { ended?; }
                changed = progress.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = progress.borrow_and_update().clone();
                    if let Some(reason) = now.failed {
                        return anyhow::Ok(Some(reason));
                    }
                    if now.ready && !announced {
                        announced = true;
                        ready.send_replace(true);
                        println!("{}", banner::text(&now, &resolved, &features, running.nice()));
                    }
                }
            }
        }
        anyhow::Ok(None)
    })?;
    running.stop();
    let joined = running.join();
    if let Some(reason) = failed {
        bail!("{reason}");
    }
    joined.map_err(|e| anyhow::anyhow!("{e}"))
}

fn boot_of(plan: Plan) -> Boot<Message> {
    Box::new(move |io, mesh| {
        Box::pin(async move {
            let progress = plan.ready.clone();
            match boot::boot(plan, io, mesh).await {
                Ok(shard) => Box::new(shard) as Box<dyn Program>,
                Err(reason) => {
                    progress.send_modify(|p| p.failed = Some(reason));
                    Box::new(NotStarted) as Box<dyn Program>
                }
            }
        })
    })
}
