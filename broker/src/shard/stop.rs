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
        if self.cores_stopped.len() < usize::from(self.settings.cores) || self.marking.is_some() {
            return;
        }
        let (io, options) = (self.io.clone(), self.storage_options.clone());
        let marking = TaskSet::new(&self.io);
        marking.spawn(Class::Maintenance, async move {
            storage::mark_clean(&io, &options).await
        });
        self.marking = Some(marking);
    }

    /// A core that ended without a word, because it could not start or was asked to stop while it did, is not waited for.
    ///
    /// ```text
    /// 1. core 0 serves; core 1 cannot listen, says why to the control thread, and ends
    /// 2. the process is asked to stop; core 0 flushes, and waits for `Stopped` of core 1 for ever
    /// ```
    /// Whether a core has flushed everything is not concluded from its end: `mark_clean` reads its checkpoint.
    pub(crate) fn see_ended_cores(&mut self) {
        if self.mesh.ended() == self.ends_seen {
            return;
        }
        self.ends_seen = self.mesh.ended();
        self.begin_stop();
        if self.me != CoreId(0) {
            return;
        }
        for core in (1..self.settings.cores).map(CoreId) {
            if self.mesh.has_ended(core) && !self.cores_stopped.contains(&core) {
                self.on_core_stopped(core);
            }
        }
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
