//! Requests that came while the log had no room for what they lead to: those for the controller and
//! for group coordinators, and those of producers on other cores.
//!
//! They wait before anything is decided: what is decided must be appended at once, for the next
//! decision builds on it. Connections of this core's producers are held, but other cores' requests
//! come by the mesh. What has waited as long as it may is handled all the same, marked as expired,
//! and refuses itself.
use super::Shard;
use crate::{
    answer::AnswerId,
    core::{
        request::{Arrival, Request, Stage},
        timer::{Timer, token},
    },
};
use bytes::Bytes;
use netio::Instant;
use std::collections::VecDeque;
use wire::ApiKey;

/// Most requests that wait; above, they are tried and refused. Those of producers are bounded where
/// they come from ([`Shard::may_forward`]).
const DEFERRED_MAX: usize = 1024;

#[derive(Debug)]
struct Deferred {
    arrival: Arrival,
    deadline: Instant,
    frame: Bytes,
}

/// Requests that wait for room, oldest first.
#[derive(Debug, Default)]
pub struct DeferredRequests {
    waiting: VecDeque<Deferred>,
    /// The one that is handled now had to wait and need not do so again.
    running: bool,
    /// Answers whose next step appends.
    answers: Vec<AnswerId>,
}

impl Shard {
    /// Lets a request wait if there is no room for what it may lead to, at most until `deadline`.
    /// Order is kept: it also waits for those before it.
    pub(crate) fn defer(&mut self, request: &Request<'_>, deadline: Instant) -> bool {
        if request.expired || self.deferred.running {
            return false;
        }
        let wait = !self.store.has_room() || !self.deferred.waiting.is_empty();
        let produce = request.pending.key == ApiKey::Produce;
        if !wait || (!produce && self.deferred.waiting.len() >= DEFERRED_MAX) {
            return false;
        }
        self.deferred.waiting.push_back(Deferred {
            arrival: Arrival {
                reply: request.pending.reply,
                host: request.host,
                at: request.pending.at,
                forwarded: request.forwarded,
                expired: false,
            },
            deadline,
            frame: Bytes::copy_from_slice(request.frame),
        });
        self.io.timer(deadline, token(Timer::Deferred, 0));
        true
    }

    /// Whether there is room for what the next step of an answer leads to. If not, the answer is
    /// woken when there may be.
    pub(crate) fn has_room_for_answer(&mut self, id: AnswerId) -> bool {
        let room = self.store.has_room();
        if !room {
            self.deferred.answers.push(id);
        }
        room
    }

    /// There may be room again.
    pub(crate) fn run_deferred(&mut self) {
        for id in std::mem::take(&mut self.deferred.answers) {
            self.wake_answer(id);
        }
        while !self.deferred.waiting.is_empty() && self.store.has_room() {
            if let Some(request) = self.deferred.waiting.pop_front() {
                self.run_one(request.arrival, &request.frame);
            }
        }
    }

    /// The time of one of them is over, or was: it may have been handled meanwhile.
    pub(crate) fn expire_deferred(&mut self) {
        let now = self.now;
        let (late, waiting) = std::mem::take(&mut self.deferred.waiting)
            .into_iter()
            .partition::<VecDeque<_>, _>(|w| w.deadline <= now);
        self.deferred.waiting = waiting;
        for mut request in late {
            request.arrival.expired = true;
            self.run_one(request.arrival, &request.frame);
        }
    }

    fn run_one(&mut self, arrival: Arrival, frame: &[u8]) {
        let to = arrival.reply;
        self.deferred.running = true;
        let stage = self.handle(arrival, frame);
        self.deferred.running = false;
        match stage {
            Stage::Reply(answer) => self.reply(to, answer),
            Stage::Silent => self.send(to, Vec::new()),
            Stage::Later => {}
            Stage::Hold(why) => unreachable!("held ({why:?}) after it was taken"),
            Stage::Close(closing) => {
                self.log_closing(arrival.host, &closing);
                self.end_reply(to);
            }
        }
    }
}
