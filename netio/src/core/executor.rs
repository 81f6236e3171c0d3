//! Background tasks of one core: polled in small slices between turns, chosen by stride scheduling
//! between their classes.
//!
//! A future is polled, dropped and woken with no borrow held, so it may do with [`crate::Io`] what
//! it likes. Wakers may be used from any thread.
use crate::core::tasks::Class;
use crate::seam::Wake as WakeCore;
use slab::Slab;
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

const CLASSES: usize = 4;
/// What a class gets when all have ready tasks, in relation to the others: read, flush,
/// maintenance, compaction.
const SHARES: [u64; CLASSES] = [8, 8, 2, 1];
/// Every poll is charged at least this many nanoseconds, so that many tiny polls end a slice too
/// (and so that the simulation, whose clock stands still during a step, has slices at all).
const POLL_NS_MIN: u64 = 1_000;

/// A task of this executor; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskId {
    slot: u32,
    generation: u32,
}

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    generation: u32,
    class: usize,
    /// Empty while it is being polled.
    future: Option<TaskFuture>,
    /// Cancelled while it was being polled.
    cancelled: bool,
    waker: Arc<TaskWaker>,
}

struct Woken {
    queue: Mutex<Vec<TaskId>>,
    any: AtomicBool,
    core: Arc<dyn WakeCore>,
}

struct TaskWaker {
    id: TaskId,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.woken.queue.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
            self.woken.any.store(true, Ordering::SeqCst);
            self.woken.core.wake();
        }
    }
}

#[derive(Default)]
struct Inner {
    tasks: Slab<Task>,
    generation: u32,
    ready: [VecDeque<TaskId>; CLASSES],
    /// Virtual time of each class: nanoseconds run, divided by its share.
    pass: [u64; CLASSES],
    /// Of the class that was chosen last.
    virtual_time: u64,
    /// Wakers of tasks that gave way until the next slice.
    yielded: Vec<Waker>,
}

pub(crate) struct Executor {
    inner: RefCell<Inner>,
    woken: Arc<Woken>,
}

impl Executor {
    pub(crate) fn new(core: Arc<dyn WakeCore>) -> Self {
        let woken = Woken { queue: Mutex::default(), any: AtomicBool::new(false), core };
        Self { inner: RefCell::default(), woken: Arc::new(woken) }
    }

    pub(crate) fn spawn(&self, class: Class, future: TaskFuture) -> TaskId {
        let mut inner = self.inner.borrow_mut();
        inner.generation = inner.generation.wrapping_add(1);
        let generation = inner.generation;
        let entry = inner.tasks.vacant_entry();
        let id = TaskId { slot: entry.key() as u32, generation };
        let waker =
            Arc::new(TaskWaker { id, queued: AtomicBool::new(false), woken: self.woken.clone() });
        entry.insert(Task {
            generation,
            class: class as usize,
            future: Some(future),
            cancelled: false,
            waker: waker.clone(),
        });
        drop(inner);
        waker.wake_by_ref();
        id
    }

    /// Drops the task's future: at once, or as soon as its running poll returns.
    pub(crate) fn cancel(&self, id: TaskId) {
        let mut inner = self.inner.borrow_mut();
        let Some(task) = inner.task(id) else { return };
        task.cancelled = true;
        let gone = task.future.is_some().then(|| inner.tasks.remove(id.slot as usize));
        drop(inner);
        drop(gone);
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.borrow_mut();
        let tasks = mem::take(&mut inner.tasks);
        let yielded = mem::take(&mut inner.yielded);
        drop(inner);
        drop((tasks, yielded));
    }

    /// Wakes `waker` at the start of the next slice.
    pub(crate) fn yield_until_next_slice(&self, waker: Waker) {
        self.inner.borrow_mut().yielded.push(waker);
    }

    /// Is there a task to poll now?
    pub(crate) fn has_ready(&self) -> bool {
        if self.woken.any.load(Ordering::SeqCst) {
            return true;
        }
        let inner = self.inner.borrow();
        !inner.yielded.is_empty() || inner.ready.iter().any(|queue| !queue.is_empty())
    }

    /// Tasks that have not ended.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.inner.borrow().tasks.len()
    }

    /// Polls ready tasks until none is ready or about `slice_ns` were used, by the nanosecond clock
    /// `now`.
    pub(crate) fn run(&self, slice_ns: u64, mut now: impl FnMut() -> u64) {
        let yielded = mem::take(&mut self.inner.borrow_mut().yielded);
        yielded.into_iter().for_each(Waker::wake);
        let mut used_ns = 0;
        while used_ns < slice_ns {
            let Some((id, mut future, waker)) = self.next() else {
                return;
            };
            let start_ns = now();
            let polled = future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker)));
            let run_ns = now().saturating_sub(start_ns).max(POLL_NS_MIN);
            used_ns += run_ns;

            let mut inner = self.inner.borrow_mut();
            // `clear` may have run inside the poll.
            let Some(task) = inner.task(id) else { continue };
            let (class, ended) = (task.class, polled.is_ready() || task.cancelled);
            if !ended {
                task.future = Some(future);
                inner.pass[class] += run_ns / SHARES[class];
                continue;
            }
            inner.pass[class] += run_ns / SHARES[class];
            let gone = inner.tasks.remove(id.slot as usize);
            drop(inner);
            drop((gone, future));
        }
    }

    /// The ready task of the class that is furthest behind its share.
    fn next(&self) -> Option<(TaskId, TaskFuture, Arc<TaskWaker>)> {
        let mut inner = self.inner.borrow_mut();
        if self.woken.any.swap(false, Ordering::SeqCst) {
            let woken =
                mem::take(&mut *self.woken.queue.lock().unwrap_or_else(PoisonError::into_inner));
            woken.into_iter().for_each(|id| inner.enqueue(id));
        }
        loop {
            let class = (0..CLASSES)
                .filter(|&c| !inner.ready[c].is_empty())
                .min_by_key(|&c| inner.pass[c])?;
            inner.virtual_time = inner.pass[class];
            let Some(id) = inner.ready[class].pop_front() else {
                continue;
            };
            let Some(task) = inner.task(id) else { continue };
            let Some(future) = task.future.take() else {
                continue;
            };
            let waker = task.waker.clone();
            // Before the poll: a wake during it must queue the task again.
            waker.queued.store(false, Ordering::SeqCst);
            return Some((id, future, waker));
        }
    }
}

impl Inner {
    fn task(&mut self, id: TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(id.slot as usize).filter(|task| task.generation == id.generation)
    }

    fn enqueue(&mut self, id: TaskId) {
        let Some(class) = self.task(id).map(|task| task.class) else {
            return;
        };
        if self.ready[class].is_empty() {
            // A class that was idle does not get back the time it did not use.
            self.pass[class] = self.pass[class].max(self.virtual_time);
        }
        self.ready[class].push_back(id);
    }
}

/// Is ready in the next slice.
pub(crate) struct YieldNow<'a> {
    executor: &'a Executor,
    done: bool,
}

impl<'a> YieldNow<'a> {
    pub(crate) fn new(executor: &'a Executor) -> Self {
        Self { executor, done: false }
    }
}

impl Future for YieldNow<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if mem::replace(&mut self.done, true) {
            return Poll::Ready(());
        }
        self.executor.yield_until_next_slice(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::{super::mesh::NeverParked, *};
    use std::{cell::Cell, rc::Rc};

    fn executor() -> Executor {
        Executor::new(Arc::new(NeverParked))
    }

    /// A task that is always ready and counts its polls.
    fn busy(executor: &Executor, class: Class) -> Rc<Cell<u32>> {
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let endless = std::future::poll_fn(move |cx: &mut Context<'_>| {
            count.set(count.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        executor.spawn(class, Box::pin(endless));
        polls
    }

    #[test]
    fn classes_get_their_shares() {
        let executor = executor();
        let (flush, compaction) =
            (busy(&executor, Class::Flush), busy(&executor, Class::Compaction));
        executor.run(900 * POLL_NS_MIN, || 0);
        assert_eq!(flush.get() + compaction.get(), 900);
        assert!(
            (799..=801).contains(&flush.get()),
            "flush was polled {} times of 900",
            flush.get()
        );
        let read = busy(&executor, Class::Read);
        executor.run(170 * POLL_NS_MIN, || 0);
        assert!(
            (78..=82).contains(&read.get()),
            "a late class starts at the others' time: {} of 170",
            read.get()
        );
    }

    #[test]
    fn an_ended_or_cancelled_task_is_dropped() {
        let executor = executor();
        let kept = Rc::new(());
        let held = kept.clone();
        executor.spawn(Class::Flush, Box::pin(async move { drop(held) }));
        executor.run(1 << 20, || 0);
        assert_eq!((executor.len(), Rc::strong_count(&kept)), (0, 1));
        let held = kept.clone();
        let id = executor.spawn(
            Class::Flush,
            Box::pin(async move {
                std::future::pending::<Rc<()>>().await;
                drop(held)
            }),
        );
        executor.run(1 << 20, || 0);
        assert_eq!((executor.len(), Rc::strong_count(&kept)), (1, 2));
        executor.cancel(id);
        assert_eq!((executor.len(), Rc::strong_count(&kept)), (0, 1));
        assert!(!executor.has_ready());
    }

    #[test]
    fn a_task_may_cancel_itself() {
        let executor = Rc::new(executor());
        let id = Rc::new(Cell::new(None));
        let (e, i) = (executor.clone(), id.clone());
        let task = async move {
            e.cancel(i.get().unwrap());
            std::future::pending::<()>().await;
        };
        id.set(Some(executor.spawn(Class::Read, Box::pin(task))));
        executor.run(1 << 20, || 0);
        assert_eq!(executor.len(), 0);
    }

    #[test]
    fn yield_gives_way_until_the_next_slice() {
        let executor = Rc::new(executor());
        let steps = Rc::new(Cell::new(0));
        let (e, s) = (executor.clone(), steps.clone());
        executor.spawn(
            Class::Flush,
            Box::pin(async move {
                for _ in 0..2 {
                    s.set(s.get() + 1);
                    YieldNow::new(&e).await;
                }
            }),
        );
        executor.run(1 << 20, || 0);
        assert_eq!((steps.get(), executor.has_ready()), (1, true));
        executor.run(1 << 20, || 0);
        assert_eq!((steps.get(), executor.has_ready()), (2, true));
        executor.run(1 << 20, || 0);
        assert_eq!((executor.len(), executor.has_ready()), (0, false));
    }

    #[test]
    fn wakes_from_another_thread_arrive() {
        let executor = executor();
        let (send, receive) = std::sync::mpsc::channel::<Waker>();
        let mut polls = 0;
        let task = std::future::poll_fn(move |cx: &mut Context<'_>| {
            polls += 1;
            send.send(cx.waker().clone()).unwrap();
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        });
        executor.spawn(Class::Read, Box::pin(task));
        executor.run(1 << 20, || 0);
        assert!(!executor.has_ready());
        let waker = receive.recv().unwrap();
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(executor.has_ready());
        executor.run(1 << 20, || 0);
        assert_eq!(executor.len(), 0);
    }
}
