//! Requests of a connection are carried out one after the other, and answered in their order (wire
//! rule 19).
//!
//! Kafka takes a connection's next request when the answer to the last one has left. A client that
//! sends several at once counts on that: without it
//! 1. CreateTopics waits for the log,
//! 2. the Produce behind it finds no such topic, and is answered UNKNOWN_TOPIC_OR_PARTITION.
//!
//! The one exception cannot be seen: Produce behind Produce. They are appended in their order, and
//! wait for the disk together.
use bytes::Bytes;
use netio::Instant;
use std::collections::VecDeque;
use wire::ApiKey;

/// A reply as slices for one send; empty = this request has no reply (acks=0).
pub type Reply = Vec<Bytes>;

/// What is next for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Send(Reply),
    /// The request had no answer but this: the connection ends, after the answers to those before
    /// it.
    Close,
}

/// What a request is, and when it came: for its latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// None of an API that nobody knows.
    pub key: Option<ApiKey>,
    pub at: Instant,
}

/// A request without an answer, or with one that waits for those before it.
#[derive(Debug)]
struct Place {
    mark: Mark,
    next: Option<Next>,
}

/// The queue of requests that were taken and not answered yet: one, or several that are all
/// Produce.
#[derive(Debug, Default)]
pub struct Order {
    /// Sequence number of `waiting[0]`.
    first: u64,
    waiting: VecDeque<Place>,
    /// What waits may have others behind it.
    appends: bool,
}

impl Order {
    /// Whether the next request may be carried out now; if not, it may when the order is empty.
    /// `appends`: it is a Produce.
    pub fn admits(&self, appends: bool) -> bool {
        self.waiting.is_empty() || (appends && self.appends)
    }

    /// A place for the next request, which must be admitted.
    pub fn reserve(&mut self, appends: bool, mark: Mark) -> u64 {
        assert!(
            self.admits(appends),
            "a request (appends: {appends}) beside {} others (append: {})",
            self.waiting.len(),
            self.appends
        );
        self.appends = appends;
        self.waiting.push_back(Place { mark, next: None });
        self.first + self.waiting.len() as u64 - 1
    }

    /// Gives the last place back: its request was not begun.
    pub fn cancel(&mut self, seq: u64) {
        let last = self.waiting.pop_back();
        assert!(
            last.as_ref().is_some_and(|l| l.next.is_none())
                && self.first + self.waiting.len() as u64 == seq,
            "request {seq} cancelled, the last is {last:?} after {}..{}",
            self.first,
            self.first + self.waiting.len() as u64
        );
    }

    /// Requests without an answer.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts what follows request `seq` in its place.
    pub fn fill(&mut self, seq: u64, next: Next) {
        let at = usize::try_from(seq - self.first).unwrap_or(usize::MAX);
        let Some(place) = self.waiting.get_mut(at) else {
            panic!(
                "reply {seq} outside {}..{}",
                self.first,
                self.first + self.waiting.len() as u64
            );
        };
        assert!(place.next.is_none(), "request {seq} answered twice");
        place.next = Some(next);
    }

    /// Parts of the answer to request `seq` may leave: it is the next.
    pub fn assert_first(&self, seq: u64) {
        let front = self.waiting.front();
        assert!(
            self.first == seq && front.is_some_and(|place| place.next.is_none()),
            "a part of the answer to {seq}, the next is {}: {front:?}",
            self.first
        );
    }

    /// Request `seq` waited for `ns`, as its client asked: that is no latency.
    pub fn forgive(&mut self, seq: u64, ns: u64) {
        let at = usize::try_from(seq.wrapping_sub(self.first)).unwrap_or(usize::MAX);
        if let Some(place) = self.waiting.get_mut(at) {
            place.mark.at = Instant(place.mark.at.0.saturating_add(ns));
        }
    }

    /// What may leave now, and to what request.
    pub fn pop(&mut self) -> Option<(Next, Mark)> {
        let front = self.waiting.front_mut()?;
        let (next, mark) = (front.next.take()?, front.mark);
        self.waiting.pop_front();
        self.first += 1;
        Some((next, mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { key: Some(ApiKey::Produce), at: Instant(7) };

    fn answer(text: &'static [u8]) -> Next {
        Next::Send(vec![Bytes::from_static(text)])
    }

    #[test]
    fn replies_leave_in_request_order() {
        let mut order = Order::default();
        let [a, b, c, d] = [(); 4].map(|()| order.reserve(true, MARK));
        order.fill(d, Next::Close);
        order.fill(c, answer(b"c"));
        assert_eq!(order.pop(), None);
        order.fill(a, answer(b"a"));
        assert_eq!(order.pop(), Some((answer(b"a"), MARK)));
        assert_eq!(order.pop(), None);
        order.fill(b, Next::Send(vec![]));
        assert_eq!(order.pop(), Some((Next::Send(vec![]), MARK)));
        assert_eq!(order.pop(), Some((answer(b"c"), MARK)));
        assert_eq!(order.pop(), Some((Next::Close, MARK)));
        assert!(order.is_empty());
    }

    #[test]
    fn only_appends_stand_behind_each_other() {
        let mut order = Order::default();
        assert!(order.admits(true) && order.admits(false));
        let a = order.reserve(true, MARK);
        assert!(order.admits(true) && !order.admits(false));
        let b = order.reserve(true, MARK);
        order.cancel(b);
        assert_eq!((order.len(), order.reserve(true, MARK)), (1, b));
        for seq in [a, b] {
            order.fill(seq, Next::Send(vec![]));
            assert!(order.pop().is_some());
        }
        let c = order.reserve(false, MARK);
        assert!(!order.admits(true) && !order.admits(false));
        order.fill(c, Next::Send(vec![]));
        assert!(order.pop().is_some() && order.admits(true) && order.admits(false));
    }
}
