//! Requests for the controller and for group coordinators that came while their log had no room.
//!
//! They wait before anything is decided: what is decided must be appended at once, for the next decision builds on it.
//! Connections could be held like those of producers, but other cores' requests come by the mesh.
use super::{
    Shard,
    reply::{ReplyTo, Request, Stage},
};
use bytes::Bytes;
use netio::Instant;
use std::{collections::VecDeque, net::IpAddr};

/// Most requests that wait; above, they are tried and refused.
const DEFERRED_MAX: usize = 1024;

#[derive(Debug)]
struct Deferred {
    reply: ReplyTo,
    host: IpAddr,
    at: Instant,
    frame: Bytes,
    forwarded: bool,
}

/// Requests that wait for room, oldest first.
#[derive(Debug, Default)]
pub struct DeferredRequests(VecDeque<Deferred>);

impl Shard {
    /// Lets a request wait if there is no room for what it may lead to. Order is kept: it also waits for those before it.
    pub(crate) fn defer(&mut self, request: &Request<'_>) -> bool {
        let wait = !self.store.has_room() || !self.deferred.0.is_empty();
        if !wait || self.deferred.0.len() >= DEFERRED_MAX {
            return false;
        }
        self.deferred.0.push_back(Deferred {
            reply: request.pending.reply,
            host: request.host,
            at: request.pending.at,
            frame: Bytes::copy_from_slice(request.frame),
            forwarded: request.forwarded,
        });
        true
    }

    /// There may be room again.
    pub(crate) fn run_deferred(&mut self) {
        if !self.store.has_room() {
            return;
        }
        for request in std::mem::take(&mut self.deferred.0) {
            let to = request.reply;
            match self.handle(
                to,
                request.host,
                request.at,
                &request.frame,
                request.forwarded,
            ) {
                Stage::Reply(slices) => self.reply(to, slices),
                Stage::Silent => self.reply(to, Vec::new()),
                Stage::Later => {}
                Stage::Close(why) => {
                    self.refusals.log(self.now, "request", || {
                        format!("{}: {why}; connection closed", request.host)
                    });
                    self.end_reply(to);
                }
            }
        }
    }
}
