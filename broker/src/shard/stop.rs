//! Stopping in one way: gate, drain, flush, drop; the reverse order of the start. All of it is
//! bounded in time: what is not done by then is left for the next start, which replays it as after
//! a kill, and core 0 says so.
use super::{Shard, message::Message};
use crate::core::timer::{Timer, token};
use netio::{Class, CoreId, TaskSet};
use storage::Left;

/// Requests that wait get this long to be answered, and no more than a part of what the whole stop
/// may take.
const DRAIN_MS: u64 = 2_000;
const DRAIN_PARTS: u64 = 4;
/// How often a stop says how far it has come.
const PROGRESS_MS: u64 = 2_000;
/// What runs when the time is over gets this long to end.
const LAST_MS: u64 = 1_000;

/// What a timer of a stop is for.
const DRAINED: u64 = 0;
const PROGRESS: u64 = 1;
const FLUSHED: u64 = 2;
const ENDED: u64 = 3;

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
        let stop_ms = self.settings.limits.stop_ms;
        for (ms, what) in [
            (DRAIN_MS.min(stop_ms / DRAIN_PARTS), DRAINED),
            (PROGRESS_MS, PROGRESS),
            (stop_ms, FLUSHED),
            (stop_ms + LAST_MS, ENDED),
        ] {
            self.io.timer(self.now.after_ms(ms), token(Timer::Stop, what));
        }
        if self.produces.is_empty() {
            self.end_sessions();
        }
    }

    pub(crate) fn on_stop_timer(&mut self, what: u64) {
        match what {
            PROGRESS => self.tell_progress(),
            FLUSHED => {
                self.end_sessions();
                let stop_ms = self.settings.limits.stop_ms;
                self.store.leave_rest(&format!("a stop may take millrace.stop.ms={stop_ms}"));
            }
            ENDED => self.end_unready(),
            // Draining took long enough.
            _ => self.end_sessions(),
        }
    }

    fn tell_progress(&mut self) {
        let Left { logs, bytes, open, .. } = self.store.left();
        tracing::info!(
            core = self.me.0,
            partitions_to_flush = logs,
            bytes_to_flush = bytes,
            partitions_to_close = open,
            "still stopping"
        );
        self.io.timer(self.now.after_ms(PROGRESS_MS), token(Timer::Stop, PROGRESS));
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

    /// The store has ended: everything of this core is on the device and trimmed, or it says what
    /// is not.
    pub(crate) fn on_store_stopped(&mut self) {
        let left = self.store.left();
        match &left.why {
            None => tracing::info!(core = self.me.0, "stopped"),
            Some(why) => tracing::warn!(
                core = self.me.0,
                partitions = left.logs,
                bytes = left.bytes,
                partitions_not_closed = left.open,
                why,
                "stopped, not cleanly: the rest is replayed by the next start"
            ),
        }
        let core = self.me;
        if core == CoreId(0) {
            self.on_core_stopped(core, left);
        } else {
            self.tell(CoreId(0), Message::Stopped { core, left });
            self.stopped = true;
        }
    }

    /// The device does not end what was begun. Whatever it still does, the next start can deal with
    /// it, as after a kill.
    fn end_unready(&mut self) {
        let core = self.me;
        let mut left = self.store.left();
        left.why.get_or_insert_with(|| "the device does not answer".into());
        if core != CoreId(0) {
            self.tell(CoreId(0), Message::Stopped { core, left });
            self.stopped = true;
            return;
        }
        for core in (0..self.settings.cores).map(CoreId) {
            if !self.cores_stopped.contains_key(&core) {
                let why = Some(format!("core {} did not end in time", core.0));
                let of_other = Left { why, ..Left::default() };
                let left = if core == self.me { left.clone() } else { of_other };
                self.cores_stopped.insert(core, left);
            }
        }
        self.tell_left();
        self.stopped = true;
    }

    /// Core 0 ends last: it writes the marker of a clean stop once every core has flushed.
    pub(crate) fn on_core_stopped(&mut self, core: CoreId, left: Left) {
        self.cores_stopped.insert(core, left);
        if self.cores_stopped.len() < usize::from(self.settings.cores) || self.marking.is_some() {
            return;
        }
        if self.cores_stopped.values().any(|left| left.why.is_some()) {
            self.tell_left();
            self.stopped = true;
            return;
        }
        let (io, options) = (self.io.clone(), self.storage_options.clone());
        let marking = TaskSet::new(&self.io);
        marking.spawn(Class::Maintenance, async move { storage::mark_clean(&io, &options).await });
        self.marking = Some(marking);
    }

    /// A core that ended without a word, because it could not start or was asked to stop while it
    /// did, is not waited for.
    ///
    /// ```text
    /// 1. core 0 serves; core 1 cannot listen, says why to the control thread, and ends
    /// 2. the process is asked to stop; core 0 flushes, and waits for `Stopped` of core 1 for ever
    /// ```
    /// Whether a core has flushed everything is not concluded from its end: `mark_clean` reads its
    /// checkpoint.
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
            if self.mesh.has_ended(core) && !self.cores_stopped.contains_key(&core) {
                self.on_core_stopped(core, Left::default());
            }
        }
    }

    /// For whoever waits for the process: the first core's reason stands for all.
    fn tell_left(&self) {
        let left = self.cores_stopped.values();
        let (partitions, bytes) = left
            .clone()
            .fold((0, 0), |(partitions, bytes), left| (partitions + left.logs, bytes + left.bytes));
        let why = left.filter_map(|left| left.why.as_deref()).next();
        self.say_left(format!(
            "not a clean stop: {partitions} partitions with {bytes} bytes are left for the next start's replay; {}",
            why.unwrap_or("no reason was given")
        ));
    }

    fn say_left(&self, text: String) {
        if let Some(ready) = &self.ready {
            ready.send_modify(|progress| progress.left = Some(text));
        }
    }

    fn finish_marking(&mut self) {
        let Some(result) = self.marking.as_ref().and_then(TaskSet::take) else {
            return;
        };
        match result {
            Ok(true) => {}
            Ok(false) => self.say_left(
                "no clean-shutdown marker for Kafka's tools: not every partition is closed".into(),
            ),
            Err(error) => {
                self.say_left(format!("no clean-shutdown marker for Kafka's tools: {error}"))
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
