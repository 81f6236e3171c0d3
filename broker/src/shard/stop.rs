//! Stopping in one way: gate, drain, flush, drop; the reverse order of the start, in bounded time.
use super::{
    Shard,
    message::Message,
    tick::{Timer, token},
};
use netio::CoreId;

/// Requests that wait get this long to be answered.
const DRAIN_MS: u64 = 2_000;

impl Shard {
    /// No new connections or requests; what is under way is answered, then the log is flushed.
    pub(crate) fn begin_stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        tracing::info!(core = self.me.0, connections = self.sessions.len(), "stopping");
        if self.me == CoreId(0) {
            for core in 1..self.settings.cores {
                self.tell(CoreId(core), Message::Stop);
            }
        }
        if let Some(listener) = self.listener.take() {
            self.io.close_listener(listener);
        }
        self.answer_all_fetches();
        self.io.timer(self.now.after_ms(DRAIN_MS), token(Timer::Stop, 0));
        if self.produces.is_empty() {
            self.end_sessions();
        }
    }

    /// Draining took long enough, or nothing is left to drain.
    pub(crate) fn on_stop_deadline(&mut self) {
        self.end_sessions();
    }

    fn end_sessions(&mut self) {
        if self.flushing {
            return;
        }
        self.flushing = true;
        let conns: Vec<_> = self.sessions.iter().map(|s| s.conn).collect();
        for conn in conns {
            self.close(conn);
        }
        self.store.stop();
    }

    /// Everything is on the device, trimmed and marked clean.
    pub(crate) fn on_store_stopped(&mut self) {
        self.stopped = true;
        tracing::info!(core = self.me.0, "stopped");
    }

    /// A produce request was answered while stopping.
    pub(crate) fn continue_stop(&mut self) {
        if self.stopping && !self.flushing && self.produces.is_empty() {
            self.end_sessions();
        }
    }
}
