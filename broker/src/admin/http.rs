//! The admin HTTP server: `/healthz` (the process answers), `/readyz` (every core serves),
//! `/metrics` (Prometheus text).
use super::{bounded::Bounded, collect, exposition::Format, metrics};
use crate::{core::plan::Progress, settings::MetricsSettings, shard::message::Message};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use netio::Sender;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{Mutex, watch};

/// What the server needs of the cores.
#[derive(Clone, Debug)]
pub struct Admin {
    pub cores: Sender<Message>,
    pub core_count: u16,
    /// True once every core serves.
    pub ready: watch::Receiver<bool>,
    /// How the cores are.
    pub health: watch::Receiver<Progress>,
    /// What this process runs on, for `millrace_info`.
    pub info: Arc<[(String, String)]>,
    pub bounds: MetricsSettings,
    /// One scrape after the other: many scrapers ask a core no more than one does.
    pub scraping: Arc<Mutex<()>>,
}

/// Serves until the process ends. The listener is bound before, so that an address in use is an
/// error of the start.
pub async fn serve(listener: std::net::TcpListener, admin: Admin) -> std::io::Result<SocketAddr> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/", get(index))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(admin);
    let connections_max = usize::try_from(crate::descriptors::ADMIN).unwrap_or(1);
    axum::serve(Bounded::new(listener, connections_max), app).await?;
    Ok(address)
}

async fn index() -> &'static str {
    "millrace\n\n/healthz  the process answers\n/readyz   every core serves\n/metrics  numbers of every core, for Prometheus\n"
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    admin.readiness()
}

impl Admin {
    /// What `/readyz` answers.
    pub(super) fn readiness(&self) -> (StatusCode, String) {
        let ready = *self.ready.borrow();
        readiness(ready, &self.health.borrow())
    }
}

/// Not ready: a core that does not serve yet, or can take no records until another start. Want of
/// space is a state of the volume, in which reads and deletions go on, and a partition that has
/// failed leaves all others: both are said, and are not unreadiness.
fn readiness(ready: bool, now: &Progress) -> (StatusCode, String) {
    if !ready {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned());
    }
    let line =
        |what: &str, (core, reason): (&u16, &String)| format!("core {core}: {what}: {reason}\n");
    if !now.failed_logs.is_empty() {
        let lines = now.failed_logs.iter().map(|each| {
            line("the write-ahead log has failed and is read-only until another start", each)
        });
        return (StatusCode::SERVICE_UNAVAILABLE, lines.collect());
    }
    let refusing = now.refusing.iter().map(|each| line("refuses records for want of space", each));
    let failed = now.failed_partitions.iter().map(|(core, failed)| {
        let named = failed.named.iter().map(|(name, reason)| format!("; {name}: {reason}"));
        let count = failed.count;
        format!(
            "core {core}: partitions that have failed and are read-only until another start: {count}{}\n",
            named.collect::<String>()
        )
    });
    (StatusCode::OK, std::iter::once("ready\n".to_owned()).chain(refusing).chain(failed).collect())
}

async fn scrape(State(admin): State<Admin>, headers: HeaderMap) -> impl IntoResponse {
    let format = Format::of(&headers);
    let _turn = admin.scraping.lock().await;
    let numbers = collect::numbers(&admin).await;
    match metrics::render(numbers, format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_takes_no_records_any_more_is_not_ready() {
        let mut now = Progress::default();
        assert_eq!(readiness(false, &now).0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(readiness(true, &now), (StatusCode::OK, "ready\n".into()));
        now.refusing.insert(1, "3 bytes available".into());
        let (status, body) = readiness(true, &now);
        assert_eq!(status, StatusCode::OK);
        assert!(body.starts_with("ready\ncore 1: refuses records") && body.contains("3 bytes"));
        for n in 0..20 {
            let failed = now.failed_partitions.entry(1).or_default();
            failed.add(format!("t-{n:02}"), "a write".into());
        }
        now.forget_failed(1, "t-00");
        let (status, body) = readiness(true, &now);
        assert_eq!(status, StatusCode::OK);
        let line = body.lines().find(|line| line.contains("have failed")).unwrap();
        assert!(line.starts_with("core 1: ") && line.contains("another start: 19; t-01: a write"));
        assert!(line.len() < 400, "some are named: {line}");
        for n in 1..20 {
            now.forget_failed(1, &format!("t-{n:02}"));
        }
        assert!(now.failed_partitions.is_empty());
        now.failed_logs.insert(0, "write: EIO".into());
        let (status, body) = readiness(true, &now);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.starts_with("core 0: the write-ahead log has failed") && body.contains("EIO"));
    }
}
