//! Replies of a connection leave in the order of its requests (wire rule 19).
use bytes::Bytes;
use std::collections::VecDeque;

/// A reply as slices for one send; empty = this request has no reply (acks=0).
pub type Reply = Vec<Bytes>;

/// The queue of requests that were taken and not answered yet.
#[derive(Debug, Default)]
pub struct Order {
    /// Sequence number of `waiting[0]`.
    first: u64,
    waiting: VecDeque<Option<Reply>>,
}

impl Order {
    /// A place for the next request.
    pub fn reserve(&mut self) -> u64 {
        self.waiting.push_back(None);
        self.first + self.waiting.len() as u64 - 1
    }

    /// Requests without an answer.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts the reply of request `seq` in its place.
    pub fn fill(&mut self, seq: u64, reply: Reply) {
        let at = usize::try_from(seq - self.first).unwrap_or(usize::MAX);
        let Some(place) = self.waiting.get_mut(at) else {
            panic!(
                "reply {seq} outside {}..{}",
                self.first,
                self.first + self.waiting.len() as u64
            );
        };
        assert!(place.is_none(), "request {seq} answered twice");
        *place = Some(reply);
    }

    /// The next reply that may leave.
    pub fn pop(&mut self) -> Option<Reply> {
        let reply = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.first += 1;
        Some(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_leave_in_request_order() {
        let mut order = Order::default();
        let (a, b, c) = (order.reserve(), order.reserve(), order.reserve());
        order.fill(c, vec![Bytes::from_static(b"c")]);
        assert_eq!(order.pop(), None);
        order.fill(a, vec![Bytes::from_static(b"a")]);
        assert_eq!(order.pop(), Some(vec![Bytes::from_static(b"a")]));
        assert_eq!(order.pop(), None);
        order.fill(b, vec![]);
        assert_eq!(order.pop(), Some(vec![]));
        assert_eq!(order.pop(), Some(vec![Bytes::from_static(b"c")]));
        assert!(order.is_empty());
    }
}
