//! The admin HTTP server: `/healthz` (the process answers), `/readyz` (every core serves), `/metrics` (Prometheus text).
use super::{collect, exposition::Format, metrics};
use crate::{settings::MetricsSettings, shard::message::Message};
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
    /// What this process runs on, for `millrace_info`.
    pub info: Arc<[(String, String)]>,
    pub bounds: MetricsSettings,
    /// One scrape after the other: many scrapers ask a core no more than one does.
    pub scraping: Arc<Mutex<()>>,
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

async fn scrape(State(admin): State<Admin>, headers: HeaderMap) -> impl IntoResponse {
    let format = Format::of(&headers);
    let _turn = admin.scraping.lock().await;
    let numbers = collect::numbers(&admin).await;
    match metrics::render(numbers, format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
