//! Timers of a core: their tokens, and what is done once a second.
use super::Shard;
use crate::{
    core::{
        request::Held,
        timer::{KIND_SHIFT, Timer, token},
    },
    session::Session,
};

const TICK_MS: u64 = 1_000;

impl Shard {
    pub(crate) fn on_timer(&mut self, token: u64) {
        if self.store.on_timer(token) {
            return;
        }
        let id = token & ((1 << KIND_SHIFT) - 1);
        match token >> KIND_SHIFT {
            k if k == Timer::Housekeeping as u64 => self.on_tick(),
            k if k == Timer::Fetch as u64 => self.on_fetch_deadline(id),
            k if k == Timer::Coordinators as u64 => self.on_coordinators_due(),
            k if k == Timer::Deferred as u64 => self.expire_deferred(),
            k if k == Timer::Proposal as u64 => self.on_proposal_deadline(id),
            k if k == Timer::Stop as u64 => self.on_stop_timer(id),
            kind => unreachable!("a timer of kind {kind}"),
        }
    }

    pub(crate) fn arm_tick(&self) {
        self.io.timer(self.now.after_ms(TICK_MS), token(Timer::Housekeeping, 0));
    }

    fn on_tick(&mut self) {
        self.arm_tick();
        self.expire_produces();
        self.expire_delete_records();
        self.expire_connections();
        self.reload_coordinators();
        self.run_deferred();
        self.resume(Held::Log);
    }

    /// Closes connections that are idle for too long, and those that take too long over a frame
    /// (slow senders hold memory).
    ///
    /// As by Kafka's `Selector`, every byte is activity, one of an unfinished frame or of an answer
    /// under way too. It does not make a frame's time longer: that is counted from the frame's
    /// beginning.
    fn expire_connections(&mut self) {
        let limits = &self.settings.limits;
        let mut late = Vec::new();
        for session in self.sessions.iter_mut() {
            let in_transit =
                (self.io.input_bytes(session.conn), self.io.output_bytes(session.conn));
            if session.in_transit != in_transit {
                (session.in_transit, session.active) = (in_transit, self.now);
            }
            // Who takes no answers is held for that, and is idle.
            let idle = session.order.is_empty()
                && matches!(session.held, None | Some(Held::Output))
                && self.now.since(session.active) > limits.connection_idle_ms * 1_000_000;
            let slow = session.partial.is_some_and(|(since, has_length)| {
                let ms = if has_length { limits.frame_body_ms } else { limits.frame_header_ms };
                self.now.since(since) > ms * 1_000_000
            });
            if idle || slow {
                late.push((session.conn, session.host, slow));
            }
        }
        // Memory is short: who has some must go on with the frame it is for.
        if self.memory.is_short() {
            let (now, body_ms) = (self.now, limits.frame_body_ms);
            let receiving = |s: &&mut Session| s.held.is_none() && !s.reserved.is_none();
            for session in self.sessions.iter_mut().filter(receiving) {
                let arrived = self.io.input_bytes(session.conn);
                if !session.reserved.pace(arrived, now, body_ms) {
                    late.push((session.conn, session.host, true));
                }
            }
        }
        for conn in self.answers.stuck(self.now, limits.frame_body_ms) {
            let host = self.sessions.get_mut(conn).map(|s| s.host);
            late.extend(host.map(|host| (conn, host, true)));
        }
        late.sort_unstable_by_key(|l| l.0);
        late.dedup_by_key(|l| l.0);
        for (conn, host, slow) in late {
            if slow {
                self.stats.slow_closed += 1;
                self.refusals.log(self.now, "slow", || {
                    format!("{host}: a frame took too long; connection closed")
                });
            } else {
                self.stats.idle_closed += 1;
            }
            self.close(conn);
        }
    }
}
