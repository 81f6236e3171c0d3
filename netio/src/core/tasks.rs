//! Background tasks of a core: futures in scheduling classes with shares, whose outcomes come back as values.
use crate::Io;
use std::{cell::RefCell, collections::VecDeque, future::Future, rc::Rc};

/// Scheduling class of a background task. Shares decide who runs when several classes have ready tasks.
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
#[derive(Debug)]
pub struct TaskSet<T> {
    io: Io,
    done: Rc<RefCell<VecDeque<T>>>,
}

impl<T: 'static> TaskSet<T> {
    pub fn new(io: &Io) -> Self {
        Self { io: io.clone(), done: Rc::default() }
    }
    /// Runs `future` in the background; its outcome appears in [`Self::take`], and the core takes a turn for it.
    pub fn spawn(&self, class: Class, future: impl Future<Output = T> + 'static) {
        let done = self.done.clone();
        let io = self.io.clone();
        self.io.spawn(class, async move {
            let outcome = future.await;
            done.borrow_mut().push_back(outcome);
            io.want_turn();
        });
    }
    pub fn take(&self) -> Option<T> {
        self.done.borrow_mut().pop_front()
    }
    /// Tasks that have not ended.
    pub fn running(&self) -> usize {
        todo!()
    }
}
