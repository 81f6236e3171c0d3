//! The admin HTTP server: `/healthz` (the process answers), `/readyz` (every core serves), `/metrics` (Prometheus text).
use super::metrics;
use crate::shard::{message::Message, stats::Snapshot};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use netio::{CoreId, Sender};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::{oneshot, watch};

/// A core that does not answer within this is reported as missing.
const SNAPSHOT_WAIT: Duration = Duration::from_secs(2);

/// What the server needs of the cores.
#[derive(Clone, Debug)]
pub struct Admin {
    pub cores: Sender<Message>,
    pub core_count: u16,
    /// True once every core serves.
    pub ready: watch::Receiver<bool>,
    /// What this process runs on, for `millrace_info`.
    pub info: Arc<[(String, String)]>,
}

/// Serves until the process ends. The listener is bound before, so that an address in use is an error of the start.
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
    axum::serve(listener, app).await?;
    Ok(address)
}

async fn index() -> &'static str {
    "millrace\n\n/healthz  the process answers\n/readyz   every core serves\n/metrics  numbers of every core, for Prometheus\n"
}

async fn readyz(State(admin): State<Admin>) -> impl IntoResponse {
    if *admin.ready.borrow() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn scrape(State(admin): State<Admin>) -> impl IntoResponse {
    let snapshots = snapshots(&admin).await;
    match metrics::render(&admin.info, &snapshots, admin.core_count) {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn snapshots(admin: &Admin) -> Vec<Snapshot> {
    let mut waiting = Vec::new();
    for core in 0..admin.core_count {
        let (to, from) = oneshot::channel();
        if admin
            .cores
            .send(CoreId(core), Message::Snapshot { to })
            .is_ok()
        {
            waiting.push(from);
        }
    }
    let mut snapshots = Vec::new();
    for from in waiting {
        if let Ok(Ok(snapshot)) = tokio::time::timeout(SNAPSHOT_WAIT, from).await {
            snapshots.push(*snapshot);
        }
    }
    snapshots
}
