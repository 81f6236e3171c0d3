//! Background tasks of a core: futures in scheduling classes with shares, whose outcomes come back
//! as values.
use super::executor::TaskId;
use crate::core::io::Io;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    rc::Rc,
};

/// Scheduling class of a background task. Shares decide who runs when several classes have ready
/// tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Recovery, opening of logs, cold reads that a client waits for: first.
    Read,
    /// WAL to segments.
    Flush,
    /// Retention, deletion, WAL files made in advance.
    Maintenance,
    /// Compaction.
    Compaction,
}

/// Tasks of one owner, and the outcomes not yet taken. Dropping it cancels what still runs.
pub struct TaskSet<T> {
    io: Io,
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    done: RefCell<VecDeque<T>>,
    running: RefCell<Vec<(u64, TaskId)>>,
    next: Cell<u64>,
}

impl<T> fmt::Debug for TaskSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSet").field("running", &self.shared.running.borrow().len()).finish()
    }
}

impl<T: 'static> TaskSet<T> {
    pub fn new(io: &Io) -> Self {
        let shared =
            Shared { done: RefCell::default(), running: RefCell::default(), next: Cell::new(0) };
        Self { io: io.clone(), shared: Rc::new(shared) }
    }
    /// Runs `future` in the background; its outcome appears in [`Self::take`], and the core takes a
    /// turn for it.
    pub fn spawn(&self, class: Class, future: impl Future<Output = T> + 'static) {
        let number = self.shared.next.get();
        self.shared.next.set(number + 1);
        let (shared, io) = (self.shared.clone(), self.io.clone());
        let task = async move {
            let outcome = future.await;
            shared.running.borrow_mut().retain(|(n, _)| *n != number);
            shared.done.borrow_mut().push_back(outcome);
            io.want_turn();
        };
        // A task is never polled inside `spawn`, so it is listed before it can end.
        let id = self.io.spawn_task(class, Box::pin(task));
        self.shared.running.borrow_mut().push((number, id));
    }
    pub fn take(&self) -> Option<T> {
        self.shared.done.borrow_mut().pop_front()
    }
    /// Tasks that have not ended.
    pub fn running(&self) -> usize {
        self.shared.running.borrow().len()
    }
}

impl<T> Drop for TaskSet<T> {
    fn drop(&mut self) {
        let running = self.shared.running.take();
        for (_, id) in running {
            self.io.shared.executor.cancel(id);
        }
    }
}
