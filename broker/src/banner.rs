//! The few lines that a start prints: what it runs on, where the data is, what an ack means, and
//! what to type next.
use crate::{
    cli::{Resolved, listener::authority},
    core::plan::Progress,
};
use std::fmt::Write;

/// The lines, without a newline at the end.
pub fn text(
    progress: &Progress,
    resolved: &Resolved,
    features: &netio::Features,
    nice: i32,
) -> String {
    let settings = &resolved.settings;
    let mut text = String::new();
    let cpus: Vec<String> = resolved
        .netio
        .cpus
        .iter()
        .map(|cpu| cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string()))
        .collect();
    let endpoints: Vec<String> = settings
        .endpoints()
        .iter()
        .map(|e| format!("{} (node {})", authority(&e.host, e.port), e.id))
        .collect();
    let mode = if settings.single_port {
        "one port for all cores, requests are forwarded"
    } else {
        "one port a core, clients connect to the leader's core"
    };
    let first = settings.endpoints().into_iter().next();
    let bootstrap = first.map_or_else(String::new, |e| authority(&e.host, e.port));
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("kernel", features.to_string());
    line("cores", format!("{} (CPU {}), nice {nice}", settings.cores, cpus.join(", ")));
    let wish = resolved.netio.nice;
    if nice != wish {
        line(
            "",
            format!(
                "not {wish} (millrace.nice): other threads on these CPUs can hold acks back for milliseconds; \
                 run as root, with CAP_SYS_NICE, or with systemd's LimitNICE={wish}"
            ),
        );
    }
    line("data", format!("{} (cluster {})", resolved.storage.data.display(), progress.cluster_id));
    line("memory", resolved.budget.describe());
    if !resolved.budget.fitted.is_empty() {
        line(
            "",
            "defaults are smaller than with more memory; millrace config says which".to_owned(),
        );
    }
    line("start", progress.recovery.clone());
    line(
        "ack",
        "on the device (millrace.durability=device; per topic: written, memory)".to_owned(),
    );
    line("endpoints", endpoints.join(", "));
    line("", mode.to_owned());
    line("admin", format!("http://{}/ (/healthz, /readyz, /metrics)", resolved.admin));
    line(
        "try",
        format!(
            "echo hello | kcat -b {bootstrap} -P -t greetings && kcat -b {bootstrap} -C -t greetings -e"
        ),
    );
    format!("Millrace {} is ready\n{}", env!("CARGO_PKG_VERSION"), text.trim_end())
}
