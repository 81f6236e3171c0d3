//! A connection: what each completion and each request of the program does to it.
//!
//! Receiving has three modes. *Small*: a multishot receive into provided buffers, no memory at
//! rest. *Large*: the next frame is known to be large, or the last ones were: one receive at a time
//! into the connection's own buffer. *Stopped*: the program holds the connection back, or does not
//! take what has arrived. `pump` moves a connection to the mode it should be in; a change of mode
//! waits for the end of the receive in flight, so bytes are always appended in order.
use super::{
    CloseReason, ConnId, Received,
    input::Input,
    linger::Lingering,
    output::Output,
    spare::{LARGE_BUFFER_BYTES, Spare},
};
use crate::{
    clock::Instant,
    core::{
        program::Event,
        state::{Pending, State},
        timers::Due,
    },
    seam::{Handle, Op, Outcome, Slot},
};
use bytes::Bytes;
use std::{cell::Cell, net::SocketAddr, rc::Rc};

/// A frame above this is received in one shot into the connection's own buffer.
const LARGE_BYTES: usize = 32 << 10;
/// Input below this counts as small; so many in a row free the large buffer.
const SMALL_BYTES: usize = 16 << 10;
const SMALL_STREAK: u8 = 4;
/// A connection stops receiving when more than this has arrived and is not taken.
const BACKLOG_BYTES: usize = 64 << 10;
/// A large buffer without traffic for this long is freed.
const LARGE_REST_MS: u64 = 250;
/// How long [`crate::Io::close`] with `flush` waits for the peer to read.
const FLUSH_MS: u64 = 5_000;

/// The receive in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    No,
    Multishot { slot: Slot, cancelled: bool },
    Into { slot: Slot, cancelled: bool },
}

impl Receiving {
    pub(super) fn is_cancelled(self) -> bool {
        matches!(
            self,
            Receiving::Multishot { cancelled: true, .. } | Receiving::Into { cancelled: true, .. }
        )
    }
}

#[derive(Debug)]
pub(crate) struct Conn {
    /// `None` until a connect has succeeded.
    pub(crate) handle: Option<Handle>,
    pub(crate) peer: SocketAddr,
    connecting: Option<Slot>,
    /// `Closed` has been said.
    pub(crate) ended: bool,
    /// The end of the peer's bytes ends the connection; else `Finished` is said, and the program
    /// ends it.
    ends_with_peer: bool,
    /// The peer has closed its side for writing.
    pub(super) finished: bool,
    /// Closes when the output is sent; the timer ends its patience.
    pub(super) flushing: Option<u64>,
    /// It has ended, its socket not yet.
    pub(super) lingering: Option<Lingering>,

    input: Input,
    /// The program has the input.
    taken: bool,
    taken_bytes: usize,
    /// How much of the buffer lent to the driver was filled before.
    lent_at: usize,
    /// Size of that buffer, while it is lent.
    lent_bytes: usize,
    /// Something arrived since the program took the input.
    fresh: bool,
    /// `Readable` was said in this turn.
    notified: bool,
    /// Bytes the program needs before it is worth waking; 0 = any.
    want: usize,
    hold: bool,
    pub(super) receiving: Receiving,
    large: bool,
    small_streak: u8,
    received_at: Instant,

    output: Output,
    sending: bool,
    dirty: bool,
    congested: bool,
}

impl Conn {
    /// `queued` counts the output of all connections.
    pub(crate) fn new(peer: SocketAddr, now: Instant, queued: Rc<Cell<usize>>) -> Self {
        Self {
            handle: None,
            peer,
            connecting: None,
            ended: false,
            ends_with_peer: true,
            finished: false,
            flushing: None,
            lingering: None,
            input: Input::default(),
            taken: false,
            taken_bytes: 0,
            lent_at: 0,
            lent_bytes: 0,
            fresh: false,
            notified: false,
            want: 0,
            hold: true,
            receiving: Receiving::No,
            large: false,
            small_streak: 0,
            received_at: now,
            output: Output::new(queued),
            sending: false,
            dirty: false,
            congested: false,
        }
    }

    pub(crate) fn output_bytes(&self) -> usize {
        self.output.bytes()
    }

    pub(crate) fn receive_buffer_bytes(&self) -> usize {
        self.input.capacity() + self.lent_bytes
    }

    /// Bytes that arrived and were not consumed, also while the driver has their buffer.
    pub(crate) fn input_bytes(&self) -> usize {
        if self.lent_bytes > 0 { self.lent_at } else { self.input.len() }
    }

    pub(crate) fn is_congested(&self) -> bool {
        self.congested
    }

    pub(crate) fn is_lingering(&self) -> bool {
        self.lingering.is_some()
    }

    /// Nobody will take what has arrived.
    pub(super) fn drop_input(&mut self, spare: &Spare) {
        std::mem::take(&mut self.input).give_up(spare);
    }

    /// The connection is over: its large buffer serves the next one.
    pub(crate) fn give_up(self, spare: &Spare) {
        self.input.give_up(spare);
    }
}

// ---- requests of the program --------------------------------------------------------------------
impl State {
    pub(crate) fn connect(&mut self, addr: SocketAddr) -> ConnId {
        let conn = self.net.insert(addr, self.now);
        let slot = self.submit(Pending::Connect(conn), Op::Connect { addr });
        if let Some(entry) = self.net.get_mut(conn) {
            entry.connecting = Some(slot);
        }
        conn
    }

    pub(crate) fn outlive_peer(&mut self, id: ConnId) {
        if let Some(conn) = self.net.get_mut(id) {
            conn.ends_with_peer = false;
        }
    }

    pub(crate) fn start_receiving(&mut self, id: ConnId) {
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        if conn.hold {
            conn.hold = false;
            // What was held back may be a whole frame.
            conn.fresh = true;
        }
        self.pump(id);
    }

    pub(crate) fn take(&mut self, id: ConnId) -> Option<Received> {
        let conn = self.net.get_mut(id)?;
        if conn.taken || conn.input.len() == 0 {
            return None;
        }
        conn.taken = true;
        conn.fresh = false;
        conn.taken_bytes = conn.input.len();
        Some(Received(std::mem::take(&mut conn.input)))
    }

    pub(crate) fn put_back(
        &mut self,
        id: ConnId,
        received: Received,
        consumed: usize,
        want: usize,
        hold: bool,
    ) {
        let spare = self.net.spare.clone();
        let Some(conn) = self.net.get_mut(id) else {
            return received.0.give_up(&spare);
        };
        assert!(conn.taken, "input put back to {id:?}, which was not taken");
        let mut input = received.0;
        input.consume(consumed, &spare);
        if conn.input.len() > 0 {
            input.append(conn.input.bytes(), &spare);
        }
        conn.input = input;
        (conn.taken, conn.want, conn.hold) = (false, want, hold);
        let became_large = conn.note_frame(want);
        if !conn.large {
            conn.input.shrink(&spare);
        }
        if became_large {
            self.net.large.push(id);
            self.arm_sweep();
        }
        self.pump(id);
    }

    pub(crate) fn send(&mut self, id: ConnId, slices: impl IntoIterator<Item = Bytes>) {
        let high_bytes = self.net.high_bytes;
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        if conn.ended || conn.flushing.is_some() {
            return;
        }
        slices.into_iter().for_each(|slice| conn.output.push(slice));
        conn.congested |= conn.output.bytes() > high_bytes;
        if !conn.dirty && !conn.sending && conn.handle.is_some() && !conn.output.is_queue_empty() {
            conn.dirty = true;
            self.net.dirty.push(id);
        }
    }

    pub(crate) fn close(&mut self, id: ConnId, flush: bool) {
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        if conn.ended || (flush && conn.flushing.is_some()) {
            return;
        }
        if !flush || conn.handle.is_none() {
            return self.end(id, CloseReason::Local);
        }
        if conn.output.bytes() == 0 {
            return self.end_in_order(id);
        }
        conn.hold = true;
        let at = self.now.after_ms(FLUSH_MS);
        let timer = self.timers.insert(at, Due::FlushOver(id));
        if let Some(conn) = self.net.get_mut(id) {
            conn.flushing = Some(timer);
        }
        self.pump(id);
    }
}

// ---- completions --------------------------------------------------------------------------------
impl State {
    pub(crate) fn on_connected(&mut self, id: ConnId, outcome: Outcome) {
        let Outcome::Connected(result) = outcome else {
            panic!("a connect ended with {outcome:?}")
        };
        let conn = self.net.get_mut(id).filter(|conn| !conn.ended);
        match (conn, result) {
            (Some(conn), Ok(handle)) => {
                conn.handle = Some(handle);
                conn.connecting = None;
                if !conn.output.is_queue_empty() {
                    conn.dirty = true;
                    self.net.dirty.push(id);
                }
                self.events.push(Event::Connected { conn: id });
                self.pump(id);
            }
            (Some(conn), Err(error)) => {
                conn.connecting = None;
                self.end(id, CloseReason::Error(error.errno));
            }
            // The program gave it up meanwhile.
            (None, Ok(handle)) => self.close_socket(handle),
            (None, Err(_)) => {}
        }
    }

    pub(crate) fn on_received(&mut self, id: ConnId, outcome: Outcome, more: bool) {
        let Outcome::Received(result) = outcome else { panic!("a receive ended with {outcome:?}") };
        let now = self.now;
        let spare = self.net.spare.clone();
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        let cancelled = conn.receiving.is_cancelled();
        if !more {
            conn.receiving = Receiving::No;
        }
        if conn.ended {
            return self.on_dropped(id, result.map(|provided| provided.len()), cancelled);
        }
        match result {
            Ok(provided) if provided.is_empty() => self.on_peer_finished(id),
            Ok(provided) => {
                self.stats.received_bytes += provided.len() as u64;
                conn.input.push(provided, &spare);
                (conn.fresh, conn.received_at) = (true, now);
                self.pump(id);
                // Only for a turn that is about to take it does a provided buffer stay out.
                if let Some(conn) = self.net.get_mut(id).filter(|conn| !conn.notified) {
                    conn.input.own(&spare);
                }
            }
            Err(error) if error.errno == libc::ECANCELED && cancelled => self.pump(id),
            Err(error) => self.end(id, reason_of(error.errno)),
        }
    }

    pub(crate) fn on_received_into(&mut self, id: ConnId, outcome: Outcome) {
        let Outcome::ReceivedInto { buf, result } = outcome else {
            panic!("a receive ended with {outcome:?}")
        };
        let now = self.now;
        let spare = self.net.spare.clone();
        let Some(conn) = self.net.get_mut(id) else {
            return spare.give(buf);
        };
        let cancelled = conn.receiving.is_cancelled();
        (conn.receiving, conn.lent_bytes) = (Receiving::No, 0);
        if conn.ended {
            spare.give(buf);
            return self.on_dropped(id, result, cancelled);
        }
        conn.input.returned(buf, conn.lent_at + *result.as_ref().unwrap_or(&0));
        if !conn.large {
            conn.input.shrink(&spare);
        }
        match result {
            Ok(0) => self.on_peer_finished(id),
            Ok(bytes) => {
                self.stats.received_bytes += bytes as u64;
                (conn.fresh, conn.received_at) = (true, now);
                self.pump(id);
            }
            Err(error) if error.errno == libc::ECANCELED && cancelled => self.pump(id),
            Err(error) => self.end(id, reason_of(error.errno)),
        }
    }

    /// The peer sends no more. Whether it still reads, nobody can tell before something is sent to
    /// it.
    fn on_peer_finished(&mut self, id: ConnId) {
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        if conn.ends_with_peer {
            return self.end(id, CloseReason::Peer);
        }
        conn.finished = true;
        // It is being closed already: what it was to be sent goes on.
        if conn.flushing.is_none() {
            self.events.push(Event::Finished { conn: id });
        }
    }

    pub(crate) fn on_sent(&mut self, id: ConnId, outcome: Outcome) {
        let Outcome::Sent(result) = outcome else { panic!("a send ended with {outcome:?}") };
        let low_bytes = self.net.low_bytes;
        let Some(conn) = self.net.get_mut(id).filter(|conn| !conn.ended) else {
            return;
        };
        conn.sending = false;
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => return self.end(id, reason_of(error.errno)),
        };
        self.stats.sent_bytes += bytes as u64;
        conn.output.sent(bytes);
        let flushed = conn.flushing.is_some() && conn.output.bytes() == 0;
        if conn.congested && conn.output.bytes() <= low_bytes {
            conn.congested = false;
            self.events.push(Event::Writable { conn: id });
        }
        if !conn.dirty && !conn.output.is_queue_empty() {
            conn.dirty = true;
            self.net.dirty.push(id);
        }
        if flushed {
            self.end_in_order(id);
        }
    }

    pub(crate) fn on_flush_over(&mut self, id: ConnId) {
        if self.net.get(id).is_some_and(|conn| !conn.ended) {
            self.end(id, CloseReason::Local);
        }
    }
}

// ---- moving on ----------------------------------------------------------------------------------
impl Conn {
    /// Keeps the mode: large after a large frame, small again after a row of small ones. True when
    /// it became large.
    fn note_frame(&mut self, want: usize) -> bool {
        if want > LARGE_BYTES {
            self.small_streak = 0;
            return !std::mem::replace(&mut self.large, true);
        }
        if self.large {
            self.small_streak =
                if self.taken_bytes < SMALL_BYTES { self.small_streak + 1 } else { 0 };
            if self.small_streak >= SMALL_STREAK {
                (self.large, self.small_streak) = (false, 0);
            }
        }
        false
    }

    fn mode(&self) -> Mode {
        // What the program has seen and left is the start of a frame that needs more: only unseen
        // input is a backlog.
        if self.hold
            || self.finished
            || (self.fresh && !self.taken && self.input.len() >= self.want.max(BACKLOG_BYTES))
        {
            Mode::Stopped
        } else if !self.large {
            Mode::Small
        } else if self.input.len() == 0 || self.input.len() < self.want {
            Mode::Large
        } else if self.fresh {
            Mode::Resting
        } else {
            Mode::Small
        }
    }
}

enum Mode {
    Stopped,
    Small,
    Large,
    /// `Readable` was said of bytes in the large buffer. Lent again before the program takes them,
    /// they would be out of its reach until still more arrives: a small frame behind a large one
    /// would wait for the sweep.
    Resting,
}

impl State {
    /// Says `Readable` if it is due, and brings the receive in flight in line with the mode.
    fn pump(&mut self, id: ConnId) {
        let spare = self.net.spare.clone();
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        let Some(socket) = conn.handle.filter(|_| !conn.ended) else {
            return;
        };
        let have = conn.input.len();
        let readable = !conn.hold && !conn.taken && !conn.notified && have > 0 && have >= conn.want;
        if readable && (conn.fresh || conn.want > 0) {
            conn.notified = true;
            self.events.push(Event::Readable { conn: id });
            self.net.notified.push(id);
        }
        let Some(conn) = self.net.get_mut(id) else {
            return;
        };
        match (conn.mode(), conn.receiving) {
            (Mode::Stopped | Mode::Large, Receiving::Multishot { slot, cancelled: false }) => {
                conn.receiving = Receiving::Multishot { slot, cancelled: true };
                self.driver.cancel(slot);
            }
            (Mode::Stopped, Receiving::Into { slot, cancelled: false }) => {
                conn.receiving = Receiving::Into { slot, cancelled: true };
                self.driver.cancel(slot);
            }
            (Mode::Small, Receiving::No) => self.receive_small(id, socket),
            // While the program has the input, its buffer is not ours to lend.
            (Mode::Large, Receiving::No) if !conn.taken && (conn.want == 0 || have < conn.want) => {
                let (buf, at) = conn.input.lend(conn.want.max(LARGE_BUFFER_BYTES), &spare);
                (conn.lent_at, conn.lent_bytes) = (at, buf.len());
                let slot =
                    self.submit(Pending::ReceiveInto(id), Op::ReceiveInto { socket, buf, at });
                self.set_receiving(id, Receiving::Into { slot, cancelled: false });
            }
            _ => {}
        }
    }

    /// Receives into provided buffers, piece after piece.
    pub(super) fn receive_small(&mut self, id: ConnId, socket: Handle) {
        let slot = self.submit(Pending::Receive(id), Op::Receive { socket });
        self.set_receiving(id, Receiving::Multishot { slot, cancelled: false });
    }

    fn set_receiving(&mut self, id: ConnId, receiving: Receiving) {
        if let Some(conn) = self.net.get_mut(id) {
            conn.receiving = receiving;
        }
    }

    /// Ends a connection: its socket is closed, its output dropped, `Closed` said. Its input can be
    /// taken until the end of the turn that sees `Closed`.
    pub(crate) fn end(&mut self, id: ConnId, why: CloseReason) {
        let Some(conn) = self.net.get_mut(id).filter(|conn| !conn.ended) else {
            return;
        };
        conn.ended = true;
        conn.output.clear();
        let (handle, connecting, flushing) =
            (conn.handle.take(), conn.connecting.take(), conn.flushing.take());
        if let Some(slot) = connecting {
            self.driver.cancel(slot);
        }
        if let Some(timer) = flushing {
            self.timers.remove(timer);
        }
        if let Some(handle) = handle {
            self.close_socket(handle);
        }
        self.net.dead.push(id);
        self.events.push(Event::Closed { conn: id, why });
    }

    /// Submits one send for each connection that has output and none in flight.
    pub(crate) fn flush_output(&mut self) {
        let mut dirty = std::mem::take(&mut self.net.dirty);
        for id in dirty.drain(..) {
            let Some(conn) = self.net.get_mut(id) else {
                continue;
            };
            conn.dirty = false;
            let Some(socket) = conn.handle.filter(|_| !conn.sending) else {
                continue;
            };
            let slices = conn.output.next_send();
            if slices.is_empty() {
                continue;
            }
            conn.sending = true;
            self.submit(Pending::Send(id), Op::Send { socket, slices });
        }
        self.net.dirty = dirty;
    }

    /// After a step: provided buffers that were not taken go back to the driver. After a turn,
    /// also: ended connections, of which the program now knows, give up their slots.
    pub(crate) fn settle_connections(&mut self, turned: bool) {
        let spare = self.net.spare.clone();
        let mut notified = std::mem::take(&mut self.net.notified);
        for id in notified.drain(..) {
            let Some(conn) = self.net.get_mut(id) else {
                continue;
            };
            conn.input.own(&spare);
            conn.notified = false;
        }
        self.net.notified = notified;
        if turned {
            let mut dead = std::mem::take(&mut self.net.dead);
            for id in dead.drain(..) {
                if !self.lingers_on(id) {
                    self.net.remove(id);
                }
            }
            self.net.dead = dead;
        }
    }

    fn arm_sweep(&mut self) {
        if !std::mem::replace(&mut self.net.sweeping, true) {
            let at = self.now.after_ms(LARGE_REST_MS);
            self.timers.insert(at, Due::SweepLarge);
        }
    }

    /// Connections that rest with a large buffer give it back.
    pub(crate) fn sweep_large(&mut self) {
        let spare = self.net.spare.clone();
        self.net.sweeping = false;
        let mut large = std::mem::take(&mut self.net.large);
        let rested_since =
            |conn: &Conn, now: Instant| now.since(conn.received_at) >= LARGE_REST_MS * 1_000_000;
        large.retain(|&id| {
            let now = self.now;
            let Some(conn) = self.net.get_mut(id).filter(|conn| !conn.ended && conn.large) else {
                return false;
            };
            if conn.taken || conn.want > LARGE_BYTES || !rested_since(conn, now) {
                return true;
            }
            conn.large = false;
            match conn.receiving {
                // `on_received_into` frees it.
                Receiving::Into { slot, cancelled: false } => {
                    conn.receiving = Receiving::Into { slot, cancelled: true };
                    self.driver.cancel(slot);
                }
                Receiving::Into { .. } => {}
                _ => conn.input.shrink(&spare),
            }
            false
        });
        self.net.large = large;
        if !self.net.large.is_empty() {
            self.arm_sweep();
        }
    }
}

fn reason_of(errno: i32) -> CloseReason {
    match errno {
        libc::ECONNRESET | libc::EPIPE => CloseReason::Peer,
        other => CloseReason::Error(other),
    }
}
