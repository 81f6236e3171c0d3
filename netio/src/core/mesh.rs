//! Bounded lanes between the cores of a process, and from threads outside (the control thread).
//!
//! One lane per ordered pair of cores. A full lane refuses: the sender keeps the message and tries
//! again in its next turn.
//!
//! The wake-up protocol, which loses none: a core that wants to park sets its `parked` flag and
//! then looks at its lanes once more; a sender pushes and then looks at the flag. With sequentially
//! consistent order between the two steps on both sides, at least one of them sees the other.
use crate::{core::program::CoreId, seam::Wake};
use crossbeam_queue::ArrayQueue;
use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// A core that never parks: the simulation looks at [`crate::core::turn::Core::has_work`] instead.
#[derive(Debug, Default)]
pub struct NeverParked;

impl Wake for NeverParked {
    fn wake(&self) {}
    fn set_parked(&self, _parked: bool) {}
}

struct Port<M> {
    /// By sending core; the last lane is for threads outside.
    lanes: Vec<ArrayQueue<M>>,
    wake: Arc<dyn Wake>,
    stop: AtomicBool,
    ended: AtomicBool,
}

struct Shared<M> {
    ports: Vec<Port<M>>,
    /// Cores that have ended.
    ended: AtomicUsize,
}

/// A core's end of all its lanes.
pub struct Mesh<M> {
    shared: Arc<Shared<M>>,
    me: CoreId,
    /// The lane that `receive` looks at first.
    next: Cell<usize>,
}

impl<M> fmt::Debug for Mesh<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("me", &self.me)
            .field("cores", &self.shared.ports.len())
            .finish()
    }
}

/// Lanes between as many cores as there are `wakes`, of `lane_slots` messages each.
pub fn create<M: Send + 'static>(
    wakes: Vec<Arc<dyn Wake>>,
    lane_slots: usize,
) -> (Vec<Mesh<M>>, Sender<M>) {
    let cores = wakes.len();
    assert!(cores > 0 && cores < usize::from(u16::MAX), "{cores} cores");
    let port = |wake| Port {
        lanes: (0..=cores).map(|_| ArrayQueue::new(lane_slots.max(1))).collect(),
        wake,
        stop: AtomicBool::new(false),
        ended: AtomicBool::new(false),
    };
    let shared = Arc::new(Shared {
        ports: wakes.into_iter().map(port).collect(),
        ended: AtomicUsize::new(0),
    });
    let meshes = (0..cores)
        .map(|me| Mesh { shared: shared.clone(), me: CoreId(me as u16), next: Cell::new(0) })
        .collect();
    (meshes, Sender { shared })
}

impl<M: Send + 'static> Mesh<M> {
    pub fn cores(&self) -> u16 {
        self.shared.ports.len() as u16
    }
    pub fn me(&self) -> CoreId {
        self.me
    }
    /// Hands `message` to core `to` and wakes it; gives it back when the lane is full or the core
    /// has ended. `to == me` is allowed.
    pub fn send(&self, to: CoreId, message: M) -> Result<(), M> {
        self.shared.send(usize::from(self.me.0), to, message)
    }
    /// Whether a core takes no more messages. Each end makes the others take a turn, in which they
    /// can ask.
    pub fn has_ended(&self, core: CoreId) -> bool {
        let port = self.shared.ports.get(usize::from(core.0));
        port.is_none_or(|port| port.ended.load(Ordering::SeqCst))
    }
    /// How many cores have ended.
    pub fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }
    /// Takes the next message from any lane, fair between lanes. `None` sender = from outside.
    pub fn receive(&self) -> Option<(Option<CoreId>, M)> {
        let lanes = &self.shared.ports[usize::from(self.me.0)].lanes;
        let first = self.next.get();
        for step in 0..lanes.len() {
            let from = (first + step) % lanes.len();
            if let Some(message) = lanes[from].pop() {
                self.next.set((from + 1) % lanes.len());
                return Some(((from + 1 < lanes.len()).then_some(CoreId(from as u16)), message));
            }
        }
        None
    }
    /// What the core's loop needs of the lanes, without their message type.
    pub(crate) fn inbox(&self) -> Box<dyn Inbox> {
        Box::new(InboxOf {
            shared: self.shared.clone(),
            me: usize::from(self.me.0),
            ended_seen: Cell::new(0),
        })
    }
}

impl<M> Shared<M> {
    fn send(&self, from: usize, to: CoreId, message: M) -> Result<(), M> {
        let Some(port) = self.ports.get(usize::from(to.0)) else {
            return Err(message);
        };
        if port.ended.load(Ordering::Relaxed) {
            return Err(message);
        }
        port.lanes[from].push(message)?;
        if from != usize::from(to.0) {
            port.wake.wake();
        }
        Ok(())
    }
}

/// The loop's view of its lanes.
pub(crate) trait Inbox {
    fn is_empty(&self) -> bool;
    /// True once after each request to stop.
    fn take_stop(&self) -> bool;
    fn has_stop(&self) -> bool;
    /// From now on senders get their messages back; all other cores are woken.
    fn set_ended(&self);
    /// A core has ended since the last [`Self::take_ends`].
    fn has_ends(&self) -> bool;
    /// The same, once.
    fn take_ends(&self) -> bool;
    fn wake(&self) -> Arc<dyn Wake>;
}

struct InboxOf<M> {
    shared: Arc<Shared<M>>,
    me: usize,
    ended_seen: Cell<usize>,
}

impl<M: Send + 'static> Inbox for InboxOf<M> {
    fn is_empty(&self) -> bool {
        self.shared.ports[self.me].lanes.iter().all(ArrayQueue::is_empty)
    }
    fn take_stop(&self) -> bool {
        self.has_stop() && self.shared.ports[self.me].stop.swap(false, Ordering::SeqCst)
    }
    fn has_stop(&self) -> bool {
        self.shared.ports[self.me].stop.load(Ordering::SeqCst)
    }
    fn set_ended(&self) {
        let ended = &self.shared.ports[self.me].ended;
        if ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.shared.ended.fetch_add(1, Ordering::SeqCst);
        for (_, port) in (0..).zip(&self.shared.ports).filter(|(core, _)| *core != self.me) {
            port.wake.wake();
        }
    }
    fn has_ends(&self) -> bool {
        self.shared.ended.load(Ordering::SeqCst) != self.ended_seen.get()
    }
    fn take_ends(&self) -> bool {
        let ended = self.shared.ended.load(Ordering::SeqCst);
        self.ended_seen.replace(ended) != ended
    }
    fn wake(&self) -> Arc<dyn Wake> {
        self.shared.ports[self.me].wake.clone()
    }
}

/// A sender for threads that are not cores (control thread), or for a test that drives a
/// simulation.
pub struct Sender<M> {
    shared: Arc<Shared<M>>,
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("cores", &self.shared.ports.len()).finish()
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<M: Send + 'static> Sender<M> {
    pub fn cores(&self) -> u16 {
        self.shared.ports.len() as u16
    }
    /// Gives the message back when the core's outside lane is full or the core has ended.
    pub fn send(&self, to: CoreId, message: M) -> Result<(), M> {
        self.shared.send(self.shared.ports.len(), to, message)
    }
    /// Gives every core an [`crate::Event::Stop`].
    pub fn stop(&self) {
        for port in &self.shared.ports {
            port.stop.store(true, Ordering::SeqCst);
            port.wake.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(cores: usize, slots: usize) -> (Vec<Mesh<u32>>, Sender<u32>) {
        create((0..cores).map(|_| Arc::new(NeverParked) as Arc<dyn Wake>).collect(), slots)
    }

    #[test]
    fn a_full_lane_refuses_and_others_go_on() {
        let (cores, outside) = mesh(2, 2);
        assert_eq!(cores[0].send(CoreId(1), 1), Ok(()));
        assert_eq!(cores[0].send(CoreId(1), 2), Ok(()));
        assert_eq!(cores[0].send(CoreId(1), 3), Err(3));
        assert_eq!(outside.send(CoreId(1), 4), Ok(()));
        assert_eq!(cores[1].send(CoreId(1), 5), Ok(()));
        let mut got: Vec<_> = std::iter::from_fn(|| cores[1].receive()).collect();
        assert_eq!(
            got,
            [(Some(CoreId(0)), 1), (Some(CoreId(1)), 5), (None, 4), (Some(CoreId(0)), 2)],
            "fair between lanes"
        );
        got.clear();
        assert_eq!(cores[0].send(CoreId(2), 1), Err(1), "no such core");
    }

    #[test]
    fn the_end_of_a_core_is_seen_once_by_each_other() {
        let (cores, _) = mesh(2, 2);
        let inboxes = [cores[0].inbox(), cores[1].inbox()];
        assert!(!inboxes[0].has_ends() && !cores[0].has_ended(CoreId(1)));
        inboxes[1].set_ended();
        inboxes[1].set_ended();
        assert!(inboxes[0].has_ends() && inboxes[0].take_ends() && !inboxes[0].take_ends());
        assert_eq!(
            (cores[0].has_ended(CoreId(1)), cores[0].has_ended(CoreId(0)), cores[0].ended()),
            (true, false, 1)
        );
    }

    #[test]
    fn an_ended_core_takes_no_more() {
        let (cores, outside) = mesh(1, 2);
        let inbox = cores[0].inbox();
        outside.stop();
        assert!(inbox.take_stop() && !inbox.take_stop());
        inbox.set_ended();
        assert_eq!(outside.send(CoreId(0), 1), Err(1));
        assert!(inbox.is_empty());
    }
}
