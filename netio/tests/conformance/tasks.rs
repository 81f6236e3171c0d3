//! Timers, background tasks, turns.
use crate::bed::{Message, Place, act, core, task};
use netio::{Boot, Class, Event, Io, TaskSet, Turn};
use std::{cell::RefCell, collections::BTreeSet, rc::Rc, task::Waker};

pub(crate) fn timers_fire_in_order_and_not_when_cancelled(_: &Place) -> Vec<Boot<Message>> {
    vec![core(|io, _| {
        let start = io.now();
        // Token = milliseconds; set in no order, every third cancelled.
        let ms: Vec<u64> = (0..30).map(|i| i * 7 % 30 + 1).collect();
        let ids: Vec<(u64, u64)> =
            ms.iter().map(|&ms| (ms, io.timer(start.after_ms(ms), ms))).collect();
        for &(ms, id) in ids.iter().filter(|(ms, _)| ms % 3 == 0) {
            io.cancel_timer(id);
            // Twice is harmless.
            io.cancel_timer(id);
            assert!(ms > 0);
        }
        let far = io.timer(start.after_ms(3_600_000), 1_000);
        let mut fired = Vec::new();
        act(move |events| {
            for event in events.drain(..) {
                let Event::Timer { token } = event else { panic!("{event:?}") };
                assert!(
                    io.now() >= start.after_ms(token),
                    "token {token} came early, at {:?} of {start:?}",
                    io.now()
                );
                fired.push(token);
            }
            if fired.len() < 20 {
                return Turn::Rest;
            }
            let want: Vec<u64> = (1..=30).filter(|ms| ms % 3 != 0).collect();
            assert_eq!(fired, want);
            io.cancel_timer(far);
            Turn::Done
        })
    })]
}

pub(crate) fn sleeps_end_in_order_of_time(_: &Place) -> Vec<Boot<Message>> {
    vec![task(|io| async move {
        let start = io.now();
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = TaskSet::new(&io);
        for i in 0..10u64 {
            let (io, order, ms) = (io.clone(), order.clone(), (i * 3 % 10) * 5 + 2);
            tasks.spawn(Class::Read, async move {
                io.sleep_until(start.after_ms(ms)).await;
                assert!(io.now() >= start.after_ms(ms));
                order.borrow_mut().push(ms);
            });
        }
        io.sleep_until(start.after_ms(100)).await;
        while tasks.running() > 0 {
            io.sleep_until(io.now().after_ms(1)).await;
        }
        assert_eq!(*order.borrow(), (0..10).map(|i| i * 5 + 2).collect::<Vec<u64>>());
        // The past is no wait.
        io.sleep_until(start).await;
    })]
}

pub(crate) fn every_class_gets_on(_: &Place) -> Vec<Boot<Message>> {
    vec![core(|io, _| {
        // Tasks that never rest, in each class, several each: all make progress, and the foreground
        // has its turns meanwhile.
        let progress: Rc<RefCell<Vec<u64>>> = Rc::new(RefCell::new(vec![0; 12]));
        let tasks: TaskSet<()> = TaskSet::new(&io);
        let classes = [Class::Read, Class::Flush, Class::Maintenance, Class::Compaction];
        for n in 0..12 {
            let (io, progress) = (io.clone(), progress.clone());
            tasks.spawn(classes[n % 4], async move {
                loop {
                    progress.borrow_mut()[n] += 1;
                    io.yield_now().await;
                }
            });
        }
        let mut timers = 0;
        io.timer(io.now().after_us(100), 0);
        act(move |events| {
            timers += events.drain(..).count();
            let progress = progress.borrow();
            if timers >= 20 && progress.iter().all(|&p| p >= 50) {
                // Equals in a class get on equally.
                for class in 0..4 {
                    let of = [progress[class], progress[class + 4], progress[class + 8]];
                    let (low, high) = (of.iter().min().unwrap(), of.iter().max().unwrap());
                    assert!(high - low <= 2, "class {class}: {of:?}");
                }
                assert_eq!(tasks.running(), 12);
                return Turn::Done;
            }
            io.timer(io.now().after_us(100), 0);
            Turn::Rest
        })
    })]
}

pub(crate) fn task_sets_give_outcomes(_: &Place) -> Vec<Boot<Message>> {
    vec![core(|io, _| {
        let tasks: TaskSet<u64> = TaskSet::new(&io);
        for i in 0..20 {
            let task_io = io.clone();
            tasks.spawn(Class::Flush, async move {
                task_io.sleep_until(task_io.now().after_ms(i % 5)).await;
                i * i
            });
        }
        assert_eq!(tasks.running(), 20, "a task does not run inside spawn");
        assert_eq!(tasks.take(), None);
        let mut got = BTreeSet::new();
        // No timer, no event: each outcome makes the core take a turn.
        act(move |_| {
            while let Some(outcome) = tasks.take() {
                assert!(got.insert(outcome));
            }
            if got.len() < 20 {
                return Turn::Rest;
            }
            assert_eq!((tasks.running(), got.last()), (0, Some(&361)));
            Turn::Done
        })
    })]
}

struct Flag(Rc<RefCell<u32>>);
impl Drop for Flag {
    fn drop(&mut self) {
        *self.0.borrow_mut() += 1;
    }
}

pub(crate) fn a_dropped_task_set_cancels(place: &Place) -> Vec<Boot<Message>> {
    let dir = place.dir.clone();
    vec![task(move |io: Io| async move {
        let dropped = Rc::new(RefCell::new(0));
        let tasks = TaskSet::new(&io);
        for i in 0..9u64 {
            let (io, flag, path) = (io.clone(), Flag(dropped.clone()), dir.join(format!("f{i}")));
            tasks.spawn(Class::Compaction, async move {
                let _flag = flag;
                match i % 3 {
                    0 => io.sleep_until(io.now().after_ms(3_600_000)).await,
                    1 => loop {
                        // An operation of the disk is always under way.
                        let how =
                            netio::Open { write: true, create: true, ..netio::Open::default() };
                        io.open(&path, how).await.unwrap();
                    },
                    _ => std::future::pending().await,
                }
            });
        }
        io.sleep_until(io.now().after_ms(3)).await;
        assert_eq!((*dropped.borrow(), tasks.running()), (0, 9));
        drop(tasks);
        io.yield_now().await;
        assert_eq!(*dropped.borrow(), 9);
        io.sleep_until(io.now().after_ms(3)).await;
    })]
}

pub(crate) fn tasks_wake_each_other(_: &Place) -> Vec<Boot<Message>> {
    vec![task(|io| async move {
        // A baton goes round five tasks; each rests until its waker is called by the one before.
        let baton: Rc<RefCell<(u32, [Option<Waker>; 5])>> = Rc::default();
        let tasks = TaskSet::new(&io);
        for me in 0..5u32 {
            let baton = baton.clone();
            tasks.spawn(Class::Read, async move {
                for _ in 0..50 {
                    std::future::poll_fn(|cx| {
                        let mut b = baton.borrow_mut();
                        if b.0 % 5 == me {
                            return std::task::Poll::Ready(());
                        }
                        b.1[me as usize] = Some(cx.waker().clone());
                        std::task::Poll::Pending
                    })
                    .await;
                    let next = {
                        let mut b = baton.borrow_mut();
                        b.0 += 1;
                        b.1[((me + 1) % 5) as usize].take()
                    };
                    if let Some(next) = next {
                        next.wake();
                    }
                }
            });
        }
        while tasks.running() > 0 {
            io.sleep_until(io.now().after_ms(1)).await;
        }
        assert_eq!(baton.borrow().0, 250);
    })]
}

pub(crate) fn turns_can_be_asked_for(_: &Place) -> Vec<Boot<Message>> {
    vec![core(|io, _| {
        let mut turns = 0;
        act(move |events| {
            assert!(events.is_empty());
            turns += 1;
            match turns {
                1..5 => Turn::Again,
                5..10 => {
                    io.want_turn();
                    Turn::Rest
                }
                _ => Turn::Done,
            }
        })
    })]
}

pub(crate) fn chance_and_clocks(_: &Place) -> Vec<Boot<Message>> {
    vec![task(|io| async move {
        let (a, b) = (io.random(), io.random());
        assert_ne!(a, b);
        let (mono, wall) = (io.now(), io.wall());
        assert!(wall > 1_600_000_000_000, "milliseconds since the epoch: {wall}");
        io.sleep_until(mono.after_ms(20)).await;
        assert!(io.now() >= mono.after_ms(20));
        assert!(io.wall() >= wall + 15, "wall time passes too");
    })]
}
