//! One at a time, within a core: the tasks that change a log wait for each other here.
use std::{
    cell::RefCell,
    future::poll_fn,
    ops::{Deref, DerefMut},
    task::{Poll, Waker},
};

/// A value that at most one task holds, also across waiting.
#[derive(Debug)]
pub(crate) struct Lock<T> {
    /// `None` while it is held.
    value: RefCell<Option<T>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Gives the value back when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a, T> {
    lock: &'a Lock<T>,
    value: Option<T>,
}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: RefCell::new(Some(value)), waiting: RefCell::default() }
    }

    /// Waits until nobody holds it. No order among those who wait.
    pub(crate) async fn hold(&self) -> Held<'_, T> {
        poll_fn(|context| match self.value.take() {
            Some(value) => Poll::Ready(Held { lock: self, value: Some(value) }),
            None => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.value.as_ref().unwrap_or_else(|| panic!("a held value is there until the drop"))
    }
}
impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().unwrap_or_else(|| panic!("a held value is there until the drop"))
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.lock.value.replace(self.value.take());
        // All, not one: the one that is woken may have been dropped meanwhile, and then nobody
        // would wake the next.
        for waker in self.lock.waiting.take() {
            waker.wake();
        }
    }
}
