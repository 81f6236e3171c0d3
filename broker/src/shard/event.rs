//! All that can wake a core, in one closed list; each arm is one call.
use super::{Shard, message::Message};
use crate::core::request::Held;
use netio::ConnId;
use std::net::SocketAddr;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    Accepted {
        conn: ConnId,
        peer: SocketAddr,
    },
    Readable {
        conn: ConnId,
    },
    Writable {
        conn: ConnId,
    },
    /// The peer sends no more.
    Finished {
        conn: ConnId,
    },
    Closed {
        conn: ConnId,
    },
    /// A write of the log's ended.
    Written {
        token: u64,
        result: netio::Result<()>,
    },
    Timer {
        token: u64,
    },
    /// From another core or the control thread.
    Message(Message),
    /// From the store.
    Log(storage::Event),
    /// The process was asked to stop.
    Stop,
    /// Connections that this core made itself: none yet.
    Nothing,
}

impl From<netio::Event> for Event {
    fn from(event: netio::Event) -> Self {
        match event {
            netio::Event::Accepted { conn, peer, .. } => Event::Accepted { conn, peer },
            netio::Event::Readable { conn } => Event::Readable { conn },
            netio::Event::Writable { conn } => Event::Writable { conn },
            netio::Event::Finished { conn } => Event::Finished { conn },
            netio::Event::Closed { conn, .. } => Event::Closed { conn },
            netio::Event::Written { token, result } => Event::Written { token, result },
            netio::Event::Timer { token } => Event::Timer { token },
            netio::Event::Stop => Event::Stop,
            netio::Event::Connected { .. } => Event::Nothing,
        }
    }
}

impl Shard {
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Accepted { conn, peer } => self.on_accepted(conn, peer),
            Event::Readable { conn } => self.on_readable(conn),
            Event::Writable { conn } => self.on_writable(conn),
            Event::Finished { conn } => self.on_finished(conn),
            Event::Closed { conn } => self.on_closed(conn),
            Event::Written { token, result } => {
                let known = self.store.on_written(token, result);
                assert!(known, "a write of token {token:#x} that nobody made");
            }
            Event::Timer { token } => self.on_timer(token),
            Event::Message(message) => self.on_message(message),
            Event::Log(event) => self.on_log_event(event),
            Event::Stop => self.begin_stop(),
            Event::Nothing => {}
        }
    }

    fn on_writable(&mut self, conn: ConnId) {
        self.answers.on_writable(conn);
        if self.sessions.get_mut(conn).is_some_and(|s| s.held == Some(Held::Output)) {
            self.on_readable(conn);
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Forward { id, request } => self.on_forwarded(id, request),
            Message::Reply { id, slices } => self.on_forward_reply(id, slices),
            Message::ForwardFailed { id } => self.on_forward_failed(id),
            Message::FetchPart { from, id, wanted, places, max_bytes, at_least_one } => {
                self.serve_fetch(
                    crate::fetch::serve::Origin::Core { core: from, id },
                    &wanted,
                    &places,
                    max_bytes,
                    at_least_one,
                );
            }
            Message::FetchedPart { id, parts } => self.on_fetched(id, parts),
            Message::Watch { from, id, watched } => self.on_watch(from, id, &watched),
            Message::Woken { id } => self.on_woken(id),
            Message::Unwatch { from, id } => self.on_unwatch(from, id),
            Message::Metadata { through, records } => self.on_metadata(through, &records),
            Message::Applied { core, through } => self.on_applied(core, through),
            Message::Snapshot { to } => self.on_snapshot(to),
            Message::Partitions { from, to } => self.on_partitions_asked(from, to),
            Message::Topics { from, to } => self.on_topics_asked(from, to),
            Message::Groups { from, to } => self.on_groups_asked(from, to),
            Message::Stop => self.begin_stop(),
            Message::Stopped { core, left } => self.on_core_stopped(core, left),
            Message::Serving { core, listening } => self.on_serving(core, listening),
            Message::Boot { .. } => unreachable!("only while booting"),
        }
    }
}
