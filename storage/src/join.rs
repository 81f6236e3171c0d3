//! Several futures at a time, for recovery: as many as the disk likes, not as many as there are
//! logs.
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

/// Runs all of `futures`, at most `at_once` of them at a time; results in the order in which they
/// end.
pub(crate) async fn join_bounded<T, F: Future<Output = T>>(
    futures: impl IntoIterator<Item = F>,
    at_once: usize,
) -> Vec<T> {
    let mut waiting = futures.into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut done = Vec::new();
    poll_fn(|context| {
        loop {
            while running.len() < at_once.max(1)
                && let Some(future) = waiting.next()
            {
                running.push(Box::pin(future));
            }
            let before = done.len();
            running.retain_mut(|future| match future.as_mut().poll(context) {
                Poll::Ready(value) => {
                    done.push(value);
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && done.len() == before {
                return Poll::Ready(());
            }
            if done.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        cell::Cell,
        task::{Context, Waker},
    };

    #[test]
    fn bounded_and_complete() {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let job = |n: u32| {
            let (running, most) = (&running, &most);
            async move {
                running.set(running.get() + 1);
                most.set(running.get().max(most.get()));
                let mut turns = n % 3;
                poll_fn(|context| {
                    if turns == 0 {
                        return Poll::Ready(());
                    }
                    turns -= 1;
                    context.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
                running.set(running.get() - 1);
                n
            }
        };
        let mut all = Box::pin(join_bounded((0..20).map(job), 4));
        let mut context = Context::from_waker(Waker::noop());
        let mut done = loop {
            if let Poll::Ready(done) = all.as_mut().poll(&mut context) {
                break done;
            }
        };
        done.sort_unstable();
        assert_eq!(done, (0..20).collect::<Vec<_>>());
        assert!(most.get() <= 4 && most.get() > 1, "{} at once", most.get());
    }
}
