//! Stopping in one way: gate, drain, flush, drop; the reverse order of the start. The drain is bounded in time; the flush takes
//! what the disk takes for what is unflushed, which is bounded too.
use super::{
    Shard,
    message::Message,
    tick::{Timer, token},
};
use netio::{Class, CoreId, TaskSet};

/// Requests that wait get this long to be answered.
const DRAIN_MS: u64 = 2_000;

impl Shard {
    /// No new connections or requests; what is under way is answered, then the log is flushed.
    pub(crate) fn begin_stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        tracing::info!(
            core = self.me.0,
            connections = self.sessions.len(),
            "stopping"
        );
        if self.me == CoreId(0) {
            for core in 1..self.settings.cores {
                self.tell(CoreId(core), Message::Stop);
            }
        }
        if let Some(listener) = self.listener.take() {
            self.io.close_listener(listener);
        }
        self.answer_all_fetches();
        self.io
            .timer(self.now.after_ms(DRAIN_MS), token(Timer::Stop, 0));
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

    /// Everything of this core is on the device and trimmed.
    pub(crate) fn on_store_stopped(&mut self) {
        tracing::info!(core = self.me.0, "stopped");
        let core = self.me;
        if core == CoreId(0) {
            self.on_core_stopped(core);
        } else {
            self.tell(CoreId(0), Message::Stopped { core });
            self.stopped = true;
        }
    }

    /// Core 0 ends last: it writes the marker of a clean stop once every core has flushed.
    pub(crate) fn on_core_stopped(&mut self, core: CoreId) {
        self.cores_stopped.insert(core);
        if self.cores_stopped.len() < usize::from(self.settings.cores) {
            return;
        }
        let (io, options) = (self.io.clone(), self.storage_options.clone());
        let marking = TaskSet::new(&self.io);
        marking.spawn(Class::Maintenance, async move {
            storage::mark_clean(&io, &options).await
        });
        self.marking = Some(marking);
    }

    fn finish_marking(&mut self) {
        let Some(result) = self.marking.as_ref().and_then(TaskSet::take) else {
            return;
        };
        match result {
            Ok(true) => {}
            Ok(false) => tracing::warn!(
                "no clean-shutdown marker: not every core flushed; the next start recovers"
            ),
            Err(error) => {
                tracing::warn!(%error, "no clean-shutdown marker; the next start recovers")
            }
        }
        self.stopped = true;
    }

    /// Once a turn: what was waited for may have come.
    pub(crate) fn continue_stop(&mut self) {
        self.finish_marking();
        if self.stopping && !self.flushing && self.produces.is_empty() {
            self.end_sessions();
        }
    }
}
